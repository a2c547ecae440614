"""The DoFn that writes bundles: a bundle ends when its sink has acknowledged or refused every row."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import apache_beam as beam
from apache_beam.utils.windowed_value import WindowedValue

from transforms.counters import Counters
from transforms.dead_letters import TAG
from transforms.io.retries import Answer, deliver
from transforms.types import DeadLetter

T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """Where a BundleWriter's rows go.

    Attributes:
        name: what messages call it.
        written_counter: counts the rows that it acknowledged.
        refused_counter: counts the rows that it refused.
        max_rows: the most rows that wait to be sent together.
        max_bytes: the most bytes that wait to be sent together; a larger row is sent alone.
    """

    name: str
    written_counter: str
    refused_counter: str
    max_rows: int
    max_bytes: int

    def open(self) -> Callable[[Sequence[T_contra]], Answer]:
        """What sends rows, for `retries.deliver`; called once per DoFn instance, on the worker."""

    def size(self, row: T_contra) -> int:
        """About how many bytes a row takes."""

    def refused(self, row: T_contra, reason: str) -> list[DeadLetter]:
        """The dead letters of a row that the sink will never take, if any."""


class BundleWriter(beam.DoFn):
    """Collects a bundle's rows and writes them in as few requests as the sink's limits allow.

    A row is written at least once: a bundle that fails is the runner's to try again. Its output is empty but for the
    dead letters, tagged with TAG, each at its row's timestamp and in its row's window.

    Args:
        sink: where the rows go; its class's name is part of the step's.
        retry_for_seconds: how long transient errors are retried before the bundle fails.
    """

    def __init__(self, sink: Sink[Any], retry_for_seconds: float) -> None:
        self._sink = sink
        self._retry_for_seconds = retry_for_seconds

    def default_label(self) -> str:
        """What tells its step from another writer's."""
        return type(self._sink).__name__

    def setup(self) -> None:
        """Opens the sink."""
        self._counters = Counters()
        self._send = self._sink.open()

    def start_bundle(self) -> None:
        """Forgets what a failed bundle left."""
        self._forget()

    def process(
        self, row: Any, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        """Keeps `row`, after writing what waits if both would be too much."""
        size = self._sink.size(row)
        if len(self._rows) == self._sink.max_rows or self._bytes + size > self._sink.max_bytes:
            yield from self._flush()
        self._rows.append(row)
        self._marks.append((timestamp, window))
        self._bytes += size

    def finish_bundle(self) -> Iterator[Any]:
        """Writes what waits."""
        yield from self._flush()

    def _flush(self) -> Iterator[Any]:
        refusals = list(deliver(self._send, self._rows, self._retry_for_seconds, self._sink.name))
        self._counters.count(self._sink.written_counter, len(self._rows) - len(refusals))
        for position, reason in refusals:
            self._counters.count(self._sink.refused_counter)
            timestamp, window = self._marks[position]
            for letter in self._sink.refused(self._rows[position], reason):
                yield beam.pvalue.TaggedOutput(TAG, WindowedValue(letter, timestamp, (window,)))
        self._forget()

    def _forget(self) -> None:
        self._rows: list[Any] = []
        self._marks: list[tuple[Any, Any]] = []
        self._bytes = 0
