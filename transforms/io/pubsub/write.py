"""Writes rows to a Pub/Sub topic; a bundle ends when Pub/Sub has acknowledged all its rows."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics.metric import Lineage

from transforms.dead_letters import DeadLetterTransform, WithDeadLetters, dead_letters, split_dead_letters
from transforms.io.bundle_writer import BundleWriter
from transforms.io.errors import Refused
from transforms.io.lineage import add_resource
from transforms.io.pubsub.resources import publisher_client, validated
from transforms.io.retries import RETRY_FOR_SECONDS, WRITTEN, Answer
from transforms.io.spill import Spill
from transforms.types import DeadLetter

STAGE = "Write to topic"
# Source: https://cloud.google.com/pubsub/quotas#resource_limits, for a request (without its envelope) and a message.
MAX_MESSAGES = 1000
MAX_REQUEST_BYTES = 9_000_000
MAX_MESSAGE_BYTES = 10_000_000
RESPONSE_SECONDS = 60.0


class Outgoing(NamedTuple):
    """A message to publish."""

    data: bytes
    attributes: Mapping[str, str] = {}


def publish(topic: str, messages: Sequence[Outgoing]) -> Answer:
    """Publishes `messages` in one request, for `retries.deliver`, which halves a batch that is too large.

    Raises:
        Refused: if the messages are too many or too large for one request, or one is empty.
    """
    size = sum(map(_size, messages))
    if len(messages) == 1 and size > MAX_MESSAGE_BYTES:
        raise Refused(f"expected a message of at most {MAX_MESSAGE_BYTES} bytes, got {size}; shorten its text")
    if len(messages) > MAX_MESSAGES or (len(messages) > 1 and size > MAX_REQUEST_BYTES):
        raise Refused(
            f"expected at most {MAX_MESSAGES} messages of together {MAX_REQUEST_BYTES} bytes, "
            f"got {len(messages)} of {size}"
        )
    if not all(map(_size, messages)):
        raise Refused("expected messages with data or attributes, got an empty one")
    publisher_client().publish(
        topic=topic, messages=[one._asdict() for one in messages], retry=None, timeout=RESPONSE_SECONDS
    )
    return WRITTEN


def _size(message: Outgoing) -> int:
    return len(message.data) + sum(len(key.encode()) + len(value.encode()) for key, value in message.attributes.items())


class WriteToTopic(DeadLetterTransform):
    """Publishes each row, as bytes, to a topic; rejected rows become dead letters.

    A topic that rejects every row, because it has a schema for instance, is waited for as in an outage; in doubt, a row
    that it took is published once more ("write_probes"). A bundle ends when Pub/Sub has acknowledged its rows. Each row
    is published at least once. The output is the rows that were published.

    Attributes:
        topic: projects/P/topics/T.
        stage: the name of the stage in dead letters.
        retry_for_seconds: how long transient errors are retried before the bundle fails, in seconds.

    Raises:
        ValueError: if `topic` is not of the form projects/P/topics/T.
    """

    def __init__(self, topic: str, *, stage: str = STAGE, retry_for_seconds: float = RETRY_FOR_SECONDS) -> None:
        super().__init__()
        self.topic = validated(topic, "topic")
        self.stage = stage
        self.retry_for_seconds = retry_for_seconds

    def expand_with_dead_letters(self, rows: Any) -> WithDeadLetters[Any]:
        """Publishes `rows`."""
        write = BundleWriter(_Publish(self.topic, self.stage), self.retry_for_seconds)
        return split_dead_letters(rows, "Publish", write, object)


class WriteDeadLettersToTopic(beam.PTransform):
    """Publishes dead letters, each the JSON of its row as bytes, to a topic.

    A dead letter that Pub/Sub rejects is counted ("dead_letters_refused") and kept by Spill, as are all those for a
    topic that rejects every one, as one with a schema does. Without a folder for that, the bundle fails, so that its
    message is not acknowledged; a topic that rejects every one is waited for first.

    Args:
        topic: projects/P/topics/T.
        spill_dir: the folder for dead letters that Pub/Sub rejects; "" for none.
        retry_for_seconds: as in WriteToTopic.

    Raises:
        ValueError: if `topic` is not of the form projects/P/topics/T.
    """

    def __init__(self, topic: str, *, spill_dir: str = "", retry_for_seconds: float = RETRY_FOR_SECONDS) -> None:
        super().__init__()
        self._write = BundleWriter(_PublishDeadLetters(validated(topic, "topic"), Spill(spill_dir)), retry_for_seconds)

    def expand(self, letters: "beam.PCollection[bytes]") -> "beam.PCollection[Any]":
        """Publishes `letters` and returns them."""
        return letters | "Publish" >> beam.ParDo(self._write)


class _Publish:
    written_counter = "pubsub_published"
    refused_counter = "pubsub_refused"
    lag = ""
    max_rows = MAX_MESSAGES
    max_bytes = MAX_REQUEST_BYTES
    keeps_refused = False

    def __init__(self, topic: str, stage: str) -> None:
        self.name = f"Pub/Sub topic {topic}"
        self._topic = topic
        self._stage = stage

    def open(self) -> Callable[[Sequence[bytes]], Answer]:
        return lambda rows: publish(self._topic, [Outgoing(row) for row in rows])

    def report_lineage(self) -> None:
        add_resource(Lineage.sinks(), self._topic)

    def find_fault(self) -> str | None:
        return None

    def size(self, row: bytes) -> int:
        return len(row)

    def refused(self, row: bytes, reason: str) -> list[DeadLetter]:
        return dead_letters(self._stage, reason, row, {})


class _PublishDeadLetters(_Publish):
    written_counter = "dead_letters_published"
    refused_counter = "dead_letters_refused"

    def __init__(self, topic: str, spill: Spill) -> None:
        super().__init__(topic, "")
        self._spill = spill
        self.keeps_refused = spill.is_open

    def refused(self, row: bytes, reason: str) -> list[DeadLetter]:
        self._spill.keep(json.loads(row), self.name, reason)
        return []
