"""Getting a batch through to a sink that fails for a while, refuses rows, or both.

An error is one of three things. A refusal (the rows are wrong) is final: the batch is halved until only the wrong rows
are left out. A transient error (an outage, a quota, a cut connection, a missing right, a table that is not there) says
nothing about the rows: the batch is tried again, later and later, for as long as the caller allows. Anything else is a
fault of the program, and raised.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import google.auth.exceptions
import grpc
import requests
from google.api_core.exceptions import GoogleAPICallError

from transforms.counters import Counters

# How long a sink's outage is waited out, unless the caller says otherwise.
RETRY_FOR_SECONDS = 6 * 3600.0

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 10.0
_SECONDS_BETWEEN_WARNINGS = 30.0

_REFUSING_GRPC = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE)
REFUSING_CODES = frozenset(code.value[0] for code in _REFUSING_GRPC)
_REFUSING_HTTP = (400, 413)
# Source: https://cloud.google.com/bigquery/docs/error-messages; some of them come with status 400, or for one row.
TRANSIENT_REASONS = frozenset(
    {
        "backendError",
        "internalError",
        "jobRateLimitExceeded",
        "quotaExceeded",
        "rateLimitExceeded",
        "resourcesExceeded",
        "stopped",
        "tableUnavailable",
        "timeout",
    }
)

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Refused(Exception):
    """The sink will never take these rows together, and perhaps some of them alone."""


class Transient(Exception):
    """The sink may take these rows at another time."""


class Answer(NamedTuple):
    """What a sink did with a batch.

    Attributes:
        refused: what is wrong, by the index of a row that it will never take.
        unwritten: the indices of rows that it would take, but did not write.
    """

    refused: Mapping[int, str]
    unwritten: Sequence[int]


WRITTEN = Answer({}, ())


class Refusal(NamedTuple):
    """A row that the sink will never take: its position among the rows, and what is wrong."""

    position: int
    reason: str


def deliver(
    send: Callable[[Sequence[T]], Answer], rows: Sequence[T], retry_for_seconds: float, sink: str
) -> Iterator[Refusal]:
    """Sends `rows` until each is written or refused; gives the refused ones.

    Args:
        send: writes rows; it may raise.
        rows: the rows.
        retry_for_seconds: how long transient errors are retried without a success between them.
        sink: its name, for messages.

    Raises:
        TimeoutError: if transient errors outlast `retry_for_seconds`. Some of the rows may be written then.
    """
    patience = _Patience(retry_for_seconds, sink)
    pending: list[Sequence[int]] = [range(len(rows))] if rows else []
    while pending:
        batch = pending.pop()
        try:
            answer = send([rows[index] for index in batch])
        except Exception as error:
            if _is_refusal(error):
                if len(batch) == 1:
                    yield Refusal(batch[0], _text(error))
                else:
                    middle = len(batch) // 2
                    pending += [batch[middle:], batch[:middle]]
            elif _is_transient(error):
                patience.wait(error)
                pending.append(batch)
            else:
                raise
            continue
        for position, reason in answer.refused.items():
            yield Refusal(batch[position], reason)
        if answer.unwritten:
            pending.append([batch[position] for position in answer.unwritten])
        if answer.unwritten and not answer.refused:
            patience.wait(Transient(f"{len(answer.unwritten)} rows were not written"))
        else:
            patience.renew()


class _Patience:
    """Waits between tries: exponentially longer, with jitter, within a limit."""

    def __init__(self, seconds: float, sink: str) -> None:
        self._seconds = seconds
        self._sink = sink
        self._counters = Counters()
        self.renew()

    def renew(self) -> None:
        """Forgets the failures so far."""
        self._failures = 0
        self._since = 0.0
        self._warned = 0.0

    def wait(self, error: Exception) -> None:
        """Sleeps until the next try; raises if that would be too late."""
        now = time.monotonic()
        if self._failures == 0:
            self._since = now
        longest = min(FIRST_WAIT_SECONDS * 2.0**self._failures, LONGEST_WAIT_SECONDS)
        pause = longest * random.uniform(0.5, 1.0)
        self._failures = min(self._failures + 1, 32)
        if now + pause - self._since > self._seconds:
            raise TimeoutError(
                f"expected {self._sink} to take rows within {self._seconds:g} s of retries, got {_text(error)}; "
                "mend the sink, or retry for longer"
            ) from error
        self._counters.count("write_retries")
        if now - self._warned > _SECONDS_BETWEEN_WARNINGS:
            _log.warning("%s: %s; trying again for up to %g s", self._sink, _text(error), self._seconds)
            self._warned = now
        time.sleep(pause)


def _is_refusal(error: Exception) -> bool:
    if isinstance(error, grpc.RpcError):
        return error.code() in _REFUSING_GRPC
    if isinstance(error, GoogleAPICallError):
        # FAILED_PRECONDITION has HTTP's 400 too, but what it names, a disabled key say, is no fault of the rows.
        if error.grpc_status_code is not None:
            return error.grpc_status_code in _REFUSING_GRPC
        return error.code in _REFUSING_HTTP and not TRANSIENT_REASONS & {_reason(item) for item in error.errors}
    return isinstance(error, Refused)


def _is_transient(error: Exception) -> bool:
    # What is not a refusal may mend: an administrator can give a right or make a table while the rows wait.
    return isinstance(
        error,
        (
            Transient,
            grpc.RpcError,
            GoogleAPICallError,
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
            google.auth.exceptions.TransportError,
            google.auth.exceptions.RefreshError,
            ConnectionError,
        ),
    )


def _reason(item: Any) -> str:
    return str(item.get("reason", "")) if isinstance(item, Mapping) else ""


def _text(error: Exception) -> str:
    if isinstance(error, grpc.RpcError):
        return f"{error.code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}" if not isinstance(error, (Refused, Transient)) else str(error)
