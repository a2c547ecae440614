"""What the boundary rules need to know of a language."""

from __future__ import annotations

import dataclasses


def words(text: str) -> frozenset[str]:
    """The words of a white-space separated table."""
    return frozenset(text.split())


@dataclasses.dataclass(frozen=True)
class Language:
    """The lexicon of one language. Abbreviations are lower-case, without their last period.

    Attributes:
        code: ISO 639-1 code.
        titles: Abbreviations that never end a sentence, because something always follows ("Mr.", "e.g.").
        numbered: Abbreviations that a number follows ("p.", "No."); before anything else, as `closings`.
        closings: Abbreviations that may end a sentence, and do before a word of `starters` ("Inc.", "U.S.").
        finals: Abbreviations that end a sentence before any capital ("etc.", "p.m.").
        common: Words that also are abbreviations, and are words unless a number follows ("no.", "art.").
        starters: Function words, lower-case, whose capital shows that a sentence begins.
        after_finals: Capitalised words, lower-case here, that go on after `finals` ("p.m. Monday").
        suffixes: Ends of compounds that are abbreviated as `numbered` words are ("Hauptstr.").
        short_words: Ordinary words of up to three letters, lower-case: a period after one is a full stop.
        speech: Verbs that name a speaker after a quotation ("said").
        shouts: Names that end in "!" ("Yahoo").
        ordinals: Whether a number and a period are an ordinal ("3. Oktober").
        ordinal_leads: With `ordinals`, words, lower-case, before a number that make it an ordinal ("am").
        ordinal_nouns: With `ordinals`, capitalised words, lower-case here, that follow one ("oktober").
        headings: Whether a capital function word between two lower-case words begins a sentence: a heading
            without a period came before it.
        semicolons: Whether a semicolon ends a sentence before a function word with a capital.
        quote_after_colon: Whether what «...» quotes after a colon is a sentence of its own.
        lower_starts: Whether a sentence may begin with a lower-case letter after an ordinary word.
    """

    code: str
    titles: frozenset[str] = frozenset()
    numbered: frozenset[str] = frozenset()
    closings: frozenset[str] = frozenset()
    finals: frozenset[str] = frozenset()
    common: frozenset[str] = frozenset()
    starters: frozenset[str] = frozenset()
    after_finals: frozenset[str] = frozenset()
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
