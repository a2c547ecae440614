"""Ids in requests that Pub/Sub takes."""

import gc
import time
from collections.abc import Sequence

import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.pubsub_v1 import types
from hypothesis import given
from hypothesis import strategies as st

from transforms.io.pubsub import leases
from transforms.io.pubsub.leases import Delivery, LeaseKeeper, chunks
from transforms.types import Record

IDS = st.lists(st.integers(1, 3000).map(lambda length: "x" * length), max_size=2500)


def request_size(ids: list[str]) -> int:
    """The size of a request, in bytes."""
    request = types.ModifyAckDeadlineRequest(subscription="projects/p/subscriptions/" + "s" * 255, ack_ids=ids)
    return int(types.ModifyAckDeadlineRequest.pb(request).ByteSize())


@given(IDS)
def test_requests_stay_below_the_limits(ids: list[str]) -> None:
    """A thousand ids and 512 KiB; all ids go out, in their order."""
    parts = [list(part) for part in chunks(ids)]
    assert [one for part in parts for one in part] == ids
    assert all(0 < len(part) <= 1000 and request_size(part) <= 512 * 1024 for part in parts)


def delivery(*ids: str) -> Delivery:
    """A delivery that is due."""
    made = Delivery([Record(b"", "", one, {}, 0) for one in ids], ids, 0)
    made.renew_at = 0
    return made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_ROUND_SECONDS", 0.05)
    monkeypatch.setattr(leases, "_EXTEND_AGAIN_SECONDS", 0.8)


def test_deliveries_share_requests() -> None:
    """As many as fit; a failed extension is repeated sooner."""
    requests: list[int] = []

    def extend(ids: Sequence[str]) -> bool:
        requests.append(len(ids))
        return len(requests) > 1

    kept = [delivery(*["x"] * 300) for _ in range(3)]
    keeper = LeaseKeeper(extend, 600)
    with keeper._lock:
        keeper._kept.update(kept)
    time.sleep(0.3)
    assert requests == [900]
    time.sleep(0.7)
    assert requests == [900, 900]
    keeper.close()


def test_a_delivery_that_nobody_holds_is_let_go() -> None:
    """Its messages are delivered again after their lease."""
    requests: list[Sequence[str]] = []

    def extend(ids: Sequence[str]) -> bool:
        requests.append(ids)
        return True

    keeper = LeaseKeeper(extend, 0.1)
    held = delivery("x")
    keeper.add(held)
    time.sleep(0.3)
    assert requests
    del held
    time.sleep(0.2)
    gc.collect()
    requests.clear()
    time.sleep(0.3)
    assert not requests
    keeper.close()


def test_an_outage_is_not_told_for_each_request(caplog: pytest.LogCaptureFixture) -> None:
    """Once in half a minute for a subscription."""

    class Down:
        def modify_ack_deadline(self, **request: object) -> None:
            raise ServiceUnavailable("down")

    assert not any(leases.set_deadline(Down(), name, ["a"], 30) for name in ("one", "one", "other"))
    assert len(caplog.records) == 2
