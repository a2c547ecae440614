import json
import pathlib
from typing import Any

import fastavro
import pyarrow.parquet as pq
import pytest

from tests.beam import run
from tests.conftest import sentence
from transforms.dead_letters import dead_letters
from transforms.io.files.write import WriteFiles
from transforms.kinds import DEAD_LETTERS, ROWS, Kind
from transforms.schema import DEAD_LETTER_COLUMNS, EMBEDDING_COLUMNS, arrow_schema, json_row
from transforms.types import SentenceEmbedding

ROW = SentenceEmbedding(*sentence("Hi \x00 é."), b"\x00\x00\x80?\x00\x00\x00@", "m", "v", "float32", 3, True)
LETTERS = [*dead_letters("s", "r", b"\xff", {"k": "v"}), *dead_letters("s", "r", b"text", {})]


def read_parquet(path: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a file."""
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def read_jsonl(path: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_avro(path: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a file."""
    with path.open("rb") as file:
        return list(fastavro.reader(file))


READERS = {"parquet": read_parquet, "jsonl": read_jsonl, "avro": read_avro}


@pytest.mark.parametrize("file_format", READERS)
@pytest.mark.parametrize("kind", [ROWS, DEAD_LETTERS], ids=["rows", "dead letters"])
def test_what_is_written_is_read_back(tmp_path: pathlib.Path, file_format: str, kind: Kind) -> None:
    """Each format keeps every column, in the order of the design."""
    elements, expected = (
        ([ROW], [ROWS.to_dict(ROW)]) if kind is ROWS else (LETTERS, [DEAD_LETTERS.to_dict(one) for one in LETTERS])
    )
    run(elements, WriteFiles(str(tmp_path / "rows"), file_format, kind), kind.element)
    (path,) = tmp_path.glob("*")
    assert path.name == f"rows-00000-of-00001.{file_format}"
    if file_format == "jsonl":
        expected = [json_row(row) for row in expected]
    found = READERS[file_format](path)
    assert [list(row) for row in found] == [[column.name for column in kind.columns]] * len(elements)
    assert found == expected


@pytest.mark.parametrize("columns", [EMBEDDING_COLUMNS, DEAD_LETTER_COLUMNS])
def test_parquet_has_the_arrow_schema(tmp_path: pathlib.Path, columns: Any) -> None:
    """Vectors are lists of float32, times have a zone."""
    kind, elements = (ROWS, [ROW]) if columns is EMBEDDING_COLUMNS else (DEAD_LETTERS, LETTERS)
    run(elements, WriteFiles(str(tmp_path / "rows"), "parquet", kind), kind.element)
    (path,) = tmp_path.glob("*")
    found, expected = pq.read_schema(path), arrow_schema(columns)
    assert found.names == expected.names
    assert [field.nullable for field in found] == [field.nullable for field in expected]
    assert [str(f.type).replace("element", "item") for f in found] == [str(f.type) for f in expected]


def test_nothing_to_write_writes_nothing(tmp_path: pathlib.Path) -> None:
    """A run without dead letters leaves no file of them."""
    run([], WriteFiles(str(tmp_path / "rows"), "parquet", ROWS), SentenceEmbedding)
    assert list(tmp_path.iterdir()) == []


def test_files_wait_where_they_are_told_to(tmp_path: pathlib.Path) -> None:
    """Complete, and under names of their own, until the caller renames them."""
    folder = tmp_path / ".waiting [1]"
    run([ROW], WriteFiles(str(tmp_path / "rows"), "parquet", ROWS, str(folder)), SentenceEmbedding)
    (path,) = folder.iterdir()
    assert read_parquet(path) == [ROWS.to_dict(ROW)]
    assert list(tmp_path.iterdir()) == [folder]
