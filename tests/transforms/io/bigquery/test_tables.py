"""Names of tables, and whether a table takes our rows."""

from typing import Any

import pytest

from transforms.io.bigquery.tables import TableName, _misfits, parse_table
from transforms.schema import EMBEDDING_COLUMNS, bigquery_schema


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("my-project:my_dataset.rows", ("my-project", "my_dataset", "rows")),
        ("my-project.my_dataset.rows-2", ("my-project", "my_dataset", "rows-2")),
        ("example.com:my-project:data.rows", ("example.com:my-project", "data", "rows")),
        ("example.com:my-project.data.rows", ("example.com:my-project", "data", "rows")),
    ],
)
def test_a_table_has_two_spellings(text: str, name: tuple[str, str, str]) -> None:
    """Beam's and SQL's."""
    assert parse_table(text) == TableName(*name)
    assert str(parse_table(text)) == ".".join(name)


@pytest.mark.parametrize(
    "text", ["", "rows", "data.rows", "p:data", "p:d.t.u", "p:d-a.t", "p:d.`t`", "P:d.t", "p:d.t$1"]
)
def test_anything_else_is_refused(text: str) -> None:
    """With what was given and what to do."""
    with pytest.raises(ValueError, match="expected a table as project:dataset.table, got"):
        parse_table(text)


OURS = bigquery_schema(EMBEDDING_COLUMNS)["fields"]
(_METADATA,) = (field for field in OURS if field["name"] == "metadata")
LEGACY = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}


def changed(column: str, **change: Any) -> list[dict[str, Any]]:
    """Our columns with one of them changed."""
    return [field | change if field["name"] == column else field for field in OURS]


@pytest.mark.parametrize(
    "theirs",
    [
        OURS,
        OURS[::-1],
        [field | {"type": LEGACY.get(field["type"], field["type"])} for field in OURS],
        changed("content", mode="NULLABLE"),
        changed("content", name="Content"),
        [*OURS, {"name": "theirs", "type": "STRING"}],
    ],
    ids=["same", "other order", "legacy types", "relaxed", "other case", "one more"],
)
def test_a_table_that_takes_our_rows(theirs: list[dict[str, Any]]) -> None:
    """It may be laxer than ours."""
    assert _misfits(OURS, theirs) == []


@pytest.mark.parametrize(
    ("theirs", "misfit"),
    [
        (OURS[1:], "no column 'id' (STRING REQUIRED)"),
        (changed("begin", type="STRING"), "column 'begin' of STRING REQUIRED for INT64 REQUIRED"),
        (changed("embedding", mode="NULLABLE"), "column 'embedding' of FLOAT64 NULLABLE for FLOAT64 REPEATED"),
        (changed("event_time", mode="REQUIRED"), "column 'event_time' of TIMESTAMP REQUIRED for TIMESTAMP NULLABLE"),
        (changed("metadata", fields=_METADATA["fields"][:1]), "no column 'metadata.value' (STRING NULLABLE)"),
        (
            [*OURS, {"name": "theirs", "type": "STRING", "mode": "REQUIRED"}],
            "column 'theirs' that we do not fill",
        ),
    ],
)
def test_a_table_that_does_not(theirs: list[dict[str, Any]], misfit: str) -> None:
    """Each misfit is named."""
    assert _misfits(OURS, theirs) == [misfit]
