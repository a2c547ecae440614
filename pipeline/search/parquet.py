"""Exact search of rows in Parquet files, with DuckDB."""

import glob
from collections.abc import Mapping
from typing import Any

import numpy as np

from transforms.encoder.reasons import reason_of


class ParquetRows:
    """The rows of the Parquet files that match a glob, if their metadata has every pair of `where`.

    Raises:
        ValueError: if no file matches, or the pipeline did not write a file.
    """

    def __init__(self, pattern: str, where: Mapping[str, str]) -> None:
        import duckdb

        self._error = duckdb.Error
        self._paths = sorted(glob.glob(pattern))
        if not self._paths:
            raise ValueError(f"expected --embeddings to match Parquet files, {pattern!r} matches none; check the path")
        self._pattern = pattern
        self._connection = duckdb.connect()
        pairs = [part for pair in where.items() for part in pair]
        self._where = " AND ".join(["TRUE", *(["list_contains(metadata, {'key': ?, 'value': ?})"] * len(where))])
        self._pairs = pairs

    def models(self) -> list[tuple[str, str]]:
        """Name and version of each model that made a row."""
        return self._rows("SELECT DISTINCT model, model_version FROM read_parquet(?)", [self._paths])

    def nearest(
        self, query: "np.ndarray[tuple[int], np.dtype[np.float32]]", version: str, limit: int
    ) -> list[tuple[float, str, str, Mapping[str, str]]]:
        """Score, content, message id and metadata of the best rows of that version, best first, each content once."""
        # The cosine of a vector of length 0 is NaN, which DuckDB would sort first.
        best = self._rows(
            f"""
            SELECT max(score) AS best, arg_max(id, score)
            FROM (
              SELECT id, content, list_cosine_similarity(embedding, ?::FLOAT[]) AS score
              FROM read_parquet(?) WHERE model_version = ? AND {self._where}
            )
            WHERE NOT isnan(score) GROUP BY content ORDER BY best DESC LIMIT ?
            """,
            [query.tolist(), self._paths, version, *self._pairs, limit],
        )
        # The other columns are read only for the rows that were found.
        rows = {
            row[0]: row[1:]
            for row in self._rows(
                "SELECT id, content, message_id, metadata FROM read_parquet(?) "
                "WHERE model_version = ? AND list_contains(?, id)",
                [self._paths, version, [row[1] for row in best]],
            )
        }
        return [
            (score, rows[id][0], rows[id][1], {pair["key"]: pair["value"] for pair in rows[id][2]})
            for score, id in best
        ]

    def _rows(self, sql: str, parameters: list[Any]) -> list[Any]:
        try:
            return list(self._connection.execute(sql, parameters).fetchall())
        except self._error as error:
            reason = reason_of(error)
            raise ValueError(f"expected rows of the pipeline in {self._pattern!r}: {reason}") from error
