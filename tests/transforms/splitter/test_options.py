"""What each option of the splitter does."""

import dataclasses
import pickle
from typing import Any

import pytest

from transforms import SentenceSplitter


def split(text: str, **options: Any) -> list[str]:
    """The sentences of a text."""
    return [text[begin:end] for begin, end in SentenceSplitter(**options).spans(text)]


WRAPPED = "The committee met on Monday afternoon in the old town\nHall and voted. A heading\nNext line\nand more"


def test_soft_newlines() -> None:
    """A line break ends a sentence unless the line was long or the next begins with a lower-case letter."""
    head, heading, rest = split(WRAPPED)
    assert head == "The committee met on Monday afternoon in the old town\nHall and voted."
    assert (heading, rest) == ("A heading", "Next line\nand more")


def test_newlines_that_end_sentences() -> None:
    """With "sentence", each line is at least one sentence."""
    assert split("One line\nand another", newlines="sentence") == ["One line", "and another"]


def test_newlines_ignored() -> None:
    """With "ignore", a line break is white space and a blank line still ends a sentence."""
    assert split("A heading\nNext line\n\nLast", newlines="ignore") == ["A heading\nNext line", "Last"]


@pytest.mark.parametrize("blank", ["\n\n", "\r\n\r\n", "\n \t\n", "\u2028\u2028", "\n\f\n"])
@pytest.mark.parametrize("newlines", ["sentence", "soft", "ignore"])
def test_blank_line(blank: str, newlines: str) -> None:
    """A blank line of any kind ends a sentence under each policy."""
    assert split(f"one{blank}two", newlines=newlines) == ["one", "two"]


def test_windows_line_ends_are_single() -> None:
    """A carriage return and a line feed are one line break."""
    assert split("One line\r\nand more") == ["One line\r\nand more"]


def test_item_on_its_own_line() -> None:
    """An item begins a sentence though the line before it was long."""
    text = "These are all the things that we have to buy for the\n1. apples\n- pears"
    assert split(text)[1:] == ["1. apples", "- pears"]


def test_without_abbreviations() -> None:
    """Every period before a capital counts."""
    assert split("Mr. Smith left.", use_abbreviations=False) == ["Mr.", "Smith left."]


def test_extra_abbreviations() -> None:
    """An extra abbreviation ends a sentence only before a function word."""
    options = {"abbreviations": ["Bezz."]}
    assert split("The Bezz. Report is out.", **options) == ["The Bezz. Report is out."]
    assert split("He is a Bezz. The end.", **options) == ["He is a Bezz.", "The end."]


def test_without_lists() -> None:
    """Bullets and numbers then are like any other text."""
    assert split("• Apples • Pears", detect_lists=False) == ["• Apples • Pears"]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("none", ["One", "two", "three"]),
        ("prepend", ["One", "## two", "## three"]),
        ("append", ["One ##", "two ##", "three"]),
    ],
)
def test_custom_bounds(strategy: str, expected: list[str]) -> None:
    """A matched bound goes to no sentence, to the next one or to the last one."""
    options = {"custom_bounds": ["##"], "custom_bounds_strategy": strategy}
    assert split("One ## two ## three", **options) == expected


def test_custom_bounds_only() -> None:
    """Nothing else parts sentences, blank lines included."""
    got = split("A b. C\n\nd | E. F", custom_bounds=[r"\|"], use_custom_bounds_only=True)
    assert got == ["A b. C\n\nd", "E. F"]


def test_custom_bounds_that_overlap() -> None:
    """Overlapping bounds leave no overlapping sentences."""
    assert split("a===b", custom_bounds=["==", "===", "$"]) == ["a", "b"]


def test_split_length_cuts_at_white_space() -> None:
    """A longer sentence is cut between words."""
    assert split("one two three four", split_length=9) == ["one two", "three", "four"]


def test_split_length_cuts_a_long_word() -> None:
    """A word longer than the limit is cut inside."""
    assert split("a" * 25, split_length=10) == ["a" * 10, "a" * 10, "a" * 5]


def test_split_length_is_a_bound() -> None:
    """No piece is longer, and none is lost."""
    text = "word " * 50 + "longer " * 50
    pieces = split(text, split_length=17)
    assert max(map(len, pieces)) <= 17
    assert " ".join(pieces) == text.strip()


def test_dropped_sentences_can_be_counted() -> None:
    """The split tells what min_length and max_length dropped."""
    result = SentenceSplitter(min_length=4, max_length=10).split("No. Maybe so. This one is too long.")
    assert result.spans == [(4, 13)]
    assert result.dropped == [(0, 3), (14, 35)]


def test_pickle() -> None:
    """A splitter comes back from a pickle equal and working, also after use."""
    splitter = SentenceSplitter("de", custom_bounds=["#"])
    splitter.spans("a # b")
    again = pickle.loads(pickle.dumps(splitter))
    assert again == splitter
    assert again.spans("a # b") == splitter.spans("a # b")


def test_frozen_and_hashable() -> None:
    """A splitter cannot be changed and can be a key, lists or not."""
    splitter = SentenceSplitter(custom_bounds=["#"])
    assert splitter in {SentenceSplitter(custom_bounds=("#",))}
    with pytest.raises(dataclasses.FrozenInstanceError):
        splitter.language = "de"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"custom_bounds": ["("]}, r"expected custom_bounds to be regular expressions, got '\('.*re.escape"),
        ({"custom_bounds": "#"}, r"expected custom_bounds as a list.*pass \['#'\]"),
        ({"newlines": "hard"}, "expected newlines as one of sentence, soft, ignore, got 'hard'"),
        (
            {"custom_bounds_strategy": "both"},
            "expected custom_bounds_strategy as one of none, prepend, append",
        ),
        ({"use_custom_bounds_only": True}, "expected custom_bounds with use_custom_bounds_only"),
        ({"split_length": 0}, "expected split_length of at least 1, got 0"),
        ({"min_length": 9, "max_length": 3}, "expected max_length of at least min_length, got 3 and 9"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    """A wrong option says what was expected, what was given and what to do, in one line."""
    with pytest.raises(ValueError, match=message) as error:
        SentenceSplitter(**options)
    assert "\n" not in str(error.value)
