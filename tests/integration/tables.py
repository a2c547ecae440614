"""Runs of the program from and to tables of an emulator."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest
from google.cloud import bigquery

from pipeline.__main__ import main
from tests.conftest import as_arguments


class Tables:
    """Runs between the tables of a dataset, with the model that is given unless an option names another one."""

    def __init__(
        self,
        dataset: str,
        client: bigquery.Client,
        folder: pathlib.Path,
        model: pathlib.Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self._dataset, self._client, self._folder, self._model, self._capsys = dataset, client, folder, model, capsys

    def name(self, table: str) -> str:
        """The whole name of a table."""
        return f"{self._dataset}.{table}"

    def read(self, table: str) -> dict[str, Any]:
        """The options that read a table."""
        return {"input": self.name(table), "input_format": "bigquery"}

    def query(self, sql: str) -> list[bigquery.Row]:
        """The rows of a statement."""
        return list(self._client.query(sql).result())

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table by id."""
        return [dict(row) for row in self.query(f"SELECT * FROM `{self.name(table)}` ORDER BY id, model")]

    def embed(self, to: str, texts: Sequence[dict[str, Any]] = (), code: int = 0, **options: Any) -> str:
        """Embed texts, or what the options read, into the table `to`; what the run printed."""
        chosen: dict[str, Any] = {"output": self.name(to), "dead_letters": self.name("letters")}
        chosen |= {"output_format": "bigquery", "model": self._model, "max_seq_length": 40}
        if texts:
            path = self._folder / "in.jsonl"
            path.write_text("".join(json.dumps(text) + "\n" for text in texts))
            chosen |= {"input": path, "input_format": "jsonl", "id_field": "id", "timestamp_field": "at"}
        self._capsys.readouterr()
        assert main(as_arguments(chosen | options)) == code
        return "".join(self._capsys.readouterr())
