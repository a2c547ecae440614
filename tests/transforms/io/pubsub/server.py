"""A subscription, served by the test itself."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Any

import grpc
from google.pubsub_v1 import types


class Server(grpc.GenericRpcHandler):
    """Delivers each message once; it keeps which were `acknowledged` and which `released`, by their data."""

    def __init__(self) -> None:
        self.acknowledged: list[bytes] = []
        self.released: list[bytes] = []
        self._messages: list[bytes] = []
        self._changed = threading.Condition()
        self._calls = {
            "Pull": (self._pull, types.PullRequest, types.PullResponse.serialize),
            "Acknowledge": (self._acknowledge, types.AcknowledgeRequest, bytes),
            "ModifyAckDeadline": (self._modify, types.ModifyAckDeadlineRequest, bytes),
        }

    def publish(self, messages: Sequence[bytes]) -> None:
        """Adds `messages`, which must differ."""
        with self._changed:
            self._messages += messages
            self._changed.notify_all()

    def service(self, call: Any) -> Any:
        """The calls that a puller makes."""
        answer, request, serialize = self._calls[call.method.split("/")[-1]]
        return grpc.unary_unary_rpc_method_handler(answer, request.deserialize, serialize)

    def _pull(self, request: Any, context: Any) -> Any:
        with self._changed:
            self._changed.wait_for(lambda: self._messages, 0.2)
            given, self._messages = self._messages[: request.max_messages], self._messages[request.max_messages :]
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
        return b""

    def _modify(self, request: Any, context: Any) -> bytes:
        with self._changed:
            self.released += [bytes.fromhex(one) for one in request.ack_ids if not request.ack_deadline_seconds]
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
