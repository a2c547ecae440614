"""What holds for any text."""

# ruff: noqa: SIM905 (the characters are meant, and a line of pieces reads best)

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import SentenceSplitter
from transforms.splitter import LANGUAGE_CODES

# Pieces that rules look for, so that random texts meet them.
PIECES = [
    *(". .. ... . . ! ? !? … 。 । ؟ ; : , — -- - ( ) [ ] « » “ ” ‘ ’ \" ' „ 」 * _ • 1. 1) 2) a. [3] .2").split(),
    *("(a) (b) i. ii. A. B. 1.1 1.2 2. «1. v. § Art. 3° I").split(),
    *("Mr. U.S. e.g. p.m. etc. No. I A The the said John Dr.x end.Next :) ;-) 😀 ❤️ ----- *** >> << @ / #").split(),
    *("&quot; http://a.b/c <a@b.c> 01/02/2003 10:11 AM Regards, Straße Не т. п. z. B. 他说 はい と हाँ نعم").split(),
    *[
        "\ud800",
        "\x00",
        "\u200d",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\r\n",
        "\t",
        "\x85",
        "\u2028",
        "\u3000",
        "\xa0",
        "\x1c",
    ],
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
TEXTS_WITH_SPACES = st.lists(st.sampled_from(PIECES), max_size=60).map(" ".join)


def check(text: str, spans: list[tuple[int, int]]) -> None:
    """Asserts that the spans are in order, apart, trimmed, not empty, and leave out white space only."""
    last = 0
    for begin, end in spans:
        assert last <= begin < end
        assert text[begin:end] == text[begin:end].strip()
        assert not text[last:begin].strip()
        last = end
    assert not text[last:].strip()


@settings(max_examples=400, deadline=None)
@given(text=TEXTS | TEXTS_WITH_SPACES, language=st.sampled_from((*LANGUAGE_CODES, "xx")))
def test_any_text(text: str, language: str) -> None:
    """Any text of any language, lone surrogates and NUL included."""
    check(text, SentenceSplitter(language).spans(text))


@settings(max_examples=200, deadline=None)
@given(
    text=TEXTS | TEXTS_WITH_SPACES,
    newlines=st.sampled_from(["sentence", "soft", "ignore"]),
    flags=st.tuples(st.booleans(), st.booleans()),
    split_length=st.none() | st.integers(1, 20),
)
def test_any_option(text: str, newlines: str, flags: tuple[bool, bool], split_length: int | None) -> None:
    """The options that drop nothing keep the invariants; a length bounds each sentence."""
    splitter = SentenceSplitter(
        newlines=newlines,  # type: ignore[arg-type]
        use_abbreviations=flags[0],
        detect_lists=flags[1],
        split_length=split_length,
    )
    spans = splitter.spans(text)
    check(text, spans)
    assert all(end - begin <= (split_length or len(text)) for begin, end in spans)


@settings(max_examples=200, deadline=None)
@given(
    text=TEXTS | TEXTS_WITH_SPACES,
    bounds=st.lists(st.sampled_from([r"\.", r"\n+", "[a-z]+", "$", r"\b", "(?=I)", r"\s"]), min_size=1, max_size=3),
    strategy=st.sampled_from(["none", "prepend", "append"]),
    only=st.booleans(),
)
def test_custom_bounds_keep_order(text: str, bounds: list[str], strategy: str, only: bool) -> None:
    """Sentences are trimmed, apart and in order whatever the bounds match; only "none" leaves text out."""
    splitter = SentenceSplitter(
        custom_bounds=bounds,
        custom_bounds_strategy=strategy,  # type: ignore[arg-type]
        use_custom_bounds_only=only,
    )
    spans = splitter.spans(text)
    if strategy == "none":
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
        assert all(text[begin:end].strip() == text[begin:end] != "" for begin, end in spans)
    else:
        check(text, spans)


UNITS = [
    *(". .. ! ( [ ] ) \" ' “ ” « » _ * - = / < @ : ; • — 。 」 … 😀 x &quot; .[1 1/1/11 http:// <a@b A.").split(),
    *[
        "\x00",
        "\ud800",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\na",
        "\u3000",
        "Mr. ",
        ". ",
        ". . ",
        '." ',
        '" ',
        " ' ",
        "1. ",
    ],
    *["a. ", "1) 2) ", ":) ", "z. B. ", "http://a ", ">> ", "Regards, A", '?" J. ', "foo.Bar", " De b"],
    *["1. A ", "(a) B ", "1.1 C ", "I. D ", "1. A 2. ", ";\n", ";\n1. a", "v.\n", "Art. 1\n", "(\n"],
    *[
        "12 Cal. ",
        "(Haw. ",
        "A. (B. ",
        "a)\n\n",
        ";\n\na",
        "of\nA",
        "[x]\n",
        "Art. 1 - x\n",
        "Page 1\n",
        "です☆",
        "よ♪。",
    ],
    *["x" * 60 + "\n", "X" * 60 + "\n"],
]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("language", ["en", "pt", "ja"])
def test_fifty_kilobytes_of_one_thing(unit: str, language: str) -> None:
    """No run of one thing, with or without a sentence around it, is more than a scan."""
    run = unit * (50_000 // len(unit))
    for text in (run, f'He said "so. {run} Then he left. It rained.'):
        check(text, SentenceSplitter(language).spans(text))


def test_a_megabyte_without_a_space() -> None:
    """An unbroken text is one sentence."""
    assert SentenceSplitter().spans("x" * 1_000_000) == [(0, 1_000_000)]


def test_a_megabyte_of_words_without_an_end() -> None:
    """A text without terminators is one sentence, which split_length bounds."""
    text = "word " * 200_000
    assert SentenceSplitter().spans(text) == [(0, len(text) - 1)]
    assert len(SentenceSplitter(split_length=100).spans(text)) == 10_000
