"""The graph: sources, stages and sinks, wired and named."""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.timestamp import Timestamp

from pipeline.inputs import Inputs
from pipeline.settings import Settings
from transforms.counters import NotesNames
from transforms.dead_letters import WithDeadLetters
from transforms.embedding import EmbedSentences
from transforms.encoder.catalogue import find_model
from transforms.io.bigquery.read import ReadTable
from transforms.io.bigquery.write import (
    METHODS,
    WriteDeadLettersToBigQuery,
    WriteJournalToBigQuery,
    WriteRowsToBigQuery,
)
from transforms.io.files.read import ReadFiles
from transforms.io.files.write import WriteFiles
from transforms.io.files.write_stream import WriteBundleFiles
from transforms.io.pubsub.read import ReadFromSubscription
from transforms.io.pubsub.write import WriteDeadLettersToTopic, WriteToTopic
from transforms.kinds import DEAD_LETTERS, JOURNAL, Kind, rows_with
from transforms.known import KEY_COLUMNS, VECTOR_COLUMNS, VERSION_COLUMNS, ReuseVectors, WholeVersions
from transforms.parsing import ParseMessages, ParserOptions
from transforms.reembedding import SENTENCE_COLUMNS, ParseRows
from transforms.schema import CARRIED, JOURNAL_COLUMNS, Column, bigquery_schema, sql_string
from transforms.splitting import KeepMetadata, SplitSentences
from transforms.types import JournalEntry, Message, Record, Sentence, SentenceEmbedding, is_end
from transforms.versions import KeepJournal

_NOWHERE: Mapping[str, str] = {}


def build(pipeline: beam.Pipeline, settings: Settings, inputs: Inputs, waiting: Mapping[str, str] = _NOWHERE) -> None:
    """Wire the whole pipeline for checked `settings`; files under a prefix in `waiting` wait in its folder."""
    if settings.parser is None:
        sentences, refused = _sentences_of_rows(pipeline, settings, inputs)
    else:
        sentences, refused = _sentences_of_messages(pipeline, settings, settings.parser, inputs)
    rows = embed(without_written(pipeline, sentences, settings, inputs), settings)
    write(rows.output, refused | {"embed": rows.dead_letters}, settings, inputs.is_stream, waiting)


def _sentences_of_messages(
    pipeline: beam.Pipeline, settings: Settings, parser: ParserOptions, inputs: Inputs
) -> tuple["beam.PCollection[Sentence]", dict[str, Any]]:
    """Sentences of the messages in files or Pub/Sub, and dead letters by stage."""
    refused = {}
    if inputs.is_stream:
        messages = parse(_read_stream(pipeline, settings, inputs), parser, settings)
    else:
        read = read_files(pipeline, settings, inputs)
        messages = parse(read.output, parser, settings)
        refused = {"read": read.dead_letters}
    sentences = split(messages.output, settings)
    return sentences.output, refused | {"parse": messages.dead_letters, "split": sentences.dead_letters}


def _sentences_of_rows(
    pipeline: beam.Pipeline, settings: Settings, inputs: Inputs
) -> tuple["beam.PCollection[Sentence]", dict[str, Any]]:
    """Sentences of rows written earlier, and dead letters by stage."""
    refused = {}
    if settings.input_format == "bigquery":
        records = pipeline | "Read table" >> ReadTable(settings.input, (*SENTENCE_COLUMNS, *settings.own))
    else:
        read = read_files(pipeline, settings, inputs)
        records, refused = read.output, {"read": read.dead_letters}
    if inputs.journal:
        source_format = "bigquery" if settings.input_format == "bigquery" else "parquet"
        records = records, pipeline | "Read journal" >> _earlier(inputs.journal, source_format, JOURNAL_COLUMNS)
    sentences = parse_rows(records, settings)
    return sentences.output, refused | {"rows": sentences.dead_letters}


def read_files(pipeline: beam.Pipeline, settings: Settings, inputs: Inputs) -> WithDeadLetters[Record]:
    """From the files of `inputs` to records: of messages, or of rows written earlier if there is no parser."""
    parser = settings.parser
    if parser is None:
        patterns = inputs.rows or inputs.patterns
        files = ReadFiles(patterns, "parquet", names=inputs.names, columns=_names((*SENTENCE_COLUMNS, *settings.own)))
    else:
        files = ReadFiles(
            inputs.patterns,
            settings.input_format,
            settings.csv_multiline,
            inputs.names,
            encoding=settings.encoding,
            is_quoted=parser.is_quoted,
            text_column="" if parser.text_template or parser.udf else parser.text_field,
        )
    outputs: WithDeadLetters[Record] = pipeline | "Read files" >> files.with_dead_letters()
    return outputs


def parse_rows(records: Any, settings: Settings) -> WithDeadLetters[Sentence]:
    """From rows written earlier, alone or in a pair with the entries of their journal, to their sentences."""
    transform = ParseRows(settings.splitting.columns).with_versions(bool(settings.journal))
    sentences: WithDeadLetters[Sentence] = records | "Parse rows" >> transform.with_dead_letters()
    fields = settings.splitting.metadata_fields
    if fields is None:
        return sentences
    keep = beam.ParDo(_Keep(fields, settings.own)).with_output_types(Sentence)
    return sentences._replace(output=sentences.output | "Keep metadata" >> keep)


def without_written(pipeline: beam.Pipeline, sentences: Any, settings: Settings, inputs: Inputs) -> Any:
    """The sentences less those that are written, with the vectors that are known."""
    encoder = settings.encoder
    made_by = encoder, settings.embedding.cleanup

    def read(places: Sequence[str], columns: Sequence[Column]) -> Any:
        name = find_model(encoder.model, encoder.preprocessor, encoder.allow_http).name
        return _earlier(places, settings.output_format, columns, f"model = {sql_string(name)}")

    written: tuple[Any, ...] = ()
    if settings.already_written:
        columns = VERSION_COLUMNS if settings.journal else KEY_COLUMNS
        written = (pipeline | "Read written" >> read(inputs.written, columns),)
    if settings.reuse:
        rows = pipeline | "Read reused" >> read(inputs.reused, VECTOR_COLUMNS)
        sentences = (sentences, rows) | "Reuse vectors" >> ReuseVectors(*made_by)
    if written or (settings.reuse and settings.journal):
        parser = settings.parser
        # Without a version of its own, a message has that of its time, which its content includes, or of its file.
        by_content = parser is not None and not (parser.version_field or parser.version_attribute)
        whole = WholeVersions(*made_by, bool(settings.journal), by_content)
        sentences = (sentences, *written) | "Whole versions" >> whole
    return sentences


def _earlier(places: Sequence[str], file_format: str, columns: Sequence[Column], restriction: str = "") -> Any:
    """Reads what an earlier run wrote, with only some columns; a table with a restriction of its rows."""
    if file_format == "bigquery":
        (table,) = places
        return ReadTable(table, columns, restriction)
    return ReadFiles(places, file_format, columns=_names(columns))


def _names(columns: Iterable[Column]) -> list[str]:
    return [column.name for column in columns]


def parse(records: "beam.PCollection[Record]", options: ParserOptions, settings: Settings) -> WithDeadLetters[Message]:
    """From records to messages, those that only retire an earlier version included if there is a journal."""
    transform = ParseMessages(**vars(options)).with_versions(bool(settings.journal))
    outputs: WithDeadLetters[Message] = records | "Parse" >> transform.with_dead_letters()
    return outputs


def split(messages: "beam.PCollection[Message]", settings: Settings) -> WithDeadLetters[Sentence]:
    """From messages to sentences, with the ends of versions between them if there is a journal."""
    options = vars(settings.splitter) | vars(settings.splitting)
    transform = SplitSentences(**options).with_versions(bool(settings.journal))
    outputs: WithDeadLetters[Sentence] = messages | "Split" >> transform.with_dead_letters()
    return outputs


def embed(sentences: "beam.PCollection[Sentence]", settings: Settings) -> WithDeadLetters[SentenceEmbedding]:
    """From sentences to rows."""
    transform = EmbedSentences(**vars(settings.encoder), **vars(settings.embedding))
    outputs: WithDeadLetters[SentenceEmbedding] = sentences | "Embed" >> transform.with_dead_letters()
    if settings.store_content:
        return outputs
    return outputs._replace(
        output=outputs.output | "Leave out content" >> beam.Map(_without_content).with_output_types(SentenceEmbedding)
    )


def _without_content(row: SentenceEmbedding) -> SentenceEmbedding:
    return row._replace(content="")


class _Keep(NotesNames):
    def __init__(self, fields: Sequence[str], own: Sequence[Column]) -> None:
        self._kept = KeepMetadata(fields)
        self.notes = (self._kept.found,)
        self._carried = [CARRIED + column.name for column in own]

    def process(self, sentence: Sentence) -> Iterator[Sentence]:
        own = {name: sentence.metadata[name] for name in self._carried if name in sentence.metadata}
        yield sentence._replace(metadata={**self._kept.of(sentence.metadata), **own})


def write(
    rows: Any,
    dead_letters: Mapping[str, Any],
    settings: Settings,
    is_stream: bool,
    waiting: Mapping[str, str] = _NOWHERE,
    entries: Sequence[Any] = (),
) -> None:
    """Write rows to their sink, the journal after them, and the dead letters of each stage, the sinks' too, to theirs.

    `entries` go into the journal too.

    In a stream, each stage has its own sink of dead letters, because a local stream must be one fused stage, and a
    Flatten would break it up.
    """
    into = functools.partial(_write, settings=settings, waiting=None if is_stream else waiting)
    written = into(rows, "rows", settings.output, kind=rows_with(settings.own))
    dead_letters = {**dead_letters, **written.dead_letters}
    if settings.journal:
        kept = written.elements | "Keep journal" >> beam.ParDo(KeepJournal()).with_output_types(JournalEntry)
        if written.jobs:
            kept |= "Wait for rows" >> beam.transforms.util.WaitOn(*written.jobs)
        if entries:
            kept = (kept, *entries) | "Add entries" >> beam.Flatten()
        dead_letters = {**dead_letters, **into(kept, "journal", settings.journal, kind=JOURNAL).dead_letters}
    if not is_stream:
        gathered = tuple(dead_letters.values()) | "Gather dead letters" >> beam.Flatten()
        into(gathered, "dead letters", settings.dead_letters, kind=DEAD_LETTERS)
        return
    for stage, letters in dead_letters.items():
        into(letters, f"dead letters of {stage}", settings.dead_letters, kind=DEAD_LETTERS)


def _read_stream(pipeline: beam.Pipeline, settings: Settings, inputs: Inputs) -> Any:
    if inputs.native:
        messages = pipeline | "Read messages" >> beam.io.ReadFromPubSub(
            subscription=settings.input_subscription or None,
            topic=settings.input_topic or None,
            with_attributes=True,
        )
        return messages | "Make records" >> beam.Map(_record).with_output_types(Record)
    return pipeline | "Read messages" >> ReadFromSubscription(
        inputs.subscription,
        max_messages=settings.embedding.batch_size,
        max_wait_seconds=settings.max_wait_seconds,
        retry_for_seconds=settings.retry_for_seconds,
        readers=_readers(settings, pipeline.options),
    )


def _readers(settings: Settings, options: PipelineOptions) -> int:
    """How many readers a stream has: as many as are asked for, or else as the runner works in parallel, if it is told.

    Raises:
        ValueError: if there are more than the runner works in parallel.
    """
    # It is an option of job servers, which Beam does not know before it has asked one; -1 is the runner's own choice.
    told = str(options.get_all_options(retain_unknown_options=True).get("parallelism"))
    parallelism = int(told) if told.isdecimal() else 0
    if parallelism and settings.readers > parallelism:
        raise ValueError(
            f"expected --readers of at most --parallelism={parallelism}, got {settings.readers}; leave it out, as "
            "several idle readers of one subtask can keep Flink from its checkpoints, and messages from acknowledgement"
        )
    return settings.readers or parallelism or 1


def _record(message: Any) -> Record:
    published = Timestamp.from_utc_datetime(message.publish_time).micros
    return Record(message.data, "", message.message_id, message.attributes or {}, published)


class _Written(NamedTuple):
    """What became of elements.

    Attributes:
        elements: those that were written, and the ends of versions behind them.
        dead_letters: those that the sink rejected, by stage.
        jobs: what must be done before they are written.
    """

    elements: Any
    dead_letters: Mapping[str, Any] = {}
    jobs: Sequence[Any] = ()


def _write(
    pcoll: Any, what: str, target: str, kind: Kind, settings: Settings, waiting: Mapping[str, str] | None
) -> _Written:
    """Write elements of `kind`; `waiting` has the folders where a batch's files wait for its end, None in a stream."""
    name = f"Write {what}"
    if settings.output_format == "pubsub":
        rows = pcoll | f"Make {what} JSON" >> beam.Map(_json_bytes, kind).with_output_types(bytes)
        patience = settings.retry_for_seconds
        if kind is DEAD_LETTERS:
            rows | name >> WriteDeadLettersToTopic(target, spill_dir=settings.spill_dir, retry_for_seconds=patience)
            return _Written(pcoll)
        sent = rows | name >> WriteToTopic(target, retry_for_seconds=patience).with_dead_letters()
        return _Written(pcoll, {"publish": sent.dead_letters})
    if settings.output_format != "bigquery":
        if waiting is None:
            return _Written(pcoll | name >> WriteBundleFiles(target, settings.output_format, kind))
        to_files = WriteFiles(target, settings.output_format, kind, waiting.get(target, ""))
        _without_ends(pcoll, kind) | name >> to_files
        return _Written(pcoll)
    method = settings.bigquery_write_method
    if method not in METHODS:
        return _Written(pcoll, jobs=_load(_without_ends(pcoll, kind), what, target, kind))
    if kind is DEAD_LETTERS:
        pcoll | name >> WriteDeadLettersToBigQuery(
            target, method, settings.retry_for_seconds, spill_dir=settings.spill_dir
        )
        return _Written(pcoll)
    if kind is JOURNAL:
        stage, write = "journal", WriteJournalToBigQuery(target, method, settings.retry_for_seconds)
    else:
        columns = settings.splitting.columns
        stage, write = "write", WriteRowsToBigQuery(target, method, settings.retry_for_seconds, columns=columns)
    written = pcoll | name >> write.with_dead_letters()
    return _Written(written.output, {stage: written.dead_letters})


def _without_ends(pcoll: Any, kind: Kind) -> Any:
    if kind.element is not SentenceEmbedding:
        return pcoll
    return pcoll | "Leave out ends" >> beam.Filter(lambda row: not is_end(row)).with_output_types(kind.element)


def _load(pcoll: Any, what: str, target: str, kind: Kind) -> Sequence[Any]:
    """Write by Beam's load jobs, into the table that the program has already made; the jobs."""
    rows = pcoll | f"Make {what} rows" >> beam.Map(kind.to_json).with_output_types(dict[str, Any])
    result = rows | f"Write {what}" >> beam.io.WriteToBigQuery(
        target,
        method="FILE_LOADS",
        schema=bigquery_schema(kind.columns),
        create_disposition=beam.io.BigQueryDisposition.CREATE_NEVER,
        write_disposition=beam.io.BigQueryDisposition.WRITE_APPEND,
    )
    return result.destination_load_jobid_pairs, result.destination_copy_jobid_pairs


def _json_bytes(element: Any, kind: Kind) -> bytes:
    return json.dumps(kind.to_json(element), ensure_ascii=False).encode()
