"""Sentence splitting: text in, offsets out, in pure Python."""

from transforms.splitter.languages import LANGUAGES
from transforms.splitter.options import SplitterOptions
from transforms.splitter.splitter import SentenceSplitter, Split

LANGUAGE_CODES = tuple(sorted(LANGUAGES))

__all__ = ["LANGUAGE_CODES", "SentenceSplitter", "Split", "SplitterOptions"]
