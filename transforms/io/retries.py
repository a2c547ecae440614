"""Delivers a batch to a sink that may be temporarily unavailable, reject rows, or both.

A rejected batch is halved until the rejected rows are isolated, and one with a transient error is retried with
exponential backoff for as long as the caller allows.

A sink that rejects every row, because a column was renamed for instance, is at fault itself, and that is a transient
error. So a row is rejected only if the sink accepts another one after it, or says that nothing else is wrong, and then
rejects it once more: what it rejected the row for at first may have been mended in between.
"""

import dataclasses
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from transforms.counters import Counters
from transforms.io.errors import Refused, Transient, is_refusal, is_transient, text_of

# How long transient errors of a sink or a source are retried by default.
RETRY_FOR_SECONDS = 6 * 3600.0

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 10.0
_SECONDS_BETWEEN_WARNINGS = 30.0
# So many rejections in a row cast doubt on the sink: more than it takes to halve the largest batch to a single row.
_MOST_REJECTIONS = 24

_log = logging.getLogger(__name__)

T = TypeVar("T")


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


def _no_answer() -> str | None:
    return None


@dataclasses.dataclass
class Evidence(Generic[T]):
    """What distinguishes a fault of a sink from a fault of rows; a writer has one for all its batches.

    Attributes:
        find_fault: asks the sink why it would reject every row; "" if it would not, None if that is unknown.
        accepted: a row that the sink accepted, which is sent once more in case of doubt; None before the first one.
        was_at_fault: whether the sink was at fault and has accepted no row since. It may go on for minutes after its
            schema is right again.
    """

    find_fault: Callable[[], str | None] = _no_answer
    accepted: T | None = None
    was_at_fault: bool = False


def deliver(
    send: Callable[[Sequence[T]], Answer],
    rows: Sequence[T],
    retry_for_seconds: float,
    sink: str,
    evidence: Evidence[T] | None = None,
    gives_up: bool = False,
) -> Iterator[Refusal]:
    """Sends `rows` until each of them is written or rejected, and yields the rejected ones.

    Args:
        send: the function that writes rows; it may raise.
        rows: the rows to write.
        retry_for_seconds: how long transient errors are retried; each success restarts the period.
        sink: the name of the sink, for messages.
        evidence: what is known about the sink from earlier batches; it is updated.
        gives_up: whether a sink that rejects every row is given up at once, and all rows are rejected, because the
            caller keeps them elsewhere.

    Raises:
        TimeoutError: if transient errors last longer than `retry_for_seconds`. Some rows may already be written.
    """
    patience = Patience(retry_for_seconds, sink, "take rows", "write_retries")
    return _Delivery(send, rows, patience, evidence or Evidence(), gives_up).run()


class _Delivery(Generic[T]):
    """One call of `deliver`."""

    def __init__(
        self,
        send: Callable[[Sequence[T]], Answer],
        rows: Sequence[T],
        patience: "Patience",
        evidence: Evidence[T],
        gives_up: bool,
    ) -> None:
        self._send = send
        self._rows = rows
        self._patience = patience
        self._evidence = evidence
        self._gives_up = gives_up
        self._pending: list[Sequence[int]] = [range(len(rows))] if rows else []
        # Rows that the sink rejected since it last accepted one, and the number of requests with which it did so.
        self._suspects: list[Refusal] = []
        self._rejections = 0
        # Rows that it rejected before it last accepted one, and that are sent once more.
        self._heard: set[int] = set()
        self._has_looked = False
        self._has_accepted = False
        self._reason = ""
        # Whether the sink rejected the suspects by their numbers, which it would not do for a fault of its own.
        self._are_named = True

    def run(self) -> Iterator[Refusal]:
        while self._pending or self._suspects:
            if not self._pending or self._rejections >= _MOST_REJECTIONS:
                yield from self._judge()
                continue
            batch = self._pending.pop()
            try:
                answer = self._send([self._rows[index] for index in batch])
            except Refused as error:
                if len(batch) == 1:
                    yield Refusal(batch[0], text_of(error))
                else:
                    self._halve(batch)
                continue
            except Exception as error:
                if is_refusal(error):
                    yield from self._reject(batch, error)
                    yield from self._look()
                elif is_transient(error):
                    self._patience.wait(error)
                    self._pending.append(batch)
                else:
                    raise
                continue
            unwritten = set(answer.unwritten)
            refused = [Refusal(batch[position], reason) for position, reason in answer.refused.items()]
            if unwritten:
                self._pending.append([batch[position] for position in answer.unwritten])
            accepted = next((one for one in range(len(batch)) if one not in unwritten | answer.refused.keys()), None)
            if accepted is not None:
                yield from refused
                self._evidence.accepted = self._rows[batch[accepted]]
                self._evidence.was_at_fault = False
                self._hear_again()
            elif refused:
                yield from self._suspect(refused)
                self._rejections += 1
                yield from self._look()
            if unwritten and not answer.refused:
                self._patience.wait(Transient(f"{len(unwritten)} rows were not written"))

    def _halve(self, batch: Sequence[int]) -> None:
        middle = len(batch) // 2
        self._pending += [batch[middle:], batch[:middle]]

    def _reject(self, batch: Sequence[int], error: Exception) -> Iterator[Refusal]:
        self._rejections += 1
        self._reason = text_of(error)
        if len(batch) == 1:
            self._are_named = False
            yield from self._suspect([Refusal(batch[0], self._reason)])
        # In a random order, bad rows that came together do not look like a fault of the sink.
        elif self._rejections == 1:
            self._halve(random.sample(batch, len(batch)))
        else:
            self._halve(batch)

    def _suspect(self, refused: Sequence[Refusal]) -> Iterator[Refusal]:
        """Rejects those that it has rejected before and after it accepted another row; the others are suspects."""
        for refusal in refused:
            if refusal.position in self._heard:
                yield refusal
            else:
                self._suspects.append(refusal)

    def _hear_again(self) -> None:
        """The sink accepts rows, so the suspects are at fault themselves if it still rejects them."""
        positions = [suspect.position for suspect in self._suspects]
        self._heard.update(positions)
        if positions:
            self._pending += [positions] if self._are_named else [[position] for position in positions]
        self._suspects = []
        self._are_named = True
        self._has_accepted = True
        self._rejections = 0
        self._patience.renew()

    def _look(self) -> Iterator[Refusal]:
        """Asks the sink for a fault of its own, once in each delivery, before many requests are made."""
        if not self._has_looked:
            self._has_looked = True
            if fault := self._evidence.find_fault():
                yield from self._put_off(fault)

    def _judge(self) -> Iterator[Refusal]:
        """Decides who is at fault after rejections that no acceptance followed."""
        fault = self._evidence.find_fault()
        if not fault and self._is_sound(affirmed=fault is not None):
            self._hear_again()
        else:
            reason = self._suspects[-1].reason if self._suspects else self._reason
            yield from self._put_off(fault or f"it rejects every row: {reason}")

    def _is_sound(self, affirmed: bool) -> bool:
        """Whether the sink is without fault. `affirmed`: whether it says so itself, which may be out of date."""
        if affirmed and self._has_accepted and self._rejections < _MOST_REJECTIONS:
            return True
        if self._evidence.accepted is None:
            return affirmed and self._are_named and not self._evidence.was_at_fault
        while True:
            Counters().count("write_probes")
            try:
                answer = self._send([self._evidence.accepted])
                return not (answer.refused or answer.unwritten)
            except Exception as error:
                if is_refusal(error):
                    return False
                if not is_transient(error):
                    raise
                self._patience.wait(error)

    def _put_off(self, fault: str) -> Iterator[Refusal]:
        """The sink is at fault: waits, and then tries one row before the others, another one each time."""
        positions = [suspect.position for suspect in self._suspects] + [one for some in self._pending for one in some]
        self._suspects = []
        self._heard.clear()
        self._are_named = True
        self._has_accepted = False
        if self._gives_up:
            self._pending = []
            yield from (Refusal(position, fault) for position in positions)
            return
        self._evidence.was_at_fault = True
        self._patience.wait(Transient(fault))
        random.shuffle(positions)
        self._pending = [some for some in (positions[1:], positions[:1]) if some]
        self._rejections = _MOST_REJECTIONS - 1


class Rarely:
    """Says of something that goes on whether it is time for another warning, which it is every 30 seconds."""

    def __init__(self) -> None:
        self._last = -math.inf

    def is_due(self) -> bool:
        """Whether there was no warning for so long; then one is taken to be given."""
        now = time.monotonic()
        if now - self._last <= _SECONDS_BETWEEN_WARNINGS:
            return False
        self._last = now
        return True


class Patience:
    """Waits between attempts: exponential backoff with jitter and a time limit.

    Args:
        seconds: the time limit, from the first failure after a success.
        name: what fails, for messages.
        expected: what it is expected to do, for messages.
        counter: the counter of waits.
    """

    def __init__(self, seconds: float, name: str, expected: str, counter: str) -> None:
        self._seconds = seconds
        self._name = name
        self._expected = expected
        self._counter = counter
        self._counters = Counters()
        self.renew()

    def renew(self) -> None:
        """Resets the backoff and the time limit after a success."""
        self._failures = 0
        self._since = 0.0
        self._warning = Rarely()

    def wait(self, error: Exception, sleep: Callable[[float], object] = time.sleep) -> None:
        """Waits until the next attempt.

        Args:
            error: why the last attempt failed.
            sleep: the function that waits, given seconds.

        Raises:
            TimeoutError: if the next attempt would be past the time limit.
        """
        now = time.monotonic()
        if self._failures == 0:
            self._since = now
        longest = min(FIRST_WAIT_SECONDS * 2.0**self._failures, LONGEST_WAIT_SECONDS)
        pause = longest * random.uniform(0.5, 1.0)
        self._failures = min(self._failures + 1, 32)
        if now + pause - self._since > self._seconds:
            raise TimeoutError(
                f"expected {self._name} to {self._expected} within {self._seconds:g} s of retries, got "
                f"{text_of(error)}; fix it, or retry for longer"
            ) from error
        self._counters.count(self._counter)
        if self._warning.is_due():
            _log.warning("%s: %s; trying again for up to %g s", self._name, text_of(error), self._seconds)
        sleep(pause)
