"""Leases of messages from a subscription, which are extended while a bundle processes the messages."""

import collections
import concurrent.futures
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from transforms.counters import Counters
from transforms.io.pubsub.resources import may_pass
from transforms.io.retries import Rarely
from transforms.types import Record

# Pub/Sub accepts 512 KiB per request; an id usually has about 200 bytes.
IDS_A_REQUEST = 1000
BYTES_A_REQUEST = 450_000
_BYTES_AROUND_AN_ID = 4
# The first extension must happen within the shortest deadline that a subscription can have, 10 s.
_FIRST_SECONDS = 10.0
# After a failed extension the lease is taken to last this long, so the extension is retried after half of it.
_EXTEND_AGAIN_SECONDS = 4.0
_ROUND_SECONDS = 1.0
_PARALLEL_REQUESTS = 8

T = TypeVar("T")

_log = logging.getLogger(__name__)
# In an outage every request fails.
_warnings: collections.defaultdict[str, Rarely] = collections.defaultdict(Rarely)


class Delivery:
    """The result of one pull: records, and the ids that acknowledge them.

    Its lease is extended only as long as something refers to the delivery. When a runner silently abandons a bundle,
    its deliveries are garbage collected, and Pub/Sub delivers the messages again.

    Attributes:
        records: the messages.
        ack_ids: the acknowledgement ids, one per record.
        size: the size of all the messages as received, in bytes.
        oldest: the earliest publish time, in microseconds since the Unix epoch.
        arrived: the time of arrival, in seconds of `time.monotonic`.
        renew_at: when its lease is to be extended, in seconds of `time.monotonic`; infinite while that is under way.
    """

    def __init__(self, records: Sequence[Record], ack_ids: Sequence[str], size: int) -> None:
        self.records = records
        self.ack_ids = ack_ids
        self.size = size
        self.oldest = min(record.event_time or 0 for record in records)
        self.arrived = time.monotonic()
        self.renew_at = self.arrived + _FIRST_SECONDS / 2


class LeaseKeeper:
    """Extends the leases of deliveries until they are dropped, or nothing else refers to them.

    The ids of all the deliveries whose leases are half over go in common requests, several of them at a time.

    Args:
        extend: extends the leases of ids; returns whether it worked.
        lease_seconds: the length of the extended leases, in seconds.
    """

    def __init__(self, extend: Callable[[Sequence[str]], bool], lease_seconds: float) -> None:
        self._extend = extend
        self._lease_seconds = lease_seconds
        self._kept: weakref.WeakSet[Delivery] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._requests = concurrent.futures.ThreadPoolExecutor(_PARALLEL_REQUESTS, "pubsub-leases")
        threading.Thread(target=self._run, name="pubsub-leases", daemon=True).start()

    def add(self, delivery: Delivery) -> None:
        """Starts extending the lease of `delivery`."""
        with self._lock:
            self._kept.add(delivery)

    def drop(self, delivery: Delivery) -> None:
        """Stops extending the lease of `delivery`."""
        with self._lock:
            self._kept.discard(delivery)

    def close(self) -> None:
        """Stops extending leases."""
        self._closed.set()
        self._requests.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._closed.wait(_ROUND_SECONDS):
            self._start_round()

    def _start_round(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = [delivery for delivery in self._kept if delivery.renew_at <= now]
        for delivery in due:
            delivery.renew_at = math.inf
        for deliveries in _requests_of(due, lambda delivery: delivery.ack_ids):
            try:
                self._requests.submit(self._renew, deliveries)
            except RuntimeError:
                # Closed meanwhile, or the interpreter ends.
                return

    def _renew(self, deliveries: Sequence[Delivery]) -> None:
        begun = time.monotonic()
        is_extended = self._extend([ack_id for delivery in deliveries for ack_id in delivery.ack_ids])
        for delivery in deliveries:
            delivery.renew_at = begun + (self._lease_seconds if is_extended else _EXTEND_AGAIN_SECONDS) / 2


def _requests_of(items: Iterable[T], ids_of: Callable[[T], Sequence[str]]) -> Iterator[list[T]]:
    """Items in groups, the ids of each of which fit into one request, unless it is a single item."""
    group: list[T] = []
    ids = size = 0
    for item in items:
        more = ids_of(item)
        larger = sum(len(ack_id) + _BYTES_AROUND_AN_ID for ack_id in more)
        if group and (ids + len(more) > IDS_A_REQUEST or size + larger > BYTES_A_REQUEST):
            yield group
            group, ids, size = [], 0, 0
        group.append(item)
        ids += len(more)
        size += larger
    if group:
        yield group


def chunks(ids: Sequence[str]) -> Iterator[list[str]]:
    """The ids in chunks that fit into one request."""
    return _requests_of(ids, lambda ack_id: [ack_id])


def set_deadline(client: object, subscription: str, ids: Sequence[str], seconds: int) -> bool:
    """Sets the deadline of `ids` to `seconds` from now, where 0 redelivers them at once; returns whether it worked."""
    try:
        for some in chunks(ids):
            client.modify_ack_deadline(  # type: ignore[attr-defined]
                subscription=subscription, ack_ids=some, ack_deadline_seconds=seconds, retry=None, timeout=10
            )
    except Exception as error:
        if _warnings[subscription].is_due():
            level = logging.WARNING if may_pass(error) else logging.ERROR
            _log.log(level, "could not set the deadline of %d messages of %s: %s", len(ids), subscription, error)
        Counters().count("pubsub_lease_failures", len(ids))
        return False
    return True
