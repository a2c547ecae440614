"""The sentence splitter."""

from __future__ import annotations

import dataclasses
import functools
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from transforms.splitter import custom, layout, lengths, newlines
from transforms.splitter.boundaries import Boundaries
from transforms.splitter.languages import GENERIC, LANGUAGES, Language

_LOG = logging.getLogger(__name__)

Span = tuple[int, int]


class Split(NamedTuple):
    """The sentences of a text, and those that min_length or max_length dropped; both in order."""

    spans: list[Span]
    dropped: list[Span]


@dataclasses.dataclass(frozen=True)
class SentenceSplitter:
    """Splits a text into sentences, in time linear in its length.

    Offsets are half-open and in code points. The sentences are in order and do not overlap; none is empty or
    has white space at its ends; with default options only white space lies between them.

    Attributes:
        language: ISO 639-1 code, with or without a region ("pt-BR"). An unknown one gets generic rules and,
            once a process, a warning.
        newlines: "sentence": each line break ends a sentence. "soft": each that is not a soft wrap. "ignore":
            a line break is white space. A blank line ends a sentence under each.
        use_abbreviations: Whether abbreviations and initials keep their period from ending a sentence.
        detect_lists: Whether bullets and numbered items begin a sentence, and a marker belongs to its item.
        custom_bounds: Regular expressions whose matches part sentences, besides the rules.
        use_custom_bounds_only: Whether nothing but custom_bounds parts sentences, blank lines included.
        custom_bounds_strategy: Where a matched bound goes: "none" (into no sentence), "prepend" (to the next)
            or "append" (to the last).
        split_length: Cuts longer sentences, in code points, at white space (or inside a longer word).
        min_length: Drops shorter sentences, in code points.
        max_length: Drops longer sentences, in code points, after split_length.
        abbreviations: Extra ones, with or without the last period; they end a sentence before a function word
            only.

    Raises:
        ValueError: if an option has no such value.
    """

    language: str = "en"
    _: dataclasses.KW_ONLY
    newlines: newlines.NewlinePolicy = "soft"
    use_abbreviations: bool = True
    detect_lists: bool = True
    custom_bounds: Sequence[str] = ()
    use_custom_bounds_only: bool = False
    custom_bounds_strategy: custom.BoundStrategy = "none"
    split_length: int | None = None
    min_length: int = 0
    max_length: int | None = None
    abbreviations: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Checks the options; lists become tuples, so that a splitter can be hashed."""
        for name in ("custom_bounds", "abbreviations"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ValueError(f"expected {name} as a list of strings, got the string {value!r}; pass [{value!r}]")
            object.__setattr__(self, name, tuple(value))
        _expect("newlines", self.newlines, newlines.POLICIES)
        _expect("custom_bounds_strategy", self.custom_bounds_strategy, custom.STRATEGIES)
        if self.use_custom_bounds_only and not self.custom_bounds:
            raise ValueError("expected custom_bounds with use_custom_bounds_only, got none; pass at least one")
        for name, least in (("split_length", 1), ("min_length", 0), ("max_length", 1)):
            number = getattr(self, name)
            if number is not None and number < least:
                raise ValueError(f"expected {name} of at least {least}, got {number}; pass a larger number")
        if self.max_length is not None and self.max_length < self.min_length:
            raise ValueError(
                f"expected max_length of at least min_length, got {self.max_length} and {self.min_length}; "
                "exchange them"
            )
        custom.compiled(tuple(self.custom_bounds))
        if _code(self.language) not in LANGUAGES:
            _warn(self.language)

    def spans(self, text: str) -> list[Span]:
        """The sentences of the text that no length option drops."""
        return self.split(text).spans

    def split(self, text: str) -> Split:
        """The sentences of the text and, for a caller that counts, those that a length option dropped."""
        spans = self._sentences(text)
        if self.split_length is not None:
            spans = list(lengths.bounded(text, spans, self.split_length))
        if self.min_length <= 1 and self.max_length is None:
            return Split(spans, [])
        longest = len(text) if self.max_length is None else self.max_length
        kept = [span for span in spans if self.min_length <= span[1] - span[0] <= longest]
        return Split(kept, [span for span in spans if not self.min_length <= span[1] - span[0] <= longest])

    def _sentences(self, text: str) -> list[Span]:
        gaps = custom.gaps(text, self._bounds, self.custom_bounds_strategy) if self.custom_bounds else []
        if self.use_custom_bounds_only:
            return [span for block in _divide([(0, len(text))], gaps) if (span := _trim(text, *block))]
        language = self._language
        marks = [(at, at) for at in layout.cuts(text, language, detect_lists=self.detect_lists)]
        blocks = newlines.blocks(text, self.newlines, detect_lists=self.detect_lists)
        rules = _rules(language.code, self.use_abbreviations, self.detect_lists, tuple(self.abbreviations))
        found: list[Span] = []
        for block in _divide(blocks, sorted(gaps + marks) if gaps else marks):
            span = _trim(text, *block)
            if span is not None:
                found += rules.spans(text, *span)
        return found

    @property
    def _language(self) -> Language:
        return LANGUAGES.get(_code(self.language), GENERIC)

    @property
    def _bounds(self) -> tuple[re.Pattern[str], ...]:
        return custom.compiled(tuple(self.custom_bounds))


@functools.lru_cache(maxsize=64)
def _rules(code: str, use_abbreviations: bool, detect_lists: bool, extra: tuple[str, ...]) -> Boundaries:
    return Boundaries(
        LANGUAGES.get(code, GENERIC),
        use_abbreviations=use_abbreviations,
        detect_lists=detect_lists,
        extra=extra,
    )


@functools.lru_cache(maxsize=1024)
def _code(language: str) -> str:
    return language.replace("_", "-").partition("-")[0].lower()


@functools.lru_cache(maxsize=1024)
def _warn(language: str) -> None:
    known = ", ".join(sorted(LANGUAGES))
    _LOG.warning("expected a language of %s, got %r; its texts are split by generic rules", known, language)


def _expect(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"expected {name} as one of {', '.join(allowed)}, got {value!r}; pass one of them")


def _trim(text: str, begin: int, end: int) -> Span | None:
    """The span without white space at its ends, or None."""
    if begin < end and not text[begin].isspace() and not text[end - 1].isspace():
        return begin, end
    piece = text[begin:end]
    solid = piece.lstrip()
    begin = end - len(solid)
    solid = solid.rstrip()
    return (begin, begin + len(solid)) if solid else None


def _divide(blocks: Iterable[Span], gaps: Sequence[Span]) -> Iterator[Span]:
    """The blocks without the gaps, which are in order and may be empty or overlap."""
    index = 0
    for begin, end in blocks:
        # A gap that reaches past its block also cuts the next one.
        while index and gaps[index - 1][1] > begin:
            index -= 1
        while index < len(gaps) and gaps[index][0] < end:
            if gaps[index][0] > begin:
                yield begin, gaps[index][0]
            begin = max(begin, gaps[index][1])
            index += 1
        if begin < end:
            yield begin, end
