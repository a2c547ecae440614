"""Delivers a batch to a sink that may be temporarily unavailable, reject rows, or both.

There are three kinds of errors. A rejection (some rows are invalid) is final: the batch is halved until the rejected
rows are isolated. A transient error (an outage, a quota, a lost connection, a missing permission, a missing table) says
nothing about the rows: the batch is retried with exponential backoff for as long as the caller allows. Any other error
is a bug and is raised.
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

# How long transient errors of a sink are retried by default.
RETRY_FOR_SECONDS = 6 * 3600.0

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 10.0
_SECONDS_BETWEEN_WARNINGS = 30.0

_REFUSING_GRPC = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE)
REFUSING_CODES = frozenset(code.value[0] for code in _REFUSING_GRPC)
_REFUSING_HTTP = (400, 413)
# Source: https://cloud.google.com/bigquery/docs/error-messages. Some occur with status 400, or for a single row.
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
    """The sink rejects these rows together, although it may accept some of them separately."""


class Transient(Exception):
    """The sink may accept these rows later."""


class Answer(NamedTuple):
    """A sink's response to a batch.

    Attributes:
        refused: the indices of rejected rows, each with the reason.
        unwritten: the indices of rows that the sink did not write but would accept.
    """

    refused: Mapping[int, str]
    unwritten: Sequence[int]


WRITTEN = Answer({}, ())


class Refusal(NamedTuple):
    """A rejected row: its position among the rows, and the reason."""

    position: int
    reason: str


def deliver(
    send: Callable[[Sequence[T]], Answer], rows: Sequence[T], retry_for_seconds: float, sink: str
) -> Iterator[Refusal]:
    """Sends `rows` until each of them is written or rejected, and yields the rejected ones.

    Args:
        send: the function that writes rows; it may raise.
        rows: the rows to write.
        retry_for_seconds: how long transient errors are retried; each success restarts the period.
        sink: the name of the sink, for messages.

    Raises:
        TimeoutError: if transient errors last longer than `retry_for_seconds`. Some rows may already be written.
    """
    patience = _Patience(retry_for_seconds, sink)
    pending: list[Sequence[int]] = [range(len(rows))] if rows else []
    while pending:
        batch = pending.pop()
        try:
            answer = send([rows[index] for index in batch])
        except Exception as error:
            if is_refusal(error):
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
    """Waits between attempts: exponential backoff with jitter and a time limit."""

    def __init__(self, seconds: float, sink: str) -> None:
        self._seconds = seconds
        self._sink = sink
        self._counters = Counters()
        self.renew()

    def renew(self) -> None:
        """Resets the backoff and the time limit after a success."""
        self._failures = 0
        self._since = 0.0
        self._warned = 0.0

    def wait(self, error: Exception) -> None:
        """Sleeps until the next attempt, or raises TimeoutError if that would be past the time limit."""
        now = time.monotonic()
        if self._failures == 0:
            self._since = now
        longest = min(FIRST_WAIT_SECONDS * 2.0**self._failures, LONGEST_WAIT_SECONDS)
        pause = longest * random.uniform(0.5, 1.0)
        self._failures = min(self._failures + 1, 32)
        if now + pause - self._since > self._seconds:
            raise TimeoutError(
                f"expected {self._sink} to take rows within {self._seconds:g} s of retries, got {_text(error)}; "
                "fix the sink, or retry for longer"
            ) from error
        self._counters.count("write_retries")
        if now - self._warned > _SECONDS_BETWEEN_WARNINGS:
            _log.warning("%s: %s; trying again for up to %g s", self._sink, _text(error), self._seconds)
            self._warned = now
        time.sleep(pause)


def is_refusal(error: Exception) -> bool:
    """Whether the sink rejects the rows of the batch that failed with `error`, or some of them."""
    if isinstance(error, grpc.RpcError):
        return error.code() in _REFUSING_GRPC
    if isinstance(error, GoogleAPICallError):
        # FAILED_PRECONDITION also maps to HTTP 400, but its causes, such as a disabled key, are not in the rows.
        if error.grpc_status_code is not None:
            return error.grpc_status_code in _REFUSING_GRPC
        return error.code in _REFUSING_HTTP and not TRANSIENT_REASONS & {_reason(item) for item in error.errors}
    return isinstance(error, Refused)


def _is_transient(error: Exception) -> bool:
    # Other errors of the service may be fixed: an administrator can grant a permission or create a table meanwhile.
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
