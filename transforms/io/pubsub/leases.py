"""Leases of messages from a subscription, and the thread that extends them while a bundle processes the messages."""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence

from transforms.counters import Counters
from transforms.io.pubsub.resources import TRANSIENT_ERRORS
from transforms.types import Record

# Pub/Sub accepts half a megabyte of ids per request; each id has about 200 bytes.
IDS_A_REQUEST = 1000
# The first extension must happen within the shortest deadline that a subscription can have, 10 s.
_FIRST_SECONDS = 10.0
_ROUND_SECONDS = 1.0

_log = logging.getLogger(__name__)


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
    """

    def __init__(
        self, records: Sequence[Record], ack_ids: Sequence[str], size: int, extend: Callable[[Sequence[str]], float]
    ) -> None:
        self.records = records
        self.ack_ids = ack_ids
        self.size = size
        self.oldest = min(record.event_time or 0 for record in records)
        self.arrived = time.monotonic()
        self._extend = extend
        self._renew_at = self.arrived + _FIRST_SECONDS / 2

    def keep(self) -> None:
        """Extends the lease if about half of it is over; `extend` returns the length of the new lease, in seconds."""
        now = time.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + self._extend(self.ack_ids) / 2


class LeaseKeeper:
    """Extends the leases of deliveries, in one thread, until they are dropped or nothing else refers to them."""

    def __init__(self) -> None:
        self._kept: weakref.WeakSet[Delivery] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, delivery: Delivery) -> None:
        """Starts extending the lease of `delivery`."""
        with self._lock:
            self._kept.add(delivery)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pubsub-leases", daemon=True)
                self._thread.start()
        self._some.set()

    def drop(self, delivery: Delivery) -> None:
        """Stops extending the lease of `delivery`."""
        with self._lock:
            self._kept.discard(delivery)

    def _run(self) -> None:
        while True:
            self._some.wait()
            with self._lock:
                kept = list(self._kept)
                if not kept:
                    self._some.clear()
            for delivery in kept:
                delivery.keep()
            # These references would otherwise keep alive the deliveries that everything else has released.
            kept = delivery = None  # type: ignore[assignment]
            time.sleep(_ROUND_SECONDS)


KEEPER = LeaseKeeper()


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids in chunks that fit into one request."""
    for start in range(0, len(ids), IDS_A_REQUEST):
        yield ids[start : start + IDS_A_REQUEST]


def set_deadline(client: object, subscription: str, ids: Sequence[str], seconds: int) -> bool:
    """Sets the deadline of `ids` to `seconds` from now, where 0 redelivers them at once; returns whether it worked."""
    try:
        for some in chunks(ids):
            client.modify_ack_deadline(  # type: ignore[attr-defined]
                subscription=subscription, ack_ids=some, ack_deadline_seconds=seconds, retry=None, timeout=10
            )
    except Exception as error:
        level = logging.WARNING if isinstance(error, TRANSIENT_ERRORS) else logging.ERROR
        _log.log(level, "could not set the deadline of %d messages of %s: %s", len(ids), subscription, error)
        Counters().count("pubsub_lease_failures", len(ids))
        return False
    return True
