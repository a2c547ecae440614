"""Decides which line breaks end sentences, and divides a text into blocks that no sentence crosses."""

# ruff: noqa: RUF001 (the characters are meant)

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal

from transforms.splitter.items import FIRM_ITEM, LINE_ITEM, LONE_MARKER
from transforms.splitter.languages import Language

NewlinePolicy = Literal["sentence", "soft", "ignore"]
POLICIES: Final = ("sentence", "soft", "ignore")

# A line of such a length may have been wrapped at a column; a longer one is a whole paragraph.
SHORTEST_WRAPPED: Final = 45
LONGEST_WRAPPED: Final = 160

_BREAK: Final = re.compile(r"[\n\r\v\f\x85\u2028\u2029]\s*")
_LINE_END: Final = re.compile(r"\r\n|[\n\r\v\f\x85\u2028\u2029]")
_LINKS: Final = ("http://", "https://", "www.")
# At the end of a line, a part of an enumeration or an open bracket; at the beginning, what closes or goes on.
_OPEN: Final = frozenset(";([")
_CLOSING: Final = frozenset(")],;")
_WORD: Final = re.compile(r"\S{0,40}")
# The length of a marker, and of the end of a line that is read.
_LONGEST_MARKER: Final = 8
_LONGEST_WORD: Final = 16
# A line that is nothing but the number of an article or section, or its number and title.
_NUMBERED_HEADING: Final = re.compile(
    r"(?:[^\W\d_a-zà-öø-ÿ][\w-]{2,12}\.?|§)[ \xa0](?:\d{1,4}|[IVXLC]{1,6})[^\W_]{0,3}(?:-\d{1,3}){0,3}"
    r"(?:\.| ?[:–—-].{0,100})?[ \t\r]*$",
    re.MULTILINE,
)
# A line that is nothing but an editor's remark: "[repealed]".
_REMARK: Final = re.compile(r"\[[^\[\]\n]{1,60}\][ \t\r]*$", re.MULTILINE)
# The line between the parties of a case.
_VERSUS: Final = re.compile(r"(?:vs?\.|contr[aeo]|gegen)[ \t]*[\r\n]")
# A line that is nothing but a number ("16", "Page 16") before one that begins with a lower-case letter: a page's,
# within a sentence.
_PAGE_NUMBER: Final = re.compile(r"(?:[^\W\d_]{1,12}\.? )?\d{1,4}[ \t]*(?:\r\n|[\n\r\f])[ \t]*[^\W\d_A-ZÀ-ÖØ-Þ]")
_ENDED: Final = frozenset(".!?:…")
_RULED: Final = re.compile(r"[-_*=#~+ ]{3,}")


def blocks(text: str, policy: NewlinePolicy, language: Language, *, detect_lists: bool) -> Iterator[tuple[int, int]]:
    """Yields the half-open spans between the line breaks that end a sentence.

    With "sentence", every line break ends a sentence. With "soft", every line break does except soft wraps: those
    where the next line begins with a lower-case letter, or where the line is as long as a wrapped one and had no room
    for the next word. With "ignore", no line break does. A blank line ends a sentence under all three policies.
    """
    begin = line = 0
    for match in _BREAK.finditer(text):
        at, after = match.span()
        if policy == "soft":
            joined = _soft(text, line, at, after, language, detect_lists)
        else:
            joined = policy == "ignore" and not _blank(text, at, after)
        if joined:
            line = after
            continue
        if at > begin:
            yield begin, at
        begin = line = after
    if begin < len(text):
        yield begin, len(text)


def _blank(text: str, at: int, after: int) -> bool:
    """Whether the white space text[at:after] contains more than one line end."""
    if after - at == 1:
        return False
    first = _LINE_END.match(text, at)
    return first is not None and _LINE_END.search(text, first.end(), after) is not None


def _soft(text: str, line: int, at: int, after: int, language: Language, detect_lists: bool) -> bool:
    """Whether the break text[at:after] only wraps the line that begins at `line`."""
    if after == len(text):
        return False
    blank = _blank(text, at, after)
    if blank and at - line > _LONGEST_MARKER and text[at - 1] not in "; \t":
        return False
    ending = text[max(line, at - _LONGEST_WORD) : at].rstrip()
    last = ending[-1:]
    if detect_lists and at - line <= _LONGEST_MARKER and text[after].islower() and LONE_MARKER.match(ending):
        return not LONE_MARKER.match(text, after)
    firm = detect_lists and FIRM_ITEM.match(text, after) is not None
    if last in _OPEN and not firm:
        return not blank or (last == ";" and (text[after].islower() or LINE_ITEM.match(text, after) is not None))
    if blank:
        return False
    if _VERSUS.match(text, after) or _VERSUS.match(text, line):
        return True
    final = ending.rpartition(" ")[2]
    if not firm and (final in language.unfinished or final in language.joiners):
        return True
    if detect_lists and LINE_ITEM.match(text, after):
        return False
    if last not in _ENDED and at - line >= SHORTEST_WRAPPED and _PAGE_NUMBER.match(text, after):
        return True
    if text[after].islower():
        return not text.startswith(_LINKS, after)
    if text[after] in _CLOSING:
        return True
    if _NUMBERED_HEADING.match(text, after) or _REMARK.match(text, after):
        return False
    length = at - line
    if not SHORTEST_WRAPPED <= length <= LONGEST_WRAPPED or _RULED.match(text, line):
        return False
    word = _WORD.match(text, after)
    next_break = _BREAK.search(text, after, after + LONGEST_WRAPPED + 1)
    next_end = next_break.start() if next_break else min(len(text), after + LONGEST_WRAPPED)
    return length + 1 + (word.end() - after if word else 0) >= next_end - after
