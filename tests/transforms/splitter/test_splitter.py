"""How English is split, rule by rule."""

import pytest

from transforms import SentenceSplitter


def split(text: str) -> list[str]:
    """The sentences of an English text."""
    return [text[begin:end] for begin, end in SentenceSplitter().spans(text)]


ONE_SENTENCE = {
    "a title": "Mr. Smith met Dr. Jones and Gen. Lee.",
    "initials": "George W. Bush and J. K. Rowling spoke.",
    "a company": "Pitt, Briggs & Co. at noon sued Acme Corp. Monday.",
    "a country": "I work for the U.S. Government in Virginia.",
    "a decimal": "She has $100.00 and 3.5 apples.",
    "a version": "Version 2.0.1 is out.",
    "a link": "See https://www.example.50.com/new-site/a.html?b=c!d for it.",
    "an address": "Write to Jane.Doe@Example.Com today.",
    "a time with a zone": "He left at 5 p.m. Eastern time.",
    "a time that opens a sentence": "At 5 a.m. Mr. Smith went to the bank.",
    "a time behind a preposition and an adverb": "Shortly before 5:30 p.m. Ann Smith went to the bank.",
    "a time before its noun": "The 5 p.m. News was late.",
    "a case": "See Smith v. Jones, 410 U.S. 113, 120 (1973), and Fed. R. Civ. P. 12(b)(6).",
    "a section sign": "Plaintiff sued under 42 U.S.C. § 1983.",
    "a docket number": "The motion (Doc. No. 45) in No. 12-345 is granted.",
    "a pinpoint": "See id. at 5.",
    "a reporter": "Doe v. Roe, 12 F. Supp. 2d 34 (S.D.N.Y. 1998).",
    "a figure": "The priming effect (see Fig. 3) is robust, e.g. in Smith et al. (2019).",
    "a species": "We used E. coli and S. aureus strains.",
    "a journal": "J. Am. Chem. Soc. 120, 3456 (1998).",
    "an ellipsis before a lower-case word": "He paused... then he spoke.",
    "an ellipsis before the pronoun I": "Well ... I think so.",
    "a quotation with its speaker": '"What?" he said.',
    "a speaker's name behind a quotation": '"Was it you?" Mrs. Bennet said.',
    "a quotation inside": 'She told him, "This is great." and left.',
    "a bracket inside": "He teaches (He worked before.) at the University.",
    "an elision": '"Bohr [...] used the analogy of stairways [...]" (Smith 55).',
    "a name with an exclamation mark": "She works at Yahoo! in accounting.",
    "a string of citations": "See Doe v. Roe, 12 F.3d 34 (1998); In re Smith, 34 F.3d 56 (1999).",
    "a measure": "It is 5 in. wide.",
    "a list inside a sentence": "There are 1) one, 2) two and 3) three.",
}


@pytest.mark.parametrize("text", ONE_SENTENCE.values(), ids=ONE_SENTENCE)
def test_no_split(text: str) -> None:
    """None of these ends a sentence."""
    assert split(text) == [text]


SEVERAL = {
    "full stop": "Hello World.|My name is Jonas.",
    "lower-case style": "i loved it.|the crust is great!|would you go?|i would.",
    "common word like an abbreviation": "He came in.|So did she.|It was for me.|She said no.|They left.",
    "country before a function word": "I live in the U.S.|How about you?",
    "company before a function word": "They sued Acme Corp.|It settled.",
    "street": "He lives on Elm St.|The house is blue.",
    "common word like a reporter": "He hit the wall.|Smith knows how.|Bob wore black.|They met.|Ann left.",
    "time": "He left at 6 P.M.|Mr. Smith stayed.",
    "time behind a verb": "It was 5 p.m.|He left.|We met 5:30 p.m.|She smiled.|Noon is 12 PM.|We eat.",
    "time behind a noun": "Dinner at 5 p.m.|He came.|(Lunch 1 p.m.|Bring some.)",
    "etc.": "They sold apples, etc.|Nobody came.",
    "letter at the end": "We make a good team, you and I.|Did you see her?",
    "number at the end": "It was 1973.|The court agreed.",
    "closing quote": '"It is great."|She held it out.',
    "footnote mark": "As was said.[12]|The second study failed.[3, 4]|Others agree.",
    "footnote number": "The evidence was insufficient.2|We disagree.",
    "emoticon": "Will come back :)|The food was great! :-)|Go.",
    "emoji": "I love it 😀|It works! 👍🏽|Buy one.",
    "no space": "Don't go here.The staff is rude.|Why?It is.".replace("here.The", "here.|The").replace("?It", "?|It"),
    "ellipsis": "I never meant that....|She left the store.",
    "spaced dots": "Then comes the end . . . .|Next sentence.",
    "broken-off speech": "“But—”|He stopped.",
    "inline list": "1. The first item|2. The second item|3. The third item",
    "inline list with brackets": "1.) The first item|2.) The second item",
    "lettered list": "a. The first item|b. The second item",
    "bullets": "• 9. The first item|• 10. The second item",
    "sign-off": "See you soon.|Best regards,|Jane Doe",
    "mail header": "Thanks.|Kay Mann|04/26/2001 07:17 AM|Will you come?",
    "ruled line": "That is all.|__________|John",
}


@pytest.mark.parametrize("marked", SEVERAL.values(), ids=SEVERAL)
def test_split(marked: str) -> None:
    """Each of these ends a sentence where the bar stands."""
    expected = marked.split("|")
    assert split(" ".join(expected)) == expected


def test_no_space_between_sentences() -> None:
    """A sentence may begin right behind the last, but not inside a name or a link."""
    assert split("Don't go here.The staff is rude?Yes!") == ["Don't go here.", "The staff is rude?", "Yes!"]
    assert len(split("Read http://host/some.Page?Q=1 on www.Host.Com now.")) == 1


def test_numbers_that_do_not_follow_each_other_are_no_list() -> None:
    """A section number is not an item."""
    text = "The rule of section 1. The rule of section 2. All apply."
    assert split(text) == ["The rule of section 1.", "The rule of section 2.", "All apply."]


def test_unbalanced_quote_swallows_nothing() -> None:
    """A quote that never closes leaves the sentences after it alone."""
    assert split('He said "no. She left. " They stayed. It rained.')[-2:] == ["They stayed.", "It rained."]


def test_offsets_of_repeated_text() -> None:
    """The same sentence twice has its own offsets each time."""
    assert SentenceSplitter().spans("No. No! No!") == [(0, 3), (4, 7), (8, 11)]


def test_offsets_are_code_points() -> None:
    """An emoji counts as one."""
    assert SentenceSplitter().spans("Hi 😀! Bye.") == [(0, 5), (6, 10)]


def test_nothing_to_split() -> None:
    """Blank text has no sentence."""
    assert split(" \n\t ") == []
