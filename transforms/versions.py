"""Versions: which rows belong to one version of a message, and the journal of those that were carried to their end."""

import collections
import json
import time
from collections.abc import Iterator, Sequence
from typing import Self

import apache_beam as beam

from transforms.counters import Counters
from transforms.dead_letters import DeadLetterTransform
from transforms.ids import stable_id
from transforms.types import JournalEntry, Message, Sentence, SentenceEmbedding, is_end

# What stands for the digest of a version that says that its message is gone.
_DELETED = "deleted"


class VersionedTransform(DeadLetterTransform):
    """A stage that can tell the versions of messages apart."""

    _with_versions = False

    def with_versions(self, enabled: bool = True) -> Self:
        """Names the revision of its message in each sentence, with an end behind those of each; returns the stage."""
        self._with_versions = enabled
        return self


def versioned(message: Message, sentences: Sequence[Sentence]) -> Iterator[Sentence]:
    """The sentences of a message with their revision, and behind them their end, which says how many they are.

    Args:
        message: the message, with only the metadata that its rows keep.
        sentences: all of its sentences.
    """
    revision = _revision(message, sentences)
    for sentence in sentences:
        yield sentence._replace(revision=revision)
    yield end_of(message.id, revision, len(sentences), message.event_time)


def end_of(message_id: str, revision: str, sentences: int, event_time: int | None) -> Sentence:
    """The end of a version that has so many `sentences`; its offsets say nothing."""
    return Sentence(
        id=stable_id(message_id, revision),
        message_id=message_id,
        sentence_index=sentences,
        begin=0,
        end=0,
        content="",
        metadata={},
        event_time=event_time,
        revision=revision,
    )


def digest_of(revision: str) -> str:
    """What versions have in common that differ only by their number; "" if they delete a message, or are none."""
    digest = revision.rpartition("-")[-1]
    return "" if digest == _DELETED else digest


def age(entry: JournalEntry) -> tuple[int, int, str]:
    """A sort key for the entries of a message: the greatest one is of the newest version."""
    return entry.version, entry.written_at, entry.revision


def _revision(message: Message, sentences: Sequence[Sentence]) -> str:
    """The version of a message and a digest of all that its rows hold of it: its sentences, metadata and event time.

    Two messages of one version that differ in what is written of them have different revisions, and so do the rows of
    two ways of splitting. What is written twice in the same way, by a retry, has one.
    """
    if message.deleted:
        return f"{message.version}-{_DELETED}"
    spans = str([(sentence.begin, sentence.end) for sentence in sentences])
    metadata = json.dumps(sorted(message.metadata.items()))
    return f"{message.version}-{stable_id(message.text, spans, metadata, str(message.event_time))[:16]}"


class KeepJournal(beam.DoFn):
    """Gives a JournalEntry for each end of a version, given the rows that were written and the ends behind them.

    All the rows of a version come in the bundle of its end, as one message was split into them. An encoder that took up
    a newer model between them leaves no version of either whole: it gets no entry ("versions_mixed"), so that readers
    stay with the one before.
    """

    def __init__(self) -> None:
        self._counters = Counters()

    def start_bundle(self) -> None:
        """Forgets what a bundle that failed had written."""
        self._rows: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(collections.Counter)

    def process(self, row: SentenceEmbedding) -> Iterator[JournalEntry]:
        """Counts a row, or gives the entry of an end."""
        if not row.revision:
            return
        version = row.message_id, row.revision
        if not is_end(row):
            self._rows[version][row.model_version] += 1
            return
        written = self._rows.pop(version, collections.Counter())
        if written.keys() - {row.model_version}:
            self._counters.count("versions_mixed")
            return
        number, _, digest = row.revision.rpartition("-")
        rows = written[row.model_version]
        self._counters.count("versions")
        yield JournalEntry(
            message_id=row.message_id,
            version=int(number),
            revision=row.revision,
            event_time=row.event_time,
            model=row.model,
            model_version=row.model_version,
            sentences=row.sentence_index,
            rows=rows,
            dead_letters=row.sentence_index - rows,
            deleted=digest == _DELETED,
            written_at=time.time_ns() // 1000,
        )
