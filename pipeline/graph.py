"""The graph: sources, stages and sinks, wired and named."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.utils.timestamp import Timestamp

from pipeline.inputs import Inputs
from pipeline.settings import Settings
from transforms.counters import NamesFound
from transforms.dead_letters import WithDeadLetters
from transforms.embedding import EmbedSentences
from transforms.encoder.catalogue import find_model
from transforms.io.bigquery.read import ReadTable
from transforms.io.bigquery.write import METHODS, WriteDeadLettersToBigQuery, WriteRowsToBigQuery
from transforms.io.files.read import ReadFiles
from transforms.io.files.write import DEAD_LETTERS, ROWS, Kind, WriteFiles
from transforms.io.files.write_stream import WriteBundleFiles
from transforms.io.pubsub.read import ReadFromSubscription
from transforms.io.pubsub.write import WriteToTopic
from transforms.parsing import ParseMessages, ParserOptions
from transforms.reembedding import KEY_COLUMNS, SENTENCE_COLUMNS, LeaveOutWritten, ParseRows
from transforms.schema import Column, bigquery_schema, json_row, sql_string
from transforms.splitting import SplitSentences
from transforms.types import DeadLetter, Message, Record, Sentence, SentenceEmbedding


def build(pipeline: beam.Pipeline, settings: Settings, inputs: Inputs) -> None:
    """Wire the whole pipeline for checked `settings`."""
    if settings.parser is None:
        sentences, refused = _sentences_of_rows(pipeline, settings, inputs)
    else:
        sentences, refused = _sentences_of_messages(pipeline, settings, settings.parser, inputs)
    if settings.already_written:
        leave_out = LeaveOutWritten(settings.encoder.model, settings.encoder.preprocessor)
        sentences = (sentences, _read_written(pipeline, settings, inputs)) | "Leave out written" >> leave_out
    rows = embed(sentences, settings)
    write(rows.output, refused | {"embed": rows.dead_letters}, settings, inputs.is_stream)


def _sentences_of_messages(
    pipeline: beam.Pipeline, settings: Settings, parser: ParserOptions, inputs: Inputs
) -> tuple["beam.PCollection[Sentence]", dict[str, Any]]:
    """Sentences of the messages in files or Pub/Sub, and dead letters by stage."""
    refused = {}
    if inputs.is_stream:
        messages = parse(_read_stream(pipeline, settings, inputs), parser)
    else:
        files = ReadFiles(inputs.patterns, settings.input_format, settings.csv_multiline, inputs.names)
        read = pipeline | "Read files" >> files.with_dead_letters()
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
        files = ReadFiles(inputs.patterns, "parquet", names=inputs.names, columns=_names(SENTENCE_COLUMNS))
        read = pipeline | "Read files" >> files.with_dead_letters()
        records, refused = read.output, {"read": read.dead_letters}
    sentences = records | "Parse rows" >> ParseRows().with_dead_letters()
    return sentences.output, refused | {"rows": sentences.dead_letters}


def _read_written(pipeline: beam.Pipeline, settings: Settings, inputs: Inputs) -> "beam.PCollection[Record]":
    """Rows written already, with only the columns that tell which sentences they are of; no vector is read."""
    if settings.output_format == "bigquery":
        name = find_model(settings.encoder.model, settings.encoder.preprocessor).name
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
    if settings.metadata_fields is None and settings.store_content:
        return outputs
    keep = beam.ParDo(_Keep(settings.metadata_fields, settings.store_content)).with_output_types(SentenceEmbedding)
    return outputs._replace(output=outputs.output | "Keep columns" >> keep)


class _Keep(beam.DoFn):
    """Keeps only `fields` of the metadata of rows (None for all), with or without their sentence."""

    def __init__(self, fields: frozenset[str] | None, content: bool) -> None:
        self._fields = fields
        self._content = content
        self._names = NamesFound({f"metadata_fields.{name}": name for name in sorted(fields or ())})

    def start_bundle(self) -> None:
        self._names.start_bundle()

    def finish_bundle(self) -> None:
        self._names.finish_bundle()

    def process(self, row: SentenceEmbedding) -> Iterator[SentenceEmbedding]:
        self._names.see(row.metadata)
        fields = row.metadata.keys() if self._fields is None else self._fields
        metadata = {key: row.metadata[key] for key in row.metadata if key in fields}
        yield row._replace(metadata=metadata, content=row.content if self._content else "")


def write(rows: Any, dead_letters: Mapping[str, Any], settings: Settings, is_stream: bool) -> None:
    """Write rows to their sink, and the dead letters of each stage, the sink's own included, to theirs.

    In a stream, each stage has its own sink of dead letters, because a local stream must be one fused stage, and a
    Flatten would break it up.
    """
    dead_letters = dict(dead_letters) | _write(rows, "rows", settings.output, settings, ROWS, is_stream)
    if not is_stream:
        gathered = tuple(dead_letters.values()) | "Gather dead letters" >> beam.Flatten()
        _write(gathered, "dead letters", settings.dead_letters, settings, DEAD_LETTERS, is_stream)
        return
    for stage, letters in dead_letters.items():
        _write(letters, f"dead letters of {stage}", settings.dead_letters, settings, DEAD_LETTERS, is_stream)


def _read_stream(pipeline: beam.Pipeline, settings: Settings, inputs: Inputs) -> Any:
    if inputs.native:
        messages = pipeline | "Read messages" >> beam.io.ReadFromPubSub(
            subscription=settings.input_subscription or None,
            topic=settings.input_topic or None,
            with_attributes=True,
        )
        return messages | "Make records" >> beam.Map(_record).with_output_types(Record)
    return pipeline | "Read messages" >> ReadFromSubscription(
        inputs.subscription, max_messages=settings.embedding.batch_size, max_wait_seconds=settings.max_wait_seconds
    )


def _record(message: Any) -> Record:
    published = Timestamp.from_utc_datetime(message.publish_time).micros
    return Record(message.data, "", message.message_id, message.attributes or {}, published)


def _write(pcoll: Any, what: str, target: str, settings: Settings, kind: Kind, is_stream: bool) -> dict[str, Any]:
    """Write elements of `kind`, and return the dead letters of what the sink rejected, by stage."""
    name = f"Write {what}"
    if settings.output_format == "pubsub":
        rows = pcoll | f"Make {what} JSON" >> beam.Map(_json_bytes, kind).with_output_types(bytes)
        sent = rows | name >> WriteToTopic(target, retry_for_seconds=settings.retry_for_seconds).with_dead_letters()
        return {"publish": sent.dead_letters} if kind is ROWS else {}
    if settings.output_format != "bigquery":
        write = WriteBundleFiles if is_stream else WriteFiles
        pcoll | name >> write(target, settings.output_format, kind)
        return {}
    if settings.bigquery_write_method not in METHODS:
        _write_by_beam(pcoll, what, target, settings.bigquery_write_method, kind)
        return {}
    if kind.element is DeadLetter:
        pcoll | name >> WriteDeadLettersToBigQuery(target, settings.bigquery_write_method, settings.retry_for_seconds)
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
