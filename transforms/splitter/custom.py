"""Custom sentence boundaries, given as regular expressions."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Final, Literal

BoundStrategy = Literal["none", "prepend", "append"]
STRATEGIES: Final = ("none", "prepend", "append")


@functools.lru_cache(maxsize=64)
def compiled(bounds: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """The regular expressions, compiled.

    Raises:
        ValueError: if a bound is not a valid regular expression.
    """
    found = []
    for bound in bounds:
        try:
            found.append(re.compile(bound))
        except (re.error, TypeError) as error:
            raise ValueError(
                f"expected custom_bounds to be regular expressions, got {bound!r} ({error}); "
                "correct it, or escape it with re.escape"
            ) from None
    return tuple(found)


def gaps(text: str, bounds: Sequence[re.Pattern[str]], strategy: BoundStrategy) -> list[tuple[int, int]]:
    """The spans that separate sentences, in order.

    With "none" they are the matches of the bounds, which then belong to no sentence. With "prepend" they are empty
    spans before the matches, which belong to the next sentence; with "append" they are empty spans after the matches,
    which belong to the previous sentence.
    """
    spans = sorted({match.span() for bound in bounds for match in bound.finditer(text)})
    if strategy == "prepend":
        return [(begin, begin) for begin, _ in spans]
    if strategy == "append":
        return sorted((end, end) for _, end in spans)
    return spans
