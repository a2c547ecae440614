"""SplitSentences: messages become sentences."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from transforms.adapters import as_messages
from transforms.counters import Counters
from transforms.dead_letters import (
    TAG,
    DeadLetterTransform,
    WithDeadLetters,
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
    """What SplitSentences may be told beside SplitterOptions.

    Attributes:
        language_field: the metadata field that names a message's own language.
    """

    language_field: str = ""


class SplitSentences(DeadLetterTransform):
    """PCollection[Message] to PCollection[Sentence], in the order of each text.

    A PCollection of str, of rows with a field "text" or of `ml.rag` EmbeddableItem goes through AsMessages first.

    Sentences that a length option drops are counted ("sentences_dropped"). A sentence's index counts those that are
    kept.

    Args:
        language: language of the texts, as an ISO 639-1 code.
        options: SplitterOptions', and SplittingOptions': `language_field`, the metadata field that names a message's
            own language.

    Raises:
        ValueError: if an option has no such value.
    """

    @takes(SplitterOptions, SplittingOptions)
    def __init__(self, language: str = "en", **options: Any) -> None:
        super().__init__()
        self._splitter, splitting = sort_out({"language": language, **options}, SentenceSplitter, SplittingOptions)
        self._language_field = splitting.language_field

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Sentence]:
        """Sentences, and the messages that could not be split."""
        return split_dead_letters(as_messages(pcoll), STAGE, _Split(self._splitter, self._language_field), Sentence)


class _Split(beam.DoFn):
    def __init__(self, splitter: SentenceSplitter, language_field: str) -> None:
        self._splitter = splitter
        self._language_field = language_field
        self._counters = Counters()

    def process(self, message: Message) -> Iterator[Any]:
        language = message.metadata.get(self._language_field)
        splitter = dataclasses.replace(self._splitter, language=language) if language else self._splitter
        try:
            found, dropped = sentences(message, splitter)
        # Whatever a text does to a splitter, it must not stop the others.
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
    """The sentences of one message, and how many a length option dropped."""
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
