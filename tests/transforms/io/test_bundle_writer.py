"""Bundles written to a sink that is a list in memory."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.metrics import MetricsFilter
from apache_beam.metrics.metric import Lineage
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, GlobalWindow, TimestampedValue
from google.api_core.exceptions import ServiceUnavailable

from tests.conftest import sentence
from transforms.counters import process_counts
from transforms.dead_letters import dead_letters, split_dead_letters
from transforms.io.bundle_writer import BundleWriter
from transforms.io.errors import Refused
from transforms.io.retries import WRITTEN, Answer
from transforms.types import DeadLetter, SentenceEmbedding

_sent: list[list[str]] = []
_failures: list[Exception] = []


class Shelf:
    """Takes words of small letters, five or twelve bytes at a time, and loses those without a letter."""

    name = "the shelf"
    written_counter = "words_written"
    refused_counter = "words_refused"
    lag = ""
    max_rows = 5
    max_bytes = 12
    keeps_refused = False

    def open(self) -> Callable[[Sequence[str]], Answer]:
        """What appends a request to `_sent`, or fails as `_failures` says."""
        return _send

    def report_lineage(self) -> None:
        """A table that there is not."""
        Lineage.sinks().add("shelves", "words")

    def find_fault(self) -> str | None:
        """None is known."""

    def size(self, row: str) -> int:
        """A byte a letter."""
        return len(row)

    def refused(self, row: str, reason: str) -> list[DeadLetter]:
        """A dead letter of the word, none of a number."""
        return [] if row.isdecimal() else dead_letters("Shelve", reason, row.encode(), {})


def _send(rows: Sequence[str]) -> Answer:
    if _failures:
        raise _failures.pop()
    if not all(map(str.islower, rows)):
        raise Refused("not small")
    _sent.append(list(rows))
    return WRITTEN


@pytest.fixture(autouse=True)
def _emptied() -> None:
    _sent.clear()
    _failures.clear()


@pytest.fixture
def counted() -> Callable[[str], int]:
    """Tells by how much a counter has grown since the test began."""
    before = process_counts()
    return lambda name: process_counts().get(name, 0) - before.get(name, 0)


class _Describe(beam.DoFn):
    def process(
        self, letter: DeadLetter, time: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[tuple[Any, ...]]:
        yield (
            letter.payload_string,
            letter.error_message,
            time.micros // 1_000_000,
            window.start.micros // 1_000_000,
        )


def write(
    words: Sequence[str], letters: Sequence[tuple[str, str, int, int]] = (), retry_for_seconds: float = 10
) -> None:
    """Writes `words` as one bundle, a word a minute; checks its dead letters: word, reason, time, window's start."""
    with beam.Pipeline("FnApiRunner") as pipeline:
        timed = (
            pipeline
            | beam.Create([list(words)], reshuffle=False)
            | beam.FlatMap(lambda bundle: [TimestampedValue(word, 60 * at) for at, word in enumerate(bundle)])
            | beam.WindowInto(FixedWindows(100))
        )
        written = split_dead_letters(timed, "Shelve", BundleWriter(Shelf(), retry_for_seconds), object)
        assert_that(written.output, equal_to([word for word in words if word.islower()]), "What was written")
        assert_that(written.dead_letters | beam.ParDo(_Describe()), equal_to(letters))


def test_a_small_bundle_is_one_request(counted: Callable[[str], int]) -> None:
    """It is written when it ends."""
    write(["a", "b", "c"])
    assert _sent == [["a", "b", "c"]]
    assert (counted("words_written"), counted("words_refused")) == (3, 0)


def test_a_large_bundle_is_several_requests_within_the_limits() -> None:
    """Neither more rows nor more bytes than the sink names; a row that is larger goes alone."""
    write(["a", "b", "c", "d", "e", "f", "g" * 11, "h" * 6, "i" * 6, "j" * 13, "k"])
    assert _sent == [["a", "b", "c", "d", "e"], ["f", "g" * 11], ["h" * 6, "i" * 6], ["j" * 13], ["k"]]


def test_a_refused_row_is_a_dead_letter_where_and_when_it_was(counted: Callable[[str], int]) -> None:
    """The others are written; what the sink makes no letter of is only counted."""
    write(["a", "B", "c", "4", "d", "e", "F"], [("B", "not small", 60, 0), ("F", "not small", 360, 300)])
    assert sorted(word for request in _sent for word in request) == ["a", "c", "d", "e"]
    assert (counted("words_written"), counted("words_refused")) == (4, 3)


def test_a_transient_error_is_retried(counted: Callable[[str], int]) -> None:
    """The same rows go again, and each try is counted."""
    _failures.extend([ServiceUnavailable("down"), ServiceUnavailable("down")])
    write(["a", "b"])
    assert _sent == [["a", "b"]]
    assert (counted("words_written"), counted("write_retries")) == (2, 2)


def test_an_outage_fails_the_bundle(counted: Callable[[str], int]) -> None:
    """With the sink's name; nothing is written or refused."""
    _failures.append(ServiceUnavailable("down"))
    with pytest.raises(Exception, match="expected the shelf to take rows within 0 s of retries, got .*down"):
        write(["a"], retry_for_seconds=0)
    assert not _sent
    assert (counted("words_written"), counted("words_refused")) == (0, 0)


def test_a_failed_bundle_leaves_nothing_to_the_next() -> None:
    """Its rows come again in a bundle of their own."""
    writer = BundleWriter(Shelf(), 0)
    writer.setup()
    for words in ("ab", "cd"):
        writer.start_bundle()
        assert [letter for word in words for letter in writer.process(word, 0, None)] == []
    assert [written.value for written in writer.finish_bundle()] == ["c", "d"]
    assert _sent == [["c", "d"]]


def test_a_step_is_named_for_its_sink() -> None:
    """Writers of several sinks stay apart, and a streaming job is updated by its steps' names."""
    assert beam.ParDo(BundleWriter(Shelf(), 0)).label == "ParDo(Shelf)"


class _Rows(Shelf):
    """Takes rows, and loses those without a text."""

    lag = "shelf_lag_ms"

    def open(self) -> Callable[[Sequence[Any]], Answer]:
        """What appends the texts of a request to `_sent`."""
        return lambda rows: _send([row.content for row in rows])

    def size(self, row: Any) -> int:
        """A byte a letter."""
        return len(row.content)

    def refused(self, row: Any, reason: str) -> list[DeadLetter]:
        """A dead letter of the text."""
        return dead_letters("Shelve", reason, row.content.encode(), {})


def test_what_is_written_comes_out_and_an_end_behind_its_rows() -> None:
    """Ends are not sent, and a row that is refused does not come out."""
    rows = [
        SentenceEmbedding(*sentence(content)._replace(revision="1-a"), vector, "m", "v", "float32", 3, False)
        for content, vector in (("a", b"1"), ("B", b"1"), ("c", b"1"), ("", b""), ("e", b"1"), ("", b""))
    ]
    writer = BundleWriter(_Rows(), 0)
    writer.setup()
    writer.start_bundle()
    assert [out for row in rows for out in writer.process(row, 0, GlobalWindow())] == []
    found = list(writer.finish_bundle())
    tagged = [out for out in found if isinstance(out, beam.pvalue.TaggedOutput)]
    assert [out.value.value.payload_string for out in tagged] == ["B"]
    assert [out.value for out in found if out not in tagged] == [rows[0], *rows[2:]]
    assert sorted(content for request in _sent for content in request) == ["a", "c", "e"]
    writer.start_bundle()
    assert list(writer.process(rows[-1], 0, GlobalWindow())) == []
    assert [out.value for out in writer.finish_bundle()] == [rows[-1]]


def test_how_long_rows_took_is_observed_once_a_message_and_not_for_those_refused() -> None:
    """From the message's time to the acknowledgement; a time that is still to come is no time."""
    now = time.time_ns() // 1000
    times = {"a": now - 60_000_000, "b": now - 60_000_000, "C": 0, "d": None, "e": now + 1_000_000_000}
    rows = [
        SentenceEmbedding(*sentence(content)._replace(event_time=at), b"1", "m", "v", "float32", 3, False)
        for content, at in times.items()
    ]
    with beam.Pipeline("FnApiRunner") as pipeline:
        bundle = pipeline | beam.Create([rows], reshuffle=False) | beam.FlatMap(list)
        split_dead_letters(bundle, "Shelve", BundleWriter(_Rows(), 0), object)
    metrics = pipeline.result.metrics()
    (lag,) = metrics.query(MetricsFilter().with_name("shelf_lag_ms"))["distributions"]
    assert (lag.committed.count, lag.committed.min) == (2, 0)
    assert 60_000 <= lag.committed.max < 90_000
    counters = metrics.query(MetricsFilter().with_names(["shelf_lag_ms_sum", "shelf_lag_ms_count"]))["counters"]
    assert {each.key.metric.name: each.committed for each in counters} == {
        "shelf_lag_ms_sum": lag.committed.sum,
        "shelf_lag_ms_count": 2,
    }
    assert Lineage.query(metrics, Lineage.SINK) == {"shelves:words"}
