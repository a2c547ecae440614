"""`python -m pipeline` from a folder's in.jsonl to its out/rows, in this process."""

import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import fastavro
import pyarrow.parquet as pq
import pytest

from pipeline import replay
from pipeline.__main__ import main
from tests.conftest import as_arguments


def arguments(folder: pathlib.Path, model_directory: pathlib.Path | str, **options: Any) -> list[str]:
    """A run over folder/in.jsonl to folder/out/rows in Parquet, `options` changing or adding some."""
    chosen = {
        "input": folder / "in.jsonl",
        "input_format": "jsonl",
        "id_field": "id",
        "output": folder / "out" / "rows",
        "output_format": "parquet",
        "model": model_directory,
        **options,
    }
    return as_arguments(chosen)


def write_messages(folder: pathlib.Path, *messages: dict[str, Any]) -> None:
    """Write folder/in.jsonl."""
    (folder / "in.jsonl").write_text("".join(json.dumps(message) + "\n" for message in messages))


def read_rows(folder: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of folder/out in the order of their messages."""
    return sorted(read_files(folder / "out", "parquet"), key=lambda row: (row["message_id"], row["sentence_index"]))


def read_files(folder: pathlib.Path, file_format: str) -> list[dict[str, Any]]:
    """The rows of the files in a folder."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob(f"*.{file_format}")):
        if file_format == "parquet":
            rows += pq.read_table(path).to_pylist()
        elif file_format == "avro":
            with path.open("rb") as file:
                rows += list(fastavro.reader(file))
        else:
            rows += map(json.loads, path.read_text().splitlines())
    return rows


class Ran(NamedTuple):
    """A run's exit code, and what it printed."""

    code: int
    out: str
    err: str


class Program:
    """The program in a folder, with the model of the fixture text_encoder unless an option names another one."""

    def __init__(self, folder: pathlib.Path, model: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.model = model
        self._capsys = capsys

    def __call__(self, *messages: dict[str, Any], **options: Any) -> Ran:
        """Run over the messages; without any, over those that are there."""
        if messages:
            write_messages(self.folder, *messages)
        return self._ran(main, arguments(self.folder, self.model, **options))

    def _ran(self, start: Callable[[list[str]], int], given: list[str]) -> Ran:
        self._capsys.readouterr()
        return Ran(start(given), *self._capsys.readouterr())

    def lines(self, *messages: dict[str, Any], **options: Any) -> list[str]:
        """The summary's lines of a run that must end well."""
        ran = self(*messages, **options)
        assert ran.code == 0, ran.err
        return ran.out.splitlines()

    def refusal(self, *messages: dict[str, Any], **options: Any) -> str:
        """The one line with which a run is refused before any work."""
        ran = self(*messages, **options)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        return ran.err

    def replay(self, **options: Any) -> Ran:
        """Play the dead letters of folder/out again, as far as the options do not name others, into folder/out."""
        letters = {"letters": f"{self.out}/dead_letters/*.parquet", "letters_format": "parquet"}
        given = arguments(self.folder, self.model, **letters | options)
        return self._ran(replay.main, [argument for argument in given if not argument.startswith("--input=")])

    def rows(self) -> list[dict[str, Any]]:
        """See read_rows."""
        return read_rows(self.folder)

    def contents(self) -> list[str]:
        """The sentences of the rows."""
        return [row["content"] for row in self.rows()]
