"""Cuts sentences that are too long."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

_SPACE: Final = re.compile(r"\s*")


def bounded(text: str, spans: Iterable[tuple[int, int]], length: int) -> Iterator[tuple[int, int]]:
    """Cuts spans longer than `length` code points at the last white space that fits, or else inside a word."""
    for begin, end in spans:
        while end - begin > length:
            piece = text[begin : begin + length + 1]
            # If white space follows directly after the limit, the whole piece fits.
            words = piece.rsplit(None, 1) if not piece[-1].isspace() else [piece, ""]
            at = begin + (len(words[0].rstrip()) if len(words) > 1 else length)
            yield begin, at
            space = _SPACE.match(text, at, end)
            begin = space.end() if space else at
        yield begin, end
