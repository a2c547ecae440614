"""The user's own boundaries."""

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
        ValueError: if one is none.
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
    """Spans, in order, that part sentences: the matched bounds with "none", else an empty span beside each.

    A bound goes to the next sentence with "prepend", to the last with "append", and to neither with "none".
    """
    spans = sorted({match.span() for bound in bounds for match in bound.finditer(text)})
    if strategy == "prepend":
        return [(begin, begin) for begin, _ in spans]
    if strategy == "append":
        return sorted((end, end) for _, end in spans)
    return spans
