"""Write rows to a Pub/Sub topic: a bundle ends when Pub/Sub has them all."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.utils.windowed_value import WindowedValue
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type

from transforms.counters import Counters
from transforms.dead_letters import TAG, DeadLetterTransform, WithDeadLetters, dead_letters
from transforms.io.pubsub.resources import TRANSIENT_ERRORS, publisher_client, validate_topic
from transforms.types import DeadLetter

# https://cloud.google.com/pubsub/quotas#resource_limits: of a request, and of a message's data.
_MAX_MESSAGES = 1000
_MAX_REQUEST_BYTES = 9_000_000
_MAX_MESSAGE_BYTES = 10_000_000

# A missing topic or permission is no fault of a row: it is waited for, as an outage is.
_RETRIED = (*TRANSIENT_ERRORS, exceptions.NotFound, exceptions.Forbidden, exceptions.Unauthorized)

_log = logging.getLogger(__name__)


class Outgoing(NamedTuple):
    """A message to publish."""

    data: bytes
    attributes: Mapping[str, str] = {}


class TopicPublisher:
    """Publishes to one topic, and says of each message what became of it.

    Attributes:
        topic: projects/P/topics/T.
        retry_seconds: how long to go on trying while Pub/Sub cannot be reached, is busy or refuses everybody.
    """

    def __init__(self, topic: str, retry_seconds: float) -> None:
        self.topic = validate_topic(topic)
        self.retry_seconds = retry_seconds
        self._client = publisher_client()
        self._counters = Counters()

    def publish(self, messages: Sequence[Outgoing]) -> list[str | Exception]:
        """The id of each message, or the error for which Pub/Sub will never take it.

        Raises:
            google.api_core.exceptions.RetryError: if it did not work for `retry_seconds`.
        """
        results: list[str | Exception] = []
        for request in _requests(messages):
            results += self._publish(request)
        return results

    def close(self) -> None:
        """Close the connection."""
        self._client.transport.close()

    def _publish(self, messages: Sequence[Outgoing]) -> list[str | Exception]:
        if len(messages) == 1 and _size(messages[0]) > _MAX_MESSAGE_BYTES:
            size = _size(messages[0])
            return [
                ValueError(f"expected a message of at most {_MAX_MESSAGE_BYTES} bytes, got {size}; shorten its text")
            ]
        retry = Retry(
            predicate=if_exception_type(*_RETRIED),
            initial=0.1,
            maximum=30.0,
            timeout=self.retry_seconds,
            on_error=self._say,
        )
        try:
            response = self._client.publish(
                topic=self.topic, messages=[one._asdict() for one in messages], retry=retry, timeout=60
            )
        except exceptions.InvalidArgument as error:
            if len(messages) == 1:
                return [error]
            middle = len(messages) // 2
            return self._publish(messages[:middle]) + self._publish(messages[middle:])
        return list(response.message_ids)

    def _say(self, error: Exception) -> None:
        self._counters.count("pubsub_publish_retries")
        _log.warning("could not publish to %s, trying again: %s", self.topic, error)


def _size(message: Outgoing) -> int:
    return len(message.data) + sum(len(key) + len(value) for key, value in message.attributes.items())


def _requests(messages: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    request: list[Outgoing] = []
    size = 0
    for message in messages:
        size += _size(message)
        if request and (len(request) == _MAX_MESSAGES or size > _MAX_REQUEST_BYTES):
            yield request
            request, size = [], _size(message)
        request.append(message)
    if request:
        yield request


class WriteToTopic(DeadLetterTransform):
    """Rows, as bytes, to a topic; gives the ids of the messages that they became.

    A row that Pub/Sub will never take is a dead letter with `.with_dead_letters()`.

    Attributes:
        topic: projects/P/topics/T.
        stage: the stage that dead letters name.
        retry_seconds: how long a bundle waits for a topic that cannot be written to before it fails.

    Raises:
        ValueError: if the topic's name is none.
    """

    def __init__(self, topic: str, *, stage: str = "Write to topic", retry_seconds: float = 6 * 3600) -> None:
        super().__init__()
        self.topic = validate_topic(topic)
        self.stage = stage
        self.retry_seconds = retry_seconds

    def expand_with_dead_letters(self, rows: Any) -> WithDeadLetters[str]:
        """The ids of the published messages, and the refused rows."""
        publish = beam.ParDo(_Publish(self.topic, self.stage, self.retry_seconds))
        results = rows | "Publish" >> publish.with_outputs(TAG, main="published")
        results.published.element_type = str
        results[TAG].element_type = DeadLetter
        return WithDeadLetters(results.published, results[TAG])


class _Waiting(NamedTuple):
    data: bytes
    timestamp: Any
    window: Any


class _Publish(beam.DoFn):
    """Collects rows for a request; the last goes out before the bundle ends."""

    def __init__(self, topic: str, stage: str, retry_seconds: float) -> None:
        self._topic = topic
        self._stage = stage
        self._retry_seconds = retry_seconds
        self._counters = Counters()

    def setup(self) -> None:
        self._publisher = TopicPublisher(self._topic, self._retry_seconds)

    def start_bundle(self) -> None:
        self._waiting: list[_Waiting] = []
        self._size = 0

    def process(
        self, row: bytes, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        if self._size + len(row) > _MAX_REQUEST_BYTES or len(self._waiting) == _MAX_MESSAGES:
            yield from self._flush()
        self._waiting.append(_Waiting(row, timestamp, window))
        self._size += len(row)

    def finish_bundle(self) -> Iterator[Any]:
        yield from self._flush()

    def _flush(self) -> Iterator[Any]:
        waiting, self._waiting, self._size = self._waiting, [], 0
        results = self._publisher.publish([Outgoing(one.data) for one in waiting])
        for one, result in zip(waiting, results, strict=True):
            if isinstance(result, str):
                self._counters.count("pubsub_published")
                yield WindowedValue(result, one.timestamp, (one.window,))
                continue
            self._counters.count("pubsub_refused")
            for letter in dead_letters(self._stage, result, one.data, {}):
                yield pvalue.TaggedOutput(TAG, WindowedValue(letter, one.timestamp, (one.window,)))

    def teardown(self) -> None:
        self._publisher.close()
