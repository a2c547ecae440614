"""Own columns: what may be asked for, and what the fields of messages become in each type."""

import datetime
import decimal
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.columns import TYPES, OwnColumns, own_columns
from transforms.schema import CARRIED, EMBEDDING_COLUMNS, own_value
from transforms.types import SentenceEmbedding

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**28), max_value=10**28)
TIMES = st.datetimes(timezones=st.just(datetime.UTC))
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
# The values of each type.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "STRING": TEXT,
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "FLOAT64": st.floats(allow_nan=False, allow_infinity=False),
    "NUMERIC": DECIMALS,
    "BOOL": st.booleans(),
    "TIMESTAMP": TIMES,
    "DATE": st.dates(),
}
# How a field may say each of them.
TEXTS: dict[str, Any] = {
    "INT64": str,
    "FLOAT64": repr,
    "NUMERIC": str,
    "BOOL": str,
    "TIMESTAMP": datetime.datetime.isoformat,
    "DATE": datetime.date.isoformat,
}


def row_with(metadata: dict[str, str]) -> SentenceEmbedding:
    """A row with the metadata."""
    return SentenceEmbedding("i", "m", 0, 0, 1, "x", metadata, None, "", b"", "m", "v", "float32", 1, False)


def carried(specifications: list[str], metadata: dict[str, str]) -> dict[str, str]:
    """What travels of a message's own columns."""
    own = OwnColumns(specifications)
    own.found.start_bundle()
    return own.of(metadata)


def value(kind: str, text: str) -> Any:
    """What a row has in a column of the type `kind` that is filled from a field with that text."""
    found = carried([f"column:{kind}=field"], {"field": text})
    return own_value(row_with(found), own_columns([f"column:{kind}"])[0].column)


def test_each_type_is_tested() -> None:
    """None is forgotten."""
    assert list(VALUES) == list(TYPES)


@given(st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind])))
def test_a_value_comes_back_as_it_is(case: tuple[str, Any]) -> None:
    """In the type of the column, from its text with blanks around it."""
    kind, given_value = case
    text = given_value if kind == "STRING" else f" {TEXTS[kind](given_value)} "
    found = value(kind, text)
    assert found == given_value
    assert type(found) is type(given_value)


@given(st.sampled_from(sorted(TYPES)), TEXT)
def test_any_text_is_taken_or_refused_in_one_line(kind: str, text: str) -> None:
    """What is taken is a value that the column holds; nothing else leaves the stage but a ValueError."""
    reason = None
    try:
        found = value(kind, text)
    except ValueError as error:
        reason, found = str(error), None
    assert reason is None or f"expected {kind} in the field 'field', for the column 'column', got" in reason
    assert not isinstance(found, float) or math.isfinite(found)
    assert not isinstance(found, decimal.Decimal) or abs(found) < 10**29


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("INT64", "1.5"),
        ("INT64", "1_000"),
        ("INT64", "9223372036854775808"),
        ("INT64", "٣"),
        ("INT64", "9" * 5000),
        ("FLOAT64", "NaN"),
        ("FLOAT64", "Infinity"),
        ("FLOAT64", "1e400"),
        ("FLOAT64", "1,5"),
        ("NUMERIC", "0.1234567891"),
        ("NUMERIC", "1e29"),
        ("NUMERIC", "1e999999999"),
        ("NUMERIC", "NaN"),
        ("BOOL", "1"),
        ("BOOL", "yes"),
        ("TIMESTAMP", "yesterday"),
        ("TIMESTAMP", "1e99"),
        ("DATE", "2026-02-30"),
        ("DATE", "20260228"),
        ("DATE", "2026-02-28T00:00:00Z"),
        ("DATE", "0000-01-01"),
    ],
)
def test_what_a_type_does_not_hold_is_refused(kind: str, text: str) -> None:
    """Neither rounded nor guessed."""
    with pytest.raises(ValueError, match=f"^expected {kind} in the field 'field', for the column 'column', got '"):
        value(kind, text)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("STRING", "", ""),
        ("INT64", " ", None),
        ("DATE", "", None),
        ("INT64", "+007", 7),
        ("FLOAT64", "-0", -0.0),
        ("NUMERIC", "1e3", decimal.Decimal(1000)),
        ("NUMERIC", "-0.00", decimal.Decimal(0)),
        ("BOOL", "TRUE", True),
        ("TIMESTAMP", "1500", datetime.datetime(1970, 1, 1, 0, 0, 1, 500_000, datetime.UTC)),
        ("TIMESTAMP", "2026-01-01T01:00:00+01:00", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)),
    ],
)
def test_ways_to_write_a_value(kind: str, text: str, expected: Any) -> None:
    """An empty cell of a CSV file is null, except as a text."""
    assert value(kind, text) == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("tenant", "acme"),
        ("user.id", "7"),
        ("user.tags[1]", "b"),
        ("user.tags", '["a", "b"]'),
        ("user.none", None),
        ("user.name.first", None),
        ("user.tags[9]", None),
        ("tenant.id", None),
        ("nothing", None),
        ("with.dot", "whole"),
        ("big.id", "12345678901234567890.10"),
    ],
)
def test_a_field_is_found_by_its_name_or_a_path_into_it(field: str, expected: str | None) -> None:
    """In the metadata, objects are JSON; a missing value and null are null, and numbers keep their digits."""
    metadata = {
        "tenant": "acme",
        "user": json.dumps({"id": 7, "tags": ["a", "b"], "none": None, "name": "x"}),
        "with.dot": "whole",
        "big": '{"id": 12345678901234567890.10}',
    }
    assert carried([f"column:STRING={field}"], metadata) == ({CARRIED + "column": expected} if expected else {})


def test_the_field_is_by_default_the_one_of_the_columns_name() -> None:
    """Types may be written in lower case."""
    ((column, field),) = own_columns(["tenant:string"])
    assert (column.name, column.type, column.mode, field) == ("tenant", "STRING", "NULLABLE", "tenant")


@pytest.mark.parametrize(
    ("given_columns", "reason"),
    [
        (["tenant"], "expected columns as NAME:TYPE=FIELD, got 'tenant'; as in tenant:STRING=user.id"),
        (["tenant:STRING="], "expected columns as NAME:TYPE=FIELD"),
        (["a:STRING", "A:INT64"], "expected columns of names that differ, got 'A'"),
        (["tenant:TEXT"], "expected columns of a type of STRING, INT64, FLOAT64, NUMERIC, BOOL, TIMESTAMP, DATE, got"),
        *(
            ([f"{name}:STRING"], "expected columns of names that BigQuery takes, got")
            for name in ("", "1a", "a-b", "a b", "é", "a" * 301, "_PARTITIONTIME", "_table_x", "__ROOT__x")
        ),
        *(([f"{column.name}:STRING"], "expected columns of names that differ") for column in EMBEDDING_COLUMNS),
        (["Model:STRING"], "expected columns of names that differ, got 'Model'"),
    ],
)
def test_columns_that_cannot_be_are_refused(given_columns: list[str], reason: str) -> None:
    """Before anything runs, in one line."""
    with pytest.raises(ValueError, match="^" + reason) as error:
        own_columns(given_columns)
    assert "\n" not in str(error.value)


def test_a_field_that_is_called_as_a_value_travels_is_refused() -> None:
    """It would be written unchecked; without own columns it is a field as any other."""
    with pytest.raises(ValueError, match="expected no field whose name begins with 'columns.', got 'columns.a'"):
        carried(["a:INT64"], {"columns.a": "x"})
    assert carried([], {"columns.a": "x"}) == {}
