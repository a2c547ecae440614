"""Own columns in a BigQuery table, on an emulator."""

import pytest
from google.cloud import bigquery

from tests.integration.tables import Tables
from tests.pipeline.test_columns import COLUMNS, EXPECTED, MESSAGES, own_of
from transforms.columns import own_columns
from transforms.io.bigquery.tables import create_table
from transforms.schema import EMBEDDING_COLUMNS, EMBEDDING_LAYOUT, Column

OWN = [column for column, _ in own_columns(["tenant:STRING", "stars:INT64"])]


@pytest.mark.parametrize("method", ["STORAGE_WRITE_ARROW", "STREAMING_INSERTS"])
def test_a_table_is_made_with_them_and_filled(tables: Tables, client: bigquery.Client, method: str) -> None:
    """Each in its type, and again from the table by the next model; a filter on one finds its rows."""
    tables.embed("own", MESSAGES, columns=COLUMNS, bigquery_write_method=method, timestamp_field="")
    fields = {field.name: (field.field_type, field.mode) for field in client.get_table(tables.name("own")).schema}
    assert fields["price"] == ("NUMERIC", "NULLABLE")
    assert own_of(tables.rows("own")) == EXPECTED
    tables.embed("again", columns=COLUMNS, **tables.read("own"))
    assert own_of(tables.rows("again")) == EXPECTED
    (row,) = tables.query(f"SELECT count(*) AS n FROM `{tables.name('own')}` WHERE day = '2026-01-02' AND stars > 4")
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
