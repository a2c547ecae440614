"""Exact search of rows in Parquet files, with DuckDB."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.current import CurrentRows, View


class ParquetRows:
    """The current rows of the Parquet files that match a glob, if their metadata has every pair of `where`.

    Args:
        pattern: the files.
        where: keys and values of the metadata.
        journal: the prefix of their journal; "" for the default, beside the rows.
        all_versions: whether to search the rows of all versions of a message.

    Attributes:
        left_out: how many rows are not current, once `models` was called.

    Raises:
        ValueError: if no file matches, or the pipeline did not write a file.
    """

    def __init__(self, pattern: str, where: Mapping[str, str], journal: str = "", all_versions: bool = False) -> None:
        self._rows = CurrentRows(pattern, journal, all_versions)
        self._where = " AND ".join(["TRUE", *(["list_contains(metadata, {'key': ?, 'value': ?})"] * len(where))])
        self._pairs = [part for pair in where.items() for part in pair]
        self.left_out = 0

    def models(self) -> list[tuple[str, str]]:
        """Name and version of each model that made a row."""

        def models(view: View) -> list[Any]:
            self.left_out = view.left_out()
            return list(view.query("SELECT DISTINCT model, model_version FROM rows").fetchall())

        return self._rows.read(models)

    def nearest(
        self, query: "np.ndarray[tuple[int], np.dtype[np.float32]]", version: str, limit: int
    ) -> list[tuple[float, str, str, Mapping[str, str]]]:
        """Score, content, message id and metadata of the best rows of that version, best first, each content once."""

        def nearest(view: View) -> list[tuple[float, str, str, Mapping[str, str]]]:
            # The cosine of a vector of length 0 is NaN, which DuckDB would sort first.
            best = view.query(
                f"""
                SELECT max(score) AS best, arg_max(id, score)
                FROM (
                  SELECT id, content, list_cosine_similarity(embedding, ?::FLOAT[]) AS score
                  FROM rows WHERE model_version = ? AND {self._where}
                )
                WHERE NOT isnan(score) GROUP BY content ORDER BY best DESC LIMIT ?
                """,
                [query.tolist(), version, *self._pairs, limit],
            ).fetchall()
            # The other columns are read only for the rows that were found.
            rows = {
                row[0]: row[1:]
                for row in view.query(
                    "SELECT id, content, message_id, metadata FROM rows "
                    "WHERE model_version = ? AND list_contains(?, id)",
                    [version, [row[1] for row in best]],
                ).fetchall()
            }
            return [
                (score, rows[id][0], rows[id][1], {pair["key"]: pair["value"] for pair in rows[id][2]})
                for score, id in best
            ]

        return self._rows.read(nearest)
