"""The kinds of abbreviations, which determine what a period after them may mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum

from transforms.splitter.languages import Language


class Kind(IntEnum):
    """The kind of an abbreviation, which the field of `Language` with the same name describes."""

    TITLE = 1
    NUMBERED = 2
    CLOSING = 3
    FINAL = 4
    COMMON = 5


def table(language: Language, extra: Iterable[str] = ()) -> Mapping[str, Kind]:
    """The kind of each abbreviation of the language; `extra` ones end a sentence only before a function word."""
    kinds: dict[str, Kind] = {}
    for kind, entries in (
        (Kind.CLOSING, language.closings),
        (Kind.FINAL, language.finals),
        (Kind.NUMBERED, language.numbered),
        (Kind.TITLE, language.titles),
        (Kind.COMMON, language.common),
    ):
        kinds.update(dict.fromkeys(entries, kind))
    kinds.update((entry.strip().rstrip(".").lower(), Kind.CLOSING) for entry in extra)
    return kinds
