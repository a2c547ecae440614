"""BundleWriter: a DoFn whose bundles end only when the sink has acknowledged or rejected every row."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import apache_beam as beam
from apache_beam.utils.windowed_value import WindowedValue

from transforms.counters import Counters
from transforms.dead_letters import TAG
from transforms.io.lag import observe_lag
from transforms.io.retries import Answer, Evidence, deliver
from transforms.types import DeadLetter, is_end

# The position of what is no row.
_END = -1
T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """The destination of a BundleWriter's rows.

    Attributes:
        name: the name of the sink in messages.
        written_counter: the counter of rows that the sink acknowledged.
        refused_counter: the counter of rows that the sink rejected.
        lag: the name of the metrics of `observe_lag`, if the rows have a vector; "" for none.
        max_rows: maximum number of rows that are buffered and sent together.
        max_bytes: maximum number of bytes that are buffered and sent together; a larger row is sent alone.
        keeps_refused: whether rejected rows are kept elsewhere, so that a fault of the sink is not waited out.
    """

    name: str
    written_counter: str
    refused_counter: str
    lag: str
    max_rows: int
    max_bytes: int
    keeps_refused: bool

    def open(self) -> Callable[[Sequence[T_contra]], Answer]:
        """Returns the function that sends rows for `retries.deliver`; called once per DoFn instance, on the worker."""

    def report_lineage(self) -> None:
        """Tells the runner where rows go; called in each bundle that has rows."""

    def find_fault(self) -> str | None:
        """Why the sink would reject every row; "" if it would not, None if that is unknown."""

    def size(self, row: T_contra) -> int:
        """The approximate size of a row, in bytes."""

    def refused(self, row: T_contra, reason: str) -> list[DeadLetter]:
        """The dead letters for a rejected row, if any."""


class BundleWriter(beam.DoFn):
    """Buffers a bundle's rows and writes them in as few requests as the sink's limits allow.

    Each row is written at least once, because the runner retries bundles that fail. The output is the rows that the
    sink acknowledged, in order, with the ends of versions among them, which are not written; and, tagged with TAG, dead
    letters. All have the timestamp and window that they came with.

    Args:
        sink: the destination of the rows; the name of its class becomes part of the step's name.
        retry_for_seconds: how long transient errors are retried before the bundle fails.
    """

    def __init__(self, sink: Sink[Any], retry_for_seconds: float) -> None:
        self._sink = sink
        self._retry_for_seconds = retry_for_seconds

    def default_label(self) -> str:
        """A label that distinguishes the steps of different sinks."""
        return type(self._sink).__name__

    def setup(self) -> None:
        """Opens the sink."""
        self._counters = Counters()
        self._send = self._sink.open()
        self._evidence: Evidence[Any] = Evidence(self._sink.find_fault)

    def start_bundle(self) -> None:
        """Clears the buffer, in which a failed bundle may have left rows."""
        self._forget()

    def process(
        self, row: Any, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        """Buffers `row`, after writing the buffered rows if it would exceed the limits."""
        arrived = WindowedValue(row, timestamp, (window,))
        if is_end(row):
            self._arrived.append((_END, arrived))
            return
        size = self._sink.size(row)
        if len(self._rows) == self._sink.max_rows or self._bytes + size > self._sink.max_bytes:
            yield from self._flush()
        self._arrived.append((len(self._rows), arrived))
        self._rows.append(row)
        self._bytes += size

    def finish_bundle(self) -> Iterator[Any]:
        """Writes the buffered rows."""
        yield from self._flush()

    def _flush(self) -> Iterator[Any]:
        sink = self._sink
        refusals = list(
            deliver(self._send, self._rows, self._retry_for_seconds, sink.name, self._evidence, sink.keeps_refused)
        )
        self._counters.count(self._sink.written_counter, len(self._rows) - len(refusals))
        reasons = dict(refusals)
        if self._rows:
            sink.report_lineage()
        if sink.lag:
            observe_lag(sink.lag, (row for position, row in enumerate(self._rows) if position not in reasons))
        for position, arrived in self._arrived:
            if position not in reasons:
                yield arrived
                continue
            self._counters.count(self._sink.refused_counter)
            for letter in self._sink.refused(arrived.value, reasons[position]):
                yield beam.pvalue.TaggedOutput(TAG, arrived.with_value(letter))
        self._forget()

    def _forget(self) -> None:
        self._rows: list[Any] = []
        # The rows once more, each with its position and in its window, and the ends between them.
        self._arrived: list[tuple[int, WindowedValue]] = []
        self._bytes = 0
