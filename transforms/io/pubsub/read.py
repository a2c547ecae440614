"""Reads Pub/Sub on any runner; a message is acknowledged after its bundle is complete, including the sinks."""

import functools
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam import coders
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.metrics.metric import Lineage
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from transforms.counters import Counters
from transforms.io.lineage import add_resource
from transforms.io.pubsub.leases import Delivery
from transforms.io.pubsub.puller import Limits, Puller, borrow, hand_back
from transforms.io.pubsub.resources import validated
from transforms.io.retries import RETRY_FOR_SECONDS
from transforms.runners.bounded_metrics import bound_runner_metrics
from transforms.runners.flink_keys import spread_keys
from transforms.types import Record

# A bundle without messages ends after this time, to advance the watermark and to let go of a thread that other readers
# and checkpoints may wait for. Messages that arrive are taken at once.
_IDLE_SECONDS = 1.0
# With no messages outstanding, the watermark lags by this much, for messages that are still on their way.
_IDLE_LAG_MICROS = 5_000_000

_log = logging.getLogger(__name__)
_stop = threading.Event()


def stop() -> None:
    """Ends the streams of this process.

    No more messages are pulled, those already pulled are processed and acknowledged, and then `run()` returns. It is
    safe to call this function from a signal handler.
    """
    _stop.set()


def resume() -> None:
    """Reverts an earlier `stop()`, for a process that runs another stream."""
    _stop.clear()


class ReadFromSubscription(beam.PTransform):
    """Reads the messages of a Pub/Sub subscription as `Record`, at least once, with the publish time as event time.

    Each batch of messages is one bundle, and is acknowledged when the runner finalizes the bundle. Beam's FnApiRunner
    does this after the steps that are fused with the read, so a pipeline there must not group, reshuffle or flatten the
    messages, nor use them as a side input. Until then their deadlines are extended. If the bundle fails, the messages
    are released to be delivered again.

    Attributes:
        subscription: projects/P/subscriptions/S.
        max_messages: maximum number of messages in a bundle.
        max_bytes: approximate maximum size of a bundle, in bytes; about as much again is held ahead.
        max_wait_seconds: how long the first message of a bundle waits for others, in seconds.
        lease_seconds: how long each lease lasts, from 10 to 600 seconds; if the process is killed, its messages are
            delivered again after this time.
        retry_for_seconds: how long errors that may pass, such as an outage or a missing permission, are retried before
            the read fails, in seconds.
        readers: the number of readers, which a runner shares out among its workers; more than its parallelism wait for
            each other.

    Raises:
        ValueError: if the name of the subscription is invalid, or a number is too small.
    """

    def __init__(
        self,
        subscription: str,
        *,
        max_messages: int = 1000,
        max_bytes: int = 16 * 1024 * 1024,
        max_wait_seconds: float = 0.1,
        lease_seconds: int = 30,
        retry_for_seconds: float = RETRY_FOR_SECONDS,
        readers: int = 1,
    ) -> None:
        super().__init__()
        self.subscription = validated(subscription, "subscription")
        self.max_messages = _at_least(1, max_messages, "max_messages")
        self.max_bytes = _at_least(1, max_bytes, "max_bytes")
        self.max_wait_seconds = _at_least(0, max_wait_seconds, "max_wait_seconds")
        self.lease_seconds = _at_least(10, lease_seconds, "lease_seconds")
        self.retry_for_seconds = _at_least(0, retry_for_seconds, "retry_for_seconds")
        self.readers = _at_least(1, readers, "readers")

    def expand(self, pbegin: Any) -> Any:
        """Reads the subscription as one endless restriction per reader."""
        bound_runner_metrics()
        limits = Limits(
            self.max_messages, self.max_bytes, self.max_wait_seconds, self.lease_seconds, self.retry_for_seconds
        )
        starts = pbegin | "Start" >> beam.Impulse()
        # A single reader has no such step, so that a running job can be updated to a version that has readers.
        if self.readers > 1:
            starts |= "Readers" >> beam.FlatMap(_readers, self.readers).with_output_types(bytes)
        return starts | "Pull" >> beam.ParDo(_Pull(self.subscription, limits)).with_output_types(Record)


def _readers(_start: bytes, count: int) -> Iterator[bytes]:
    return spread_keys(count)


def _at_least(least: Any, value: Any, name: str) -> Any:
    if value < least:
        raise ValueError(f"expected {name} of {least} or more, got {value!r}; leave it out for the default")
    return value


# Beam 2.77 drops a remainder whose truth value is false, so a restriction must not be False, 0 or "".
_LIVE, _ENDED = "live", "ended"


class _Tracker(RestrictionTracker):
    """An endless restriction without positions, which remains live until it is ended or split off."""

    def __init__(self, restriction: str) -> None:
        self._restriction = restriction

    def current_restriction(self) -> str:
        return self._restriction

    def try_claim(self, position: None) -> bool:
        """Claims the end of the restriction; returns whether it was still live."""
        before, self._restriction = self._restriction, _ENDED
        return before == _LIVE

    def try_split(self, fraction_of_remainder: float) -> tuple[str, str] | None:
        """Splits off the whole remainder, whatever the fraction."""
        return (_ENDED, _LIVE) if self.try_claim(None) else None

    def check_done(self) -> bool:
        if self._restriction == _LIVE:
            raise ValueError("expected the read to have been deferred or ended, got neither; this is a bug")
        return True

    def current_progress(self) -> RestrictionProgress:
        done = float(self._restriction == _ENDED)
        return RestrictionProgress(completed=done, remaining=1 - done)

    def is_bounded(self) -> bool:
        return False


class _Endless(RestrictionProvider):
    def initial_restriction(self, element: bytes) -> str:
        return _LIVE

    def create_tracker(self, restriction: str) -> _Tracker:
        return _Tracker(restriction)

    def restriction_size(self, element: bytes, restriction: str) -> float:
        return 1.0

    def restriction_coder(self) -> coders.Coder:
        return coders.StrUtf8Coder()


class _Pull(beam.DoFn):
    """Emits the pulled messages, one batch per bundle, and acknowledges them when the bundle is finalized.

    A bundle with several readers waits only once, and does not wait any more when one of them has messages.
    """

    def __init__(self, subscription: str, limits: Limits) -> None:
        self._subscription = subscription
        self._limits = limits
        self._counters = Counters()

    def setup(self) -> None:
        self._puller: Puller | None = None
        self._at_work: set[Delivery] = set()

    def start_bundle(self) -> None:
        self._has_messages = False
        self._idle_until: float | None = None

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        _start: bytes,
        # Beam 2.77 confuses the arguments if the finalizer comes after the restriction.
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        rest: Any = beam.DoFn.RestrictionParam(_Endless()),  # noqa: B008
        watermark: Any = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider()),  # noqa: B008
    ) -> Iterator[TimestampedValue]:
        # Not in setup, because stages that only prepare the restriction also have this DoFn, and must not pull.
        puller = self._puller = self._puller or borrow(self._subscription, self._limits, _stop.is_set)
        self._report(puller.unfinalized())
        self._idle_until = self._idle_until or time.monotonic() + _IDLE_SECONDS
        taken = [] if self._has_messages else puller.take(self._idle_until - time.monotonic())
        # Even if nothing was taken, because some runners finalize every bundle, and log an error where they cannot.
        finalizer.register(functools.partial(self._acknowledge, puller, taken))
        if taken:
            self._has_messages = True
            add_resource(Lineage.sources(), self._subscription)
            self._at_work.update(taken)
            self._count(taken)
            for delivery in taken:
                for record in delivery.records:
                    yield TimestampedValue(record, Timestamp(micros=record.event_time))
        _advance(watermark, puller.oldest_unacknowledged())
        if self._has_messages or not _stop.is_set():
            rest.defer_remainder()
        else:
            rest.try_claim(None)

    def _count(self, taken: Sequence[Delivery]) -> None:
        messages = sum(len(delivery.records) for delivery in taken)
        self._counters.count("pubsub_pulled", messages)
        self._counters.observe("pubsub_bundle_messages", messages)

    def _report(self, unfinalized: int) -> None:
        if unfinalized:
            self._counters.count("pubsub_unfinalized", unfinalized)
            _log.warning(
                "the runner has finalized no bundle for a minute, so that %d messages of %s are not acknowledged; "
                "its sink may be down, or the runner may make no checkpoints (Flink: checkpointing_interval)",
                unfinalized,
                self._subscription,
            )

    def _acknowledge(self, puller: Puller, taken: Sequence[Delivery]) -> None:
        puller.acknowledge(taken)
        self._at_work.difference_update(taken)

    def teardown(self) -> None:
        """Releases the messages that were never finalized; the runner tears down the DoFn of a failed bundle."""
        if self._puller is not None:
            hand_back(self._subscription, self._limits, self._at_work)
            self._at_work.clear()
            self._puller = None


def _advance(watermark: Any, oldest: int | None) -> None:
    if oldest is None:
        oldest = time.time_ns() // 1000 - _IDLE_LAG_MICROS
    to = Timestamp(micros=oldest)
    # A redelivered message may be older than the current watermark, which must not go back.
    now = watermark.current_watermark()
    if now is None or to > now:
        watermark.set_watermark(to)
