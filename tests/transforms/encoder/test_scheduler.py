import concurrent.futures
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.encoder.backends import Prepared
from transforms.encoder.scheduler import Scheduler

TEXTS = st.lists(st.text("ab!?", max_size=40), min_size=1, max_size=8)
PADDING = 7


class Lengths:
    """A backend whose vector of a text is its length, and its cost too.

    It refuses "?" when it prepares a text and "!" when it runs one. A run waits for `gate`, and computes some padding.
    """

    dimension, pooling, engine, precision, shares_rows, token_budget = 1, "cls", "tensorflow", "float32", True, 1024

    def __init__(self) -> None:
        self.gate: Any = None
        self.runs: list[list[str]] = []
        self.started = threading.Semaphore(0)

    def prepare(self, texts: Sequence[str]) -> Prepared:
        """Their lengths."""
        if "?" in "".join(texts):
            raise UnicodeError("refused before the run")
        sizes = np.array([len(text) for text in texts], np.int64)
        return Prepared(list(texts), sizes, sizes, sizes < 0)

    def run(self, rows: Sequence[Sequence[str]]) -> tuple[Any, int]:
        """The lengths, as vectors."""
        texts = [text for row in rows for text in row]
        self.runs.append(texts)
        self.started.release()
        if self.gate is not None:
            self.gate.wait(10)
        if "!" in "".join(texts):
            raise ValueError("refused in the run")
        return np.array([[len(text)] for text in texts], np.float32), sum(map(len, texts)) + PADDING


class Bench:
    """A scheduler over Lengths, and threads that call it."""

    def __init__(self, streams: int, budget: int = 256) -> None:
        self.backend = Lengths()
        self._streams = concurrent.futures.ThreadPoolExecutor(streams)
        self._callers = concurrent.futures.ThreadPoolExecutor(32)
        self.scheduler = Scheduler(self.backend, budget, self._streams, streams)

    def call(self, texts: list[str]) -> "concurrent.futures.Future[Any]":
        """A call from a thread of its own."""
        return self._callers.submit(self.scheduler.compute, texts)

    def wait_for_arrivals(self, count: int) -> None:
        """Wait until so many calls have brought their texts."""
        deadline = time.monotonic() + 10
        while len(self.scheduler._arrived) < count and time.monotonic() < deadline:
            time.sleep(0.001)

    def close(self) -> None:
        """End the threads."""
        self._callers.shutdown()
        self._streams.shutdown()


@pytest.fixture
def one() -> Iterator[Bench]:
    """With one stream, which waits in its first run for a call of one text."""
    bench = Bench(streams=1)
    bench.backend.gate = threading.Event()
    bench.call(["first"])
    bench.backend.started.acquire(timeout=10)
    yield bench
    bench.close()


def test_texts_that_wait_are_run_together_whoever_brought_them(one: Bench) -> None:
    """One micro-batch for five calls, and each gets its own vectors in its order."""
    calls = [one.call(["a" * n, "b" * (9 - n)]) for n in range(1, 6)]
    one.wait_for_arrivals(5)
    one.backend.gate.set()
    assert [call.result(10).vectors.tolist() for call in calls] == [[[n], [9 - n]] for n in range(1, 6)]
    assert [len(run) for run in one.backend.runs] == [1, 10]


def test_a_call_of_few_texts_does_not_wait_for_all_of_a_large_one(one: Bench) -> None:
    """They take turns."""
    large = one.call(["a" * 64] * 100)
    one.wait_for_arrivals(1)
    small = one.call(["bb"])
    one.wait_for_arrivals(2)
    one.backend.gate.set()
    assert small.result(10).vectors.tolist() == [[2]]
    assert large.result(10).vectors.tolist() == [[64]] * 100
    assert ["bb" in run for run in one.backend.runs].index(True) <= 2


@pytest.mark.parametrize(("bad", "error"), [("?", UnicodeError), ("!", ValueError)])
def test_a_failure_is_its_callers_own(one: Bench, bad: str, error: type[Exception]) -> None:
    """Whether texts fail before the run or in it, those of other calls are computed."""
    calls = [one.call(["aa", bad if n == 2 else "b"]) for n in range(5)]
    one.wait_for_arrivals(5)
    one.backend.gate.set()
    for n, call in enumerate(calls):
        if n == 2:
            with pytest.raises(error, match="refused"):
                call.result(10)
        else:
            assert call.result(10).vectors.tolist() == [[2], [1]]


def test_every_stream_has_a_micro_batch() -> None:
    """Three runs of one call at a time: each waits for the other two."""
    bench = Bench(streams=3)
    bench.backend.gate = threading.Barrier(3)
    assert bench.call(["a" * 64] * 12).result(10).vectors.tolist() == [[64]] * 12
    assert [len(run) for run in bench.backend.runs] == [4, 4, 4]
    bench.close()


def test_what_waits_is_shared_among_the_free_streams() -> None:
    """In halves of about the same cost, though all would fit into one micro-batch."""
    bench = Bench(streams=2, budget=1024)
    bench.call(["a" * 30] * 10 + ["a" * 10] * 10).result(10)
    assert sorted(sum(map(len, run)) for run in bench.backend.runs) == [180, 220]
    bench.close()


def test_a_short_call_is_one_micro_batch() -> None:
    """To split it would cost more than it gains."""
    bench = Bench(streams=4)
    bench.call(["a" * 10] * 10).result(10)
    assert len(bench.backend.runs) == 1
    bench.close()


def test_padding_is_counted_once() -> None:
    """In all calls together, what was computed and is no token."""
    bench = Bench(streams=2)
    found = [call.result(10) for call in [bench.call(["aa", "b"]) for _ in range(20)]]
    assert sum(each.padded_tokens for each in found) == PADDING * len(bench.backend.runs)
    bench.close()


@settings(deadline=None, max_examples=50)
@given(st.lists(TEXTS, min_size=1, max_size=12), st.integers(1, 3), st.integers(1, 100))
def test_every_call_gets_its_own_vectors_or_its_own_error(calls: list[list[str]], streams: int, budget: int) -> None:
    """Whatever else is run with them; nothing is left behind."""
    bench = Bench(streams, budget)
    for texts, outcome in [(texts, bench.call(texts)) for texts in calls]:
        if {"?", "!"} & set("".join(texts)):
            with pytest.raises(ValueError, match="refused"):
                outcome.result(10)
        else:
            assert outcome.result(10).vectors[:, 0].tolist() == [len(text) for text in texts]
    bench.close()
    scheduler = bench.scheduler
    assert (scheduler._arrived, scheduler._queue, scheduler._cost, scheduler._working) == ([], [], 0, 0)
