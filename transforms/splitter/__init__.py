"""Sentence splitting: text in, offsets out, in pure Python."""

from transforms.splitter.custom import STRATEGIES as BOUND_STRATEGIES
from transforms.splitter.languages import LANGUAGES
from transforms.splitter.newlines import POLICIES as NEWLINES
from transforms.splitter.splitter import SentenceSplitter, Split

LANGUAGE_CODES = tuple(sorted(LANGUAGES))

__all__ = ["BOUND_STRATEGIES", "LANGUAGE_CODES", "NEWLINES", "SentenceSplitter", "Split"]
