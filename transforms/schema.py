"""The columns of rows, dead letters and the journal.

The Arrow, Parquet, Avro, BigQuery and JSON schemas are derived from them.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    # It imports Beam, which takes seconds.
    from transforms.types import SentenceEmbedding


class Column(NamedTuple):
    """A column, in BigQuery's terms.

    Attributes:
        name: the name of the column.
        type: STRING, BYTES, INT64, FLOAT64, NUMERIC, BOOL, TIMESTAMP, DATE or RECORD.
        mode: REQUIRED, NULLABLE or REPEATED.
        description: what the column holds, for the schemas and the documentation.
        fields: the columns of a RECORD.
    """

    name: str
    type: str
    mode: str
    description: str
    fields: tuple[Column, ...] = ()


_PAIR = (
    Column("key", "STRING", "REQUIRED", "name of the field"),
    Column("value", "STRING", "NULLABLE", "a string as it came, anything else as JSON"),
)

EMBEDDING_COLUMNS = (
    Column("id", "STRING", "REQUIRED", "hash of message_id, sentence_index and content; with model, the row's key"),
    Column("message_id", "STRING", "REQUIRED", "the message's own id, or a hash of its content and origin"),
    Column("sentence_index", "INT64", "REQUIRED", "number of the sentence in its message, from 0"),
    Column("begin", "INT64", "REQUIRED", "code-point offset of its first character in the message's text"),
    Column("end", "INT64", "REQUIRED", "code-point offset past its last character"),
    Column("content", "STRING", "REQUIRED", "the sentence: text[begin:end]"),
    Column("embedding", "FLOAT64", "REPEATED", "its vector (float32 in Parquet and Avro)"),
    Column("model", "STRING", "REQUIRED", "name or handle of the model that made the vector"),
    Column("model_version", "STRING", "REQUIRED", "digest of that model's files"),
    Column("precision", "STRING", "REQUIRED", "precision that the encoder ran in"),
    Column("tokens", "INT64", "REQUIRED", "word pieces that the encoder read; 0 for a text-in encoder"),
    Column("truncated", "BOOL", "REQUIRED", "whether the sentence has more word pieces than the encoder read"),
    Column("event_time", "TIMESTAMP", "NULLABLE", "the message's time, if it has one"),
    Column("metadata", "RECORD", "REPEATED", "the message's other fields and attributes", _PAIR),
    Column("revision", "STRING", "NULLABLE", "the version of the message that it is of, as in the journal"),
)

JOURNAL_COLUMNS = (
    Column("message_id", "STRING", "REQUIRED", "the message's id, as in its rows"),
    Column("version", "INT64", "REQUIRED", "which of its versions is newer; by default its time in microseconds"),
    Column("revision", "STRING", "REQUIRED", "the version, and a digest of what its rows hold"),
    Column("event_time", "TIMESTAMP", "NULLABLE", "the message's time, if it has one"),
    Column("model", "STRING", "REQUIRED", "name or handle of the model that made its vectors"),
    Column("model_version", "STRING", "REQUIRED", "digest of that model's files, as in its rows"),
    Column("sentences", "INT64", "REQUIRED", "how many sentences the version has"),
    Column("rows", "INT64", "REQUIRED", "how many of them have a row"),
    Column("dead_letters", "INT64", "REQUIRED", "how many of them became dead letters"),
    Column("deleted", "BOOL", "REQUIRED", "whether the version says that the message is gone"),
    Column("written_at", "TIMESTAMP", "REQUIRED", "when this was written, after the rows"),
)

DEAD_LETTER_COLUMNS = (
    Column("id", "STRING", "REQUIRED", "hash of the input and the stage; the same for all parts"),
    Column("stage", "STRING", "REQUIRED", "the stage that refused the input"),
    Column("timestamp", "TIMESTAMP", "REQUIRED", "when it did"),
    Column("error_message", "STRING", "REQUIRED", "why"),
    Column("stacktrace", "STRING", "REQUIRED", "where, if an exception said so"),
    Column("payload_string", "STRING", "NULLABLE", "the input, if it is UTF-8"),
    Column("payload_bytes", "BYTES", "NULLABLE", "the input, if it is not"),
    Column("attributes", "RECORD", "REPEATED", "what came beside the input", _PAIR),
    Column("part", "INT64", "REQUIRED", "number of this part of the payload, from 0"),
    Column("parts", "INT64", "REQUIRED", "how many parts the payload has"),
)

# What a value of an own column has in front of the column's name while it travels in the metadata.
CARRIED = "columns."

ARROW_TYPES: dict[str, pa.DataType] = {
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "NUMERIC": pa.decimal128(38, 9),
    "BOOL": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "DATE": pa.date32(),
}
AVRO_TYPES: dict[str, Any] = {
    "STRING": "string",
    "BYTES": "bytes",
    "INT64": "long",
    "FLOAT64": "double",
    "NUMERIC": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9},
    "BOOL": "boolean",
    "TIMESTAMP": {"type": "long", "logicalType": "timestamp-micros"},
    "DATE": {"type": "int", "logicalType": "date"},
}
# How the text of a value that travels in the metadata is read.
_OWN_VALUES: dict[str, Callable[[str], Any]] = {
    "STRING": str,
    "INT64": int,
    "FLOAT64": float,
    "NUMERIC": decimal.Decimal,
    "BOOL": "true".__eq__,
    "TIMESTAMP": datetime.datetime.fromisoformat,
    "DATE": datetime.date.fromisoformat,
}


@functools.cache
def arrow_schema(columns: tuple[Column, ...], vector: pa.DataType = pa.float32()) -> pa.Schema:  # noqa: B008
    """The Arrow schema of `columns`, with vectors as lists of `vector`: float32 in files, float64 in BigQuery."""
    return pa.schema([_arrow_field(column, vector) for column in columns])


def _arrow_field(column: Column, vector: pa.DataType) -> pa.Field:
    kind: pa.DataType
    if column.fields:
        kind = pa.struct([_arrow_field(field, vector) for field in column.fields])
    else:
        kind = vector if is_vector(column) else ARROW_TYPES[column.type]
    if column.mode == "REPEATED":
        kind = pa.list_(pa.field("item", kind, nullable=False))
    return pa.field(column.name, kind, nullable=column.mode == "NULLABLE")


def is_vector(column: Column) -> bool:
    """Whether the column holds vectors."""
    return (column.type, column.mode) == ("FLOAT64", "REPEATED")


def avro_schema(columns: Sequence[Column], name: str) -> dict[str, Any]:
    """The Avro schema of `columns`, as a record called `name`."""
    return {"type": "record", "name": name, "fields": [_avro_field(column, name) for column in columns]}


def _avro_field(column: Column, parent: str) -> dict[str, Any]:
    kind: Any = "float" if is_vector(column) else AVRO_TYPES.get(column.type)
    if column.fields:
        kind = avro_schema(column.fields, f"{parent}_{column.name}")
    if column.mode == "REPEATED":
        kind = {"type": "array", "items": kind}
    elif column.mode == "NULLABLE":
        kind = ["null", kind]
    return {"name": column.name, "type": kind, "doc": column.description}


def bigquery_schema(columns: Sequence[Column]) -> dict[str, Any]:
    """The BigQuery schema of `columns`, in the form of the REST API."""
    return {"fields": [_bigquery_field(column) for column in columns]}


def _bigquery_field(column: Column) -> dict[str, Any]:
    field: dict[str, Any] = {
        "name": column.name,
        "type": column.type,
        "mode": column.mode,
        "description": column.description,
    }
    if column.fields:
        field["fields"] = [_bigquery_field(inner) for inner in column.fields]
    return field


class Partitioning(NamedTuple):
    """The layout of a table: partitioned by day on the column `partition`, and clustered by the columns `cluster`."""

    partition: str
    cluster: tuple[str, ...]


EMBEDDING_LAYOUT = Partitioning("event_time", ("model", "message_id"))
DEAD_LETTER_LAYOUT = Partitioning("timestamp", ("stage",))
JOURNAL_LAYOUT = Partitioning("written_at", ("model", "message_id"))
# The order of a message's entries in SQL, as `versions.age` has it: the first one is of the newest version.
NEWEST_FIRST = "version DESC, written_at DESC, revision DESC"


def sql_string(text: str) -> str:
    """`text` as a string literal in BigQuery SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def vector_of(row: SentenceEmbedding) -> np.ndarray[Any, Any]:
    """The row's vector, float32 [dimension], read-only."""
    return np.frombuffer(row.embedding, "<f4")


def own_value(row: SentenceEmbedding, column: Column) -> Any:
    """The row's value of an own column, in Python's type; None for null."""
    text = row.metadata.get(CARRIED + column.name)
    return None if text is None else _OWN_VALUES[column.type](text)


def datetime_of(micros: int | None) -> datetime.datetime | None:
    """Microseconds since the Unix epoch as a datetime, in UTC."""
    if micros is None:
        return None
    return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=micros)


def rfc3339(micros: int | None) -> str | None:
    """Microseconds since the Unix epoch as RFC 3339, in UTC."""
    time = datetime_of(micros)
    return None if time is None else _rfc3339(time)


def _rfc3339(time: datetime.datetime) -> str:
    return time.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def json_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What `Kind.to_dict` gives, in JSON types.

    Times are RFC 3339, dates ISO 8601, decimals text, and bytes base64.
    """
    return {name: _json_value(value) for name, value in row.items()}


_JSON_VALUES: dict[type, Callable[[Any], Any]] = {
    datetime.datetime: _rfc3339,
    datetime.date: datetime.date.isoformat,
    decimal.Decimal: "{:f}".format,
    bytes: lambda data: base64.b64encode(data).decode(),
}


def _json_value(value: Any) -> Any:
    convert = _JSON_VALUES.get(type(value))
    return convert(value) if convert else value


def columns_table(columns: Sequence[Column]) -> str:
    """`columns` as a Markdown table, for the documentation."""
    lines = ["| column | type | what it holds |", "| --- | --- | --- |"]
    for column in columns:
        kind = column.type if not column.fields else f"RECORD ({', '.join(field.name for field in column.fields)})"
        kind += {"REPEATED": ", repeated", "NULLABLE": ", may be null"}.get(column.mode, "")
        lines.append(f"| `{column.name}` | {kind} | {column.description} |")
    return "\n".join(lines) + "\n"
