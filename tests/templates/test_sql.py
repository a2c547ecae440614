"""The SQL that is shipped: it says what the code says, and BigQuery's grammar takes it."""

import datetime
import re
from collections.abc import Sequence

import pytest
import sqlglot
from sqlglot import expressions

from pipeline.search.bigquery import search_sql
from pipeline.search.places import Filters
from tests.conftest import ROOT
from transforms.schema import DEAD_LETTER_COLUMNS, EMBEDDING_COLUMNS, JOURNAL_COLUMNS, NEWEST_FIRST, Column

FILTERS = Filters({"a": "b", "c": "d"}, datetime.datetime.min, datetime.datetime.max)
DIRECTORY = ROOT / "templates" / "sql"
# The statements of each file but that of the index.
STATEMENTS = {
    "embeddings.sql": [expressions.Create],
    "error_records.sql": [expressions.Create],
    "journal.sql": [expressions.Create],
    "newest_embeddings.sql": [expressions.Create],
    "current_embeddings.sql": [expressions.Create],
    "vector_search.sql": [expressions.Select],
    "index_recall.sql": [expressions.Select],
    "error_records_by_reason.sql": [expressions.Select],
    "error_records_payloads.sql": [expressions.Select],
    "error_records_pubsub.sql": [expressions.Create],
    "status.sql": [expressions.Select],
    "delete_retired.sql": [expressions.Delete, expressions.Delete],
    # sqlglot takes ASSERT as a command, whose text it does not read.
    "switch_model.sql": [expressions.Select, expressions.Create],
}
_COLUMNS = {
    "embeddings": EMBEDDING_COLUMNS,
    "embeddings_journal": JOURNAL_COLUMNS,
    "embeddings_error_records": DEAD_LETTER_COLUMNS,
}
_VIEWS = {"newest_embeddings", "current_embeddings", "embeddings_error_records_pubsub"}

_RESERVED = """
ALL AND ANY ARRAY AS ASC ASSERT_ROWS_MODIFIED AT BETWEEN BY CASE CAST COLLATE CONTAINS CREATE CROSS CUBE CURRENT
DEFAULT DEFINE DESC DISTINCT ELSE END ENUM ESCAPE EXCEPT EXCLUDE EXISTS EXTRACT FALSE FETCH FOLLOWING FOR FROM
FULL GROUP GROUPING GROUPS HASH HAVING IF IGNORE IN INNER INTERSECT INTERVAL INTO IS JOIN LATERAL LEFT LIKE
LIMIT LOOKUP MERGE NATURAL NEW NO NOT NULL NULLS OF ON OR ORDER OUTER OVER PARTITION PRECEDING PROTO QUALIFY
RANGE RECURSIVE RESPECT RIGHT ROLLUP ROWS SELECT SET SOME STRUCT TABLESAMPLE THEN TO TREAT TRUE UNBOUNDED UNION
UNNEST USING WHEN WHERE WINDOW WITH WITHIN
"""


def test_every_file_is_tested() -> None:
    """None is forgotten."""
    assert sorted(path.name for path in DIRECTORY.iterdir()) == sorted([*STATEMENTS, "vector_index.sql"])


def test_which_entry_is_the_newest_is_said_alike() -> None:
    """In every statement that asks the journal."""
    orders = [
        order
        for path in DIRECTORY.iterdir()
        for order in re.findall(r"ORDER BY (version\b.*)", path.read_text(encoding="utf-8"))
    ]
    assert len(orders) >= 8
    assert set(orders) == {NEWEST_FIRST}


def statements(file: str) -> list[expressions.Expression]:
    """The statements of a file; what sqlglot cannot read stops the test."""
    text = asserted((DIRECTORY / file).read_text())
    return [parsed for parsed in sqlglot.parse(text, dialect="bigquery") if parsed]


def asserted(sql: str) -> str:
    """`sql` with each ASSERT, which neither sqlglot nor the emulator knows, as a SELECT that fails where it does."""
    return re.sub(r"ASSERT (.*?)\n\) AS ('.*');", r"SELECT IF(\1\n), 'done', ERROR(\2));", sql, flags=re.DOTALL)


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
    "sql",
    [(DIRECTORY / "vector_search.sql").read_text(), search_sql("p.d.t", FILTERS, 5, 50, "p.d.t_journal")],
    ids=["shipped", "sent"],
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


@pytest.mark.parametrize("file", STATEMENTS)
def test_a_file_is_statements_of_bigquery_sql(file: str) -> None:
    """As sqlglot reads BigQuery's dialect."""
    assert [type(statement) for statement in statements(file)] == STATEMENTS[file]


@pytest.mark.parametrize(
    "file", [file for file in STATEMENTS if file not in ("embeddings.sql", "error_records.sql", "journal.sql")]
)
def test_a_query_names_columns_that_there_are(file: str) -> None:
    """Of the tables that it reads, or made by itself."""
    for parsed in statements(file):
        tables = {table.name for table in parsed.find_all(expressions.Table) if table.db == "DATASET"}
        known = {column.name for name in tables - _VIEWS for column in _COLUMNS[name]}
        known |= {alias.alias for alias in parsed.find_all(expressions.Alias)}
        known |= {"distance", "top_k", "distance_type", "base", "*"}
        assert {column.name for column in parsed.find_all(expressions.Column)} <= known


@pytest.mark.parametrize("file", STATEMENTS)
def test_no_name_is_a_word_that_bigquery_reserves(file: str) -> None:
    """Unless it is quoted; sqlglot takes more.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#reserved_keywords
    """
    names = [
        name.this
        for parsed in sqlglot.parse(asserted((DIRECTORY / file).read_text()), dialect="bigquery")
        for name in (parsed.find_all(expressions.Identifier) if parsed else ())
        if not name.quoted
    ]
    assert not {name.upper() for name in names} & set(_RESERVED.split())


def test_the_switch_makes_the_view_of_one_version() -> None:
    """That of current_embeddings.sql, with a condition."""
    view = (DIRECTORY / "current_embeddings.sql").read_text().split(" bq query --nouse_legacy_sql\n")[1]
    of_one = view.replace("WHERE TRUE\n", "WHERE model_version = 'NEW_VERSION'\n")
    assert (DIRECTORY / "switch_model.sql").read_text().endswith(";\n\n" + of_one)


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
