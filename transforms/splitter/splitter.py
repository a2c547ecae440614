"""SentenceSplitter: finds the sentences of a text."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from transforms.splitter import custom, detection, layout, lengths, newlines
from transforms.splitter.boundaries import Boundaries
from transforms.splitter.languages import GENERIC, LANGUAGES
from transforms.splitter.options import AUTO, SplitterOptions, language_code

Span = tuple[int, int]


class Split(NamedTuple):
    """The sentences of a text, and those that min_length or max_length dropped, both in order."""

    spans: list[Span]
    dropped: list[Span]


@dataclasses.dataclass(frozen=True)
class SentenceSplitter(SplitterOptions):
    """Splits a text into sentences, in time linear in its length; its arguments are the fields of SplitterOptions.

    Offsets are half-open and in code points. The sentences are in order and do not overlap, and none of them is empty
    or has white space at its ends. With default options there is only white space between them.
    """

    def spans(self, text: str) -> list[Span]:
        """The sentences of the text, without those that a length option drops."""
        return self.split(text).spans

    def split(self, text: str) -> Split:
        """The sentences of the text, and separately those that a length option dropped."""
        spans = self._sentences(text)
        if self.split_length is not None:
            spans = list(lengths.bounded(text, spans, self.split_length))
        if self.min_length <= 1 and self.max_length is None:
            return Split(spans, [])
        longest = len(text) if self.max_length is None else self.max_length
        kept = [span for span in spans if self.min_length <= span[1] - span[0] <= longest]
        return Split(kept, [span for span in spans if not self.min_length <= span[1] - span[0] <= longest])

    def language_of(self, text: str) -> str:
        """The language that the text is split by: with "auto" the one that is detected, or "und" if none is."""
        return detection.detect(text) if self.language == AUTO else self.language

    def _sentences(self, text: str) -> list[Span]:
        gaps = custom.gaps(text, self._bounds, self.custom_bounds_strategy) if self.custom_bounds else []
        if self.use_custom_bounds_only:
            return [span for block in _divide([(0, len(text))], gaps) if (span := _trim(text, *block))]
        language = LANGUAGES.get(language_code(self.language_of(text)), GENERIC)
        marks = [(at, at) for at in layout.cuts(text, language, detect_lists=self.detect_lists)]
        blocks = newlines.blocks(text, self.newlines, language, detect_lists=self.detect_lists)
        rules = _rules(language.code, self.use_abbreviations, self.detect_lists, tuple(self.abbreviations))
        found: list[Span] = []
        for block in _divide(blocks, sorted(gaps + marks) if gaps else marks):
            span = _trim(text, *block)
            if span is not None:
                found += rules.spans(text, *span)
        return found

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


def _trim(text: str, begin: int, end: int) -> Span | None:
    """The span without white space at its ends, or None if there is nothing else in it."""
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
        # A gap that extends past its block also cuts the next one.
        while index and gaps[index - 1][1] > begin:
            index -= 1
        while index < len(gaps) and gaps[index][0] < end:
            if gaps[index][0] > begin:
                yield begin, gaps[index][0]
            begin = max(begin, gaps[index][1])
            index += 1
        if begin < end:
            yield begin, end
