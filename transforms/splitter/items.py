"""List items: bullets, and markers such as "2.", "b)", "(iv)" or "1.3"."""

# ruff: noqa: RUF001 (the characters are meant)

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Final

from transforms.splitter.languages import Language

BULLETS: Final = "•⁃‣▪●◦➢►✓"

# The text between the beginning of a sentence and the period of its own marker: "1", "(2.3", "• 9", "IV".
OWN_MARKER: Final = re.compile(
    rf"[\"“«„]?[{BULLETS}*+-]?\s?[(\[]?(?:\d{{1,3}}(?:\.\d{{1,3}}){{0,5}}|[A-Za-z]|[IVXivx]{{1,5}})\Z"
)
# The length of a marker that a rule may take for a word: a bullet, a bracket and "xviii".
LONGEST_ROMAN: Final = 8
# What an item may begin with behind its marker; a number must not be the next marker.
ITEM_TEXT: Final = re.compile(r"[^\W\d_]|[-–—] ?[^\W_]|[\"'“‘«(\[{*_„¿¡]|[$€£]?\d(?![\d.,]{0,9}[.)](?:\s|\Z))")

# The marker of an item at the beginning of a line.
LINE_ITEM: Final = re.compile(
    rf"[*+○·–—-]\s|[{BULLETS}]|\(?(?:\d{{1,3}}|[A-Za-z]|[IVXivx]{{2,4}})[.)]\)?\s"
    r"|[IVX]{1,5}\s?[–—-]\s|\d{1,2}\.?[°ºª]\s|§ \d|Art\. \d"
)

# A line that is nothing but a marker.
LONE_MARKER: Final = re.compile(
    rf"[«\"(\[]{{0,2}}(?:[–—{BULLETS}*-]|(?:\d{{1,3}}(?:\.\d{{1,3}}){{0,5}}|[A-Za-z]|[IVXivx]{{2,5}})(?:[.)\]]\)?|\.?[°ºª]))"
    r"[ \t]*(?:\Z|[\r\n])"
)

# Such a marker begins a sentence even after a semicolon: a bullet, or one whose period would end a sentence otherwise.
FIRM_ITEM: Final = re.compile(rf"[*+○·–—-]\s|[{BULLETS}]|(?:\d{{1,3}}|[A-Za-z]|[IVXivx]{{2,4}})\.\s")

_LABELS: Final = ("[0-9A-Za-z]", "[0-9]{2}", *(f"[IVXivx]{{{length}}}" for length in (2, 3, 4, 5)))
_OUTSIDE: Final = rf"[^\s(\[\"“«„{BULLETS}]"
# What closes a label, or the first period within "1.2". It begins with a rare character, so that the scan is fast.
_CLOSER: Final = re.compile(
    rf"[.)\]](?:{'|'.join(f'(?<={label}.)(?<!{_OUTSIDE}{label}.)' for label in _LABELS)})"
    r"(?:\)?|(?:\d{1,2}\.){0,4}\d{1,2}[.)\]]?)(?=\s)"
)
_MARKER: Final = re.compile(
    rf"(?P<lead>[\"“«„]?(?:[{BULLETS}]\s?)?)(?P<opener>[(\[]?)"
    r"(?P<label>\d{1,2}(?:\.\d{1,2}){0,5}|[A-Za-z]|[IVX]{2,5}|[ivx]{2,5})(?P<closer>[.)\]]?\)?)\Z"
)
_STYLES: Final = frozenset(("1.", "1)", "1.)", "(1)", "(1.)", "[1]"))
_ROMAN: Final = {
    tens + ones: 10 * ten + one
    for ten, tens in enumerate(("", "X", "XX", "XXX"))
    for one, ones in enumerate(("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"))
}
_FARTHEST: Final = 4000
# A list whose items do not end with a full stop has so many of them, or they are near.
_SEVERAL: Final = 3
_NEAR: Final = 300
_REACH: Final = 24

_Label = tuple[int, ...]


@dataclasses.dataclass
class _Items:
    """The items of what may be a list: their beginnings, and the words before them, "" where a sentence ended."""

    label: _Label
    begins: list[int]
    leads: list[str]

    def cuts(self, style: str) -> list[int]:
        """Where its items begin, or nowhere if it is no list."""
        first, later = self.leads[0], self.leads[1:]
        if not later:
            return []
        sure = "" in later or len(later) + 1 >= _SEVERAL
        if "A" in style or "I" in style or "(" in style or "[" in style:
            return self.begins if sure else []
        return self.begins if sure or not first or self.begins[1] - self.begins[0] < _NEAR else []


def inline_items(text: str, language: Language) -> Iterator[int]:
    """Where items begin in lists that are numbered consecutively, from 1, a, A, i, I or 1.1 on."""
    lists: dict[str, _Items] = {}
    begin_before = end_before = 0
    inner = False
    for match in _CLOSER.finditer(text):
        end = match.end()
        marker = _MARKER.search(text, max(0, match.start() - 9), end)
        if marker is None or (marker.start() and not text[marker.start() - 1].isspace()):
            continue
        begin = marker.start()
        lead = _lead(text, begin, marker["label"], language)
        if lead is None:
            continue
        readings = list(_readings(marker))
        # In "1. (a) First", both items begin at "1.".
        inner = not inner and end_before > 0 and text[end_before:begin].isspace()
        begin, begin_before, end_before = begin_before if inner else begin, begin, end
        for style, label in readings:
            items = lists.get(style)
            if (
                items is not None
                and begin - items.begins[-1] < _FARTHEST
                and _follows(items.label, label)
                and not (lead.isalpha() and lead == items.leads[0])
                and _continues(lead, style, language)
                and _has_text(text, end, lead, style, language)
            ):
                items.label = label
                items.begins.append(begin)
                items.leads.append(lead)
                break
        else:
            for style, label in readings:
                if label[-1] == 1 and _opens(lead, style, language) and _has_text(text, end, lead, style, language):
                    if style in lists:
                        yield from lists[style].cuts(style)
                    lists[style] = _Items(label, [begin], [lead])
    for style, items in lists.items():
        yield from items.cuts(style)


def _readings(marker: re.Match[str]) -> Iterator[tuple[str, _Label]]:
    """The styles that the marker may have, and its number in each; "i." is a letter and a Roman number."""
    label = marker["label"]
    shape = f"{marker['opener']}1{marker['closer']}"
    if "." in label:
        if shape in _STYLES or shape == "1":
            yield shape.replace("1", "1.1"), tuple(map(int, label.split(".")))
    elif shape not in _STYLES:
        return
    elif label.isdigit():
        yield shape, (int(label),)
    else:
        upper = label.isupper()
        if len(label) == 1:
            yield shape.replace("1", "A" if upper else "a"), (ord(label) - ord("A" if upper else "a") + 1,)
        if label.upper() in _ROMAN:
            yield shape.replace("1", "I" if upper else "i"), (_ROMAN[label.upper()],)


def _lead(text: str, begin: int, label: str, language: Language) -> str | None:
    """What comes before a marker: its last word, ",", ";", ":" or "(", or "" where a sentence or line ends.

    None if the label belongs to the word before it, as in "section 1." or "J. A. Smith".
    """
    before = text[max(0, begin - _REACH) : begin]
    words = before.split()
    if not words:
        return ""
    last = words[-1].lower()
    bare = last.rstrip(".").lstrip("(\"'")
    if (
        not bare
        or bare in "§¶#№"
        or bare in language.counted
        or last in language.unfinished
        or (last != bare and (bare in language.numbered or bare in language.titles))
    ):
        return None
    if last[-1] in ",;":
        return last[-1]
    if last[-1] == ".":
        return None if label.isalpha() and len(bare) == 1 and bare.isalpha() else ""
    if "\n" in before[len(before.rstrip()) :] or not (last[-1].isalpha() or last[-1] in ",;:("):
        return ""
    return bare if last[-1].isalpha() else last[-1]


def _follows(old: _Label, new: _Label) -> bool:
    """Whether the number comes next: 2 after 1, and 1.2, 2.1 or 1.1.1 after 1.1."""
    if new == (*old, 1):
        return True
    rise = next((index for index, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), -1)
    return rise >= 0 and new[rise] == old[rise] + 1 and set(new[rise + 1 :]) <= {1}


def _opens(lead: str, style: str, language: Language) -> bool:
    """Whether the first item of a list may begin here."""
    if lead in (",", ";", "("):
        return style.endswith(".")
    return not lead or lead == ":" or style.endswith((")", "]")) or not language.ordinals


def _continues(lead: str, style: str, language: Language) -> bool:
    """Whether a later item may begin here; those within a sentence, "a) one, b) two and c) three", do not count."""
    within = lead in (",", ";", ":", "(") or lead in language.joiners
    return not within or style in ("1.", "a.", "i.", "1.1.")


def _has_text(text: str, end: int, lead: str, style: str, language: Language) -> bool:
    """Whether the text of an item begins behind its marker."""
    first = text[end : end + 4].lstrip("\"'“‘«„(*¿¡ \t")[:1]
    if first.isdigit():
        return lead in ("", ":") and style.endswith(".")
    if not first.islower():
        return first.isalpha()
    if style.endswith("."):
        return style[0] in "1ai" and not language.ordinals
    return style[0] not in "([" or not lead
