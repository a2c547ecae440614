"""The graph: sources and stages, wired and named, in front of the sinks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.timestamp import Timestamp

from pipeline.inputs import Inputs
from pipeline.settings import Settings
from pipeline.sinks import NOWHERE, write
from transforms.counters import NotesNames
from transforms.dead_letters import WithDeadLetters
from transforms.embedding import EmbedSentences
from transforms.encoder.catalogue import find_model
from transforms.io.bigquery.read import ReadTable
from transforms.io.files.read import ReadFiles
from transforms.io.pubsub.read import ReadFromSubscription
from transforms.known import KEY_COLUMNS, VECTOR_COLUMNS, VERSION_COLUMNS, ReuseVectors, WholeVersions
from transforms.parsing import ParseMessages, ParserOptions
from transforms.reembedding import SENTENCE_COLUMNS, ParseRows
from transforms.schema import CARRIED, JOURNAL_COLUMNS, Column, sql_string
from transforms.splitting import KeepMetadata, SplitSentences
from transforms.types import Message, Record, Sentence, SentenceEmbedding


def build(pipeline: beam.Pipeline, settings: Settings, inputs: Inputs, waiting: Mapping[str, str] = NOWHERE) -> None:
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
