"""One table of columns, four schemas: they agree, and so do the rows that are made for them."""

import datetime
import decimal
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.test_columns import TEXTS, VALUES, carried
from transforms import schema
from transforms.columns import TYPES, own_columns
from transforms.kinds import rows_with
from transforms.schema import DEAD_LETTER_COLUMNS, EMBEDDING_COLUMNS, Column
from transforms.types import DeadLetter, SentenceEmbedding

COLUMNS = pytest.mark.parametrize(
    ("columns", "element"), [(EMBEDDING_COLUMNS, SentenceEmbedding), (DEAD_LETTER_COLUMNS, DeadLetter)]
)
# One name for one type, in each of the schemas' own words.
ARROW = {
    "string": "STRING",
    "binary": "BYTES",
    "int64": "INT64",
    "float": "FLOAT64",
    "double": "FLOAT64",
    "bool": "BOOL",
    "timestamp[us, tz=UTC]": "TIMESTAMP",
    "decimal128(38, 9)": "NUMERIC",
    "date32[day]": "DATE",
}
AVRO = {
    "string": "STRING",
    "bytes": "BYTES",
    "long": "INT64",
    "float": "FLOAT64",
    "boolean": "BOOL",
    "timestamp-micros": "TIMESTAMP",
    "double": "FLOAT64",
    "decimal": "NUMERIC",
    "date": "DATE",
}
Shape = list[tuple[str, str, str, Any]]


def of_columns(columns: Sequence[Column]) -> Shape:
    """Name, type, mode and inner columns of each."""
    return [(column.name, column.type, column.mode, of_columns(column.fields)) for column in columns]


def of_bigquery(fields: Sequence[dict[str, Any]]) -> Shape:
    """The same of a BigQuery schema."""
    return [(field["name"], field["type"], field["mode"], of_bigquery(field.get("fields", ()))) for field in fields]


def of_arrow(fields: Sequence[pa.Field]) -> Shape:
    """The same of an Arrow schema."""
    shape = []
    for field in fields:
        repeated = pa.types.is_list(field.type)
        kind = field.type.value_type if repeated else field.type
        inner = of_arrow([kind.field(number) for number in range(kind.num_fields)])
        mode = "REPEATED" if repeated else "NULLABLE" if field.nullable else "REQUIRED"
        shape.append((field.name, "RECORD" if inner else ARROW[str(kind)], mode, inner))
    return shape


def of_avro(fields: Sequence[dict[str, Any]]) -> Shape:
    """The same of an Avro schema."""
    shape = []
    for field in fields:
        kind, mode = field["type"], "REQUIRED"
        if isinstance(kind, list):
            kind, mode = kind[1], "NULLABLE"
        elif isinstance(kind, dict) and kind["type"] == "array":
            kind, mode = kind["items"], "REPEATED"
        record = isinstance(kind, dict) and kind["type"] == "record"
        name = "RECORD" if record else AVRO[kind["logicalType"] if isinstance(kind, dict) else kind]
        shape.append((field["name"], name, mode, of_avro(kind["fields"]) if record else []))
    return shape


@COLUMNS
def test_all_schemas_agree(columns: Sequence[Column], element: type) -> None:
    """Names, order, types and modes; the DDL's are read by another's parser in test_sql."""
    shape = of_columns(columns)
    assert of_bigquery(schema.bigquery_schema(columns)["fields"]) == shape
    assert of_arrow(schema.arrow_schema(columns)) == shape
    assert of_arrow(schema.arrow_schema(columns, pa.float64())) == shape
    assert of_avro(schema.avro_schema(columns, "row")["fields"]) == shape
    fastavro.parse_schema(schema.avro_schema(columns, "row"))


@COLUMNS
def test_the_columns_are_the_elements_fields(columns: Sequence[Column], element: Any) -> None:
    """Nothing that a stage made is left out."""
    assert sorted(column.name for column in columns) == sorted(element._fields)


def test_a_vector_is_float64_in_bigquery_alone() -> None:
    """BigQuery has no float32; files do not pay for its lack."""
    assert schema.arrow_schema(EMBEDDING_COLUMNS).field("embedding").type.value_type == pa.float32()
    assert schema.arrow_schema(EMBEDDING_COLUMNS, pa.float64()).field("embedding").type.value_type == pa.float64()


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ROWS = st.builds(
    SentenceEmbedding,
    id=TEXT,
    message_id=TEXT,
    sentence_index=st.integers(0, 2**31),
    begin=st.integers(0, 2**31),
    end=st.integers(0, 2**31),
    content=TEXT,
    metadata=st.dictionaries(TEXT, TEXT, max_size=3),
    event_time=st.none() | st.integers(0, 4_000_000_000_000_000),
    embedding=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=4).map(
        lambda floats: np.array(floats, "<f4").tobytes()
    ),
    model=TEXT,
    model_version=TEXT,
    precision=TEXT,
    tokens=st.integers(0, 2**31),
    truncated=st.booleans(),
)


OWN = tuple(column for column, _ in own_columns([f"my_{kind.lower()}:{kind}" for kind in TYPES]))
OWN_FIELDS = st.fixed_dictionaries(
    {}, optional={f"my_{kind.lower()}": VALUES[kind].map(TEXTS.get(kind, str)) for kind in TYPES}
)
# How the types that JSON lacks are read from it.
FROM_JSON: dict[str, Callable[[str], Any]] = {
    "TIMESTAMP": datetime.datetime.fromisoformat,
    "DATE": datetime.date.fromisoformat,
    "NUMERIC": decimal.Decimal,
}


@given(st.lists(st.tuples(ROWS, OWN_FIELDS), max_size=4), st.sampled_from([(), OWN]))
def test_a_row_is_the_same_in_every_format(
    given_rows: list[tuple[SentenceEmbedding, dict[str, str]]], own: tuple[Column, ...]
) -> None:
    """Arrow for files and for BigQuery, Parquet, Avro, JSON: each read back by its own library; own columns too."""
    specifications = [f"{column.name}:{column.type}" for column in own]
    rows = [row._replace(metadata={**row.metadata, **carried(specifications, fields)}) for row, fields in given_rows]
    columns = (*EMBEDDING_COLUMNS, *own)
    expected = [rows_with(own).to_dict(row) for row in rows]
    assert [len(row["metadata"]) for row in expected] == [len(row.metadata) for row, _ in given_rows]
    for vector in (pa.float32(), pa.float64()):
        table = rows_with(own).to_arrow(rows, vector)
        assert table.schema == schema.arrow_schema(columns, vector)
        table.validate(full=True)
        assert table.to_pylist() == expected
    file = io.BytesIO()
    pq.write_table(rows_with(own).to_arrow(rows), file)
    assert pq.read_table(file).to_pylist() == expected
    file = io.BytesIO()
    fastavro.writer(file, schema.avro_schema(columns, "row"), expected)
    file.seek(0)
    assert list(fastavro.reader(file)) == expected
    read = json.loads(json.dumps([schema.json_row(row) for row in expected]))
    for row in read:
        for column in columns:
            if column.type in FROM_JSON and row[column.name] is not None:
                row[column.name] = FROM_JSON[column.type](row[column.name])
    assert read == expected


def test_all_schemas_agree_on_own_columns() -> None:
    """A FLOAT64 has its 64 bits everywhere; only a vector has fewer."""
    assert of_bigquery(schema.bigquery_schema(OWN)["fields"]) == of_columns(OWN)
    assert of_arrow(schema.arrow_schema(OWN)) == of_columns(OWN)
    assert of_avro(schema.avro_schema(OWN, "row")["fields"]) == of_columns(OWN)
    assert schema.arrow_schema(OWN).field("my_float64").type == pa.float64()
    assert schema.avro_schema(OWN, "row")["fields"][2]["type"] == ["null", "double"]
