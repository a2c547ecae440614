"""What is said about a topic or subscription when Pub/Sub gives no answer."""

from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest

from transforms.io.pubsub.resources import check_subscription, check_topic, temporary_subscription


class _Refusing(grpc.GenericRpcHandler):
    """Answers every call with `code`."""

    code = grpc.StatusCode.UNAUTHENTICATED

    def service(self, call: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: context.abort(self.code, "a first line\nand a second")
        )


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Refusing]:
    """A Pub/Sub that refuses every call."""
    handler = _Refusing()
    server = grpc.server(futures.ThreadPoolExecutor(2), [handler])
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()
    yield handler
    server.stop(0).wait()


def make_subscription(topic: str) -> None:
    """Make one of the topic, and delete it."""
    with temporary_subscription(topic):
        pytest.fail("expected no subscription")


ASKING = [
    (check_subscription, "projects/p/subscriptions/name"),
    (check_topic, "projects/p/topics/name"),
    (make_subscription, "projects/p/topics/name"),
]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.FAILED_PRECONDITION])
@pytest.mark.parametrize(("ask", "name"), ASKING)
def test_an_error_of_the_service_is_one_line(
    refusing: _Refusing, ask: Callable[[str], None], name: str, code: grpc.StatusCode
) -> None:
    """It names what was asked for, and says what the service said, whatever the error."""
    refusing.code = code
    with pytest.raises(ValueError, match="expected to reach") as raised:
        ask(name)
    assert f"{name}, got " in str(raised.value)
    assert "a first line and a second; " in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("ask", "name"), ASKING[:2])
def test_without_the_permission_to_look_a_check_passes(
    refusing: _Refusing, ask: Callable[[str], None], name: str
) -> None:
    """An account that may pull or publish need not be allowed to look."""
    refusing.code = grpc.StatusCode.PERMISSION_DENIED
    ask(name)


def test_a_missing_permission_to_make_a_subscription_is_one_line(refusing: _Refusing) -> None:
    """There is nothing to read without it."""
    refusing.code = grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(ValueError, match="expected to reach projects/p/topics/name, got 403"):
        make_subscription("projects/p/topics/name")
