"""Own columns in a BigQuery table, on an emulator."""

import pathlib
from typing import Any

import pytest
from google.cloud import bigquery

from tests.integration.test_rows import embed, messages
from tests.pipeline.test_columns import COLUMNS, EXPECTED, MESSAGES, own_of
from transforms.columns import own_columns
from transforms.io.bigquery.tables import create_table
from transforms.schema import EMBEDDING_COLUMNS, EMBEDDING_LAYOUT, Column

OWN = [column for column, _ in own_columns(["tenant:STRING", "stars:INT64"])]


def found(client: bigquery.Client, table: str) -> dict[str, dict[str, Any]]:
    """The own columns of a table's rows, by message."""
    return own_of([dict(row) for row in client.query(f"SELECT * FROM `{table}`").result()])


@pytest.mark.parametrize("method", ["STORAGE_WRITE_ARROW", "STREAMING_INSERTS"])
def test_a_table_is_made_with_them_and_filled(
    tmp_path: pathlib.Path, tiny_bert: pathlib.Path, dataset: str, client: bigquery.Client, method: str
) -> None:
    """Each in its type, and again from the table by the next model; a filter on one finds its rows."""
    given = {"columns": COLUMNS, "bigquery_write_method": method, "timestamp_field": ""}
    assert embed(dataset, tiny_bert, "own", **{**messages(tmp_path, MESSAGES), **given}) == 0
    fields = {field.name: (field.field_type, field.mode) for field in client.get_table(f"{dataset}.own").schema}
    assert fields["price"] == ("NUMERIC", "NULLABLE")
    assert found(client, f"{dataset}.own") == EXPECTED
    table = {"input": f"{dataset}.own", "input_format": "bigquery", "columns": COLUMNS}
    assert embed(dataset, tiny_bert, "again", **table) == 0
    assert found(client, f"{dataset}.again") == EXPECTED
    (row,) = client.query(f"SELECT count(*) AS n FROM `{dataset}.own` WHERE day = '2026-01-02' AND stars > 4").result()
    assert row.n == 2


def test_a_table_that_lacks_them_is_refused_with_what_adds_them(dataset: str, client: bigquery.Client) -> None:
    """The very statement; the emulator's REST API tells nothing of it, but its SQL does."""
    statement = f"ALTER TABLE `{dataset}.rows` ADD COLUMN `tenant` STRING, ADD COLUMN `stars` INT64"
    with pytest.raises(ValueError, match=f"no column 'stars' .INT64 NULLABLE.; run {statement}$"):
        create_table(f"{dataset}.rows", (*EMBEDDING_COLUMNS, *OWN), EMBEDDING_LAYOUT)
    for added in statement.partition(".rows` ")[2].split(", "):
        client.query(f"ALTER TABLE `{dataset}.rows` {added}").result()
    assert list(client.query(f"SELECT tenant, stars FROM `{dataset}.rows`").result()) == []


def test_a_column_of_another_type_is_kept_under_another_name(dataset: str) -> None:
    """In two statements, as BigQuery takes both in none; names differ in more than their case."""
    create_table(f"{dataset}.typed", (*EMBEDDING_COLUMNS, Column("Stars", "STRING", "NULLABLE", "")), EMBEDDING_LAYOUT)
    with pytest.raises(ValueError, match="column 'stars' of STRING NULLABLE for INT64 NULLABLE; run ") as error:
        create_table(f"{dataset}.typed", (*EMBEDDING_COLUMNS, *OWN), EMBEDDING_LAYOUT)
    rename, add = str(error.value).partition("; run ")[2].split("; ")
    assert rename == f"ALTER TABLE `{dataset}.typed` RENAME COLUMN `stars` TO `stars_before`"
    assert add == f"ALTER TABLE `{dataset}.typed` ADD COLUMN `tenant` STRING, ADD COLUMN `stars` INT64"
