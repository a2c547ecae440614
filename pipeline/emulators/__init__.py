"""What the emulators of Google's services share."""

import socket


class EmulatorMissingError(RuntimeError):
    """An emulator cannot be had on this machine; the message says why and what to do."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
