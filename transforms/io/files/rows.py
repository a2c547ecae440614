"""The rows of typed files as JSON, and what a reader of them checks."""

import collections
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from transforms.io.files.pieces import Piece, Pieces, Unreadable
from transforms.io.json_rows import as_json, shown


def pieces_of(rows: Iterable[dict[str, Any]], first: int = 0) -> Pieces:
    """Rows as JSON, numbered from `first`; one with bytes that are not UTF-8 is unreadable."""
    for number, row in enumerate(rows, first):
        try:
            yield Piece(number, as_json(row), {})
        except UnicodeEncodeError:
            column = next(name for name, value in row.items() if shown(value) != value or shown({name: 0}) != {name: 0})
            error = ValueError(f"expected UTF-8 in the column {column!r}, got other bytes; write it as UTF-8")
            yield Unreadable(number, as_json(shown(row)), error)


def check_names(names: Sequence[str], path: str) -> None:
    """Checks that no two columns, or fields of a struct, have one name: the last would hide the others.

    Raises:
        ValueError: if two have.
    """
    for name, count in collections.Counter(names).items():
        if count > 1:
            raise ValueError(f"expected each column once, got {path + name!r} {count} times; rename it")


def shortest(number: "np.floating[Any]") -> float:
    """The float64 whose literal is the shortest one of a float of less precision."""
    return float(str(number))
