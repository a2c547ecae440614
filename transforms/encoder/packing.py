"""Packing: several short texts in one row of tokens, so that a micro-batch has little padding."""

import bisect
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

# With rows of about this many tokens, short texts leave little room; attention over longer rows costs more than that.
_ROW_TOKENS = 64
# Rows that are a little longer than needed are filled better.
_SLACK = 1.06


class Batch(NamedTuple):
    """The tokens of n texts in rows, each part int32 [rows, length].

    Attributes:
        ids: the token ids.
        segments: the text that a token belongs to, from 1 to n in reading order; 0 for padding.
        positions: the token's position in its text, from 0; 0 for padding.
    """

    ids: Array
    segments: Array
    positions: Array


def lay_out(lengths: Sequence[int], budget: int, shares_rows: bool) -> list[list[int]]:
    """The places in `lengths` of texts that make up a micro-batch, row by row.

    A row is as long as the longest text or, if texts may share rows and this saves padding, somewhat longer. All rows
    together have at most `budget` tokens, padding included; the shortest texts are left out if they do not fit. The
    first text is never left out, so that none waits for ever; alone, it may be longer than `budget`.
    """
    longest, total = max(lengths, default=0), sum(lengths)
    rows = _filled(lengths, longest, budget, shares_rows)
    if not shares_rows or len(rows) * longest == total:
        return rows
    balanced = max(longest, round(_SLACK * total / max(1, round(total / _ROW_TOKENS))))
    others = _filled(lengths, balanced, budget, shares_rows)
    return min(rows, others, key=lambda found: _padding(found, lengths))


def _filled(lengths: Sequence[int], row_length: int, budget: int, shares_rows: bool) -> list[list[int]]:
    """Rows that begin with the longest text left and go on with the longest that still fits."""
    order = sorted(range(1, len(lengths)), key=lengths.__getitem__)
    left = [*order, *range(min(1, len(lengths)))]
    sizes = [lengths[place] for place in left]
    rows: list[list[int]] = []
    while left and (not rows or (len(rows) + 1) * row_length <= budget):
        row, room = [left.pop()], row_length - sizes.pop()
        while shares_rows and (fitting := bisect.bisect_right(sizes, room)):
            row.append(left.pop(fitting - 1))
            room -= sizes.pop(fitting - 1)
        rows.append(row)
    return rows


def _padding(rows: list[list[int]], lengths: Sequence[int]) -> float:
    """The share of padding in `rows`."""
    used = [sum(lengths[place] for place in row) for row in rows]
    return 1 - sum(used) / max(1, len(used) * max(used))
