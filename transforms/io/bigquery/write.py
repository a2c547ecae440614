"""Rows and dead letters to BigQuery, in one fused stage: a bundle is written when it ends, and only then is it done."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.utils.windowed_value import WindowedValue

from transforms.counters import Counters
from transforms.dead_letters import (
    TAG,
    DeadLetterTransform,
    WithDeadLetters,
    dead_letters,
    element_json,
    split_dead_letters,
)
from transforms.ids import stable_id
from transforms.io.bigquery.storage_write import ArrowAppender
from transforms.io.bigquery.streaming_inserts import JsonInserter
from transforms.io.bigquery.tables import TableName, parse_table
from transforms.io.retries import Answer, deliver
from transforms.schema import (
    dead_letter_to_dict,
    dead_letters_to_arrow,
    embedding_to_dict,
    embeddings_to_arrow,
    json_row,
)
from transforms.types import DeadLetter, SentenceEmbedding

STAGE = "Write rows"
METHODS = ("STORAGE_WRITE_ARROW", "STREAMING_INSERTS")
RETRY_FOR_SECONDS = 6 * 3600.0

# A bundle's rows wait in memory; past this they are written before it ends.
_MAX_WAITING_BYTES = 8_000_000
_MAX_WAITING_ROWS = 10_000
# What a row's short columns take, about.
_OTHER_BYTES = 200

_log = logging.getLogger(__name__)


class WriteRowsToBigQuery(DeadLetterTransform):
    """Writes each SentenceEmbedding as a row of a table; rows that BigQuery refuses are dead letters.

    A bundle ends when BigQuery has acknowledged its rows. A row is written at least once: a bundle that the runner
    tries again, or an acknowledgement that is lost, leaves it there twice; `bigquery_tables.newest_rows_view` shows it
    once. Its output is empty.

    Args:
        table: the table, as project:dataset.table; `bigquery_tables.create_table` makes it.
        method: STORAGE_WRITE_ARROW (Arrow over gRPC) or STREAMING_INSERTS (JSON over HTTP).
        retry_for_seconds: how long an outage, an exhausted quota or the like is borne before the bundle fails.
    """

    def __init__(
        self, table: str, method: str = "STORAGE_WRITE_ARROW", retry_for_seconds: float = RETRY_FOR_SECONDS
    ) -> None:
        super().__init__()
        self._write = _WriteRows(parse_table(table), _checked(method), retry_for_seconds)

    def expand_with_dead_letters(self, rows: "beam.PCollection[SentenceEmbedding]") -> WithDeadLetters[Any]:
        """Writes `rows`."""
        return split_dead_letters(rows, STAGE, self._write, object)


class WriteDeadLettersToBigQuery(beam.PTransform):
    """Writes each DeadLetter as a row of a table; its options are WriteRowsToBigQuery's.

    A dead letter that BigQuery refuses is logged and counted as dead_letters_refused: there is nowhere else to put it.
    """

    def __init__(
        self, table: str, method: str = "STORAGE_WRITE_ARROW", retry_for_seconds: float = RETRY_FOR_SECONDS
    ) -> None:
        super().__init__()
        self._write = _WriteDeadLetters(parse_table(table), _checked(method), retry_for_seconds)

    def expand(self, letters: "beam.PCollection[DeadLetter]") -> "beam.PCollection[Any]":
        """Writes `letters`; gives an empty PCollection."""
        return letters | "Write dead letters" >> beam.ParDo(self._write)


def _checked(method: str) -> str:
    if method not in METHODS:
        raise ValueError(f"expected a method of {', '.join(METHODS)}, got {method!r}; choose one of these")
    return method


class _Write(beam.DoFn):
    """Collects a bundle's rows and writes them in as few requests as their size allows.

    A subclass says how its elements are written: `counter` names the counter of acknowledged ones.
    """

    counter: str

    def __init__(self, table: TableName, method: str, retry_for_seconds: float) -> None:
        self._table = table
        self._method = method
        self._retry_for_seconds = retry_for_seconds

    def to_arrow(self, rows: Sequence[Any]) -> pa.Table:
        """Elements as an Arrow table."""
        raise NotImplementedError

    def to_json(self, row: Any) -> Mapping[str, Any]:
        """An element in JSON's types."""
        raise NotImplementedError

    def identity(self, row: Any) -> str:
        """What is the same for a repetition of an element."""
        raise NotImplementedError

    def size(self, row: Any) -> int:
        """About how many bytes an element has in Arrow."""
        raise NotImplementedError

    def refused(self, row: Any, reason: str) -> list[DeadLetter]:
        """What is made of an element that BigQuery will never take."""
        raise NotImplementedError

    def setup(self) -> None:
        """Makes the sender; its connection is opened by the first request."""
        self._counters = Counters()
        self._send: Callable[[Sequence[Any]], Answer]
        if self._method == "STORAGE_WRITE_ARROW":
            self._send = ArrowAppender(self._table, self.to_arrow)
        else:
            self._send = JsonInserter(self._table, self.to_json, self.identity)

    def start_bundle(self) -> None:
        """Forgets what a failed bundle left."""
        self._forget()

    def process(
        self, row: Any, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        """Keeps `row`; writes what waits if it is much."""
        self._rows.append(row)
        self._marks.append((timestamp, window))
        self._waiting_bytes += self.size(row)
        if self._waiting_bytes >= _MAX_WAITING_BYTES or len(self._rows) >= _MAX_WAITING_ROWS:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[Any]:
        """Writes what waits."""
        yield from self._flush()

    def _flush(self) -> Iterator[Any]:
        refusals = list(deliver(self._send, self._rows, self._retry_for_seconds, f"BigQuery table {self._table}"))
        self._counters.count(self.counter, len(self._rows) - len(refusals))
        for position, reason in refusals:
            timestamp, window = self._marks[position]
            for letter in self.refused(self._rows[position], reason):
                yield beam.pvalue.TaggedOutput(TAG, WindowedValue(letter, timestamp, (window,)))
        self._forget()

    def _forget(self) -> None:
        self._rows: list[Any] = []
        self._marks: list[tuple[Any, Any]] = []
        self._waiting_bytes = 0


class _WriteRows(_Write):
    counter = "rows_written"

    def to_arrow(self, rows: Sequence[SentenceEmbedding]) -> pa.Table:
        return embeddings_to_arrow(rows, pa.float64())

    def to_json(self, row: SentenceEmbedding) -> Mapping[str, Any]:
        return json_row(embedding_to_dict(row))

    def identity(self, row: SentenceEmbedding) -> str:
        return stable_id(row.id, row.model, row.model_version)

    def size(self, row: SentenceEmbedding) -> int:
        return 2 * len(row.embedding) + len(row.content) + _pairs_size(row.metadata) + _OTHER_BYTES

    def refused(self, row: SentenceEmbedding, reason: str) -> list[DeadLetter]:
        self._counters.count("rows_refused")
        return dead_letters(STAGE, f"{self._table} refused the row: {reason}", element_json(row), {})


class _WriteDeadLetters(_Write):
    counter = "dead_letters_written"

    def to_arrow(self, rows: Sequence[DeadLetter]) -> pa.Table:
        return dead_letters_to_arrow(rows)

    def to_json(self, row: DeadLetter) -> Mapping[str, Any]:
        return json_row(dead_letter_to_dict(row))

    def identity(self, row: DeadLetter) -> str:
        return stable_id(row.id, str(row.part))

    def size(self, row: DeadLetter) -> int:
        payload = row.payload_string or row.payload_bytes or ""
        return len(payload) + len(row.stacktrace) + _pairs_size(row.attributes) + _OTHER_BYTES

    def refused(self, row: DeadLetter, reason: str) -> list[DeadLetter]:
        self._counters.count("dead_letters_refused")
        _log.error(
            "lost part %d of %d of dead letter %s: %s refused it: %s; it said: %s: %s",
            row.part + 1,
            row.parts,
            row.id,
            self._table,
            reason,
            row.stage,
            row.error_message,
        )
        return []


def _pairs_size(pairs: Mapping[str, str]) -> int:
    return sum(len(key) + len(value or "") for key, value in pairs.items())
