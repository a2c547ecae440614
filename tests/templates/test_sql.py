"""The SQL that is shipped: it says what the code says, and BigQuery's grammar takes it."""

import re
from collections.abc import Sequence

import pytest
import sqlglot
from sqlglot import expressions

from pipeline.search.bigquery import search_sql
from tests.conftest import ROOT
from transforms.io.bigquery.tables import newest_rows_view
from transforms.schema import (
    DEAD_LETTER_COLUMNS,
    DEAD_LETTER_LAYOUT,
    EMBEDDING_COLUMNS,
    EMBEDDING_LAYOUT,
    JOURNAL_COLUMNS,
    JOURNAL_LAYOUT,
    Column,
    ddl,
)

DIRECTORY = ROOT / "templates" / "sql"
_HEADER = """\
-- {what}
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' {file} | bq query --nouse_legacy_sql
"""
_TABLE = "PROJECT.DATASET.embeddings"
EXPECTED = {
    "embeddings.sql": (
        "The table of rows: one for each sentence and model, and now and then a double.",
        ddl(_TABLE, EMBEDDING_COLUMNS, EMBEDDING_LAYOUT),
    ),
    "error_records.sql": (
        "The table of dead letters: inputs that a stage could not use, whole.",
        ddl(f"{_TABLE}_error_records", DEAD_LETTER_COLUMNS, DEAD_LETTER_LAYOUT),
    ),
    "journal.sql": (
        "The table of the journal: one for each message, version and model that was carried to its end.",
        ddl(f"{_TABLE}_journal", JOURNAL_COLUMNS, JOURNAL_LAYOUT),
    ),
    "newest_embeddings.sql": (
        "The view to read: the row of each id and model with the newest event_time, without doubles.\n"
        "-- Of two model_versions at one time the greater wins, a digest that says nothing of age: to read one of\n"
        "-- them, write model_version = 'DIGEST' for TRUE.",
        newest_rows_view("PROJECT.DATASET.newest_embeddings", _TABLE),
    ),
}
# Written by hand: what each is.
BY_HAND = {
    "vector_search.sql": expressions.Select,
    "error_records_by_reason.sql": expressions.Select,
    "error_records_payloads.sql": expressions.Select,
}


def expected(file: str) -> str:
    """What a file under templates/sql holds."""
    what, statement = EXPECTED[file]
    return _HEADER.format(what=what, file=file) + statement


@pytest.mark.parametrize("file", EXPECTED)
def test_a_file_says_what_the_code_says(file: str) -> None:
    """After a change of the columns: python -m tests.templates.test_sql."""
    assert (DIRECTORY / file).read_text() == expected(file)


def test_every_file_is_tested() -> None:
    """None is forgotten."""
    assert sorted(path.name for path in DIRECTORY.iterdir()) == sorted([*EXPECTED, *BY_HAND, "vector_index.sql"])


@pytest.mark.parametrize("file", EXPECTED)
def test_a_file_is_one_statement_of_bigquery_sql(file: str) -> None:
    """As sqlglot reads BigQuery's dialect."""
    statements = [parsed for parsed in sqlglot.parse((DIRECTORY / file).read_text(), dialect="bigquery") if parsed]
    assert [type(statement) for statement in statements] == [expressions.Create]


def statement(file: str) -> expressions.Expression:
    """The one statement of a file; what sqlglot cannot read stops the test."""
    (parsed,) = filter(None, sqlglot.parse((DIRECTORY / file).read_text(), dialect="bigquery"))
    return parsed


def vector_index() -> tuple[str, list[str]]:
    """The column of the vector index and those that it stores; sqlglot does not know CREATE VECTOR INDEX."""
    index = re.fullmatch(
        r"(?:--.*\n)+CREATE VECTOR INDEX IF NOT EXISTS \w+\nON `PROJECT.DATASET.embeddings` \((\w+)\)\n"
        r"STORING \(([\w, ]+)\)\nOPTIONS \(index_type = 'IVF', distance_type = 'COSINE'\);\n",
        (DIRECTORY / "vector_index.sql").read_text(),
    )
    assert index
    return index[1], index[2].split(", ")


def test_the_vector_index_is_of_columns_that_there_are() -> None:
    """An array of FLOAT64; what is stored may be of any type but RANGE."""
    indexed, stored = vector_index()
    columns = {column.name: column for column in EMBEDDING_COLUMNS}
    assert (columns[indexed].type, columns[indexed].mode) == ("FLOAT64", "REPEATED")
    assert indexed not in stored
    assert set(stored) < set(columns)


@pytest.mark.parametrize(
    "sql", [(DIRECTORY / "vector_search.sql").read_text(), search_sql("p.d.t", 2, 5)], ids=["shipped", "sent"]
)
def test_a_vector_search_is_one_that_the_index_serves(sql: str) -> None:
    """BigQuery filters first only by stored columns and without a subquery, and joins the table for any other column.

    https://cloud.google.com/bigquery/docs/vector-index#stored-columns
    """
    indexed, stored = vector_index()
    parsed = sqlglot.parse_one(sql, dialect="bigquery")
    (search,) = parsed.find_all(expressions.VectorSearch)
    base = search.this.this
    assert {name.strip("_") for name, part in base.args.items() if part} == {"expressions", "from", "where"}
    assert not list(base.find_all(expressions.Subquery, expressions.Exists))
    assert {column.name for column in base.args["where"].find_all(expressions.Column)} <= set(stored)
    assert set(base.named_selects) <= {*stored, indexed}
    assert search.args["column_to_search"].name == indexed
    assert search.args["query_table"].this.named_selects == [indexed]
    assert search.args["distance_type"].expression.name == "COSINE"


@pytest.mark.parametrize("file", BY_HAND)
def test_a_query_is_one_statement_of_bigquery_sql(file: str) -> None:
    """As sqlglot reads BigQuery's dialect."""
    assert isinstance(statement(file), BY_HAND[file])


@pytest.mark.parametrize("file", BY_HAND)
def test_a_query_names_columns_that_there_are(file: str) -> None:
    """Of the table that it reads, or made by itself."""
    parsed = statement(file)
    tables = {table.name for table in parsed.find_all(expressions.Table) if table.db == "DATASET"}
    assert tables <= {"embeddings", "embeddings_error_records"}
    columns = DEAD_LETTER_COLUMNS if "embeddings_error_records" in tables else EMBEDDING_COLUMNS
    known = {column.name for column in columns}
    known |= {alias.alias for alias in parsed.find_all(expressions.Alias)} | {
        "distance",
        "top_k",
        "distance_type",
        "base",
    }
    assert {column.name for column in parsed.find_all(expressions.Column)} <= known


@pytest.mark.parametrize(
    ("file", "columns"),
    [
        ("embeddings.sql", EMBEDDING_COLUMNS),
        ("journal.sql", JOURNAL_COLUMNS),
        ("error_records.sql", DEAD_LETTER_COLUMNS),
    ],
)
def test_a_table_has_our_columns(file: str, columns: Sequence[Column]) -> None:
    """Names, types and modes, as a parser that is not ours reads them."""
    parsed = sqlglot.parse_one((DIRECTORY / file).read_text(), dialect="bigquery")
    assert _columns(parsed.this.expressions) == [tuple(column)[:3] for column in columns]


def _columns(definitions: list[expressions.ColumnDef]) -> list[tuple[str, str, str]]:
    found = []
    for column in definitions:
        kind = column.args["kind"]
        repeated = kind.is_type("array")
        inner = kind.expressions[0] if repeated else kind
        name = "RECORD" if inner.is_type("struct") else inner.sql("bigquery")
        required = any(isinstance(item.kind, expressions.NotNullColumnConstraint) for item in column.constraints)
        found.append((column.name, name, "REPEATED" if repeated else "REQUIRED" if required else "NULLABLE"))
    return found


if __name__ == "__main__":
    for name in EXPECTED:
        (DIRECTORY / name).write_text(expected(name))
