"""Exact search of rows in Parquet files, with DuckDB."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from pipeline.current import CurrentRows, View
from pipeline.search.fusion import LEAST_SHARE
from pipeline.search.places import EVERYTHING, Filters, Found, Vector

# How many times the limit is fetched, as equal contents are shown once; if that leaves too few, as many times more are.
# DuckDB keeps no more rows than that, so its memory does not grow with theirs.
_SPARE = 10
# The words of a text, as `words_of` finds them: letters, digits and marks, without their case.
_WORDS = r"regexp_extract_all(lower(content), '[\p{L}\p{N}\p{M}_]+')"
# BM25 with its usual parameters (Robertson and Zaragoza, 2009).
_SATURATION, _LENGTH = 1.2, 0.75


class ParquetRows:
    """The current rows of the Parquet files that match a glob.

    Args:
        pattern: the files.
        filters: which of the rows are searched.
        journal: the prefix of their journal; "" for the default, beside the rows.
        all_versions: whether to search the rows of all versions of a message.

    Attributes:
        left_out: how many rows are not current, once `models` was called.

    Raises:
        ValueError: if no file matches, or the pipeline did not write a file.
    """

    def __init__(
        self, pattern: str, filters: Filters = EVERYTHING, journal: str = "", all_versions: bool = False
    ) -> None:
        self._rows = CurrentRows(pattern, journal, all_versions)
        conditions = ["list_contains(metadata, {'key': ?, 'value': ?})"] * len(filters.metadata)
        self._parameters: list[Any] = [part for pair in filters.metadata.items() for part in pair]
        for comparison, time in (("event_time >= ?", filters.since), ("event_time < ?", filters.until)):
            if time:
                conditions.append(comparison)
                self._parameters.append(time)
        self._where = " AND ".join(["model_version = ?", *conditions])
        self.left_out = 0

    def models(self) -> list[tuple[str, str]]:
        """Name and version of each model that made a row."""

        def models(view: View) -> list[Any]:
            self.left_out = view.left_out()
            return list(view.query("SELECT DISTINCT model, model_version FROM rows").fetchall())

        return self._rows.read(models)

    def nearest(self, query: Vector, version: str, limit: int) -> list[Found]:
        """The rows of a version nearest to a vector by cosine, best first, each content once."""
        score = "list_cosine_similarity(embedding, ?::FLOAT[])"
        scored = f"SELECT id, content, {score} AS score FROM rows WHERE {self._where}"
        parameters = [query.tolist(), version, *self._parameters]
        return self._rows.read(lambda view: _best(view, scored, parameters, version, limit))

    def with_words(self, words: Sequence[str], version: str, limit: int) -> list[Found]:
        """The rows of a version that have one of the words and fit them best by BM25, best first, each content once."""

        def best(view: View) -> list[Found]:
            given = [version, *self._parameters]
            totals = view.query(f"SELECT count(*), avg(length(content)) FROM rows WHERE {self._where}", given)
            ((count, length),) = totals.fetchall()
            # Only a row that has the letters of a word is parted into words.
            lettered = " OR ".join(["contains(lower(content), ?)"] * len(words))
            source = f"SELECT id, content, {_WORDS} AS words FROM rows WHERE {self._where} AND ({lettered})"
            having = ", ".join(["count(*) FILTER (list_contains(words, ?))"] * len(words))
            ((*rows_with,),) = view.query(f"SELECT {having} FROM ({source})", [*words, *given, *words]).fetchall()
            rarity = [math.log1p((count - found + 0.5) / (found + 0.5)) for found in rows_with]
            frequency = "len(list_filter(words, lambda word: word = ?))"
            # The length of a row is that of its text, which is had without its words.
            norm = f"{_SATURATION} * ({1 - _LENGTH} + {_LENGTH} * length(content) / {length or 1})"
            score = " + ".join([f"? * {frequency} / ({frequency} + {norm})"] * len(words))
            told = " + ".join(["if(list_contains(words, ?), ?, 0)"] * len(words))
            scored = f"SELECT id, content, if({told} >= ?, {score}, NULL) AS score FROM ({source})"
            weights = [*itertools.chain(*zip(words, rarity, strict=True)), LEAST_SHARE * sum(rarity)]
            weights += itertools.chain(*zip(rarity, words, words, strict=True))
            return _best(view, scored, [*weights, *given, *words], version, limit)

        return self._rows.read(best) if words else []

    def known_items(self, version: str, count: int, key: str = "") -> list[tuple[str, str]]:
        """`count` messages of several sentences, always the same ones, each with its first sentence.

        With a `key`, it is the text that the metadata has for it.
        """
        said = (
            "any_value(list_filter(metadata, lambda pair: pair.key = ?)[1].value)"
            if key
            else "arg_min(content, sentence_index)"
        )
        sql = f"""
            SELECT message_id, {said} AS said FROM rows WHERE {self._where} GROUP BY message_id
            HAVING count(DISTINCT sentence_index) > 1 AND said <> '' ORDER BY md5(message_id) LIMIT ?
        """
        parameters = [*filter(None, [key]), version, *self._parameters, count]
        return self._rows.read(lambda view: list(view.query(sql, parameters).fetchall()))


def _best(view: View, scored: str, parameters: Sequence[Any], version: str, limit: int) -> list[Found]:
    """The rows whose score is greatest, of a statement whose score is null or NaN for those that do not count."""
    best: dict[str, tuple[float, str]] = {}
    fetched = _SPARE * limit
    while True:
        # DuckDB sorts NaN first, and would compute the score again for a condition.
        greatest = f"FROM ({scored}) ORDER BY nullif(score, 'nan'::FLOAT) DESC NULLS LAST, id LIMIT ?"
        rows = view.query(greatest, [*parameters, fetched]).fetchall()
        counting = [row for row in rows if row[2] is not None and not math.isnan(row[2])]
        for id, content, score in counting:
            # Rows that hold no content differ by their id.
            best.setdefault(content or id, (score, id))
        if len(best) >= limit or len(counting) < fetched:
            return _whole(view, list(best.values())[:limit], version)
        fetched *= _SPARE


def _whole(view: View, best: Sequence[tuple[float, str]], version: str) -> list[Found]:
    """The other columns, which are read only for the rows that were found."""
    sql = "SELECT id, content, message_id, metadata FROM rows WHERE model_version = ? AND list_contains(?, id)"
    rows = {id: rest for id, *rest in view.query(sql, [version, [id for _, id in best]]).fetchall()}
    return [
        Found(score, rows[id][0], rows[id][1], {pair["key"]: pair["value"] for pair in rows[id][2]})
        for score, id in best
    ]
