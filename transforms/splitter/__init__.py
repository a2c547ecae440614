"""Sentence splitting in pure Python, from a text to the offsets of its sentences."""

from transforms.splitter.languages import LANGUAGES
from transforms.splitter.options import UNDETERMINED, SplitterOptions, has_rules
from transforms.splitter.splitter import SentenceSplitter, Split

LANGUAGE_CODES = tuple(sorted(LANGUAGES))

__all__ = ["LANGUAGE_CODES", "UNDETERMINED", "SentenceSplitter", "Split", "SplitterOptions", "has_rules"]
