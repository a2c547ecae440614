"""Pulls messages from a subscription ahead of the bundles that take them, and acknowledges them after."""

import collections
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from google import pubsub_v1
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type

from transforms.counters import Counters
from transforms.io.pubsub.leases import KEEPER, Delivery, chunks, set_deadline
from transforms.io.pubsub.resources import TRANSIENT_ERRORS, missing_subscription, subscriber_client
from transforms.types import Record

# An idle pull waits at the server, which answers "none" shortly before: a client that hangs up could lose an answer.
_PULL_SECONDS = 30
# How often a waiting bundle looks whether it shall stop. It is not woken: a signal handler must not take its lock.
_LOOK_SECONDS = 0.1
# Where no bundle has asked for so long, none is expected: what was pulled ahead goes back.
_UNUSED_SECONDS = 60
_MAX_PAUSE_SECONDS = 30.0
_LAST_PULL_SECONDS = 1.0
# A failed extension counts as one of so many seconds, and is tried again in half of them.
_EXTEND_AGAIN_SECONDS = 4

_log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """How much a bundle takes.

    Attributes:
        max_messages: at most so many messages.
        max_bytes: no further pull past so many bytes of payload and attributes; one pull comes whole.
        max_wait_seconds: how long the first message waits for others.
        lease_seconds: for how long a message is kept from others at a time, 10 to 600.
    """

    max_messages: int
    max_bytes: int
    max_wait_seconds: float
    lease_seconds: int


class Puller:
    """One subscription in one process: a thread that pulls ahead, at most what one bundle takes."""

    def __init__(self, subscription: str, limits: Limits, stopping: Callable[[], bool]) -> None:
        self._subscription = subscription
        self._limits = limits
        self._stopping = stopping
        self._client = subscriber_client()
        # A connection of its own, to hang up on a waiting pull.
        self._pulling = subscriber_client()
        self._counters = Counters()
        self._changed = threading.Condition()
        self._ahead: collections.deque[Delivery] = collections.deque()
        self._unacknowledged: weakref.WeakSet[Delivery] = weakref.WeakSet()
        self._error: BaseException | None = None
        self._closed = False
        self._last_use = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="pubsub-pull", daemon=True)
        self._thread.start()

    def take(self, idle_seconds: float) -> list[Delivery]:
        """What a bundle shall work on; nothing if none came in `idle_seconds`, or all is taken after a stop.

        Raises:
            ValueError: if the subscription is not there.
            google.api_core.exceptions.GoogleAPICallError: if Pub/Sub refuses to let it be pulled.
        """
        with self._changed:
            self._wait(idle_seconds, lambda: bool(self._ahead) or self._error is not None)
            if not self._ahead:
                if self._error and not self._stopping():
                    raise self._error
                return []
            left = self._ahead[0].arrived + self._limits.max_wait_seconds - time.monotonic()
            self._wait(left, lambda: not self._room())
            taken = [self._ahead.popleft()]
            while self._ahead and self._fits(taken):
                taken.append(self._ahead.popleft())
            self._changed.notify_all()
        return taken

    def _wait(self, seconds: float, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + seconds
        while not ready() and not self._stopping():
            self._last_use = time.monotonic()
            left = until - self._last_use
            if left <= 0:
                return
            self._changed.wait(min(left, _LOOK_SECONDS))

    def _fits(self, taken: Sequence[Delivery]) -> bool:
        together = (*taken, self._ahead[0])
        return (
            sum(len(delivery.records) for delivery in together) <= self._limits.max_messages
            and sum(delivery.size for delivery in together) <= self._limits.max_bytes
        )

    def _room(self) -> int:
        if sum(delivery.size for delivery in self._ahead) >= self._limits.max_bytes:
            return 0
        return self._limits.max_messages - sum(len(delivery.records) for delivery in self._ahead)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Tell Pub/Sub that `deliveries` are done with, and retry for as long as they are on loan anyway.

        It never raises: what stays unacknowledged is delivered again, and counted.
        """
        ids = [ack_id for delivery in deliveries for ack_id in delivery.ack_ids]
        retry = Retry(
            predicate=if_exception_type(*TRANSIENT_ERRORS), initial=0.1, maximum=5.0, timeout=self._limits.lease_seconds
        )
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
        """Give `deliveries` back, to be delivered again at once."""
        deliveries = list(deliveries)
        self._forget(deliveries)
        ids = [ack_id for delivery in deliveries for ack_id in delivery.ack_ids]
        if ids and set_deadline(self._client, self._subscription, ids, 0):
            self._counters.count("pubsub_released", len(ids))

    def _forget(self, deliveries: Iterable[Delivery]) -> None:
        with self._changed:
            for delivery in deliveries:
                KEEPER.drop(delivery)
                self._unacknowledged.discard(delivery)

    def oldest_unacknowledged(self) -> int | None:
        """The first publish time of what was pulled and not acknowledged, microseconds; None if there is none."""
        with self._changed:
            return min((delivery.oldest for delivery in self._unacknowledged), default=None)

    def close(self, unfinished: Iterable[Delivery] = ()) -> None:
        """Pull nothing more; give back `unfinished`, and what no bundle took."""
        with self._changed:
            self._closed = True
            ahead = list(self._ahead)
            self._ahead.clear()
            self._changed.notify_all()
        self.release([*unfinished, *ahead])
        # A pull under way may be given some of it: to hang up at once would leave that to its deadline.
        self._thread.join(timeout=_LAST_PULL_SECONDS)
        self._pulling.transport.close()
        self._thread.join(timeout=5)
        self.release(self._ahead)
        self._client.transport.close()

    def _run(self) -> None:
        pause = 0.1
        while (room := self._wait_for_room()) is not None:
            try:
                self._pull(room)
                pause = 0.1
            except exceptions.DeadlineExceeded:
                pass
            except TRANSIENT_ERRORS as error:
                if self._closed:
                    return
                self._counters.count("pubsub_pull_failures")
                _log.warning("could not pull from %s, trying again in %.1f s: %s", self._subscription, pause, error)
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, pause)
                pause = min(2 * pause, _MAX_PAUSE_SECONDS)
            except Exception as error:
                missing = isinstance(error, exceptions.NotFound)
                with self._changed:
                    self._error = missing_subscription(self._subscription) if missing else error
                    self._changed.notify_all()
                return

    def _wait_for_room(self) -> int | None:
        """How many messages may be pulled now; None if no more shall be."""
        with self._changed:
            while not self._closed:
                if self._stopping():
                    return None
                unused = not self._at_work() and time.monotonic() - self._last_use > _UNUSED_SECONDS
                if unused and self._ahead:
                    ahead = list(self._ahead)
                    self._ahead.clear()
                    self.release(ahead)
                elif not unused and self._room():
                    return self._room()
                self._changed.wait(1.0)
        return None

    def _at_work(self) -> bool:
        return len(self._unacknowledged) > len(self._ahead)

    def _pull(self, room: int) -> None:
        response = self._pulling.pull(
            subscription=self._subscription, max_messages=min(room, 1000), retry=None, timeout=_PULL_SECONDS
        )
        # The wire's own message: the library's wrapper takes ten times as long to read.
        received = pubsub_v1.PullResponse.pb(response).received_messages
        if not received:
            return
        delivery = Delivery(
            records=[_record(one.message) for one in received],
            ack_ids=[one.ack_id for one in received],
            size=sum(one.ByteSize() for one in received),
            extend=self._extend,
        )
        again = sum(one.delivery_attempt > 1 for one in received)
        with self._changed:
            if again == 0:
                again = self._still_held(delivery)
            self._unacknowledged.add(delivery)
            KEEPER.add(delivery)
            self._ahead.append(delivery)
            self._changed.notify_all()
        if again:
            self._counters.count("pubsub_redelivered", again)

    def _still_held(self, delivery: Delivery) -> int:
        held = {record.id for other in self._unacknowledged for record in other.records}
        return sum(record.id in held for record in delivery.records)

    def _extend(self, ids: Sequence[str]) -> float:
        seconds = self._limits.lease_seconds
        return seconds if set_deadline(self._client, self._subscription, ids, seconds) else _EXTEND_AGAIN_SECONDS


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
    """The process's puller of `subscription`, made if need be: a runner may give the next bundle to another DoFn."""
    with _lock:
        puller, users = _shared.get((subscription, limits), (None, 0))
        puller = puller or Puller(subscription, limits, stopping)
        _shared[subscription, limits] = puller, users + 1
        return puller


def hand_back(subscription: str, limits: Limits, unfinished: Iterable[Delivery]) -> None:
    """Undo one `borrow` and give back `unfinished` deliveries; the last one closes the puller."""
    with _lock:
        puller, users = _shared.pop((subscription, limits))
        if users > 1:
            _shared[subscription, limits] = puller, users - 1
    if users > 1:
        puller.release(unfinished)
    else:
        puller.close(unfinished)
