"""A server as a child process that is up when the block begins and gone when it ends."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

# A JVM on a busy machine takes its time.
_START_SECONDS = 120.0


class NotStartedError(RuntimeError):
    """A server did not start; the message has the last line that it printed."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def port_of(endpoint: str) -> int:
    """The port in host:port."""
    return int(endpoint.rsplit(":", 1)[-1])


@contextlib.contextmanager
def served(
    command: Sequence[object],
    endpoint: str,
    log: pathlib.Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    """The process of `command`, from when it listens on `endpoint` (host:port of this machine).

    Its output goes to `log`, or nowhere. It has a session of its own: Ctrl-C is its caller's to answer.

    Raises:
        NotStartedError: if it ends before that.
    """
    with log.open("wb") if log else tempfile.NamedTemporaryFile() as output:
        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, env=os.environ | (environment or {}),
        )  # fmt: skip
        try:
            _wait_until_up(process, command, endpoint, pathlib.Path(output.name))
            yield process
        finally:
            stop(process)


def stop(process: "subprocess.Popen[bytes]", seconds: float = 5) -> None:
    """End a process of `served` and its children, by SIGTERM and, where that takes longer than `seconds`, SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def _wait_until_up(
    process: "subprocess.Popen[bytes]", command: Sequence[object], endpoint: str, log: pathlib.Path
) -> None:
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port_of(endpoint)), timeout=1):
            return
        time.sleep(0.1)
    said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
    raise NotStartedError(f"expected {command[0]} to listen on {endpoint}, got {said[-1]!r}")
