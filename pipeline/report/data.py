"""The data that a report shows, read from the files of a run."""

import glob
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.current import CurrentRows, View
from transforms.dead_letters import cause_of
from transforms.encoder.reasons import reason_of

Array = np.ndarray[Any, Any]


class RunRows(NamedTuple):
    """The rows to show.

    Attributes:
        table: content, message_id, sentence_index, tokens, truncated, event_time and metadata, one row per sentence.
        vectors: float32 [rows, dimension].
        total: how many rows there are; more than in `table` if they were sampled.
        left_out: how many rows beside them are not current.
        messages: how many messages they come from.
        truncated: how many of all rows were longer than the encoder read.
        model: name, version and precision of the model.
    """

    table: pa.Table
    vectors: Array
    total: int
    left_out: int
    messages: int
    truncated: int
    model: tuple[str, str, str]


def read_rows(pattern: str, limit: int, version: str = "", journal: str = "", all_versions: bool = False) -> RunRows:
    """The current rows of the Parquet files that match `pattern`; of more than `limit`, always the same sample.

    `journal` is the prefix of their journal, "" for the default; with `all_versions`, rows of every version are read.
    A row that was written twice is read once.

    Raises:
        ValueError: if there are none, or several models made them and `version` chooses none of these.
    """

    def rows(view: View) -> RunRows:
        models = view.query(
            "SELECT model, model_version, any_value(precision), count(DISTINCT (id, revision)), "
            "count(DISTINCT message_id), count(DISTINCT (id, revision)) FILTER (WHERE truncated) "
            "FROM rows WHERE ? IN ('', model_version) GROUP BY ALL ORDER BY ALL",
            [version],
        ).fetchall()
        if len(models) != 1:
            listed = ", ".join(f"{name} version {found}" for name, found, *_ in models) or "none"
            raise ValueError(f"expected rows of one model, got {listed}; choose one with --model_version")
        name, found, precision, total, messages, truncated = models[0]
        # Ids are hashes, so the first of them are a random sample.
        table = view.query(
            "SELECT content, message_id, sentence_index, tokens, truncated, event_time, metadata, embedding "
            "FROM rows SEMI JOIN ("
            "SELECT unnest(min({'filename': filename, 'file_row_number': file_row_number})) "
            "FROM rows WHERE model_version = ? GROUP BY id, revision ORDER BY id, revision LIMIT ?"
            ") USING (filename, file_row_number) ORDER BY message_id, sentence_index",
            [found, limit],
        ).to_arrow_table()
        vectors = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1).astype(np.float32)
        model = (name, found, precision)
        return RunRows(table.drop_columns(["embedding"]), vectors, total, view.left_out(), messages, truncated, model)

    return CurrentRows(pattern, journal, all_versions).read(rows)


class Cause(NamedTuple):
    """Dead letters that failed for the same reason; `example` is the beginning of one's payload."""

    stage: str
    cause: str
    letters: int
    message: str
    example: str


def read_dead_letters(pattern: str) -> list[Cause]:
    """The dead letters of the Parquet files that match `pattern`, by cause, the most frequent first."""
    import duckdb

    paths = sorted(glob.glob(pattern)) if pattern else []
    if not paths:
        return []
    try:
        letters = duckdb.execute(
            "SELECT stage, error_message, coalesce(payload_string, left(payload_bytes::VARCHAR, 500)) "
            "FROM read_parquet(?) WHERE part = 0",
            [paths],
        ).fetchall()
    except duckdb.Error as error:
        reason = reason_of(error)
        raise ValueError(f"expected dead letters of the pipeline in {pattern!r}: {reason}") from error
    causes: dict[tuple[str, str], Cause] = {}
    for stage, message, payload in letters:
        cause = cause_of(message)
        count = causes[stage, cause].letters if (stage, cause) in causes else 0
        causes[stage, cause] = Cause(stage, cause, count + 1, message, (payload or "")[:300])
    return sorted(causes.values(), key=lambda cause: (-cause.letters, cause.stage, cause.cause))


def read_summary(path: str) -> list[tuple[str, str]]:
    """The lines that a run ended with, as names and values.

    Raises:
        ValueError: if there is no such file.
    """
    if not path:
        return []
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"expected --summary to be a file of what the run printed, got {path!r}: {error}") from error
    return [(match[1], match[2]) for match in (re.match(r"(\S.*?)  +(.+)", line) for line in lines) if match]


class Field(NamedTuple):
    """Something to color the map by.

    Attributes:
        name: what it is called.
        values: the names of the categories; empty for a number.
        codes: for each row, the index of its category, or its number; NaN if it has none.
        kind: "category", "number" or "time" (seconds since 1970).
    """

    name: str
    values: list[str]
    codes: Array
    kind: str


_MOST_CATEGORIES = 20
# A field with more values than this, such as an id or an address, is useless as a color.
_MOST_VALUES = 60


def fields(table: pa.Table) -> list[Field]:
    """What the rows can be colored by: metadata with few values, length, tokens, time."""
    pairs = [{pair["key"]: pair["value"] for pair in metadata} for metadata in table["metadata"].to_pylist()]
    found = [
        category(name, values)
        for name in sorted({key for pair in pairs for key in pair})
        for values in ([pair.get(name) for pair in pairs],)
        if 2 <= len(set(values)) <= _MOST_VALUES
    ]
    lengths = np.array([len(text) for text in table["content"].to_pylist()], float)
    found.append(Field("length", [], lengths, "number"))
    if np.any(tokens := table["tokens"].to_numpy().astype(float)):
        found.append(Field("tokens", [], tokens, "number"))
    times = table["event_time"].cast(pa.int64()).to_numpy(zero_copy_only=False).astype(float) / 1e6
    if np.unique(times[np.isfinite(times)]).size > 1:
        found.append(Field("event time", [], times, "time"))
    return found


def category(name: str, values: Sequence[str | None]) -> Field:
    """A field of names; rare ones become "other"."""
    names = ["none" if value is None else value for value in values]
    order, counts = np.unique(names, return_counts=True)
    ranked = [str(order[i]) for i in np.argsort(-counts, kind="stable")]
    if len(ranked) > _MOST_CATEGORIES:
        ranked = [*ranked[: _MOST_CATEGORIES - 1], "other"]
    index = {value: i for i, value in enumerate(ranked)}
    last = len(ranked) - 1
    return Field(name, ranked, np.array([index.get(value, last) for value in names], float), "category")
