"""SplitSentences: splits messages into sentences."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from transforms.adapters import as_messages
from transforms.columns import OwnColumns, own_columns
from transforms.counters import Counters, NamesFound, NotesNames
from transforms.dead_letters import (
    WithDeadLetters,
    add_dead_letters,
    element_json,
    refused,
    split_dead_letters,
)
from transforms.ids import stable_id
from transforms.options import sort_out, takes
from transforms.splitter import AUTO, UNDETERMINED, SentenceSplitter, SplitterOptions, has_rules
from transforms.types import Message, Sentence
from transforms.versions import VersionedTransform, versioned

STAGE = "Split sentences"
# The entry of the metadata that says which language was detected; a message's own of this name stays.
DETECTED_LANGUAGE = "detected_language"

# Each sentence carries the metadata of its message, so a small message could become a very large one.
_MOST_METADATA = 64_000_000


@dataclasses.dataclass(frozen=True)
class SplittingOptions:
    """The options of SplitSentences in addition to SplitterOptions.

    Attributes:
        language_field: the metadata field that holds the language of a single message, as a code that overrides
            language, "auto" too; texts whose code has no rules are split by generic rules, and counted
            ("languages_unknown").
        metadata_fields: the fields and attributes that sentences keep as metadata, "detected_language" among them; by
            default all.
        columns: columns of your own in the rows, each as NAME:TYPE=FIELD, filled from that field of the metadata, by
            its name or path, even if metadata_fields does not keep it; null if a message lacks it. A message with a
            value of another type becomes a dead letter.

    Raises:
        ValueError: if an option has an invalid value.
    """

    language_field: str = ""
    metadata_fields: Sequence[str] | None = None
    columns: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Converts lists to tuples, and refuses a string, which is a sequence too."""
        for name in ("metadata_fields", "columns"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ValueError(f"expected {name} as a list of strings, got {value!r}")
            if value is not None:
                object.__setattr__(self, name, tuple(value))
        own_columns(self.columns)


class SplitSentences(VersionedTransform):
    """Splits PCollection[Message] into PCollection[Sentence]; the sentences of a message come in text order.

    Strings, rows with a field "text" and `ml.rag` EmbeddableItems go through AsMessages first. A message that cannot be
    split becomes a dead letter, and so does one whose metadata would take more than 64 million characters in all of its
    sentences together.

    Sentences that a length option drops are counted ("sentences_dropped"). Only the sentences that are kept are
    numbered by `sentence_index`.

    With the language "auto", a message that names no language gets the metadata "detected_language", a code or "und",
    unless it has a field of that name, and is counted by it ("language_en", ...).

    Args:
        language: the language of the texts, as an ISO 639-1 code, or "auto" to detect that of each message.
        options: the other fields of SplitterOptions, and those of SplittingOptions.

    Raises:
        ValueError: if an option has an invalid value.
    """

    @takes(SplitterOptions, SplittingOptions)
    def __init__(self, language: str = "en", **options: Any) -> None:
        super().__init__()
        self._splitter, splitting = sort_out({"language": language, **options}, SentenceSplitter, SplittingOptions)
        self._options = splitting

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Sentence]:
        """The sentences, and as dead letters the messages that could not be split."""
        messages, letters = as_messages(pcoll)
        dofn = _Split(self._splitter, self._options, self._with_versions)
        return add_dead_letters(split_dead_letters(messages, STAGE, dofn, Sentence), *letters)


class KeepMetadata:
    """Which fields of the metadata are kept, and which of their names were found.

    Args:
        fields: the names to keep; None for all.
        names: other options that name a field of the metadata.
    """

    def __init__(self, fields: Sequence[str] | None, **names: str) -> None:
        self._fields = None if fields is None else frozenset(fields)
        self.found = NamesFound(names | {f"metadata_fields.{name}": name for name in fields or ()})

    def of(self, metadata: Mapping[str, str]) -> Mapping[str, str]:
        """The part of `metadata` that is kept."""
        self.found.see(metadata)
        if self._fields is None:
            return metadata
        return {name: value for name, value in metadata.items() if name in self._fields}


class _Split(NotesNames):
    def __init__(self, splitter: SentenceSplitter, options: SplittingOptions, with_versions: bool) -> None:
        self._splitter = splitter
        self._with_versions = with_versions
        self._language_field = options.language_field
        self._kept = KeepMetadata(options.metadata_fields, language_field=options.language_field)
        self._own = OwnColumns(options.columns)
        self.notes = self._kept.found, self._own.found
        self._counters = Counters()

    def process(self, message: Message) -> Iterator[Any]:
        try:
            language, metadata = self._language_of(message)
            splitter = dataclasses.replace(self._splitter, language=language) if language else self._splitter
            # What has no text has no rows, but retires those of an earlier version.
            own = self._own.of(metadata) if message.text else {}
            kept = message._replace(metadata={**self._kept.of(metadata), **own})
            found, dropped = sentences(kept, splitter)
            _check_size(kept.metadata, len(found))
        # An unexpected error on one text must not stop the others.
        except Exception as error:
            yield from refused("dead_letters_split", STAGE, error, element_json(message), {"message_id": message.id})
            return
        self._counters.count("sentences", len(found))
        if dropped:
            self._counters.count("sentences_dropped", dropped)
        yield from versioned(kept, found) if self._with_versions else found

    def _language_of(self, message: Message) -> tuple[str, Mapping[str, str]]:
        """The language of the message, "" if it is the splitter's, and its metadata."""
        named = message.metadata.get(self._language_field) if self._language_field else None
        if named and has_rules(named):
            return named, message.metadata
        if named:
            self._counters.count("languages_unknown")
            return UNDETERMINED, message.metadata
        if self._splitter.language != AUTO or not message.text:
            return "", message.metadata
        detected = self._splitter.language_of(message.text)
        self._counters.count(f"language_{detected}")
        return detected, {DETECTED_LANGUAGE: detected, **message.metadata}


def _check_size(metadata: Mapping[str, str], sentences: int) -> None:
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size * sentences > _MOST_METADATA:
        raise ValueError(
            f"expected at most {_MOST_METADATA:,} characters of metadata in all sentences of a message, "
            f"got {size:,} in each of {sentences:,}; keep fewer fields with metadata_fields"
        )


def sentences(message: Message, splitter: SentenceSplitter) -> tuple[list[Sentence], int]:
    """The sentences of one message, and the number of sentences that a length option dropped."""
    spans, dropped = splitter.split("" if message.deleted else message.text)
    found = [
        Sentence(
            id=stable_id(message.id, str(index), content),
            message_id=message.id,
            sentence_index=index,
            begin=begin,
            end=end,
            content=content,
            metadata=message.metadata,
            event_time=message.event_time,
        )
        for index, (begin, end) in enumerate(spans)
        for content in (message.text[begin:end],)
    ]
    return found, len(dropped)
