"""A TCP forwarder on 127.0.0.1 that can delay what passes, and can cut all connections."""

import contextlib
import queue
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self

_CHUNK = 1 << 16


class TcpForwarder:
    """Forwards `address` (host:port, its own) to `target` (host:port) while it is entered.

    What passes in either direction arrives `latency` seconds later; as on a long line, it does not wait for what is
    already under way.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.latency = 0.0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # A blocked accept() outlives close(), but not shutdown().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> int:
        """Resets every open connection; how many there were."""
        with self._lock:
            connections, self._open = self._open, set()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        return len(connections) // 2

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        threading.Thread(target=self._deliver, args=(under_way, source, sink), daemon=True).start()
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                under_way.put((time.monotonic() + self.latency, data))
        under_way.put((0, b""))

    def _deliver(
        self, under_way: "queue.SimpleQueue[tuple[float, bytes]]", source: socket.socket, sink: socket.socket
    ) -> None:
        with contextlib.suppress(OSError):
            while (arrival := under_way.get()) and arrival[1]:
                time.sleep(max(0.0, arrival[0] - time.monotonic()))
                sink.sendall(arrival[1])
        with self._lock:
            self._open -= {source, sink}
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
