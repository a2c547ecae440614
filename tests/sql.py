"""The SQL that is shipped, on tables of a test."""

from tests.conftest import ROOT


def newest_rows_view(view: str, table: str) -> str:
    """The statement that makes `view` of `table`, both project.dataset.name, as newest_embeddings.sql does."""
    text = (ROOT / "templates" / "sql" / "newest_embeddings.sql").read_text()
    return text.replace("PROJECT.DATASET.newest_embeddings", view).replace("PROJECT.DATASET.embeddings", table)
