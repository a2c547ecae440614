"""How court decisions, codes and contracts are split."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transforms import SentenceSplitter
from transforms.splitter.languages import LANGUAGES

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
    ("en", "See Heard v. Georgia R.R., 3 Int. Com. Com'n, 111 (Haw. 1990). |It was right."),
    ("en", "He quotes 97 NW. U.L.REV. 607 and 1 Bl. Com. *134. |If a man dies, it applies."),
    ("en", "It was read in 12 Am. Law Reg. (N.S.) 1, 3. |Judge Roe agreed."),
    ("en", "In 1990 Smith met Roe. |Smith (Oxford 1994) saw 12 men."),
    ("en", "They sold 12 Smith Autos. |Five were red."),
    ("en", "Counts the Bankr. Ct. and the Treas. Reg. both. |No more."),
    ("fr", "I.-La peine est de 5 ans. |\nII. - La traite des êtres humains est punie."),
    ("fr", "Voir Soc. 5 mai 2004 et Ass. plén. 3 mai 2003. |Il est rejeté."),
    ("es", "Publicado en la Ref. BOE-A-2015-7391, según el Cód. Civ. de España. |Es todo."),
    ("it", "Così Cass. civ., sez. un., 5 maggio 2004, e Trib. Milano. |È tutto."),
    ("pt", "Nos termos do voto do(a) Sr(a). Ministro(a) Relator(a). |Nada mais."),
    ("pl", "To klasztor im. Karola Miarki. |Potem wrócił."),
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


def test_a_remark_in_brackets_is_a_line_of_its_own() -> None:
    """It is no part of a title above it that is as long as a wrapped line."""
    text = (
        "Articolo 144 - Vigilanza sull'esecuzione delle pene e dei lavori\n[abrogato]\nCAPO II - Della riabilitazione"
    )
    assert [text[begin:end] for begin, end in SentenceSplitter("it").spans(text)] == text.split("\n")


def test_the_line_of_a_page_may_name_it() -> None:
    """The word for a page does not begin a sentence."""
    text = "El registro civil competente es el que establece la Ley\nPágina 28\ndisposición final tercera."
    assert SentenceSplitter("es").spans(text) == [(0, len(text))]


REPORTERS = st.lists(
    st.sampled_from(["Abb.", "Adm.", "B.", "Ct.", "Hist.", "L.", "Pol'y", "Q.", "Rep.", "Sup.", "Wheel.", "2d"]),
    min_size=1,
    max_size=5,
).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(
    reporter=REPORTERS.filter(lambda words: words.endswith(".") and words[0].isalpha()),
    volume=st.integers(1, 999),
    page=st.sampled_from(["5,", "345, 350", "12 (1990)", "*12", "§ 4", "at 4"]),
    code=st.sampled_from([code for code, language in LANGUAGES.items() if not language.ordinals]),
)
def test_no_citation_is_cut(reporter: str, volume: int, page: str, code: str) -> None:
    """Between a volume and a page there is no boundary, whether or not the abbreviations are known."""
    text = f"Roe, {volume} {reporter} {page} holds"
    assert SentenceSplitter(code).spans(text) == [(0, len(text))]


@settings(max_examples=100, deadline=None)
@given(court=REPORTERS.filter(lambda words: words.endswith(".") and words[0].isalpha()), year=st.integers(1600, 2100))
def test_no_court_is_cut_from_its_year(court: str, year: int) -> None:
    """The brackets around a court and a year hold no boundary."""
    text = f"Roe ({court} {year}) holds"
    assert SentenceSplitter().spans(text) == [(0, len(text))]


@settings(max_examples=300, deadline=None)
@given(
    before=st.sampled_from(
        ["20 Germans", "30 USD", "5 PM", "10 Downing Street", "7 January", "12 Angry Men", "3 Oscars"]
    ),
    number=st.integers(1, 9_999),
    after=st.sampled_from(
        [" were there", " of them (20) left", ",500 came", ".5 miles", "% more", ":30 PM, then", "-year-olds"]
    ),
)
@example(before="20 Germans", number=83, after=" left")
def test_a_sentence_that_begins_with_a_number_is_no_citation(before: str, number: int, after: str) -> None:
    """A word follows the number, whatever capitals and numbers the sentence before it ends with."""
    first, second = f"We saw {before}.", f"{number}{after}."
    spans = SentenceSplitter().spans(f"{first} {second}")
    assert spans == [(0, len(first)), (len(first) + 1, len(first) + 1 + len(second))]


@pytest.mark.parametrize("code", [code for code, language in LANGUAGES.items() if language.unfinished])
def test_a_line_goes_on_after_an_article_preposition_or_conjunction(code: str) -> None:
    """However short the line is, and whatever the next one begins with but a bullet or a number with a period."""
    language = LANGUAGES[code]
    for word in language.unfinished | language.joiners:
        text = f"Xyz {word}\nAbc"
        assert SentenceSplitter(code).spans(text) == [(0, len(text))]
        assert len(SentenceSplitter(code).spans(f"Xyz {word}\n\nAbc")) == 2
        assert len(SentenceSplitter(code).spans(f"Xyz {word}\n- abc")) == 2


MARKERS = st.sampled_from(["–", "—", "-", "•", "a)", "(b)", "ii)", "(iv)", "1.", "2)", "(3)", "1.2.", "4°"])


@settings(max_examples=200, deadline=None)
@given(items=st.lists(MARKERS, min_size=1, max_size=6), end=st.sampled_from([".", ";", ""]))
def test_a_blank_line_parts_no_marker_from_its_text(items: list[str], end: str) -> None:
    """As where the cells of a table became paragraphs; a marker alone before a capital is a heading."""
    text = "\n\n".join(f"{marker}\n\nwhether he pays{end}" for marker in items)
    for begin, sentence_end in SentenceSplitter().spans(text):
        assert text[begin:sentence_end].strip().endswith(f"pays{end}")
    assert len(SentenceSplitter().spans(text.replace("whether", "Whether"))) >= len(items)


def test_a_blank_line_after_a_semicolon_is_within_an_enumeration() -> None:
    """Before a lower-case letter or a bracketed marker, not before a capital."""
    text = "It is void:\n\nwithout a date;\n\n(b) Without a place."
    assert [text[begin:end] for begin, end in SentenceSplitter().spans(text)] == [
        "It is void:",
        "without a date;\n\n(b) Without a place.",
    ]
    assert len(SentenceSplitter().spans("He left;\n\nShe stayed.")) == 2
