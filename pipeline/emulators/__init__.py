"""Emulators of Pub/Sub and BigQuery, each a server of its own."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from pipeline.servers import NotStartedError, served


class EmulatorMissingError(RuntimeError):
    """An emulator is not available on this machine; the message says why and what to do."""


@contextlib.contextmanager
def emulator(
    command: Sequence[object],
    endpoint: str,
    remedy: str,
    log: pathlib.Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """The emulator that `command` starts, as in `served`.

    Raises:
        EmulatorMissingError: if it does not start; `remedy` says what to do.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(served(command, endpoint, log, environment))
        except NotStartedError as error:
            raise EmulatorMissingError(f"{error}; {remedy}") from error
        yield
