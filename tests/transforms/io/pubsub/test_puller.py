"""One puller for all bundles of a process."""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.api_core import exceptions
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
@settings(max_examples=15)
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


ABSENT = [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE]


def test_what_may_pass_is_waited_out(server: Server, puller: Puller) -> None:
    """As by the sinks: an administrator may grant a right meanwhile."""
    server.failures += ABSENT
    server.publish([b"one"])
    assert data_of(puller.take(10)) == [b"one"]


@pytest.mark.parametrize("code", ABSENT)
def test_patience_ends(server: Server, code: grpc.StatusCode) -> None:
    """With one line that says what, how long and why; whoever uses the puller next begins anew."""
    server.failures += [code] * 1000
    limits = LIMITS._replace(retry_for_seconds=0.3)
    shared = borrow(SUBSCRIPTION, limits, lambda: False)
    with pytest.raises(TimeoutError, match=f"expected subscription {SUBSCRIPTION} to be read within 0.3 s .* no; "):
        shared.take(10)
    server.failures.clear()
    server.publish([b"one"])
    assert data_of(borrow(SUBSCRIPTION, limits, lambda: False).take(10)) == [b"one"]
    for _ in range(2):
        hand_back(SUBSCRIPTION, limits, [])


@pytest.mark.parametrize(
    ("code", "error"),
    [(grpc.StatusCode.NOT_FOUND, ValueError), (grpc.StatusCode.INVALID_ARGUMENT, exceptions.InvalidArgument)],
)
def test_what_does_not_pass_is_raised_at_once(
    server: Server, puller: Puller, code: grpc.StatusCode, error: type[Exception]
) -> None:
    """Each time that it happens, and no more after that."""
    for message in (b"one", b"two"):
        puller.acknowledge(puller.take(0.3))
        server.failures.append(code)
        with pytest.raises(error):
            puller.take(10)
        server.publish([message])
        assert data_of(puller.take(10)) == [message]


@pytest.mark.slow
def test_no_lease_is_late_with_a_message_a_delivery(server: Server) -> None:
    """1,500 deliveries at 30 ms a request need two requests in each round."""
    server.most, server.modify_seconds = 1, 0.03
    server.publish([b"%d" % number for number in range(1500)])
    puller = Puller(SUBSCRIPTION, LIMITS._replace(max_messages=1500, max_wait_seconds=30), lambda: False)
    taken = puller.take(30)
    assert len(taken) == 1500
    time.sleep(12)
    puller.acknowledge(taken)
    puller.close()
    assert len(server.acknowledged) == 1500
    assert server.late == []
    assert 4 <= server.extensions < 60


def test_messages_pulled_ahead_are_kept_while_bundles_take_them(
    server: Server, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if none ever waits for one."""
    monkeypatch.setattr(puller_module, "_UNUSED_SECONDS", 0.5)
    server.publish([b"%d" % number for number in range(600)])
    for _ in range(6):
        time.sleep(0.3)
        puller.acknowledge(puller.take(5))
    assert len(server.acknowledged) == 600
    assert server.released == []


def test_bundles_do_not_wait_for_what_is_given_back(
    server: Server, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is free while the request is under way."""
    monkeypatch.setattr(puller_module, "_UNUSED_SECONDS", 0.2)
    server.modify_seconds = 1.5
    server.publish([b"one"])
    while not puller._ahead:
        time.sleep(0.01)
    while puller._ahead:
        time.sleep(0.01)
    begun = time.monotonic()
    assert puller.take(0) == []
    assert puller.outstanding() == 0
    assert time.monotonic() - begun < 0.7
