"""List items: bullets, and markers such as "2." or "b)"."""

# ruff: noqa: RUF001 (the characters are meant)

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

BULLETS: Final = "•⁃‣▪●◦➢►✓"

# The text between the beginning of a sentence and the period of its own marker: "1", "(2.3", "• 9", "IV".
OWN_MARKER: Final = re.compile(
    rf"[{BULLETS}*+-]?\s?[(\[]?(?:\d{{1,3}}(?:\.\d{{1,3}}){{0,5}}|[A-Za-z]|[IVXivx]{{1,5}})\Z"
)

# The marker of an item at the beginning of a line.
LINE_ITEM: Final = re.compile(rf"[*+○·–—-]\s|[{BULLETS}]|\(?(?:\d{{1,3}}|[A-Za-z]|[IVXivx]{{2,4}})[.)]\)?\s")

_MARKER: Final = re.compile(
    rf"[.)](?:(?<=[0-9a-z].)(?<![^\s{BULLETS}][0-9a-z].)|(?<=[0-9]{{2}}.)(?<![^\s{BULLETS}][0-9]{{2}}.))\)?(?=\s)"
)
_FARTHEST: Final = 4000


def inline_items(text: str) -> Iterator[int]:
    """Where items begin in lists that are numbered consecutively from 1 or a, except for the first item of each."""
    begins: list[int] = []
    number, style = 0, ""
    for match in _MARKER.finditer(text):
        at = match.start()
        begin = at - 2 if at > 1 and text[at - 2 : at].isdigit() else at - 1
        label = text[begin:at]
        value = int(label) if label.isdigit() else ord(label) - ord("a") + 1
        kind = ("1" if label.isdigit() else "a") + match[0]
        near = begins and begin - begins[-1] < _FARTHEST
        if near and kind == style and value == number + 1 and _continues(text, begin, match.end(), kind):
            begins.append(begin)
            number = value
        elif value == 1 and _opens(text, begin, kind):
            yield from begins[1:]
            begins, number, style = [begin], 1, kind
    yield from begins[1:]


def _opens(text: str, begin: int, kind: str) -> bool:
    """Whether the first item of a list may begin here; a bare "1." must not be the end of "section 1."."""
    before = text[max(0, begin - 12) : begin].rstrip(" \t")
    if kind.endswith(")"):
        return not before.endswith(("(", ",", ";"))
    return not before or before[-1] in '.!?:;\n\r"”’)-–—' + BULLETS


def _continues(text: str, begin: int, end: int, kind: str) -> bool:
    """Whether a later item begins here; those within a sentence, "a) one, b) two and c) three", do not count."""
    before = text[max(0, begin - 12) : begin].rstrip()
    if before.endswith((",", ";", ":", "(", " and", " or", " &")):
        return False
    first = text[end : end + 4].lstrip("\"'“‘(* \t")[:1]
    return first.isupper() or (kind.endswith(")") and first.islower())
