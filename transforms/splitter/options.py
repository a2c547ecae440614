"""SplitterOptions: the options of a sentence splitter."""

import dataclasses
import functools
import logging
import re
from collections.abc import Sequence
from typing import Any

from transforms.splitter.custom import STRATEGIES, BoundStrategy, compiled
from transforms.splitter.detection import UNDETERMINED
from transforms.splitter.languages import LANGUAGES
from transforms.splitter.newlines import POLICIES, NewlinePolicy

# What stands for the language of each text.
AUTO = "auto"
# A language with a script, a region or a variant, as in BCP 47, or with the underscore of a locale.
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,4}")

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class SplitterOptions:
    """The options of a sentence splitter; SentenceSplitter and SplitSentences take them as keyword arguments.

    Attributes:
        language: language of the texts as an ISO 639-1 code, with or without a region ("pt-BR"); texts in an
            unsupported language are split by generic rules, with a warning once per process. With "auto", the language
            of each text is detected; a text that tells none is split by generic rules.
        newlines: which line breaks end a sentence. With "sentence" every one does; with "soft" every one but soft
            wraps; with "ignore" none. A blank line does, but for one within an enumeration with "soft".
        use_abbreviations: whether to recognize abbreviations and initials, whose period need not end a sentence.
        detect_lists: whether bullets and numbered items begin a sentence, and keep the marker with its item.
        abbreviations: further abbreviations, with or without the last period; they end a sentence only before a
            function word.
        custom_bounds: regular expressions whose matches end sentences, in addition to the rules.
        use_custom_bounds_only: whether only custom_bounds end sentences; then even blank lines do not.
        custom_bounds_strategy: which sentence the text matched by custom_bounds belongs to. With "none" it belongs to
            no sentence, with "prepend" to the next one, and with "append" to the previous one.
        split_length: maximum length in characters; longer sentences are cut at white space, or inside a word if it is
            longer. By default there is no limit.
        min_length: minimum length in characters; shorter sentences are dropped and counted.
        max_length: maximum length in characters, after split_length; longer sentences are dropped and counted. By
            default there is no limit.

    Raises:
        ValueError: if an option has an invalid value.
    """

    language: str = "en"
    _: dataclasses.KW_ONLY
    newlines: NewlinePolicy = dataclasses.field(default="soft", metadata={"choices": POLICIES})
    use_abbreviations: bool = True
    detect_lists: bool = True
    abbreviations: Sequence[str] = ()
    custom_bounds: Sequence[str] = ()
    use_custom_bounds_only: bool = False
    custom_bounds_strategy: BoundStrategy = dataclasses.field(default="none", metadata={"choices": STRATEGIES})
    split_length: int | None = None
    min_length: int = 0
    max_length: int | None = None

    def __post_init__(self) -> None:
        """Checks the options, and converts lists to tuples so that the options can be hashed."""
        for name in ("custom_bounds", "abbreviations"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ValueError(f"expected {name} as a list of strings, got the string {value!r}; pass [{value!r}]")
            object.__setattr__(self, name, tuple(value))
        for field in dataclasses.fields(self):
            _expect_type(field, getattr(self, field.name))
        _expect("newlines", self.newlines, POLICIES)
        _expect("custom_bounds_strategy", self.custom_bounds_strategy, STRATEGIES)
        if self.use_custom_bounds_only and not self.custom_bounds:
            raise ValueError("expected custom_bounds with use_custom_bounds_only, got none; pass at least one")
        for name, least in (("split_length", 1), ("min_length", 0), ("max_length", 1)):
            number = getattr(self, name)
            if number is not None and number < least:
                raise ValueError(f"expected {name} of at least {least}, got {number}; pass a larger number")
        if self.max_length is not None and self.max_length < self.min_length:
            raise ValueError(
                f"expected max_length of at least min_length, got {self.max_length} and {self.min_length}; swap them"
            )
        compiled(tuple(self.custom_bounds))
        if not isinstance(self.language, str) or not (self.language == AUTO or _LANGUAGE.fullmatch(self.language)):
            raise ValueError(
                f"expected language as a code such as en or pt-BR, or auto, got {str(self.language)[:40]!r}"
            )
        if not has_rules(self.language) and self.language not in (AUTO, UNDETERMINED):
            _warn(self.language)


def has_rules(language: str) -> bool:
    """Whether `language`, which may be any string, is the code of a language with rules of its own."""
    return bool(_LANGUAGE.fullmatch(language)) and language_code(language) in LANGUAGES


@functools.lru_cache(maxsize=1024)
def language_code(language: str) -> str:
    """The language of a code with or without a region, in lower case."""
    return language.replace("_", "-").partition("-")[0].lower()


@functools.lru_cache(maxsize=1024)
def _warn(language: str) -> None:
    known = ", ".join(sorted(LANGUAGES))
    _LOG.warning("expected one of the languages %s, got %r; its texts are split by generic rules", known, language)


def _expect(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"expected {name} as one of {', '.join(allowed)}, got {value!r}; pass one of them")


def _expect_type(field: "dataclasses.Field[Any]", value: Any) -> None:
    if field.type not in (bool, int, int | None):
        return
    # True is an integer in Python, but not where a number is meant.
    if isinstance(value, bool) != (field.type is bool) or not isinstance(value, field.type):  # type: ignore[arg-type]
        raise ValueError(f"expected {field.name} as {getattr(field.type, '__name__', field.type)}, got {value!r}")
