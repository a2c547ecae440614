"""A subscription, served by the test itself."""

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any

import grpc
from google.iam.v1 import iam_policy_pb2
from google.pubsub_v1 import types


class Server(grpc.GenericRpcHandler):
    """Delivers each message once.

    It keeps which messages were `acknowledged`, `released` and `late`, by their data, and the number of `extensions`,
    which are requests.

    Attributes:
        failures: the codes with which the next pulls fail.
        most: the maximum number of messages that a pull gets.
        modify_seconds: how long it takes to change deadlines.
        subscription: what it says of its subscription; None if it must not be looked at.
        granted: the permissions that the account has; None if there are no permissions, as in an emulator.
    """

    def __init__(self) -> None:
        self.acknowledged: list[bytes] = []
        self.released: list[bytes] = []
        self.late: list[bytes] = []
        self.extensions = 0
        self.failures: list[grpc.StatusCode] = []
        self.most = 1000
        self.modify_seconds = 0.0
        self.subscription: types.Subscription | None = types.Subscription()
        self.granted: set[str] | None = None
        self._deadlines: dict[bytes, float] = {}
        self._messages: list[bytes] = []
        self._changed = threading.Condition()
        self._calls = {
            "Pull": (self._pull, types.PullRequest, types.PullResponse.serialize),
            "Acknowledge": (self._acknowledge, types.AcknowledgeRequest, bytes),
            "ModifyAckDeadline": (self._modify, types.ModifyAckDeadlineRequest, bytes),
            "GetSubscription": (self._get, types.GetSubscriptionRequest, types.Subscription.serialize),
        }

    def publish(self, messages: Sequence[bytes]) -> None:
        """Adds `messages`, which must differ."""
        with self._changed:
            self._messages += messages
            self._changed.notify_all()

    def service(self, call: Any) -> Any:
        """The calls that a puller makes."""
        name = call.method.split("/")[-1]
        if name == "TestIamPermissions":
            return grpc.unary_unary_rpc_method_handler(
                self._test_rights,
                iam_policy_pb2.TestIamPermissionsRequest.FromString,
                iam_policy_pb2.TestIamPermissionsResponse.SerializeToString,
            )
        answer, request, serialize = self._calls[name]
        return grpc.unary_unary_rpc_method_handler(answer, request.deserialize, serialize)

    def _get(self, request: Any, context: Any) -> Any:
        if self.subscription is None:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not allowed to look")
        return self.subscription

    def _test_rights(self, request: Any, context: Any) -> Any:
        if self.granted is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        granted = set(request.permissions).intersection(self.granted or ())
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=granted)

    def _pull(self, request: Any, context: Any) -> Any:
        if self.failures:
            context.abort(self.failures.pop(0), "no")
        with self._changed:
            self._changed.wait_for(lambda: self._messages, 0.2)
            most = min(request.max_messages, self.most)
            given, self._messages = self._messages[:most], self._messages[most:]
            self._deadlines |= dict.fromkeys(given, time.monotonic() + 10)
        return types.PullResponse(
            received_messages=[
                {
                    "ack_id": data.hex(),
                    "message": {"data": data, "message_id": data.hex(), "publish_time": {"seconds": 9}},
                }
                for data in given
            ]
        )

    def _acknowledge(self, request: Any, context: Any) -> bytes:
        with self._changed:
            self.acknowledged += map(bytes.fromhex, request.ack_ids)
            self._check(map(bytes.fromhex, request.ack_ids))
        return b""

    def _check(self, messages: Iterable[bytes]) -> None:
        now = time.monotonic()
        self.late += [message for message in messages if self._deadlines.get(message, now) < now]

    def _modify(self, request: Any, context: Any) -> bytes:
        time.sleep(self.modify_seconds)
        messages = [bytes.fromhex(one) for one in request.ack_ids]
        with self._changed:
            if not request.ack_deadline_seconds:
                self.released += messages
                return b""
            self.extensions += 1
            self._check(messages)
            self._deadlines |= dict.fromkeys(messages, time.monotonic() + request.ack_deadline_seconds)
        return b""


@contextlib.contextmanager
def serving() -> Iterator[tuple[Server, str]]:
    """A server, and its address, for as long as the block runs."""
    handler = Server()
    running = grpc.server(futures.ThreadPoolExecutor(16), [handler])
    address = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    running.start()
    try:
        yield handler, address
    finally:
        running.stop(0).wait()
