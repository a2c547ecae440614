"""Messages on loan from a subscription, and the thread that keeps them while a bundle is at work."""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence

from transforms.counters import Counters
from transforms.io.pubsub.resources import TRANSIENT_ERRORS
from transforms.types import Record

# Pub/Sub takes half a megabyte of ids in a request; one has about 200 bytes.
IDS_A_REQUEST = 1000
# What is left of a subscription's shortest deadline, 10 s, must do for a first extension.
_FIRST_SECONDS = 10.0
_ROUND_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Delivery:
    """What one pull brought: records, and the ids that acknowledge them.

    A delivery is on loan for as long as something refers to it: a bundle that is given up without a word
    takes its deliveries along, and Pub/Sub delivers the messages again.

    Attributes:
        records: the messages.
        ack_ids: one a record.
        size: bytes of all payloads and attributes.
        oldest: the first publish time, microseconds since the Unix epoch.
        arrived: when it came, in `time.monotonic` seconds.
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
        """Extend the loan if it is about half over; `extend` says for how many seconds it did."""
        now = time.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + self._extend(self.ack_ids) / 2


class LeaseKeeper:
    """Keeps deliveries on loan, in one thread, until they are dropped or nothing else refers to them."""

    def __init__(self) -> None:
        self._kept: weakref.WeakSet[Delivery] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, delivery: Delivery) -> None:
        """Keep `delivery` on loan."""
        with self._lock:
            self._kept.add(delivery)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pubsub-leases", daemon=True)
                self._thread.start()
        self._some.set()

    def drop(self, delivery: Delivery) -> None:
        """Keep it no longer."""
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
            # Else the thread itself would keep what everybody else gave up.
            kept = delivery = None  # type: ignore[assignment]
            time.sleep(_ROUND_SECONDS)


KEEPER = LeaseKeeper()


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids, as many at a time as a request takes."""
    for start in range(0, len(ids), IDS_A_REQUEST):
        yield ids[start : start + IDS_A_REQUEST]


def set_deadline(client: object, subscription: str, ids: Sequence[str], seconds: int) -> bool:
    """Tell Pub/Sub to wait `seconds` more for `ids`, 0 to deliver them again at once; whether it took it."""
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
