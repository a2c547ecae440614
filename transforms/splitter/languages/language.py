"""The lexicon that the boundary rules need of a language."""

from __future__ import annotations

import dataclasses


def words(text: str) -> frozenset[str]:
    """The words of a table that is separated by white space."""
    return frozenset(text.split())


@dataclasses.dataclass(frozen=True)
class Language:
    """The lexicon of one language. Abbreviations are lower-case, without their last period.

    Attributes:
        code: ISO 639-1 code.
        titles: Abbreviations that do not end a sentence, because something always follows them ("Mr.", "e.g.").
        numbered: Abbreviations that are followed by a number ("p.", "No."); before anything else they are treated like
            `closings`.
        closings: Abbreviations that end a sentence only before a word of `starters` ("Inc.", "U.S.").
        finals: Abbreviations that end a sentence before any capital ("etc.", "p.m.").
        counted: Words, in lower case here, after which a number or letter is no item of a list ("section 1", "at 1").
        joiners: The words for "and" and "or", before the last part of an enumeration.
        unfinished: Articles and prepositions that no sentence ends in: a line that does goes on in the next one, and a
            number or letter after one is no item of a list.
        common: Ordinary words that are abbreviations only before a number ("no.", "art.").
        starters: Function words, in lower case; capitalized, they show that a sentence begins.
        after_finals: Words, in lower case here, that are capitalized within a sentence and continue it after `finals`
            ("p.m. Monday").
        time_leads: Words, in lower case, that are no sentence together with a time ("At 5 p.m.").
        suffixes: Endings of compounds that are abbreviated like `numbered` words ("Hauptstr.").
        short_words: Ordinary words of up to three letters, in lower case; a period after one is a full stop.
        speech: Verbs that introduce the speaker of a quotation ("said").
        shouts: Names that end in "!" ("Yahoo").
        ordinals: Whether a number with a period can be an ordinal ("3. Oktober").
        ordinal_leads: With `ordinals`, words in lower case that make a number after them an ordinal ("am").
        ordinal_nouns: With `ordinals`, nouns, in lower case here, that follow an ordinal ("oktober").
        headings: Whether a capitalized function word between two lower-case words begins a sentence, because a heading
            without a period precedes it.
        semicolons: Whether a semicolon ends a sentence before a capitalized function word.
        quote_after_colon: Whether a quotation in «...» after a colon is a separate sentence.
        lower_starts: Whether a sentence may begin with a lower-case letter after an ordinary word.
    """

    code: str
    titles: frozenset[str] = frozenset()
    numbered: frozenset[str] = frozenset()
    closings: frozenset[str] = frozenset()
    finals: frozenset[str] = frozenset()
    counted: frozenset[str] = frozenset()
    joiners: frozenset[str] = frozenset()
    unfinished: frozenset[str] = frozenset()
    common: frozenset[str] = frozenset()
    starters: frozenset[str] = frozenset()
    after_finals: frozenset[str] = frozenset()
    time_leads: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    short_words: frozenset[str] = frozenset()
    speech: frozenset[str] = frozenset()
    shouts: frozenset[str] = frozenset()
    ordinals: bool = False
    ordinal_leads: frozenset[str] = frozenset()
    ordinal_nouns: frozenset[str] = frozenset()
    lower_starts: bool = True
    headings: bool = False
    quote_after_colon: bool = False
    semicolons: bool = False
