"""Scheduler: computes the texts of concurrent calls in common micro-batches, one on each stream."""

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from transforms.encoder.packing import lay_out

if TYPE_CHECKING:
    from transforms.encoder.backends import Backend, Prepared

Array = np.ndarray[Any, Any]

# A micro-batch of fewer tokens is not split between streams, because each run of an encoder reads all its weights.
_LEAST_TOKENS = 128


class Computed(NamedTuple):
    """What was computed for n texts.

    Attributes:
        vectors: the vectors, float32 [n, dimension].
        tokens: the number of tokens read of each text, special tokens included, int64 [n]; zeros if unknown.
        truncated: whether only part of each text was read, bool [n].
        padded_tokens: the number of padding tokens in the micro-batches that began with one of the texts.
    """

    vectors: Array
    tokens: Array
    truncated: Array
    padded_tokens: int


class _Call:
    """The texts of one caller, and what has been computed of them."""

    def __init__(self, texts: Sequence[str], dimension: int) -> None:
        self.texts = texts
        self.vectors = np.zeros((len(texts), dimension), np.float32)
        self.missing = len(texts)
        self.padded_tokens = 0
        self.failed = False
        self.outcome: concurrent.futures.Future[None] = concurrent.futures.Future()
        # Places of texts that wait for a stream, usually with the most expensive at the end.
        self.waiting: list[int] = []

    def begin(self, prepared: "Prepared") -> None:
        self.prepared = prepared
        self.costs: list[int] = prepared.costs.tolist()
        self.waiting = np.argsort(prepared.costs, kind="stable").tolist()


# A text of a call, by its place there.
_Text = tuple[_Call, int]


class Scheduler:
    """Computes vectors, for any number of threads at once.

    A stream that is free takes the next micro-batch from all the texts that wait at that time, whoever brought them, so
    that small calls are computed as efficiently as a large one. No call waits for another one to come. Calls take
    turns: one with few texts does not wait until a large one is through. If a micro-batch fails, the texts of each of
    its callers are run apart, and only a caller whose texts fail again gets the error.

    Args:
        backend: what runs the texts.
        token_budget: the maximum number of tokens in a micro-batch, padding included; a longer text is run alone.
        pool: the threads that run micro-batches, one for each stream.
        streams: the number of these threads.
    """

    def __init__(self, backend: "Backend", token_budget: int, pool: concurrent.futures.Executor, streams: int) -> None:
        self._backend = backend
        self._token_budget = token_budget
        self._pool = pool
        self._streams = streams
        self._lock = threading.Lock()
        # All below are guarded by the lock: calls to be prepared, calls with texts that wait, the cost of these texts,
        # and the number of streams that are at work.
        self._arrived: list[_Call] = []
        self._queue: list[_Call] = []
        self._cost = 0
        self._working = 0

    def compute(self, texts: Sequence[str]) -> Computed:
        """The vectors of `texts`, which must not be empty.

        Raises:
            Exception: whatever the backend raises for them.
        """
        call = _Call(texts, self._backend.dimension)
        with self._lock:
            self._start_stream()
            self._arrived.append(call)
        call.outcome.result()
        return Computed(call.vectors, call.prepared.tokens, call.prepared.truncated, call.padded_tokens)

    def _start_stream(self) -> None:
        if self._working < self._streams:
            self._pool.submit(self._work)
            self._working += 1

    def _work(self) -> None:
        """Runs micro-batches until no text waits."""
        while True:
            with self._lock:
                arrived, self._arrived = self._arrived, []
            if arrived:
                self._prepare(arrived)
            with self._lock:
                rows = self._take()
                if not rows and not self._arrived:
                    self._working -= 1
                    return
                if self._queue or self._arrived:
                    # While the interpreter ends, no thread can be started, and this one goes on alone.
                    with contextlib.suppress(RuntimeError):
                        self._start_stream()
            if rows:
                self._run(rows)

    def _prepare(self, calls: Sequence[_Call]) -> None:
        try:
            prepared = self._backend.prepare([text for call in calls for text in call.texts])
        except Exception as error:
            self._apart(self._prepare, {call: [call] for call in calls}, error)
            return
        begin = 0
        for call in calls:
            end = begin + len(call.texts)
            call.begin(prepared.part(begin, end))
            begin = end
        with self._lock:
            self._queue += calls
            self._cost += int(prepared.costs.sum())

    def _take(self) -> list[list[_Text]]:
        """Takes the texts of the next micro-batch from the queue, in rows; expects the lock to be held."""
        idle = 1 + self._streams - self._working
        share = min(self._token_budget, max(_LEAST_TOKENS, -(-self._cost // idle)))
        chosen: list[_Text] = []
        cost = 0
        for call in self._queue:
            while call.waiting and (not chosen or cost + call.costs[call.waiting[-1]] <= share):
                chosen.append((call, call.waiting.pop()))
                cost += call.costs[chosen[-1][1]]
        lengths = [call.costs[place] for call, place in chosen]
        rows = lay_out(lengths, self._token_budget, self._backend.shares_rows)
        for left in set(range(len(chosen))).difference(*rows):
            call, place = chosen[left]
            call.waiting.append(place)
            cost -= lengths[left]
        self._cost -= cost
        served = {call for call, _ in chosen}
        self._queue = [call for call in self._queue if call.waiting and call not in served] + [
            call for call in self._queue if call.waiting and call in served
        ]
        return [[chosen[place] for place in row] for row in rows]

    def _run(self, rows: Sequence[Sequence[_Text]]) -> None:
        """Runs a micro-batch and gives each call its vectors."""
        own: dict[_Call, list[tuple[int, int]]] = {}
        for number, (call, place) in enumerate(text for row in rows for text in row):
            own.setdefault(call, []).append((number, place))
        try:
            vectors, computed = self._backend.run(
                [[call.prepared.inputs[place] for call, place in row] for row in rows]
            )
        except Exception as error:
            self._apart(self._run, {call: _rows_of(call, rows) for call in own}, error)
            return
        padded = computed
        for call, texts in own.items():
            numbers, places = zip(*texts, strict=True)
            call.vectors[list(places)] = vectors[list(numbers)]
            padded -= int(call.prepared.tokens[list(places)].sum())
        next(iter(own)).padded_tokens += padded
        with self._lock:
            for call, texts in own.items():
                call.missing -= len(texts)
            done = [call for call in own if not call.missing]
        for call in done:
            call.outcome.set_result(None)

    def _apart(self, step: Callable[[Any], None], parts: Mapping[_Call, Any], error: Exception) -> None:
        """After a failure, repeats a step for each call by itself, or fails the only call."""
        if len(parts) > 1:
            for part in parts.values():
                step(part)
            return
        (call,) = parts
        with self._lock:
            self._cost -= sum(call.costs[place] for place in call.waiting)
            call.waiting = []
            failed_before, call.failed = call.failed, True
        if not failed_before:
            call.outcome.set_exception(error)


def _rows_of(call: _Call, rows: Sequence[Sequence[_Text]]) -> list[list[_Text]]:
    """The rows with only the texts of `call`."""
    return [kept for row in rows if (kept := [text for text in row if text[0] is call])]
