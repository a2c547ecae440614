"""Tables and views on an emulator: made by the code, and by the SQL that is shipped."""

import pytest
from google.cloud import bigquery

from tests.integration.fault_proxy import FaultProxy
from tests.templates.test_sql import DIRECTORY
from transforms.io.bigquery.tables import READ, WRITE, _misfits, check_right, create_table
from transforms.schema import (
    DEAD_LETTER_COLUMNS,
    EMBEDDING_COLUMNS,
    EMBEDDING_LAYOUT,
    JOURNAL_COLUMNS,
    bigquery_schema,
)


def test_a_table_is_made_once(dataset: str, client: bigquery.Client) -> None:
    """Its layout and its columns are ours; a second time nothing happens."""
    create_table(f"{dataset}.rows", EMBEDDING_COLUMNS, EMBEDDING_LAYOUT)
    table = client.get_table(f"{dataset}.rows")
    assert table.time_partitioning.field == EMBEDDING_LAYOUT.partition
    assert table.clustering_fields == list(EMBEDDING_LAYOUT.cluster)
    assert [(field.name, field.mode, field.description) for field in table.schema] == [
        (column.name, column.mode, column.description) for column in EMBEDDING_COLUMNS
    ]


def test_a_table_that_does_not_fit_is_refused(dataset: str, client: bigquery.Client) -> None:
    """In one line that names every misfit, before anything is written."""
    client.query(f"CREATE TABLE `{dataset}.other` (id STRING NOT NULL, content INT64)").result()
    with pytest.raises(
        ValueError, match="expected table .*other to take our rows, got no column 'message_id'"
    ) as error:
        create_table(f"{dataset}.other", EMBEDDING_COLUMNS, EMBEDDING_LAYOUT)
    assert "column 'content' of INT64 NULLABLE for STRING REQUIRED" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_from_before_a_column_is_refused_with_what_adds_it(dataset: str, client: bigquery.Client) -> None:
    """The very statement; the emulator's REST API tells nothing of it, but its SQL does."""
    older = [column for column in EMBEDDING_COLUMNS if column.name != "revision"]
    create_table(f"{dataset}.older", older, EMBEDDING_LAYOUT)
    statement = f"ALTER TABLE `{dataset}.older` ADD COLUMN `revision` STRING"
    with pytest.raises(ValueError, match=rf"got no column 'revision' \(STRING NULLABLE\); run {statement}$"):
        create_table(f"{dataset}.older", EMBEDDING_COLUMNS, EMBEDDING_LAYOUT)
    client.query(statement).result()
    assert list(client.query(f"SELECT revision FROM `{dataset}.older`").result()) == []


@pytest.mark.parametrize("granted", [[], [READ]])
def test_a_missing_right_is_named(dataset: str, proxy: FaultProxy, granted: list[str]) -> None:
    """Before anything is written."""
    proxy.granted = granted
    with pytest.raises(
        ValueError, match=f"^expected the right {WRITE} on {dataset}.rows, which this account lacks; .*$"
    ):
        check_right(f"{dataset}.rows", WRITE)


@pytest.mark.parametrize("granted", [[WRITE], None])
def test_a_right_that_is_there_or_cannot_be_asked_for_passes(
    dataset: str, proxy: FaultProxy, granted: list[str] | None
) -> None:
    """The emulator knows no rights."""
    proxy.granted = granted
    check_right(f"{dataset}.rows", WRITE)


def test_the_shipped_sql_makes_what_the_code_makes(dataset: str, client: bigquery.Client) -> None:
    """Tables that take our rows, and a view on them."""
    project, name = dataset.split(".")
    for file in (
        "embeddings.sql",
        "error_records.sql",
        "journal.sql",
        "newest_embeddings.sql",
        "current_embeddings.sql",
    ):
        statement = (DIRECTORY / file).read_text().replace("PROJECT", project).replace("DATASET", name)
        # The emulator has no NOT NULL within a STRUCT.
        client.query(statement.replace("key STRING NOT NULL", "key STRING")).result()
    for table, columns in {
        "embeddings": EMBEDDING_COLUMNS,
        "embeddings_error_records": DEAD_LETTER_COLUMNS,
        "embeddings_journal": JOURNAL_COLUMNS,
    }.items():
        made = [field.to_api_repr() for field in client.get_table(f"{dataset}.{table}").schema]
        assert _misfits(bigquery_schema(columns)["fields"], made) == []
    for view in ("newest_embeddings", "current_embeddings"):
        assert list(client.query(f"SELECT * FROM `{dataset}.{view}`").result()) == []
