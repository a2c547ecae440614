"""What the emulators of Google's services share."""

import socket


class EmulatorMissingError(RuntimeError):
    """An emulator is not available on this machine; the message says why and what to do."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
