"""Delivering batches to sinks that fail for a while or refuse rows; each sink here is a few lines of Python."""

import contextlib
import logging
import math
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
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.io import errors, retries
from transforms.io.errors import Refused, RefusedBySink, Transient
from transforms.io.retries import WRITTEN, Answer, Evidence, Refusal, deliver


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


@given(st.sets(st.integers(0, 39)), st.sampled_from(["row", "batch", "itself"]), st.integers(0, 41))
def test_only_the_bad_rows_are_refused_and_the_others_written_once(bad: set[int], as_a: str, count: int) -> None:
    """Whether the sink names the bad rows or refuses the whole batch, or the batch cannot be sent."""
    written: list[int] = []

    def send(rows: Sequence[int]) -> Answer:
        found = {position: "bad" for position, row in enumerate(rows) if row in bad}
        if found and as_a == "row":
            return Answer(found, [position for position in range(len(rows)) if position not in found])
        if found:
            raise RefusedBySink("bad") if as_a == "batch" else Refused("bad")
        written.extend(row for row in rows if row != -1)
        return WRITTEN

    refusals = list(deliver(send, range(count), 0, "sink", Evidence(lambda: "", accepted=-1)))
    assert sorted(refusals) == [Refusal(row, "bad") for row in sorted(bad) if row < count]
    assert sorted(written) == [row for row in range(count) if row not in bad]


class Table:
    """A sink that refuses every row until it is mended, and always the rows in `bad`; it counts what is sent."""

    def __init__(
        self, names_rows: bool = False, bad: frozenset[int] = frozenset(), mended_at: float = math.inf
    ) -> None:
        self.sent = 0
        self.written: list[int] = []
        self._names_rows = names_rows
        self._bad = bad
        self._mended_at = mended_at

    def send(self, rows: Sequence[int]) -> Answer:
        """Appends `rows`."""
        self.sent += 1
        found = {place: "no such column" for place, row in enumerate(rows) if self.is_broken or row in self._bad}
        if found and not self._names_rows:
            raise RefusedBySink("no such column")
        self.written += [row for place, row in enumerate(rows) if place not in found]
        return Answer(found, [])

    @property
    def is_broken(self) -> bool:
        """Whether no row can be written."""
        return self.sent < self._mended_at

    def find_fault(self) -> str | None:
        """As a look at the schema tells."""
        return "column content is gone" if self.is_broken else ""


@pytest.mark.parametrize("names_rows", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 2048])
@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.parametrize("accepted", [None, -1])
def test_a_sink_that_refuses_every_row_is_at_fault_itself(
    names_rows: bool, rows: int, looks: bool, accepted: int | None
) -> None:
    """No row is refused, few requests are made, and the bundle fails at last."""
    table = Table(names_rows)
    evidence = Evidence(table.find_fault, accepted) if looks else Evidence(accepted=accepted)
    with pytest.raises(TimeoutError, match="expected the table to take rows within 0 s .*column"):
        list(deliver(table.send, range(rows), 0, "the table", evidence))
    assert table.sent <= (1 if looks else 25)


@pytest.mark.parametrize("names_rows", [True, False])
@pytest.mark.parametrize("looks", [True, False])
def test_a_sink_that_is_mended_takes_all_rows(names_rows: bool, looks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bad ones are refused then, and no other; until then one row at a time is tried."""
    monkeypatch.setattr(retries, "LONGEST_WAIT_SECONDS", 0.01)
    table = Table(names_rows, bad=frozenset({7, 1000}), mended_at=30)
    evidence: Evidence[int] = Evidence(table.find_fault) if looks else Evidence()
    refusals = list(deliver(table.send, range(2048), 60, "the table", evidence))
    assert sorted(refusal.position for refusal in refusals) == [7, 1000]
    assert sorted(set(table.written)) == [row for row in range(2048) if row not in (7, 1000)]
    assert table.sent < 100


def test_a_sink_that_breaks_while_bad_rows_are_sought_is_not_taken_for_sound() -> None:
    """Nothing that was accepted before tells about now."""
    table = Table(bad=frozenset({3}), mended_at=-1)

    def send(rows: Sequence[int]) -> Answer:
        if table.written:
            table._mended_at = math.inf
        return table.send(rows)

    with pytest.raises(TimeoutError):
        list(deliver(send, range(64), 0, "the table"))
    assert table.sent < 40


def test_a_sink_that_says_too_early_that_it_is_mended_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As BigQuery, which shows a table's schema before it writes by it."""
    monkeypatch.setattr(retries, "LONGEST_WAIT_SECONDS", 0.01)
    table = Table(names_rows=True, mended_at=10)
    looks = iter(["column content is gone"])
    assert list(deliver(table.send, range(5), 60, "the table", Evidence(lambda: next(looks, "")))) == []
    assert sorted(table.written) == list(range(5))


@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 80),
    st.frozensets(st.integers(0, 79)),
    st.booleans(),
    st.sampled_from([None, -1]),
)
def test_a_row_is_not_refused_because_the_sink_is_mended_behind_it(
    mended_at: int, rows: int, bad: frozenset[int], names_rows: bool, accepted: int | None
) -> None:
    """A fault may end between a request that it rejects and the next one, or the look at the schema."""
    table = Table(names_rows, bad, mended_at)
    evidence = Evidence(lambda: "column content is gone" if table.sent + 1 < mended_at else "", accepted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retries, "LONGEST_WAIT_SECONDS", 0.0)
        refusals = deliver(table.send, range(rows), 0.01 if bad >= set(range(rows)) else 60, "the table", evidence)
        with contextlib.suppress(TimeoutError):
            assert {refusal.position for refusal in refusals} <= bad


@settings(deadline=None)
@given(st.sets(st.integers(0, 199), min_size=1), st.booleans())
def test_many_bad_rows_are_not_taken_for_a_fault_of_the_sink(good: set[int], names_rows: bool) -> None:
    """However few are good, and wherever they stand."""
    bad = frozenset(range(200)) - good
    table = Table(names_rows, bad, mended_at=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retries, "LONGEST_WAIT_SECONDS", 0.0)
        refusals = list(deliver(table.send, range(200), 60, "the table"))
    assert {refusal.position for refusal in refusals} == bad
    assert set(table.written) == good


@pytest.mark.parametrize("names_rows", [True, False])
def test_rows_that_are_kept_elsewhere_do_not_wait(names_rows: bool) -> None:
    """All are refused, in few requests."""
    table = Table(names_rows)
    refusals = list(deliver(table.send, range(2048), 60, "the table", Evidence(table.find_fault), gives_up=True))
    assert sorted(refusals) == [Refusal(row, "column content is gone") for row in range(2048)]
    assert table.sent == 1


def test_an_outage_while_a_row_is_in_doubt_is_waited_out() -> None:
    """It tells nothing of the row."""
    errors: list[Exception | None] = [RefusedBySink("bad"), ServiceUnavailable("down"), None, RefusedBySink("bad")]

    def send(rows: Sequence[int]) -> Answer:
        if error := errors.pop(0):
            raise error
        return WRITTEN

    assert list(deliver(send, [1], 10, "the table", Evidence(accepted=-1), gives_up=True)) == [Refusal(0, "bad")]


def test_a_sink_without_a_fault_may_refuse_all_rows_by_number() -> None:
    """As rows whose time no partition takes."""
    table = Table(names_rows=True, bad=frozenset(range(5)), mended_at=0)
    refusals = list(deliver(table.send, range(5), 0, "the table", Evidence(table.find_fault)))
    assert [refusal.position for refusal in refusals] == list(range(5))


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
        *(StatusError(code) for code in grpc.StatusCode if code not in errors._REFUSING_GRPC),
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
    """One try for the batch, one for each row before and after a row that was accepted; no waiting."""
    tries = []

    def send(rows: Sequence[int]) -> Answer:
        tries.append(len(rows))
        if rows == [-1]:
            return WRITTEN
        raise error

    refusals = deliver(send, [1, 2], 0, "sink", Evidence(accepted=-1))
    assert sorted(refusal.position for refusal in refusals) == [0, 1]
    assert tries == [2, 1, 1] + [1, 1, 1] * (not isinstance(error, Refused))


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
