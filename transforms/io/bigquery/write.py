"""Writes rows and dead letters to BigQuery without a shuffle: a bundle ends only when all its rows are written."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics.metric import Lineage

from transforms.columns import own_columns
from transforms.dead_letters import (
    DeadLetterTransform,
    WithDeadLetters,
    dead_letters,
    element_json,
    split_dead_letters,
)
from transforms.ids import stable_id
from transforms.io.bigquery.storage_write import ArrowAppender
from transforms.io.bigquery.streaming_inserts import JsonInserter
from transforms.io.bigquery.tables import TableName, fault_of, parse_table
from transforms.io.bundle_writer import BundleWriter
from transforms.io.lag import ROWS_LAG
from transforms.io.lineage import add_table
from transforms.io.retries import RETRY_FOR_SECONDS, Answer
from transforms.io.spill import Spill
from transforms.kinds import DEAD_LETTERS, JOURNAL, Kind, rows_with
from transforms.options import takes
from transforms.schema import Column
from transforms.types import DeadLetter, JournalEntry, SentenceEmbedding

STAGE = "Write rows"
JOURNAL_STAGE = "Write journal"
METHODS = ("STORAGE_WRITE_ARROW", "STREAMING_INSERTS")

# The approximate size of a row's short columns, in bytes.
_OTHER_BYTES = 200


@dataclasses.dataclass(frozen=True)
class BigQueryOptions:
    """How rows are written to BigQuery; the transforms that write to it take these options as arguments.

    Attributes:
        method: how rows are written, by STORAGE_WRITE_ARROW (Arrow over gRPC) or STREAMING_INSERTS (JSON over HTTP).
        retry_for_seconds: how long transient errors, such as an outage or an exhausted quota, are retried before the
            bundle fails, in seconds.

    Raises:
        ValueError: if an option has an invalid value.
    """

    method: str = dataclasses.field(default="STORAGE_WRITE_ARROW", metadata={"choices": METHODS})
    retry_for_seconds: float = dataclasses.field(default=RETRY_FOR_SECONDS, metadata={"minimum": 0})

    def __post_init__(self) -> None:
        """Checks the options."""
        if self.method not in METHODS:
            raise ValueError(f"expected method to be one of {', '.join(METHODS)}, got {self.method!r}")
        if self.retry_for_seconds < 0:
            raise ValueError(f"expected retry_for_seconds to be at least 0, got {self.retry_for_seconds}")


class WriteRowsToBigQuery(DeadLetterTransform):
    """Writes each SentenceEmbedding as a row of a table; rejected rows become dead letters.

    A table that rejects every row, because a column was renamed for instance, is waited for as in an outage. A bundle
    ends when BigQuery has acknowledged its rows. Each row is written at least once: if the runner retries a
    bundle, or an acknowledgement is lost, the row is in the table twice, and the view newest_embeddings shows it only
    once. The output is the rows that were written, as BundleWriter says.

    Args:
        table: the table, as project:dataset.table; it must exist (`tables.create_table` creates it).
        fields: fields of BigQueryOptions, by position.
        columns: own columns, as SplitSentences was given them.
        options: fields of BigQueryOptions, by name.

    Raises:
        ValueError: if `table` is not a valid name, or an option has an invalid value.
    """

    @takes(BigQueryOptions)
    def __init__(self, table: str, *fields: Any, columns: Sequence[str] = (), **options: Any) -> None:
        super().__init__()
        chosen = BigQueryOptions(*fields, **options)
        own = [each.column for each in own_columns(columns)]
        self._write = BundleWriter(_WriteRows(parse_table(table), chosen.method, own), chosen.retry_for_seconds)

    def expand_with_dead_letters(self, rows: "beam.PCollection[SentenceEmbedding]") -> WithDeadLetters[Any]:
        """Writes `rows`."""
        return split_dead_letters(rows, STAGE, self._write, SentenceEmbedding)


class WriteJournalToBigQuery(DeadLetterTransform):
    """Writes each JournalEntry as a row of a table, with the arguments of WriteRowsToBigQuery."""

    @takes(BigQueryOptions)
    def __init__(self, table: str, *fields: Any, **options: Any) -> None:
        super().__init__()
        chosen = BigQueryOptions(*fields, **options)
        self._write = BundleWriter(_WriteJournal(parse_table(table), chosen.method), chosen.retry_for_seconds)

    def expand_with_dead_letters(self, entries: "beam.PCollection[JournalEntry]") -> WithDeadLetters[Any]:
        """Writes `entries`."""
        return split_dead_letters(entries, JOURNAL_STAGE, self._write, JournalEntry)


class WriteDeadLettersToBigQuery(beam.PTransform):
    """Writes each DeadLetter as a row of a table, with the arguments of WriteRowsToBigQuery.

    A dead letter that BigQuery rejects is counted ("dead_letters_refused") and kept by Spill, as are all those for a
    table that rejects every row. Without a folder for that, the bundle fails, so that its message is not acknowledged;
    a table that rejects every row is waited for first.

    Args:
        table: as in WriteRowsToBigQuery.
        fields: as in WriteRowsToBigQuery.
        spill_dir: the folder for dead letters that BigQuery rejects; "" for none.
        options: as in WriteRowsToBigQuery.
    """

    @takes(BigQueryOptions)
    def __init__(self, table: str, *fields: Any, spill_dir: str = "", **options: Any) -> None:
        super().__init__()
        chosen = BigQueryOptions(*fields, **options)
        sink = _WriteDeadLetters(parse_table(table), chosen.method, Spill(spill_dir))
        self._write = BundleWriter(sink, chosen.retry_for_seconds)

    def expand(self, letters: "beam.PCollection[DeadLetter]") -> "beam.PCollection[Any]":
        """Writes `letters` and returns those that the table has taken."""
        return letters | "Write dead letters" >> beam.ParDo(self._write)


class _TableSink:
    """What the sinks for rows, dead letters and the journal have in common."""

    # A bundle's rows are buffered in memory; when they exceed these limits they are written before the bundle ends.
    max_rows = 10_000
    max_bytes = 8_000_000
    keeps_refused = False
    lag = ""
    kind: Kind

    def __init__(self, table: TableName, method: str) -> None:
        self.name = f"BigQuery table {table}"
        self._table = table
        self._method = method

    def open(self) -> Callable[[Sequence[Any]], Answer]:
        if self._method == "STORAGE_WRITE_ARROW":
            return ArrowAppender(self._table, lambda rows: self.kind.to_arrow(rows, pa.float64()))
        return JsonInserter(self._table, self.kind.to_json, self.identity)

    def report_lineage(self) -> None:
        add_table(Lineage.sinks(), *self._table)

    def find_fault(self) -> str | None:
        return fault_of(self._table, self.kind.columns)

    def identity(self, row: Any) -> str:
        """What tells a row from others in the table."""
        raise NotImplementedError


class _WriteRows(_TableSink):
    written_counter = "rows_written"
    refused_counter = "rows_refused"
    lag = ROWS_LAG

    def __init__(self, table: TableName, method: str, own: Sequence[Column] = ()) -> None:
        super().__init__(table, method)
        self.kind = rows_with(own)

    def identity(self, row: SentenceEmbedding) -> str:
        return stable_id(row.id, row.model, row.model_version, row.revision)

    def size(self, row: SentenceEmbedding) -> int:
        return 2 * len(row.embedding) + len(row.content) + _pairs_size(row.metadata) + _OTHER_BYTES

    def refused(self, row: SentenceEmbedding, reason: str) -> list[DeadLetter]:
        return dead_letters(STAGE, f"{self._table} refused the row: {reason}", element_json(row), {})


class _WriteJournal(_TableSink):
    written_counter = "journal_written"
    refused_counter = "journal_refused"
    kind = JOURNAL

    def identity(self, entry: JournalEntry) -> str:
        return stable_id(entry.message_id, entry.model_version, entry.revision, str(entry.written_at))

    def size(self, entry: JournalEntry) -> int:
        return len(entry.message_id) + _OTHER_BYTES

    def refused(self, entry: JournalEntry, reason: str) -> list[DeadLetter]:
        return dead_letters(JOURNAL_STAGE, f"{self._table} refused the entry: {reason}", element_json(entry), {})


class _WriteDeadLetters(_TableSink):
    written_counter = "dead_letters_written"
    refused_counter = "dead_letters_refused"
    kind = DEAD_LETTERS

    def __init__(self, table: TableName, method: str, spill: Spill) -> None:
        super().__init__(table, method)
        self._spill = spill
        self.keeps_refused = spill.is_open

    def identity(self, row: DeadLetter) -> str:
        return stable_id(row.id, str(row.part))

    def size(self, row: DeadLetter) -> int:
        payload = row.payload_string or row.payload_bytes or ""
        return len(payload) + len(row.stacktrace) + _pairs_size(row.attributes) + _OTHER_BYTES

    def refused(self, row: DeadLetter, reason: str) -> list[DeadLetter]:
        self._spill.keep(self.kind.to_json(row), self.name, reason)
        return []


def _pairs_size(pairs: Mapping[str, str]) -> int:
    return sum(len(key) + len(value or "") for key, value in pairs.items())
