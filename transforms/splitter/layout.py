"""Boundaries that follow from the layout and not from terminators: items, rules, mail headers, sign-offs and links."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Final

from transforms.splitter.items import inline_items
from transforms.splitter.languages import Language

_RULES: Final = ("-----", "_____", "*****", "=====", "~~~~~", "#####", " *** ")
_RULE: Final = re.compile(r"\s*[-_*=~#]+")
_STAMP: Final = re.compile(r"/\d\d?/\d{2}(?:\d\d)?,?\s{1,3}\d\d?:\d\d(?::\d\d)?(?:\s?[AaPp][Mm])?(?=\s|\Z)")
_STAMP_LEAD: Final = re.compile(
    r"(?:\b(?:on|at|of|by|from|to|until|since|before|after|and|the|dated?)|[,:;(/\d-])\s*\Z", re.IGNORECASE
)
_STAMP_TAIL: Final = re.compile(r"\s{1,3}[\"'<A-Z]")
_ADDRESS: Final = re.compile(r"<[^<>\s@]{1,64}@[^<>\s@]{1,128}>(?=\s{1,3}[\"A-Z0-9])")
_ATTACHED: Final = re.compile(r"<<[^<>]{1,200}>> ?(?=[A-Z-])")
_FILE: Final = re.compile(r"\.(?:docx?|pdf|html?|txt|xlsx?|jpe?g|png|pptx?|csv|zip) (?=- )")
_LINK: Final = re.compile(r"https?://\S{1,300}\s+(?=https?://)")
_SIGN_OFFS: Final = ("egards, ", "incerely, ", "ishes, ", "ruly, ", "aithfully, ")
_SIGN_OFF: Final = re.compile(r"(?:\A|[.!?\n]\s*)(?:[A-Z][a-z]{2,8} )?(?:[a-z]{2,8} )?[RSWTFrswtf]\Z")
_QUOTED: Final = re.compile(r": ?(?=«\s?[A-ZÀ-ÖØ-Þ])")


def cuts(text: str, language: Language, *, detect_lists: bool) -> list[int]:
    """The offsets, in order, at which a sentence ends and another begins, regardless of terminators."""
    found: set[int] = set()
    if detect_lists:
        found.update(inline_items(text, language))
    found.update(_rules(text))
    if "/" in text:
        found.update(_stamps(text))
    for needle, pattern in (("@", _ADDRESS), ("<<", _ATTACHED), (" - ", _FILE), ("://", _LINK)):
        if needle in text:
            found.update(match.end() for match in pattern.finditer(text))
    found.update(_sign_offs(text))
    if language.headings:
        found.update(_headings(text, language.starters))
    if language.quote_after_colon:
        found.update(match.start() + 1 for match in _QUOTED.finditer(text))
    return sorted(found)


def _hits(text: str, needles: Iterable[str]) -> Iterator[tuple[int, int]]:
    """The spans of each needle in turn, in text order; str.find is many times faster than a regular expression."""
    for needle in needles:
        at = text.find(needle)
        while at >= 0:
            yield at, at + len(needle)
            at = text.find(needle, at + len(needle))


def _rules(text: str) -> Iterator[int]:
    """Before and after a ruled line, even if its line breaks were lost."""
    for rule in _RULES:
        at = text.find(rule)
        while at >= 0:
            match = _RULE.match(text, at)
            end = match.end() if match else at + 1
            if (at == 0 or text[at - 1].isspace() or rule[0] == " ") and (end == len(text) or text[end].isspace()):
                yield at
                yield end
            at = text.find(rule, end)


def _stamps(text: str) -> Iterator[int]:
    """Before and after a detached date and time, as in the header of a forwarded mail."""
    for match in _STAMP.finditer(text):
        at = match.start()
        begin = at - 2 if at > 1 and text[at - 2 : at].isdigit() else at - 1
        if begin < 0 or not text[begin].isdigit() or (begin and not text[begin - 1].isspace()):
            continue
        if not _STAMP_LEAD.search(text, max(0, begin - 12), begin):
            yield begin
        if _STAMP_TAIL.match(text, match.end()):
            yield match.end()


def _sign_offs(text: str) -> Iterator[int]:
    """After "Best regards," and the like, so that the name is the next sentence."""
    for at, end in _hits(text, _SIGN_OFFS):
        if text[end : end + 1].isupper() and _SIGN_OFF.search(text[max(0, at - 24) : at]):
            yield end


def _headings(text: str, starters: frozenset[str]) -> Iterator[int]:
    """Before a capitalized function word between two lower-case words, where a heading without a period ended."""
    for match in _heading(starters).finditer(text):
        at = match.start()
        before = text[max(0, at - 24) : at].rsplit(None, 1)[-1]
        if before.islower() and before.isalpha() and before not in starters:
            yield at


@functools.cache
def _heading(starters: frozenset[str]) -> re.Pattern[str]:
    capitals = "|".join(sorted(word.capitalize() for word in starters if word.isalpha()))
    return re.compile(rf" (?<=[^\W\d_A-Z] )(?=(?:{capitals}) [^\W\d_A-Z])")
