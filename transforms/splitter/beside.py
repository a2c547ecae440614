"""What stands beside a candidate: the words around it, and what trails the sentence that ends there."""

# ruff: noqa: RUF001 (the characters are meant)

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from transforms.splitter import patterns
from transforms.splitter.abbreviations import Kind
from transforms.splitter.languages import Language

# How far a rule looks, back or ahead.
REACH: Final = 48


class Words:
    """What the words beside a candidate say in one language."""

    def __init__(self, language: Language, kinds: Mapping[str, Kind]) -> None:
        """Takes the language and its abbreviations."""
        self._language = language
        self._kinds = kinds
        self._speaks = patterns.speaker(language.speech)

    def kind(self, text: str, sentence: int, at: int, word: str) -> Kind | None:
        """What the tables say of the word before a period, or of it and the one before ("z. B.", "т. п.")."""
        kind = self._kinds.get(word.lower())
        if len(word) <= 4:
            parts = text[back(at, sentence) : at].rsplit(None, 2)
            if len(parts) > 1 and parts[-2][-1] == "." and len(parts[-2]) <= 5:
                joined = (parts[-2].lstrip(patterns.WORD_LEAD) + word).lower()
                kind = self._kinds.get(joined, kind)
        return kind

    def next_word(self, text: str, after: int, end: int) -> str:
        """The lower-case word at `after`, behind what opens before it."""
        match = patterns.NEXT_WORD.match(text, after, min(end, after + REACH))
        return match[1].lower() if match else ""

    def starts(self, text: str, after: int, end: int) -> bool:
        """Whether a function word with one capital stands at `after`, or a quotation opens there."""
        match = patterns.NEXT_WORD.match(text, after, min(end, after + REACH))
        if match is None or not match[1][0].isupper() or match[1][1:].isupper():
            return False
        word = match[1].lower().replace("’", "'")
        if match[2] and (len(word) == 1 or word in self._kinds):
            return False
        return word in self._language.starters or text[after] in patterns.QUOTE_OPENERS

    def pronoun(self, text: str, after: int, end: int) -> bool:
        """Whether the "I" at `after` is the English pronoun, whose capital shows nothing."""
        return self._language.code == "en" and (after + 1 == end or not text[after + 1].isalnum())

    def speaker(self, text: str, after: int, end: int) -> bool:
        """Whether a speaker is named at `after` ("John said")."""
        if self._speaks is None or self._speaks.match(text, after, min(end, after + 2 * REACH)) is None:
            return False
        first = self.next_word(text, after, end)
        return first == "i" or first not in self._language.starters


def before(text: str, sentence: int, at: int) -> str:
    """The word that ends at `at`, or "" if white space or the begin of the sentence does."""
    words = text[back(at, sentence) : at].rsplit(None, 1)
    return words[-1] if words and not text[at - 1].isspace() else ""


def back(at: int, sentence: int) -> int:
    """Where a rule that looks back from `at` begins to read."""
    return at - REACH if at - sentence > REACH else sentence


def chunk(text: str, at: int, end: int) -> str:
    """The first characters from `at` on, up to white space."""
    return text[at : min(end, at + 12)].split(None, 1)[0]


def skip_space(text: str, at: int, end: int) -> int:
    """Where the white space that begins at `at` ends."""
    match = patterns.SPACE.match(text, at, end)
    return match.end() if match else at


def trailing(text: str, cut: int, after: int, end: int) -> tuple[int, int]:
    """Gives a sentence what trails it: a closing bracket or quote that stands alone, smileys, emoji."""
    if after < end and text[after] in ")]}»”":
        match = patterns.DETACHED_CLOSER.match(text, after, end)
        if match is not None:
            cut, after = after + 1, match.end()
    if after < end and (text[after] in patterns.SMILEY_LEAD or text[after] >= "\u2600"):
        match = patterns.SMILEYS.match(text, after, end)
        if match is not None:
            cut, after = after + len(match[0].rstrip()), match.end()
    return cut, after
