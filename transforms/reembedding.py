"""Rows that an earlier run wrote, read back as sentences to be embedded by another model."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Optional

import apache_beam as beam

from transforms.columns import OwnColumns
from transforms.counters import Counters, NotesNames
from transforms.dead_letters import WithDeadLetters, element_json, refused, split_dead_letters
from transforms.fields import as_text
from transforms.parsing import attributes_of
from transforms.schema import EMBEDDING_COLUMNS
from transforms.times import parse_time
from transforms.types import JournalEntry, Record, Sentence
from transforms.versions import VersionedTransform, age, end_of

STAGE = "Parse rows"
# The input formats that hold rows: "rows" for Parquet files, "bigquery" for a table.
ROW_FORMATS = ("rows", "bigquery")
# The columns of a row that make up its sentence, without the vector and the columns that describe it.
SENTENCE_COLUMNS = tuple(column for column in EMBEDDING_COLUMNS if column.name in Sentence._fields)

# A message's id with one of its rows, or with its newest entry in the journal.
_Keyed: Any = tuple[str, tuple[Optional[Sentence], Optional[JournalEntry]]]

_NOT_STORED = "expected a row's sentence in its column 'content', got none; it was written with --store_content=false"
_KINDS: dict[str, type] = {"STRING": str, "INT64": int}


class ParseRows(VersionedTransform):
    """Parses PCollection[Record], each a row as JSON, to the PCollection[Sentence] of what is current among them.

    The input is the rows alone, or a pair of them and of the entries of their journal, as JSON too. Of a message with
    an entry, the newest entry of any model names the current version: its rows go on, each id once and in text order,
    whichever model made them. Rows of other versions are left out ("rows_retired"), also of one that has no entry yet.
    If not all rows of the current version are there, none goes on ("versions_torn"). Of all other messages, and without
    a journal, the row of an id with the newest event time is used, as in templates/sql/newest_embeddings.sql.

    A row that stores its sentence takes precedence over one that does not; rows of an id that are not used are counted
    ("rows_doubled"). A record that is not a row, or whose sentence was not stored, becomes a dead letter. An entry that
    cannot be read fails the pipeline, because no row is at fault.

    The rows are grouped by message, so all of them are read before the first is embedded. This matters because a
    BigQuery read session expires after six hours.

    Args:
        columns: own columns, as in SplitSentences; what a row has in one is kept, and what it lacks is taken from its
            metadata.
    """

    def __init__(self, columns: Sequence[str] = ()) -> None:
        super().__init__()
        self._own = OwnColumns(columns)

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Sentence]:
        """The sentences, and as dead letters the rows without one."""
        rows, entries = pcoll if isinstance(pcoll, tuple) else (pcoll, None)
        parsed = split_dead_letters(rows, STAGE, _Parse(entries is not None, self._own), _Keyed)
        keyed = parsed.output
        if entries is not None:
            newest = (
                entries
                | "Parse entries" >> beam.Map(_by_message).with_output_types(tuple[str, JournalEntry])
                | "Take newest entry" >> beam.CombinePerKey(_newest).with_output_types(tuple[str, JournalEntry])
                | "As found" >> beam.MapTuple(_as_found).with_output_types(_Keyed)
            )
            keyed = (keyed, newest) | "Join journal" >> beam.Flatten()
        grouped = keyed | "Group by message" >> beam.GroupByKey()
        current = split_dead_letters(grouped, "Take current", _TakeCurrent(self._with_versions), Sentence)
        letters = (parsed.dead_letters, current.dead_letters) | "Gather dead letters" >> beam.Flatten()
        return WithDeadLetters(current.output, letters)


def sentence_of(data: bytes, own: OwnColumns | None = None) -> Sentence:
    """The sentence of a row given as JSON, with its `own` columns; its content is "" if it was not stored.

    Raises:
        ValueError: if a column is missing or has the wrong type.
        AttributeError, KeyError, TypeError: if `data` is JSON of another shape than a row.
    """
    row = json.loads(data)
    for column in SENTENCE_COLUMNS:
        kind = _KINDS.get(column.type)
        if kind and type(row.get(column.name)) is not kind and column.mode == "REQUIRED":
            raise ValueError(f"expected {column.type} in a row's column {column.name!r}, got {row.get(column.name)!r}")
    if not isinstance(row.get("metadata"), list):
        raise ValueError(f"expected a list in a row's column 'metadata', got {row.get('metadata')!r}")
    metadata = {pair["key"]: as_text(pair["value"]) for pair in row["metadata"]}
    return Sentence(
        id=row["id"],
        message_id=row["message_id"],
        sentence_index=row["sentence_index"],
        begin=row["begin"],
        end=row["end"],
        content=row["content"],
        metadata=metadata | own.of(metadata, row) if own else metadata,
        event_time=_time(row.get("event_time"), "event_time"),
        revision=as_text(row.get("revision") or ""),
    )


def entry_of(record: Record) -> JournalEntry:
    """The journal's entry of a record.

    Raises:
        ValueError: if the record is none.
    """
    try:
        row = json.loads(record.data)
        times = {name: _time(row[name], name) for name in ("event_time", "written_at")}
        return JournalEntry(**{name: row[name] for name in JournalEntry._fields} | times)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"expected entries of a journal, got {record.data[:80]!r} in {record.origin}; name a journal only"
        ) from error


def _time(value: Any, name: str) -> Optional[int]:
    return None if value is None else parse_time(value, name)


def _by_message(record: Record) -> tuple[str, JournalEntry]:
    entry = entry_of(record)
    return entry.message_id, entry


def _newest(entries: Iterable[JournalEntry]) -> JournalEntry:
    return max(entries, key=age)


def _as_found(message_id: str, entry: JournalEntry) -> tuple[str, tuple[None, JournalEntry]]:
    return message_id, (None, entry)


class _Parse(NotesNames):
    def __init__(self, has_journal: bool, own: OwnColumns) -> None:
        self._has_journal = has_journal
        self._own = own
        self.notes = (own.found,)
        self._counters = Counters()

    def process(self, record: Record) -> Iterator[Any]:
        self._counters.count("rows_read")
        try:
            sentence = sentence_of(record.data, self._own)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            yield from refused("dead_letters_rows", STAGE, error, record.data, attributes_of(record))
            return
        # Where no journal tells which version is current, none is told apart.
        yield sentence.message_id, (sentence if self._has_journal else sentence._replace(revision=""), None)


class _TakeCurrent(beam.DoFn):
    def __init__(self, with_versions: bool) -> None:
        self._with_versions = with_versions
        self._counters = Counters()

    def process(self, group: tuple[str, Iterable[tuple[Optional[Sentence], Optional[JournalEntry]]]]) -> Iterator[Any]:
        message_id, found = group
        entry = next((entry for _, entry in found if entry is not None), None)
        revision = entry.revision if entry else ""
        rows: dict[str, Sentence] = {}
        for row, _ in found:
            if row is None:
                continue
            if row.revision != revision:
                self._counters.count("rows_retired")
                continue
            if row.id in rows:
                self._counters.count("rows_doubled")
            rows[row.id] = max(row, rows.get(row.id, row), key=_age)
        if entry and len(rows) < entry.rows:
            self._counters.count("versions_torn")
            return
        for row in sorted(rows.values(), key=lambda row: row.sentence_index):
            if row.content:
                self._counters.count("sentences")
                yield row if self._with_versions else row._replace(revision="")
            else:
                row_json, attributes = element_json(row), {"message_id": row.message_id}
                yield from refused("dead_letters_rows", STAGE, _NOT_STORED, row_json, attributes)
        if entry and not entry.sentences:
            self._counters.count("messages_deleted" if entry.deleted else "messages_blank")
        if entry and self._with_versions:
            yield end_of(message_id, revision, entry.sentences, entry.event_time)


def _age(sentence: Sentence) -> tuple[bool, bool, int, list[tuple[str, str]]]:
    """A sort key for the rows with the same id, which gives the same order in every run."""
    time = sentence.event_time
    return bool(sentence.content), time is not None, time or 0, sorted(sentence.metadata.items())
