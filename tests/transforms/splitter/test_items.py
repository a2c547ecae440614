"""Lists inside a line: a marker belongs to the item that follows it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import SentenceSplitter
from transforms.splitter import LANGUAGE_CODES

LISTS = {
    "behind a colon": "The steps:|1. Open it.|2. Close it.|3. Go.",
    "without full stops": "Week 1|1. How to learn|2. Being a professional",
    "lower-case items": "The steps:|1. open it|2. close it|3. go",
    "numbers in the items": "Buy:|1. 5 eggs.|2. 3 cups.",
    "semicolons between the items": "The items:|1. Apples;|2. Pears;|3. Plums.",
    "lower-case letters": "Choose one:|a. Stay here.|b. Go home.",
    "capital letters without full stops": "What is it?|A. Yes|B. No|C. Maybe",
    "lower-case Roman numbers": "The parts:|i. The head.|ii. The body.|iii. The end.",
    "capital Roman numbers": "Contents|I. Introduction|II. Methods|III. Results",
    "round brackets": "Note:|(1) The first one.|(2) The second one.",
    "letters in brackets": "Note:|(a) The first one.|(b) The second one.",
    "Roman numbers in brackets": "Note:|(i) The first one.|(ii) The second one.|(iii) The third.",
    "square brackets": "Works|[1] Smith on law|[2] Jones on tax|[3] Hall on both",
    "one closing bracket": "She said:|i) Go home|ii) Eat|iii) Sleep",
    "sub-numbers": "Terms|1.1 Scope of work|1.2 Price to pay|1.3 End of term",
    "sub-numbers with a period": "Terms:|1.1. The scope.|1.2. The price.|2.1. The end.",
    "a list in a list": "The plan:|1. Eat well.|a) Fish.|b) Meat.|2. Sleep.",
    "two markers before an item": "The plan:|1. (a) Eat fish.|(b) Eat meat.|2. Sleep.",
    "bullets before the numbers": "• 1. A thing|• 2. Another thing",
    "letters as items": "1. A.|2. B.|3. C.",
    "a quoted list": 'It says:|"1. Open it.|2. Close it."',
}
NO_LISTS = {
    "sections": "The rule of section 1.|The rule of section 2.|All apply.",
    "a section before a number": "Section 1.|Definitions.",
    "a phrase twice": "Open door 1.|Then open door 2.|Then leave.",
    "pinpoints": "See Id. at 1.|See Id. at 2.|The court agreed.",
    "initials": "We met J. A. Smith.|B. Jones left.",
    "names": "A. Smith wrote it with B. Jones.",
    "authors": "A. Smith, B. Jones, C. Brown and D. White wrote it.",
    "parts of a sentence": "There are (1) one, (2) two and (3) three.",
    "clauses": "You must (a) pay the rent; (b) keep the peace; or (c) leave.",
    "subsections": "Read subsection (1) The court.",
}


def split(text: str, language: str = "en") -> list[str]:
    """The sentences of a text."""
    return [text[begin:end] for begin, end in SentenceSplitter(language).spans(text)]


@pytest.mark.parametrize("marked", (LISTS | NO_LISTS).values(), ids=LISTS | NO_LISTS)
def test_inline_items(marked: str) -> None:
    """An item begins with its marker, and a number in prose is none."""
    assert split(marked.replace("|", " ")) == marked.split("|")


@pytest.mark.parametrize(
    ("language", "marked"),
    [
        ("de", "Am 1. Oktober kam er.|Am 2. November ging er."),
        ("de", "Die Schritte:|1. Öffnen Sie es.|2. Schließen Sie es."),
        ("es", "Los pasos:|1. Ábralo.|2. Ciérrelo."),
        ("fr", "Les étapes :|1. Ouvrez.|2. Fermez."),
        ("ru", "Шаги:|1. Откройте.|2. Закройте."),
    ],
)
def test_items_of_other_languages(language: str, marked: str) -> None:
    """A list is a list in any language, and an ordinal is none."""
    assert split(marked.replace("|", " "), language) == marked.split("|")


ROMAN = ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"]
LABELS = {
    "numbers": [str(number) for number in range(1, 11)],
    "letters": list("abcdefghij"),
    "capitals": list("ABCDEFGHIJ"),
    "Roman": ROMAN,
    "Roman capitals": [label.upper() for label in ROMAN],
    "sub-numbers": [f"3.{number}" for number in range(1, 11)],
}
# The words never end in a number, an initial or an abbreviation, and no two items end alike.
WORDS = st.sampled_from(["Open the red door", "Close every old window", "Water some plants", "Feed both cats"])
ENDS = [
    "gladly",
    "slowly",
    "quickly",
    "happily",
    "together",
    "outside",
    "upstairs",
    "carefully",
    "again",
    "later",
]


@settings(max_examples=300, deadline=None)
@given(
    labels=st.sampled_from(list(LABELS.values())),
    shape=st.sampled_from(["{}.", "{})", "({})", "[{}]"]),
    words=st.lists(WORDS, min_size=3, max_size=10),
    stop=st.sampled_from([".", "!", ""]),
    lead=st.sampled_from(["The steps:", "It is late.", "What now?", "These are the steps", "Week 4", ""]),
    language=st.sampled_from([code for code in LANGUAGE_CODES if code not in {"de", "pl", "cs"}]),
)
def test_any_list_is_cut_before_each_marker(
    labels: list[str], shape: str, words: list[str], stop: str, lead: str, language: str
) -> None:
    """Whatever the markers look like, each begins a sentence, and none ends one."""
    items = [f"{shape.format(label)} {word} {end}{stop}" for label, word, end in zip(labels, words, ENDS, strict=False)]
    assert split(" ".join(filter(None, [lead, *items])), language) == [*filter(None, [lead]), *items]
