"""How court decisions, codes and contracts are split."""

import pytest

from transforms import SentenceSplitter

# A bar is a boundary; the space around it is the text's.
TEXTS = [
    ("en", "See Doe v. Roe, 16 Wall. 36 (1873). |It was cited in 9 Vet. App. 163, 164 and in 1 Cush. 198."),
    ("en", "Congress passed it in 1986. |See Pub.L. No. 99-508, § 108(a), 100 Stat. 1848. |Id. at 4."),
    ("en", "He met Smith. |Then 12 Pick. 485 was read; I know how. |Five agreed."),
    ("en", "The Memphis &c. Railroad sued. |Stephen Wm. Smith presided."),
    ("en", "ACME CO.\nv.\nDOE BROTHERS\n|No. 511."),
    ("en", "It may be used if:|\n(1) it is clean;\n(2) it is dry;\n(3) it is new.|\nIt is cheap."),
    ("en", "The court (\nDoe v. Roe\n) agreed."),
    (
        "fr",
        "La peine est doublée :|\n1° Sur un mineur ;\n2° Sur un ascendant.|\nArticle 132-30\n|Fin.",
    ),
    ("fr", "Il est formé devant la Cour, cf. Cass. 12 mai 2004, un pourvoi. |Il est rejeté."),
    ("es", "Según la STC. 12/1998, procede. |El recurso, f. 3, se admite."),
    ("it", "La tassa di fr. 200 è dovuta (DTF 131 I 217 consid. 2.1). |Si veda l'art. 142 cpv. 1 CPC. |È tutto."),
    ("it", "È pubblicata nella Gazz. Uff. n. 62 e in Rep. 1994 pag. 238. |Così è deciso."),
    ("pt", "O pedido foi deferido (fls. 210/214) e o Rel. Des. Silva votou. |Nada mais."),
    ("pt", "São capazes:|\nI - a União;\nII - os Estados;\nIII - os Municípios.|\nParágrafo único."),
]


@pytest.mark.parametrize(("language", "marked"), TEXTS)
def test_legal_text(language: str, marked: str) -> None:
    """Citations, captions, enumerations and headings."""
    text = marked.replace("|", "")
    expected = [piece.strip() for piece in marked.split("|")]
    assert [text[begin:end] for begin, end in SentenceSplitter(language).spans(text)] == expected


def test_a_bullet_or_a_marker_with_a_period_begins_a_sentence_after_a_semicolon() -> None:
    """A marker with a bracket, or none, does not."""
    text = "It asks:\n1. whether he pays;\n2. Whether he leaves;\n- and when;\n• and why."
    assert [text[begin:end] for begin, end in SentenceSplitter().spans(text)] == text.split("\n")


def test_a_heading_is_no_end_of_a_wrapped_line() -> None:
    """The number of an article stands apart from the paragraph before it, however long that is."""
    paragraph = "The buyer pays the price on the day on which the goods come"
    text = f"{paragraph}\nArticle 12\nThe seller keeps them."
    assert [text[begin:end] for begin, end in SentenceSplitter().spans(text)] == text.split("\n")


def test_four_spaced_dots_are_a_full_stop_and_an_ellipsis() -> None:
    """The ellipsis opens the next sentence."""
    text = "He ended the work. . . . The rest is lost."
    assert [text[begin:end] for begin, end in SentenceSplitter().spans(text)] == [
        "He ended the work.",
        ". . . The rest is lost.",
    ]


def test_the_number_of_a_page_is_within_a_wrapped_sentence() -> None:
    """It is not where a sentence ended before it, or one begins behind it."""
    line = "The committee gives at least three fifths of the votes"
    within = f"{line}\n16\nthat are cast in both chambers."
    assert SentenceSplitter().spans(within) == [(0, len(within))]
    for text in (f"{line}.\n16\nthat are cast", f"{line}\n16\nThey are cast.", "A title\n16\nthat is short"):
        assert len(SentenceSplitter().spans(text)) > 1
