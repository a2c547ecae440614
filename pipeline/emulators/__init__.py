"""What the servers that this program starts for itself share."""

import contextlib
import socket
import subprocess
import time


class EmulatorMissingError(RuntimeError):
    """An emulator is not available on this machine; the message says why and what to do."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(process: "subprocess.Popen[bytes]", port: int, seconds: float) -> bool:
    """Whether something listens on `port` of 127.0.0.1 before `seconds` have passed and `process` has ended."""
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(0.1)
    return False
