"""SplitSentences: splits messages into sentences."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from transforms.adapters import as_messages
from transforms.counters import Counters, NamesFound
from transforms.dead_letters import (
    TAG,
    DeadLetterTransform,
    WithDeadLetters,
    add_dead_letters,
    dead_letters,
    element_json,
    split_dead_letters,
)
from transforms.ids import stable_id
from transforms.options import sort_out, takes
from transforms.splitter import SentenceSplitter, SplitterOptions
from transforms.types import Message, Sentence

STAGE = "Split sentences"


@dataclasses.dataclass(frozen=True)
class SplittingOptions:
    """The options of SplitSentences in addition to SplitterOptions.

    Attributes:
        language_field: the metadata field that holds the language of a single message, as a code that overrides
            language.
    """

    language_field: str = ""


class SplitSentences(DeadLetterTransform):
    """Splits PCollection[Message] into PCollection[Sentence]; the sentences of a message come in text order.

    Strings, rows with a field "text" and `ml.rag` EmbeddableItems go through AsMessages first. A message that cannot be
    split becomes a dead letter.

    Sentences that a length option drops are counted ("sentences_dropped"). Only the sentences that are kept are
    numbered by `sentence_index`.

    Args:
        language: the language of the texts, as an ISO 639-1 code.
        options: the other fields of SplitterOptions, and those of SplittingOptions.

    Raises:
        ValueError: if an option has an invalid value.
    """

    @takes(SplitterOptions, SplittingOptions)
    def __init__(self, language: str = "en", **options: Any) -> None:
        super().__init__()
        self._splitter, splitting = sort_out({"language": language, **options}, SentenceSplitter, SplittingOptions)
        self._language_field = splitting.language_field

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Sentence]:
        """The sentences, and as dead letters the messages that could not be split."""
        messages, letters = as_messages(pcoll)
        dofn = _Split(self._splitter, self._language_field)
        return add_dead_letters(split_dead_letters(messages, STAGE, dofn, Sentence), *letters)


class _Split(beam.DoFn):
    def __init__(self, splitter: SentenceSplitter, language_field: str) -> None:
        self._splitter = splitter
        self._language_field = language_field
        self._counters = Counters()
        self._names = NamesFound({"language_field": language_field})

    def start_bundle(self) -> None:
        self._names.start_bundle()

    def finish_bundle(self) -> None:
        self._names.finish_bundle()

    def process(self, message: Message) -> Iterator[Any]:
        self._names.see(message.metadata)
        language = message.metadata.get(self._language_field) if self._language_field else None
        splitter = dataclasses.replace(self._splitter, language=language) if language else self._splitter
        try:
            found, dropped = sentences(message, splitter)
        # An unexpected error on one text must not stop the others.
        except Exception as error:
            self._counters.count("dead_letters_split")
            for letter in dead_letters(STAGE, error, element_json(message), {"message_id": message.id}):
                yield beam.pvalue.TaggedOutput(TAG, letter)
            return
        self._counters.count("sentences", len(found))
        if dropped:
            self._counters.count("sentences_dropped", dropped)
        yield from found


def sentences(message: Message, splitter: SentenceSplitter) -> tuple[list[Sentence], int]:
    """The sentences of one message, and the number of sentences that a length option dropped."""
    spans, dropped = splitter.split(message.text)
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
