"""The graph: sources, stages and sinks, wired and named."""

import argparse
import json
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.utils.timestamp import Timestamp

from pipeline.checks import Inputs
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
from transforms.parsing import ParseMessages
from transforms.reembedding import KEY_COLUMNS, ROW_FORMATS, SENTENCE_COLUMNS, LeaveOutWritten, ParseRows
from transforms.schema import Column, bigquery_schema, json_row, sql_string
from transforms.splitting import SplitSentences
from transforms.types import DeadLetter, Message, Record, Sentence, SentenceEmbedding

# Dataflow's stateful batching counts in whole seconds.
_NATIVE_BATCH_SECONDS = 1


def build(pipeline: beam.Pipeline, options: argparse.Namespace, inputs: Inputs) -> None:
    """Wire the whole pipeline for checked `options`."""
    read = _sentences_of_rows if options.input_format in ROW_FORMATS else _sentences_of_messages
    sentences, refused = read(pipeline, options, inputs)
    if options.already_written:
        written = _read_written(pipeline, options)
        sentences = (sentences, written) | "Leave out written" >> LeaveOutWritten(options.model, options.preprocessor)
    rows = embed(sentences, options, inputs.native)
    write(rows.output, refused | {"embed": rows.dead_letters}, options, inputs.is_stream)


def _sentences_of_messages(
    pipeline: beam.Pipeline, options: argparse.Namespace, inputs: Inputs
) -> tuple["beam.PCollection[Sentence]", dict[str, Any]]:
    """Sentences of the messages in files or Pub/Sub, and dead letters by stage."""
    refused = {}
    if inputs.is_stream:
        messages = parse(_read_stream(pipeline, options, inputs), options)
    else:
        files = ReadFiles(inputs.patterns, options.input_format, options.csv_multiline, inputs.names)
        read = pipeline | "Read files" >> files.with_dead_letters()
        messages = parse(read.output, options)
        refused = {"read": read.dead_letters}
    sentences = split(messages.output, options)
    return sentences.output, refused | {"parse": messages.dead_letters, "split": sentences.dead_letters}


def _sentences_of_rows(
    pipeline: beam.Pipeline, options: argparse.Namespace, inputs: Inputs
) -> tuple["beam.PCollection[Sentence]", dict[str, Any]]:
    """Sentences of rows written earlier, and dead letters by stage."""
    refused = {}
    if options.input_format == "bigquery":
        records = pipeline | "Read table" >> ReadTable(options.input, SENTENCE_COLUMNS)
    else:
        files = ReadFiles(inputs.patterns, "parquet", names=inputs.names, columns=_names(SENTENCE_COLUMNS))
        read = pipeline | "Read files" >> files.with_dead_letters()
        records, refused = read.output, {"read": read.dead_letters}
    sentences = records | "Parse rows" >> ParseRows().with_dead_letters()
    return sentences.output, refused | {"rows": sentences.dead_letters}


def _read_written(pipeline: beam.Pipeline, options: argparse.Namespace) -> "beam.PCollection[Record]":
    """What tells rows written already from others: no vector is read."""
    if options.output_format == "bigquery":
        name = find_model(options.model, options.preprocessor).name
        source: Any = ReadTable(options.already_written, KEY_COLUMNS, f"model = {sql_string(name)}")
    else:
        source = ReadFiles([options.already_written], options.output_format, columns=_names(KEY_COLUMNS))
    return pipeline | "Read written" >> source


def _names(columns: Iterable[Column]) -> list[str]:
    return [column.name for column in columns]


def parse(records: "beam.PCollection[Record]", options: argparse.Namespace) -> WithDeadLetters[Message]:
    """From records to messages."""
    outputs: WithDeadLetters[Message] = (
        records
        | "Parse"
        >> ParseMessages(
            options.input_format,
            options.text_field,
            options.id_field,
            options.timestamp_field,
            options.id_attribute,
            options.timestamp_attribute,
            options.max_message_bytes,
        ).with_dead_letters()
    )
    return outputs


def split(messages: "beam.PCollection[Message]", options: argparse.Namespace) -> WithDeadLetters[Sentence]:
    """From messages to sentences."""
    transform = SplitSentences(options.language, **splitter_options(options))
    outputs: WithDeadLetters[Sentence] = messages | "Split" >> transform.with_dead_letters()
    return outputs


def embed(
    sentences: "beam.PCollection[Sentence]", options: argparse.Namespace, native_stream: bool
) -> WithDeadLetters[SentenceEmbedding]:
    """From sentences to rows."""
    outputs: WithDeadLetters[SentenceEmbedding] = (
        sentences
        | "Embed"
        >> EmbedSentences(
            options.model,
            batch_size=options.batch_size,
            cleanup=options.cleanup,
            model_poll_seconds=options.model_poll_seconds,
            max_batch_duration_secs=_NATIVE_BATCH_SECONDS if native_stream else None,
            large_model=options.large_model,
            **encoder_options(options),
        ).with_dead_letters()
    )
    if options.metadata_fields == "*" and options.store_content == "true":
        return outputs
    fields = None if options.metadata_fields == "*" else frozenset(map(str.strip, options.metadata_fields.split(",")))
    keep = beam.Map(_keep, fields, options.store_content == "true").with_output_types(SentenceEmbedding)
    return outputs._replace(output=outputs.output | "Keep columns" >> keep)


def _keep(row: SentenceEmbedding, fields: frozenset[str] | None, content: bool) -> SentenceEmbedding:
    """The row with `fields` of its metadata only (None for all), and with its sentence or without."""
    metadata = row.metadata if fields is None else {key: row.metadata[key] for key in row.metadata if key in fields}
    return row._replace(metadata=metadata, content=row.content if content else "")


def write(rows: Any, dead_letters: Mapping[str, Any], options: argparse.Namespace, is_stream: bool) -> None:
    """Rows to their sink, and the dead letters of each stage, the sink's own included, to theirs.

    A stream has a sink of dead letters for each stage: a Flatten would end the one stage that a local stream must be.
    """
    dead_letters = dict(dead_letters) | _write(rows, "rows", options.output, options, ROWS, is_stream)
    if not is_stream:
        gathered = tuple(dead_letters.values()) | "Gather dead letters" >> beam.Flatten()
        _write(gathered, "dead letters", options.dead_letters, options, DEAD_LETTERS, is_stream)
        return
    for stage, letters in dead_letters.items():
        _write(letters, f"dead letters of {stage}", options.dead_letters, options, DEAD_LETTERS, is_stream)


def splitter_options(options: argparse.Namespace) -> dict[str, Any]:
    """SplitSentences' arguments beside the language."""
    return {
        "language_field": options.language_field,
        "newlines": options.newlines,
        "use_abbreviations": options.use_abbreviations == "true",
        "detect_lists": options.detect_lists == "true",
        "abbreviations": tuple(filter(None, map(str.strip, options.abbreviations.split(",")))),
        "custom_bounds": (options.custom_bounds,) if options.custom_bounds else (),
        "use_custom_bounds_only": options.use_custom_bounds_only,
        "custom_bounds_strategy": options.custom_bounds_strategy,
        "split_length": options.split_length or None,
        "min_length": options.min_length,
        "max_length": options.max_length or None,
    }


def encoder_options(options: argparse.Namespace) -> dict[str, Any]:
    """TextEncoder's arguments beside the model."""
    return {
        "preprocessor": options.preprocessor,
        "pooling": options.pooling,
        "normalize": {"": None, "true": True, "false": False}[options.normalize],
        "max_seq_length": options.max_seq_length,
        "token_budget": options.token_budget,
        "engine": options.engine,
        "precision": options.precision,
    }


def _read_stream(pipeline: beam.Pipeline, options: argparse.Namespace, inputs: Inputs) -> Any:
    if inputs.native:
        messages = pipeline | "Read messages" >> beam.io.ReadFromPubSub(
            subscription=options.input_subscription or None,
            topic=options.input_topic or None,
            with_attributes=True,
        )
        return messages | "Make records" >> beam.Map(_record).with_output_types(Record)
    return pipeline | "Read messages" >> ReadFromSubscription(
        inputs.subscription, max_messages=options.batch_size, max_wait_seconds=options.max_wait_ms / 1000
    )


def _record(message: Any) -> Record:
    published = Timestamp.from_utc_datetime(message.publish_time).micros
    return Record(message.data, "", message.message_id, message.attributes or {}, published)


def _write(
    pcoll: Any, what: str, target: str, options: argparse.Namespace, kind: Kind, is_stream: bool
) -> dict[str, Any]:
    """Write elements of `kind`; gives the dead letters of what the sink refused, by stage."""
    name = f"Write {what}"
    if options.output_format == "pubsub":
        rows = pcoll | f"Make {what} JSON" >> beam.Map(_json_bytes, kind).with_output_types(bytes)
        sent = rows | name >> WriteToTopic(target, retry_for_seconds=options.retry_seconds).with_dead_letters()
        return {"publish": sent.dead_letters} if kind is ROWS else {}
    if options.output_format != "bigquery":
        write = WriteBundleFiles if is_stream else WriteFiles
        pcoll | name >> write(target, options.output_format, kind)
        return {}
    if options.bigquery_write_method not in METHODS:
        _write_by_beam(pcoll, what, target, options.bigquery_write_method, kind)
        return {}
    if kind.element is DeadLetter:
        pcoll | name >> WriteDeadLettersToBigQuery(target, options.bigquery_write_method, options.retry_seconds)
        return {}
    written = (
        pcoll
        | name >> WriteRowsToBigQuery(target, options.bigquery_write_method, options.retry_seconds).with_dead_letters()
    )
    return {"write": written.dead_letters}


def _write_by_beam(pcoll: Any, what: str, target: str, method: str, kind: Kind) -> None:
    """Write with Beam's own sink, which makes no table: the program has made it before."""
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
