"""The cleanup modes give what Java gives for the patterns of Spark NLP's DocumentAssembler."""

import pytest

from transforms.encoder.cleanup import CLEANUP_MODES, clean

# A text and what each mode makes of it, in the order of MODES; recorded from Java 17.
MODES = ("inplace", "inplace_full", "shrink", "shrink_full", "each", "each_full", "delete_full")
RECORDED = {
    "white space real and written out": (
        " a \t b\\n\nc ",
        [" a   b\\n c ", " a   b  c ", "a b\\n c", "a b  c", " a  b\\n\nc ", " a  b\\n\nc ", "a \t b\nc"],
    ),
    "Unicode spaces": (
        " \xa0a\xa0 \xa0b\u2003c\u3000 ",
        [
            " \xa0a\xa0 \xa0b\u2003c\u3000 ",
            " \xa0a\xa0 \xa0b\u2003c\u3000 ",
            "\xa0a\xa0 \xa0b\u2003c\u3000",
            "\xa0a\xa0 \xa0b\u2003c\u3000",
            " \xa0a\xa0 \xa0b\u2003c\u3000 ",
            " \xa0a\xa0 \xa0b\u2003c\u3000 ",
            "\xa0a\xa0 \xa0b\u2003c\u3000",
        ],
    ),
    "control characters": (
        "\x00\x1f a\x1cb\x85c \x01",
        [
            "\x00\x1f a\x1cb\x85c \x01",
            "\x00\x1f a\x1cb\x85c \x01",
            "a\x1cb\x85c",
            "a\x1cb\x85c",
            "\x00\x1f a\x1cb\x85c \x01",
            "\x00\x1f a\x1cb\x85c \x01",
            "a\x1cb\x85c",
        ],
    ),
    "line separators": (
        "a\u200b \u2028b\u2029\n c",
        [
            "a\u200b \u2028b\u2029  c",
            "a\u200b \u2028b\u2029  c",
            "a\u200b \u2028b\u2029 c",
            "a\u200b \u2028b\u2029 c",
            "a\u200b \u2028b\u2029\n c",
            "a\u200b \u2028b\u2029\n c",
            "a\u200b \u2028b\u2029\n c",
        ],
    ),
    "written-out breaks": (
        "a\\r\\nb\\tc\\rd",
        [
            "a\\r\\nb\\tc\\rd",
            "a b c\\rd",
            "a\\r\\nb\\tc\\rd",
            "a b c\\rd",
            "a\\r\\nb\\tc\\rd",
            "a\\r\\nb\\tc\\rd",
            "abc\\rd",
        ],
    ),
    "runs of written-out breaks": (
        "a\\r\\r\\n\\nb\\t\\tc",
        [
            "a\\r\\r\\n\\nb\\t\\tc",
            "a\\r  b  c",
            "a\\r\\r\\n\\nb\\t\\tc",
            "a b c",
            "a\\r\\r\\n\\nb\\t\\tc",
            "a\\r\\r\\n\\nb\\t\\tc",
            "a\\rbc",
        ],
    ),
    "white space before written-out breaks": (
        "a \\n b \\t\n\\r\\n c",
        [
            "a \\n b \\t \\r\\n c",
            "a   b     c",
            "a \\n b \\t \\r\\n c",
            "a   b     c",
            "a \\n b \\t\n\\r\\n c",
            "a  b   c",
            "a  b \n c",
        ],
    ),
    "runs of line breaks": (
        "a\r\n\r\nb\x0b\x0cc\t\td",
        [
            "a    b  c  d",
            "a    b  c  d",
            "a b c d",
            "a b c d",
            "a  b\x0b\x0cc d",
            "a  b\x0b\x0cc d",
            "a\r\n\r\nb\x0b\x0cc\t\td",
        ],
    ),
    "other backslashes": (
        "a\\\\nb\\N \\T",
        [
            "a\\\\nb\\N \\T",
            "a\\ b\\N \\T",
            "a\\\\nb\\N \\T",
            "a\\ b\\N \\T",
            "a\\\\nb\\N \\T",
            "a\\\\nb\\N \\T",
            "a\\b\\N \\T",
        ],
    ),
    "white space only": (" \n\t ", ["    ", "    ", "", "", " \t ", " \t ", ""]),
    "nothing": ("", ["", "", "", "", "", "", ""]),
    "other scripts": (
        "d\xe9j\xe0  vu \U0001f600\n\n\u65e5\u672c\u3000\u8a9e",
        [
            "d\xe9j\xe0  vu \U0001f600  \u65e5\u672c\u3000\u8a9e",
            "d\xe9j\xe0  vu \U0001f600  \u65e5\u672c\u3000\u8a9e",
            "d\xe9j\xe0 vu \U0001f600 \u65e5\u672c\u3000\u8a9e",
            "d\xe9j\xe0 vu \U0001f600 \u65e5\u672c\u3000\u8a9e",
            "d\xe9j\xe0  vu \U0001f600 \u65e5\u672c\u3000\u8a9e",
            "d\xe9j\xe0  vu \U0001f600 \u65e5\u672c\u3000\u8a9e",
            "d\xe9j\xe0  vu \U0001f600\n\n\u65e5\u672c\u3000\u8a9e",
        ],
    ),
}


@pytest.mark.parametrize(("text", "expected"), RECORDED.values(), ids=RECORDED)
def test_each_mode_does_what_the_reference_system_does(text: str, expected: list[str]) -> None:
    """White space is ASCII, and is trimmed up to U+0020."""
    assert [clean(text, mode) for mode in MODES] == expected


def test_disabled_changes_nothing() -> None:
    """The text is as it came."""
    assert {clean(text, "disabled") == text for text, _ in RECORDED.values()} == {True}


def test_every_mode_is_on_record() -> None:
    """No mode is missing from the table."""
    assert set(CLEANUP_MODES) == {"disabled", *MODES}
