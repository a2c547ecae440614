"""The context of a candidate boundary: the words around it, and the characters that trail the sentence."""

# ruff: noqa: RUF001 (the characters are meant)

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from transforms.splitter import patterns
from transforms.splitter.abbreviations import Kind
from transforms.splitter.languages import Language

# How many characters a rule looks back or ahead.
REACH: Final = 48


class Words:
    """Rules about the words around a candidate, for one language."""

    def __init__(self, language: Language, kinds: Mapping[str, Kind]) -> None:
        """Keeps the language and its abbreviations."""
        self._language = language
        self._kinds = kinds
        self._speaks = patterns.speaker(language.speech)

    def kind(self, text: str, sentence: int, at: int, word: str) -> Kind | None:
        """The kind of the word before a period, or of that word together with the one before it ("z. B.", "т. п.")."""
        kind = self._kinds.get(word.lower())
        if len(word) <= 4:
            parts = text[back(at, sentence) : at].rsplit(None, 2)
            if len(parts) > 1 and parts[-2][-1] == "." and len(parts[-2]) <= 5:
                joined = (parts[-2].lstrip(patterns.WORD_LEAD) + word).lower()
                kind = self._kinds.get(joined, kind)
        return kind

    def next_word(self, text: str, after: int, end: int) -> str:
        """The word at `after`, in lower case and without opening quotes or brackets; "" if there is none."""
        match = patterns.NEXT_WORD.match(text, after, min(end, after + REACH))
        return match[1].lower() if match else ""

    def starts(self, text: str, after: int, end: int) -> bool:
        """Whether a capitalized function word begins at `after`, or a quotation of a capitalized word."""
        match = patterns.NEXT_WORD.match(text, after, min(end, after + REACH))
        if match is None or not match[1][0].isupper() or match[1][1:].isupper():
            return False
        word = match[1].lower().replace("’", "'")
        if match[2] and (len(word) == 1 or word in self._kinds):
            return False
        return word in self._language.starters or text[after] in patterns.QUOTE_OPENERS

    def pronoun(self, text: str, after: int, end: int) -> bool:
        """Whether the "I" at `after` is the English pronoun, which is capitalized within sentences too."""
        return self._language.code == "en" and (after + 1 == end or not text[after + 1].isalnum())

    def speaker(self, text: str, after: int, end: int) -> bool:
        """Whether a speaker is named at `after` ("John said")."""
        if self._speaks is None or self._speaks.match(text, after, min(end, after + 2 * REACH)) is None:
            return False
        first = self.next_word(text, after, end)
        return first == "i" or first not in self._language.starters


def before(text: str, sentence: int, at: int) -> str:
    """The word that ends at `at`, or "" if there is white space or the beginning of the sentence before it."""
    words = text[back(at, sentence) : at].rsplit(None, 1)
    return words[-1] if words and not text[at - 1].isspace() else ""


def back(at: int, sentence: int) -> int:
    """The position from which a rule that looks back from `at` starts to read."""
    return at - REACH if at - sentence > REACH else sentence


def chunk(text: str, at: int, end: int) -> str:
    """Up to 12 characters from `at` on, up to white space."""
    return text[at : min(end, at + 12)].split(None, 1)[0]


def skip_space(text: str, at: int, end: int) -> int:
    """The end of the white space that begins at `at`."""
    match = patterns.SPACE.match(text, at, end)
    return match.end() if match else at


def trailing(text: str, cut: int, after: int, end: int) -> tuple[int, int]:
    """Extends a sentence over what trails it: a detached closing bracket or quote, smileys or emoji.

    Returns the end of the sentence and the beginning of the next one.
    """
    if after < end and text[after] in ")]}»”":
        match = patterns.DETACHED_CLOSER.match(text, after, end)
        if match is not None:
            cut, after = after + 1, match.end()
    if after < end and (text[after] in patterns.SMILEY_LEAD or text[after] >= "\u2600"):
        match = patterns.SMILEYS.match(text, after, end)
        if match is not None:
            cut, after = after + len(match[0].rstrip()), match.end()
    return cut, after
