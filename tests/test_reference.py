import pytest

from pipeline.options import options_table
from tests.conftest import ROOT
from transforms.integrations.schema_transforms import options_tables as yaml_tables
from transforms.schema import DEAD_LETTER_COLUMNS, EMBEDDING_COLUMNS, JOURNAL_COLUMNS, columns_table

REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "table",
    [
        options_table(),
        yaml_tables(),
        columns_table(EMBEDDING_COLUMNS),
        columns_table(JOURNAL_COLUMNS),
        columns_table(DEAD_LETTER_COLUMNS),
    ],
    ids=["options", "Beam YAML", "rows", "journal", "dead letters"],
)
def test_the_tables_are_the_definitions(table: str) -> None:
    """What the reference says of options and columns is made from what the program uses."""
    assert table in REFERENCE
