"""Sentences that are too long."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

_SPACE: Final = re.compile(r"\s*")


def bounded(text: str, spans: Iterable[tuple[int, int]], length: int) -> Iterator[tuple[int, int]]:
    """Cuts the spans longer than `length` code points at their last white space, or inside a longer word."""
    for begin, end in spans:
        while end - begin > length:
            piece = text[begin : begin + length + 1]
            # White space right behind the limit lets the whole stretch stand.
            words = piece.rsplit(None, 1) if not piece[-1].isspace() else [piece, ""]
            at = begin + (len(words[0].rstrip()) if len(words) > 1 else length)
            yield begin, at
            space = _SPACE.match(text, at, end)
            begin = space.end() if space else at
        yield begin, end
