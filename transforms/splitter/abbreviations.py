"""What a period after an abbreviation may mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum

from transforms.splitter.languages import Language


class Kind(IntEnum):
    """How a word takes a period; the fields of `Language` say what each means."""

    TITLE = 1
    NUMBERED = 2
    CLOSING = 3
    FINAL = 4
    COMMON = 5


def table(language: Language, extra: Iterable[str] = ()) -> Mapping[str, Kind]:
    """The language's abbreviations and the extra ones, which end a sentence only before a function word."""
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
