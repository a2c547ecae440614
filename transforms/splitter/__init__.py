"""Sentence splitting in pure Python, from a text to the offsets of its sentences."""

from transforms.splitter.detection import UNDETERMINED
from transforms.splitter.languages import LANGUAGES
from transforms.splitter.options import AUTO, SplitterOptions, has_rules
from transforms.splitter.splitter import SentenceSplitter, Split

LANGUAGE_CODES = tuple(sorted(LANGUAGES))

__all__ = ["AUTO", "LANGUAGE_CODES", "UNDETERMINED", "SentenceSplitter", "Split", "SplitterOptions", "has_rules"]
