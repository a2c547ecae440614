"""The graph: sources, stages and sinks, wired and named."""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.timestamp import Timestamp

from pipeline.inputs import Inputs
from pipeline.settings import Settings
from transforms.dead_letters import WithDeadLetters
from transforms.embedding import EmbedSentences
from transforms.encoder.catalogue import find_model
from transforms.io.bigquery.read import ReadTable
from transforms.io.bigquery.write import METHODS, WriteDeadLettersToBigQuery, WriteRowsToBigQuery
from transforms.io.files.read import ReadFiles
from transforms.io.files.write import DEAD_LETTERS, ROWS, Kind, WriteFiles
from transforms.io.files.write_stream import WriteBundleFiles
from transforms.io.pubsub.read import ReadFromSubscription
from transforms.io.pubsub.write import WriteDeadLettersToTopic, WriteToTopic
from transforms.parsing import ParseMessages, ParserOptions
from transforms.reembedding import KEY_COLUMNS, SENTENCE_COLUMNS, LeaveOutWritten, ParseRows
from transforms.schema import Column, bigquery_schema, json_row, sql_string
from transforms.splitting import KeepMetadata, SplitSentences
from transforms.types import DeadLetter, Message, Record, Sentence, SentenceEmbedding

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
        messages = parse(_read_stream(pipeline, settings, inputs), parser)
    else:
        read = read_files(pipeline, settings, inputs)
        messages = parse(read.output, parser)
        refused = {"read": read.dead_letters}
    sentences = split(messages.output, settings)
    return sentences.output, refused | {"parse": messages.dead_letters, "split": sentences.dead_letters}


def _sentences_of_rows(
    pipeline: beam.Pipeline, settings: Settings, inputs: Inputs
) -> tuple["beam.PCollection[Sentence]", dict[str, Any]]:
    """Sentences of rows written earlier, and dead letters by stage."""
    refused = {}
    if settings.input_format == "bigquery":
        records = pipeline | "Read table" >> ReadTable(settings.input, SENTENCE_COLUMNS)
    else:
        read = read_files(pipeline, settings, inputs)
        records, refused = read.output, {"read": read.dead_letters}
    sentences = parse_rows(records, settings)
    return sentences.output, refused | {"rows": sentences.dead_letters}


def read_files(pipeline: beam.Pipeline, settings: Settings, inputs: Inputs) -> WithDeadLetters[Record]:
    """From the files of `inputs` to records: of messages, or of rows written earlier if there is no parser."""
    parser = settings.parser
    if parser is None:
        files = ReadFiles(inputs.patterns, "parquet", names=inputs.names, columns=_names(SENTENCE_COLUMNS))
    else:
        files = ReadFiles(
            inputs.patterns,
            settings.input_format,
            settings.csv_multiline,
            inputs.names,
            encoding=settings.encoding,
            is_quoted=parser.is_quoted,
            text_column=parser.text_field,
        )
    outputs: WithDeadLetters[Record] = pipeline | "Read files" >> files.with_dead_letters()
    return outputs


def parse_rows(records: "beam.PCollection[Record]", settings: Settings) -> WithDeadLetters[Sentence]:
    """From rows written earlier to their sentences."""
    sentences: WithDeadLetters[Sentence] = records | "Parse rows" >> ParseRows().with_dead_letters()
    fields = settings.splitting.metadata_fields
    if fields is None:
        return sentences
    keep = beam.ParDo(_Keep(fields)).with_output_types(Sentence)
    return sentences._replace(output=sentences.output | "Keep metadata" >> keep)


def without_written(pipeline: beam.Pipeline, sentences: Any, settings: Settings, inputs: Inputs) -> Any:
    """The sentences that have no row in `already_written`."""
    if not settings.already_written:
        return sentences
    leave_out = LeaveOutWritten(settings.encoder, settings.embedding.cleanup)
    return (sentences, _read_written(pipeline, settings, inputs)) | "Leave out written" >> leave_out


def _read_written(pipeline: beam.Pipeline, settings: Settings, inputs: Inputs) -> "beam.PCollection[Record]":
    """Rows written already, with only the columns that tell which sentences they are of; no vector is read."""
    if settings.output_format == "bigquery":
        encoder = settings.encoder
        name = find_model(encoder.model, encoder.preprocessor, encoder.allow_http).name
        source: Any = ReadTable(settings.already_written, KEY_COLUMNS, f"model = {sql_string(name)}")
    else:
        source = ReadFiles(inputs.written, settings.output_format, columns=_names(KEY_COLUMNS))
    return pipeline | "Read written" >> source


def _names(columns: Iterable[Column]) -> list[str]:
    return [column.name for column in columns]


def parse(records: "beam.PCollection[Record]", options: ParserOptions) -> WithDeadLetters[Message]:
    """From records to messages."""
    outputs: WithDeadLetters[Message] = records | "Parse" >> ParseMessages(**vars(options)).with_dead_letters()
    return outputs


def split(messages: "beam.PCollection[Message]", settings: Settings) -> WithDeadLetters[Sentence]:
    """From messages to sentences."""
    transform = SplitSentences(**vars(settings.splitter), **vars(settings.splitting))
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


class _Keep(beam.DoFn):
    def __init__(self, fields: Sequence[str] | None) -> None:
        self._kept = KeepMetadata(fields)

    def start_bundle(self) -> None:
        self._kept.found.start_bundle()

    def finish_bundle(self) -> None:
        self._kept.found.finish_bundle()

    def process(self, sentence: Sentence) -> Iterator[Sentence]:
        yield sentence._replace(metadata=self._kept.of(sentence.metadata))


def write(
    rows: Any,
    dead_letters: Mapping[str, Any],
    settings: Settings,
    is_stream: bool,
    waiting: Mapping[str, str] = _NOWHERE,
) -> None:
    """Write rows to their sink, and the dead letters of each stage, the sink's own included, to theirs.

    In a stream, each stage has its own sink of dead letters, because a local stream must be one fused stage, and a
    Flatten would break it up.
    """
    write_files = WriteBundleFiles if is_stream else functools.partial(_write_waiting, waiting)
    dead_letters = dict(dead_letters) | _write(rows, "rows", settings.output, settings, ROWS, write_files)
    if not is_stream:
        gathered = tuple(dead_letters.values()) | "Gather dead letters" >> beam.Flatten()
        _write(gathered, "dead letters", settings.dead_letters, settings, DEAD_LETTERS, write_files)
        return
    for stage, letters in dead_letters.items():
        _write(letters, f"dead letters of {stage}", settings.dead_letters, settings, DEAD_LETTERS, write_files)


def _write_waiting(waiting: Mapping[str, str], prefix: str, file_format: str, kind: Kind) -> WriteFiles:
    return WriteFiles(prefix, file_format, kind, waiting.get(prefix, ""))


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


def _write(pcoll: Any, what: str, target: str, settings: Settings, kind: Kind, write_files: Any) -> dict[str, Any]:
    """Write elements of `kind`, and return the dead letters of what the sink rejected, by stage."""
    name = f"Write {what}"
    if settings.output_format == "pubsub":
        rows = pcoll | f"Make {what} JSON" >> beam.Map(_json_bytes, kind).with_output_types(bytes)
        patience = settings.retry_for_seconds
        if kind is DEAD_LETTERS:
            rows | name >> WriteDeadLettersToTopic(target, spill_dir=settings.spill_dir, retry_for_seconds=patience)
            return {}
        sent = rows | name >> WriteToTopic(target, retry_for_seconds=patience).with_dead_letters()
        return {"publish": sent.dead_letters}
    if settings.output_format != "bigquery":
        pcoll | name >> write_files(target, settings.output_format, kind)
        return {}
    if settings.bigquery_write_method not in METHODS:
        _write_by_beam(pcoll, what, target, settings.bigquery_write_method, kind)
        return {}
    if kind.element is DeadLetter:
        pcoll | name >> WriteDeadLettersToBigQuery(
            target, settings.bigquery_write_method, settings.retry_for_seconds, spill_dir=settings.spill_dir
        )
        return {}
    write_rows = WriteRowsToBigQuery(target, settings.bigquery_write_method, settings.retry_for_seconds)
    written = pcoll | name >> write_rows.with_dead_letters()
    return {"write": written.dead_letters}


def _write_by_beam(pcoll: Any, what: str, target: str, method: str, kind: Kind) -> None:
    """Write with Beam's own sink, into the table that the program has already made."""
    make_row = _json_row if method == "FILE_LOADS" else _typed_row
    rows = pcoll | f"Make {what} rows" >> beam.Map(make_row, kind).with_output_types(dict[str, Any])
    rows | f"Write {what}" >> beam.io.WriteToBigQuery(
        target,
        method=method,
        schema=bigquery_schema(kind.columns),
        create_disposition=beam.io.BigQueryDisposition.CREATE_NEVER,
        write_disposition=beam.io.BigQueryDisposition.WRITE_APPEND,
    )


def _json_row(element: Any, kind: Kind) -> dict[str, Any]:
    return json_row(kind.to_dict(element))


def _typed_row(element: Any, kind: Kind) -> dict[str, Any]:
    """A row in the types of Beam's Java sink, which takes times as Beam's Timestamp."""
    row = kind.to_dict(element)
    times = [column.name for column in kind.columns if column.type == "TIMESTAMP" and row[column.name] is not None]
    return row | {name: Timestamp.from_utc_datetime(row[name]) for name in times}


def _json_bytes(element: Any, kind: Kind) -> bytes:
    return json.dumps(_json_row(element, kind), ensure_ascii=False).encode()
