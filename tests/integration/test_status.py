"""The status of a table's models on an emulator, by the statement that is shipped."""

import pytest
from google.cloud import bigquery

from pipeline.status import main, status
from tests.pipeline.test_status import EXPECTED, HISTORY, rounded
from transforms.io.bigquery.tables import create_table
from transforms.kinds import JOURNAL
from transforms.schema import JOURNAL_COLUMNS, JOURNAL_LAYOUT


@pytest.mark.parametrize("named", [False, True])
def test_a_table_gives_what_files_give(dataset: str, client: bigquery.Client, named: bool) -> None:
    """By the journal beside it, or the one that is named."""
    journal = f"{dataset}.entries" if named else f"{dataset}.rows_journal"
    create_table(journal, JOURNAL_COLUMNS, JOURNAL_LAYOUT)
    assert client.insert_rows_json(journal, [JOURNAL.to_json(entry) for entry in HISTORY]) == []
    assert list(map(rounded, status(f"{dataset}.rows", journal if named else ""))) == EXPECTED


def test_a_table_without_a_journal_is_refused(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line."""
    assert main([f"--rows={dataset}.rows"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"python -m pipeline.status: expected a journal in {dataset}.rows_journal: ")
    assert printed.count("\n") == 1
