"""Pulls messages from a subscription ahead of the bundles that process them, and acknowledges them afterwards."""

import collections
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from google import pubsub_v1
from google.api_core import exceptions
from google.api_core.retry import Retry

from transforms.counters import Counters
from transforms.io.pubsub.leases import Delivery, LeaseKeeper, chunks, set_deadline
from transforms.io.pubsub.resources import may_pass, missing, subscriber_client
from transforms.io.retries import RETRY_FOR_SECONDS, Patience
from transforms.types import Record

# The server ends an idle pull shortly before this, with an empty response. A client that hangs up could lose messages.
_PULL_SECONDS = 30
# How often a waiting bundle checks whether to stop. It polls because a signal handler must not take its lock.
_LOOK_SECONDS = 0.1
# If no bundle has asked for messages in this time, none is expected, and messages pulled ahead are released.
_UNUSED_SECONDS = 60
_FINALIZED_WITHIN_SECONDS = 60.0
_LAST_PULL_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """How much a bundle takes.

    Attributes:
        max_messages: maximum number of messages.
        max_bytes: maximum size of the messages, in bytes; a single pull that is larger is taken whole.
        max_wait_seconds: how long the first message waits for others, in seconds.
        lease_seconds: how long each extension of a message's lease lasts, from 10 to 600 seconds.
        retry_for_seconds: how long errors of pulling that may pass are retried, in seconds.
    """

    max_messages: int
    max_bytes: int
    max_wait_seconds: float
    lease_seconds: int
    retry_for_seconds: float = RETRY_FOR_SECONDS


class Puller:
    """Pulls from one subscription in a background thread, at most about one bundle ahead.

    If pulling fails for good, one call of `take` raises the error, and the next one begins to pull anew. All the DoFns
    of a process that read the subscription share one puller, through `borrow`.
    """

    def __init__(self, subscription: str, limits: Limits, stopping: Callable[[], bool]) -> None:
        self._subscription = subscription
        self._limits = limits
        self._stopping = stopping
        self._client = subscriber_client()
        self._leases = LeaseKeeper(self._extend, limits.lease_seconds)
        # A separate connection, so that a waiting pull can be cut off.
        self._pulling: Any = None
        self._counters = Counters()
        self._changed = threading.Condition()
        self._ahead: collections.deque[Delivery] = collections.deque()
        self._unacknowledged: weakref.WeakSet[Delivery] = weakref.WeakSet()
        self._error: Exception | None = None
        self._error_was_raised = False
        self._closed = False
        self._last_use = time.monotonic()
        # When a bundle first found others' messages unacknowledged since the last finalization; infinite once reported.
        self._unfinalized_since: float | None = None
        self._start()

    def _start(self) -> None:
        self._error = None
        self._error_was_raised = False
        self._thread = threading.Thread(target=self._run, name="pubsub-pull", daemon=True)
        self._thread.start()

    def take(self, idle_seconds: float) -> list[Delivery]:
        """The deliveries for a bundle; empty if none arrive within `idle_seconds`, or none are left after a stop.

        Raises:
            ValueError: if the subscription does not exist.
            TimeoutError: if pulling has failed for `retry_for_seconds`.
            Exception: if pulling fails with an error that does not pass.
        """
        until = time.monotonic() + idle_seconds
        taken: list[Delivery] = []
        with self._changed:
            self._last_use = time.monotonic()
            if self._error_was_raised:
                self._start()
            # Another bundle may take everything while this one waits for more.
            while not taken:
                self._wait(until, lambda: bool(self._ahead) or self._error is not None)
                if not self._ahead:
                    if self._error and not self._stopping():
                        self._error_was_raised = True
                        raise self._error
                    return []
                full_at = self._ahead[0].arrived + self._limits.max_wait_seconds
                self._wait(full_at, lambda: not self._ahead or not self._room())
                while self._ahead and self._fits(taken):
                    taken.append(self._ahead.popleft())
            self._last_use = time.monotonic()
            self._changed.notify_all()
        return taken

    def _wait(self, until: float, ready: Callable[[], bool]) -> None:
        while not ready() and not self._stopping():
            self._last_use = time.monotonic()
            left = until - self._last_use
            if left <= 0:
                return
            self._changed.wait(min(left, _LOOK_SECONDS))

    def _fits(self, taken: Sequence[Delivery]) -> bool:
        together = (*taken, self._ahead[0])
        return not taken or (
            sum(len(delivery.records) for delivery in together) <= self._limits.max_messages
            and sum(delivery.size for delivery in together) <= self._limits.max_bytes
        )

    def _room(self) -> int:
        if sum(delivery.size for delivery in self._ahead) >= self._limits.max_bytes:
            return 0
        return self._limits.max_messages - sum(len(delivery.records) for delivery in self._ahead)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledges `deliveries` of a finalized bundle, retrying transient errors for up to `lease_seconds`.

        It never raises: messages that cannot be acknowledged are counted, and Pub/Sub delivers them again.
        """
        self._unfinalized_since = None
        ids = [ack_id for delivery in deliveries for ack_id in delivery.ack_ids]
        retry = Retry(predicate=may_pass, initial=0.1, maximum=5.0, timeout=self._limits.lease_seconds)
        for some in chunks(ids):
            try:
                self._client.acknowledge(subscription=self._subscription, ack_ids=some, retry=retry, timeout=10)
            except Exception as error:
                self._counters.count("pubsub_acknowledge_failures", len(some))
                _log.error("could not acknowledge %d messages of %s: %s", len(some), self._subscription, error)
            else:
                self._counters.count("pubsub_acknowledged", len(some))
        self._forget(deliveries)

    def release(self, deliveries: Iterable[Delivery]) -> None:
        """Releases `deliveries`, so that Pub/Sub delivers them again at once."""
        deliveries = list(deliveries)
        self._forget(deliveries)
        ids = [ack_id for delivery in deliveries for ack_id in delivery.ack_ids]
        if ids and set_deadline(self._client, self._subscription, ids, 0):
            self._counters.count("pubsub_released", len(ids))

    def _forget(self, deliveries: Iterable[Delivery]) -> None:
        with self._changed:
            for delivery in deliveries:
                self._leases.drop(delivery)
                self._unacknowledged.discard(delivery)

    def oldest_unacknowledged(self) -> int | None:
        """The earliest publish time of all unacknowledged messages, in microseconds; None if there are none."""
        with self._changed:
            return min((delivery.oldest for delivery in self._unacknowledged), default=None)

    def outstanding(self) -> int:
        """How many messages are pulled, and neither acknowledged nor released."""
        with self._changed:
            return sum(len(delivery.records) for delivery in self._unacknowledged)

    def unfinalized(self) -> int:
        """The number of messages of earlier bundles, if none of these has been finalized for a minute; otherwise 0.

        It is to be asked when a bundle begins. Each such period is reported once.
        """
        with self._changed:
            if not self._at_work():
                return 0
            now = time.monotonic()
            self._unfinalized_since = self._unfinalized_since or now
            if now - self._unfinalized_since < _FINALIZED_WITHIN_SECONDS:
                return 0
            self._unfinalized_since = math.inf
            return sum(len(delivery.records) for delivery in self._unacknowledged if delivery not in self._ahead)

    def close(self, unfinished: Iterable[Delivery] = ()) -> None:
        """Stops pulling, and releases `unfinished` deliveries and those that no bundle took."""
        with self._changed:
            self._closed = True
            ahead = list(self._ahead)
            self._ahead.clear()
            self._changed.notify_all()
        self.release([*unfinished, *ahead])
        # A pull in progress may receive the released messages; cutting it off now would hold them until their deadline.
        self._thread.join(timeout=_LAST_PULL_SECONDS)
        if self._pulling is not None:
            self._pulling.transport.close()
        self._thread.join(timeout=5)
        self.release(self._ahead)
        self._leases.close()
        self._client.transport.close()

    def _run(self) -> None:
        try:
            self._pulling = subscriber_client()
            self._pull_ahead()
        except Exception as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _pull_ahead(self) -> None:
        patience = Patience(
            self._limits.retry_for_seconds, f"subscription {self._subscription}", "be read", "pubsub_pull_failures"
        )
        while (room := self._wait_for_room()) is not None:
            try:
                self._pull(room)
                patience.renew()
            except exceptions.DeadlineExceeded:
                pass
            except exceptions.NotFound:
                raise missing(self._subscription) from None
            except Exception as error:
                if self._closed:
                    return
                if not may_pass(error):
                    raise
                patience.wait(error, self._sleep)

    def _sleep(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)

    def _wait_for_room(self) -> int | None:
        """Waits until messages may be pulled, and returns how many; None once no more may be pulled."""
        while True:
            with self._changed:
                if self._closed or self._stopping():
                    return None
                unused = not self._at_work() and time.monotonic() - self._last_use > _UNUSED_SECONDS
                if not unused and self._room():
                    return self._room()
                ahead = list(self._ahead) if unused else []
                if ahead:
                    self._ahead.clear()
                else:
                    self._changed.wait(1.0)
            # Outside the lock, for which every bundle would wait as long as the request takes.
            self.release(ahead)

    def _at_work(self) -> bool:
        return len(self._unacknowledged) > len(self._ahead)

    def _pull(self, room: int) -> None:
        response = self._pulling.pull(
            subscription=self._subscription, max_messages=min(room, 1000), retry=None, timeout=_PULL_SECONDS
        )
        # The raw protobuf message, because the library's wrapper is ten times slower to read.
        received = pubsub_v1.PullResponse.pb(response).received_messages
        if not received:
            return
        delivery = Delivery(
            records=[_record(one.message) for one in received],
            ack_ids=[one.ack_id for one in received],
            size=sum(one.ByteSize() for one in received),
        )
        again = sum(one.delivery_attempt > 1 for one in received)
        with self._changed:
            if again == 0:
                again = self._still_held(delivery)
            self._unacknowledged.add(delivery)
            self._leases.add(delivery)
            self._ahead.append(delivery)
            self._changed.notify_all()
        if again:
            self._counters.count("pubsub_redelivered", again)

    def _still_held(self, delivery: Delivery) -> int:
        held = {record.id for other in self._unacknowledged for record in other.records}
        return sum(record.id in held for record in delivery.records)

    def _extend(self, ids: Sequence[str]) -> bool:
        return set_deadline(self._client, self._subscription, ids, self._limits.lease_seconds)


def _record(message: Any) -> Record:
    time_of = message.publish_time
    return Record(
        data=message.data,
        origin="",
        id=message.message_id,
        attributes=dict(message.attributes),
        event_time=time_of.seconds * 1_000_000 + time_of.nanos // 1000,
    )


_lock = threading.Lock()
_shared: dict[tuple[str, Limits], tuple[Puller, int]] = {}


def borrow(subscription: str, limits: Limits, stopping: Callable[[], bool]) -> Puller:
    """The process's puller of `subscription`, created if necessary.

    It is shared because a runner may give the next bundle to another instance of the DoFn.
    """
    with _lock:
        puller, users = _shared.get((subscription, limits), (None, 0))
        puller = puller or Puller(subscription, limits, stopping)
        _shared[subscription, limits] = puller, users + 1
        return puller


def hand_back(subscription: str, limits: Limits, unfinished: Iterable[Delivery]) -> None:
    """Undoes one `borrow` and releases the `unfinished` deliveries; the last borrower closes the puller."""
    with _lock:
        puller, users = _shared.pop((subscription, limits))
        if users > 1:
            _shared[subscription, limits] = puller, users - 1
    if users > 1:
        puller.release(unfinished)
    else:
        puller.close(unfinished)


def outstanding() -> int:
    """How many messages the pullers of this process have pulled, and neither acknowledged nor released."""
    with _lock:
        pullers = [puller for puller, _ in _shared.values()]
    return sum(puller.outstanding() for puller in pullers)
