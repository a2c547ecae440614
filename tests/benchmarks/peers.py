"""Other sentence splitters, with one interface: a text in, the spans of its sentences out."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from transforms.splitter import newlines
from transforms.splitter.languages import LANGUAGES

Spans = list[tuple[int, int]]
SpansOf = Callable[[str], Spans]

_NLTK_NAMES: Final = {
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "nl": "dutch",
    "pt": "portuguese",
    "ru": "russian",
}


class AbsentError(Exception):
    """A peer cannot run here, or not in this language; the message says why."""


def located(text: str, pieces: Iterable[str]) -> Spans:
    """The spans of the pieces that a peer gives as strings, in order; a piece that it changed is left out."""
    spans, at = [], 0
    for piece in map(str.strip, pieces):
        begin = text.find(piece, at) if piece else -1
        if begin >= 0:
            at = begin + len(piece)
            spans.append((begin, at))
    return spans


def behind_policy(spans_of: SpansOf, language: str) -> SpansOf:
    """The peer behind the newline policy: it gets one block at a time."""

    def spans(text: str) -> Spans:
        found: Spans = []
        for begin, end in newlines.blocks(text, "soft", LANGUAGES[language], detect_lists=True):
            found += [(begin + first, begin + last) for first, last in spans_of(text[begin:end])]
        return found

    return spans


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise AbsentError("not installed") from None


def _pysbd(language: str) -> SpansOf:
    module = _module("pysbd")
    try:
        segmenter = module.Segmenter(language=language, clean=False)
    except ValueError:
        raise AbsentError("no such language") from None
    return lambda text: located(text, map(str, segmenter.segment(text)))


def _nupunkt(language: str) -> SpansOf:
    module = _module("nupunkt")
    if language != "en":
        raise AbsentError("English only")
    return lambda text: [tuple(span) for span in module.sent_spans(text)]


def _nltk(language: str) -> SpansOf:
    module = _module("nltk.tokenize.punkt")
    if language not in _NLTK_NAMES:
        raise AbsentError("no such language")
    try:
        tokenizer = module.PunktTokenizer(_NLTK_NAMES[language])
    except LookupError:
        raise AbsentError("its punkt_tab data is not on this machine") from None
    return lambda text: list(tokenizer.span_tokenize(text))


def _sentencex(language: str) -> SpansOf:
    module = _module("sentencex")
    return lambda text: located(text, module.segment(language, text))


def _simplemma(language: str) -> SpansOf:
    module = _module("simplemma")
    if not hasattr(module, "split_sentences"):
        raise AbsentError("this version splits no sentences")
    return lambda text: located(text, module.split_sentences(text, language))


def _blingfire(language: str) -> SpansOf:
    module = _module("blingfire")

    def spans(text: str) -> Spans:
        # It separates sentences by line breaks, so line breaks in the text become spaces first.
        flat = re.sub(r"[\r\n]", " ", text)
        return located(flat, module.text_to_sentences(flat).split("\n")) if flat.strip() else []

    return spans


def _razdel(language: str) -> SpansOf:
    # It has one set of rules for all languages.
    module = _module("razdel")
    return lambda text: [(sentence.start, sentence.stop) for sentence in module.sentenize(text)]


def _spacy(language: str) -> SpansOf:
    module = _module("spacy")
    try:
        pipeline = module.blank(language)
    except ImportError as error:
        raise AbsentError(f"needs {error.name or 'another package'}") from None
    pipeline.add_pipe("sentencizer")
    pipeline.max_length = 10**8
    return lambda text: [(s.start_char, s.end_char) for s in pipeline(text).sents if s.text.strip()]


PEERS: Final[dict[str, Callable[[str], SpansOf]]] = {
    "pysbd": _pysbd,
    "nupunkt": _nupunkt,
    "NLTK punkt": _nltk,
    "sentencex": _sentencex,
    "simplemma": _simplemma,
    "BlingFire": _blingfire,
    "razdel": _razdel,
    "spaCy sentencizer": _spacy,
}
