"""Delivering batches to sinks that fail for a while or refuse rows; each sink here is a few lines of Python."""

import logging
import time
from collections.abc import Callable, Sequence

import google.auth.exceptions
import grpc
import pytest
import requests
from google.api_core.exceptions import (
    BadRequest,
    FailedPrecondition,
    Forbidden,
    InvalidArgument,
    NotFound,
    OutOfRange,
    ServiceUnavailable,
    TooManyRequests,
)
from hypothesis import given
from hypothesis import strategies as st

from transforms.io import retries
from transforms.io.retries import WRITTEN, Answer, Refusal, Refused, Transient, deliver


class StatusError(grpc.RpcError):
    """A gRPC error of a code."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        """Its code."""
        return self._code

    def details(self) -> str:
        """Its text."""
        return "details"


@given(st.sets(st.integers(0, 40)), st.booleans(), st.integers(0, 41))
def test_only_the_bad_rows_are_refused_and_the_others_written_once(bad: set[int], names_rows: bool, count: int) -> None:
    """Whether the sink names the bad rows or refuses the whole batch."""
    written: list[int] = []

    def send(rows: Sequence[int]) -> Answer:
        found = {position: "bad" for position, row in enumerate(rows) if row in bad}
        if found and names_rows:
            return Answer(found, [position for position in range(len(rows)) if position not in found])
        if found:
            raise Refused("bad")
        written.extend(rows)
        return WRITTEN

    refusals = list(deliver(send, range(count), 0, "sink"))
    assert sorted(refusals) == [Refusal(row, "bad") for row in sorted(bad) if row < count]
    assert sorted(written) == [row for row in range(count) if row not in bad]


def test_rows_that_were_written_beside_refused_ones_are_not_sent_again() -> None:
    """Streaming inserts write the good rows of a request."""
    sent: list[list[str]] = []

    def send(rows: Sequence[str]) -> Answer:
        sent.append(list(rows))
        return Answer({1: "bad"}, [2]) if len(rows) == 3 else WRITTEN

    assert list(deliver(send, ["good", "bad", "stopped"], 0, "sink")) == [Refusal(1, "bad")]
    assert sent == [["good", "bad", "stopped"], ["stopped"]]


@pytest.mark.parametrize(
    "error",
    [
        *(StatusError(code) for code in grpc.StatusCode if code not in retries._REFUSING_GRPC),
        Transient("closed"),
        ServiceUnavailable("503"),
        TooManyRequests("429"),
        Forbidden("403", errors=[{"reason": "quotaExceeded"}]),
        Forbidden("403", errors=[{"reason": "accessDenied"}]),
        NotFound("404"),
        # Its HTTP code is 400, as a refusal's.
        FailedPrecondition("key disabled"),
        BadRequest("400", errors=[{"reason": "tableUnavailable"}]),
        requests.ConnectionError("cut"),
        requests.Timeout("late"),
        google.auth.exceptions.TransportError("no token"),
        ConnectionResetError("cut"),
    ],
    ids=lambda error: f"{type(error).__name__} {error.code() if isinstance(error, StatusError) else error}",
)
def test_a_transient_error_is_retried(error: Exception) -> None:
    """The same rows go again, and together."""
    failures = [error]
    tries: list[Sequence[int]] = []

    def send(rows: Sequence[int]) -> Answer:
        tries.append(rows)
        if failures:
            raise failures.pop()
        return WRITTEN

    assert list(deliver(send, [1, 2], 10, "sink")) == []
    assert tries == [[1, 2], [1, 2]]


@pytest.mark.parametrize(
    "error",
    [
        StatusError(grpc.StatusCode.INVALID_ARGUMENT),
        BadRequest("400", errors=[{"reason": "invalid"}]),
        BadRequest("400"),
        InvalidArgument("empty"),
        OutOfRange("too late"),
        Refused("too large"),
    ],
    ids=lambda error: f"{type(error).__name__} {error}",
)
def test_a_refusal_is_final(error: Exception) -> None:
    """One try for the batch and one for each row, no waiting."""
    tries = []

    def send(rows: Sequence[int]) -> Answer:
        tries.append(len(rows))
        raise error

    assert [refusal.position for refusal in deliver(send, [1, 2], 10, "sink")] == [0, 1]
    assert tries == [2, 1, 1]


def test_a_fault_of_the_program_is_raised() -> None:
    """It is neither the sink's nor the rows'."""
    with pytest.raises(AttributeError):
        list(deliver(lambda rows: rows.nothing, [1], 10, "sink"))  # type: ignore[attr-defined]


def _fails_after(sends: int) -> Callable[[Sequence[int]], Answer]:
    seen = []

    def send(rows: Sequence[int]) -> Answer:
        seen.append(rows)
        if len(seen) > sends:
            raise ServiceUnavailable("down")
        return Answer({}, [0])

    return send


def test_patience_ends() -> None:
    """With one line that says what, how long and why."""
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match="expected the sink to take rows within 0.5 s of retries, got .*down; fix"):
        list(deliver(_fails_after(0), [1], 0.5, "the sink"))
    assert time.monotonic() - begin < 0.6


def test_unwritten_rows_wait_as_well() -> None:
    """A sink that takes nothing and says nothing is not asked again at once."""
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        list(deliver(lambda rows: Answer({}, range(len(rows))), [1], 0.3, "sink"))
    assert time.monotonic() - begin > 0.04


def test_a_long_outage_is_not_told_at_every_try(caplog: pytest.LogCaptureFixture) -> None:
    """Once in half a minute."""
    with caplog.at_level(logging.WARNING), pytest.raises(TimeoutError):
        list(deliver(_fails_after(0), [1], 1, "the sink"))
    assert len(caplog.records) == 1
