"""One puller for all bundles of a process."""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.io.pubsub.server import Server, serving
from transforms.io.pubsub import puller as puller_module
from transforms.io.pubsub.leases import Delivery
from transforms.io.pubsub.puller import Limits, Puller, borrow, hand_back

SUBSCRIPTION = "projects/p/subscriptions/sub"
LIMITS = Limits(max_messages=100, max_bytes=1_000_000, max_wait_seconds=0.05, lease_seconds=10)


@pytest.fixture
def puller(server: Server) -> Iterator[Puller]:
    """A puller of the server's subscription."""
    made = Puller(SUBSCRIPTION, LIMITS, lambda: False)
    yield made
    made.close()


def data_of(taken: list[Delivery]) -> list[bytes]:
    """The payloads of deliveries."""
    return [record.data for delivery in taken for record in delivery.records]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    takers=st.integers(2, 16),
    published=st.lists(st.integers(1, 60), min_size=1, max_size=10),
    most=st.integers(1, 40),
    wait=st.sampled_from([0.0, 0.01, 0.05]),
)
def test_each_message_is_taken_once(takers: int, published: list[int], most: int, wait: float) -> None:
    """However many bundles take at a time, and in whatever portions messages come."""
    expected = [b"%d" % number for number in range(sum(published))]
    taken: list[bytes] = []
    failed: list[BaseException] = []

    def take_all(puller: Puller) -> None:
        try:
            while len(taken) < len(expected) and not failed:
                deliveries = puller.take(0.1)
                assert len(deliveries) == 1 or len(data_of(deliveries)) <= most
                taken.extend(data_of(deliveries))
                puller.acknowledge(deliveries)
        except BaseException as error:
            failed.append(error)

    with serving() as (server, address), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBSUB_EMULATOR_HOST", address)
        puller = Puller(SUBSCRIPTION, LIMITS._replace(max_messages=most, max_wait_seconds=wait), lambda: False)
        threads = [threading.Thread(target=take_all, args=[puller]) for _ in range(takers)]
        for thread in threads:
            thread.start()
        for last, portion in zip(itertools.accumulate(published), published, strict=True):
            server.publish(expected[last - portion : last])
            time.sleep(0.01)
        for thread in threads:
            thread.join(30)
        puller.close()
    assert failed == []
    assert sorted(taken) == sorted(server.acknowledged) == sorted(expected)


def test_a_bundle_that_finds_nothing_left_waits_on(server: Server, puller: Puller) -> None:
    """Another bundle took all while it waited for more; what comes later is its own."""
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(puller.take, 5) for _ in range(2)]
        server.publish([b"one"])
        while not any(take.done() for take in both):
            time.sleep(0.01)
        server.publish([b"two"])
        assert sorted(data_of(both[0].result()) + data_of(both[1].result())) == [b"one", b"two"]


def test_the_watermark_waits_for_what_others_took(server: Server, puller: Puller) -> None:
    """Of all the bundles that share the puller, until they have acknowledged it."""
    server.publish([b"one"])
    taken = puller.take(5)
    assert puller.take(0) == []
    assert puller.oldest_unacknowledged() == 9_000_000
    puller.acknowledge(taken)
    assert puller.oldest_unacknowledged() is None


def test_bundles_that_are_not_finalized_are_reported_once(
    server: Server, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their messages, and only while no bundle is finalized, be it an empty one."""
    monkeypatch.setattr(puller_module, "_FINALIZED_WITHIN_SECONDS", 0.1)

    def reported() -> list[int]:
        found = []
        for _ in range(3):
            found.append(puller.unfinalized())
            time.sleep(0.2)
        return found

    server.publish([b"one", b"two"])
    taken = puller.take(5)
    assert reported() == [0, 2, 0]
    puller.acknowledge([])
    assert reported() == [0, 2, 0]
    puller.acknowledge(taken)
    assert reported() == [0, 0, 0]


def test_dofns_of_a_process_share_a_puller(server: Server) -> None:
    """However many a runner sets up at a time, and until the last one is torn down."""
    ready = threading.Barrier(8)

    def setup(_: int) -> Puller:
        ready.wait()
        return borrow(SUBSCRIPTION, LIMITS, lambda: False)

    with ThreadPoolExecutor(8) as pool:
        (shared,) = set(pool.map(setup, range(8)))
    for _ in range(7):
        hand_back(SUBSCRIPTION, LIMITS, [])
    server.publish([b"one"])
    assert data_of(shared.take(5)) == [b"one"]
    hand_back(SUBSCRIPTION, LIMITS, [])
    assert borrow(SUBSCRIPTION, LIMITS, lambda: False) is not shared
    hand_back(SUBSCRIPTION, LIMITS, [])
