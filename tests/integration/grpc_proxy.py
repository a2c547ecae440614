"""A proxy before a server of any gRPC service, such as the Pub/Sub emulator, that can fail all calls for a time."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

_NO_LIMIT = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
# Each call that is under way holds a thread.
_THREADS = 64


class GrpcProxy(grpc.GenericRpcHandler):
    """Passes every call on to `target` (host:port); while it has a `code`, calls that begin fail with that."""

    def __init__(self, target: str) -> None:
        self.code: grpc.StatusCode | None = None
        self._target = target

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """The proxy at work, at this host:port."""
        with grpc.insecure_channel(self._target, _NO_LIMIT) as self._channel:
            server = grpc.server(ThreadPoolExecutor(_THREADS), [self], options=_NO_LIMIT)
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            try:
                yield f"127.0.0.1:{port}"
            finally:
                server.stop(0).wait()

    def service(self, details: Any) -> grpc.RpcMethodHandler:
        """What answers a call; one with a single request or answer is a stream of one."""
        call = self._channel.stream_stream(details.method)

        def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            if self.code:
                context.abort(self.code, f"injected {self.code.name}")
            answers = call(requests, timeout=context.time_remaining())
            context.add_callback(answers.cancel)
            try:
                yield from answers
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())

        return grpc.stream_stream_rpc_method_handler(answer)
