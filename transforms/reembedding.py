"""Rows that an earlier run wrote: read back as sentences, or used to leave out sentences that are already written."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Optional

import apache_beam as beam

from transforms.counters import Counters
from transforms.dead_letters import (
    TAG,
    DeadLetterTransform,
    WithDeadLetters,
    dead_letters,
    element_json,
    split_dead_letters,
)
from transforms.encoder.cleanup import version_with
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import name_and_version
from transforms.fields import as_text
from transforms.parsing import attributes_of, parse_time
from transforms.schema import EMBEDDING_COLUMNS
from transforms.types import Record, Sentence

STAGE = "Parse rows"
# The input formats that hold rows: "rows" for Parquet files, "bigquery" for a table.
ROW_FORMATS = ("rows", "bigquery")
# The columns of a row that make up its sentence, without the vector and the columns that describe it.
SENTENCE_COLUMNS = tuple(column for column in EMBEDDING_COLUMNS if column.name in Sentence._fields)
# The columns that identify a sentence's row.
KEY_COLUMNS = tuple(column for column in EMBEDDING_COLUMNS if column.name in ("id", "model", "model_version"))

# An id with its sentence, or with None where a row with that id exists.
_Keyed = tuple[str, Optional[Sentence]]

_KINDS: dict[str, type] = {"STRING": str, "INT64": int}


class ParseRows(DeadLetterTransform):
    """Parses PCollection[Record], each a row as JSON, to PCollection[Sentence], with each id once.

    Among the rows with the same id, the one with the newest event time is used, as in
    `io.bigquery.tables.newest_rows_view`, but a row that stores its sentence takes precedence over one that does not.
    The others are counted ("rows_doubled"). A record that is not a row, or whose sentence was not stored, becomes a
    dead letter.

    The rows are grouped by id, so all of them are read before the first is embedded. This matters because a BigQuery
    read session expires after six hours.
    """

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Sentence]:
        """The sentences, and as dead letters the rows without one."""
        parsed = split_dead_letters(pcoll, STAGE, _Parse(), tuple[str, Sentence])
        grouped = parsed.output | "Group by id" >> beam.GroupByKey()
        newest = split_dead_letters(grouped, "Take newest", _TakeNewest(), Sentence)
        letters = (parsed.dead_letters, newest.dead_letters) | "Gather dead letters" >> beam.Flatten()
        return WithDeadLetters(newest.output, letters)


class LeaveOutWritten(beam.PTransform):
    """Returns the sentences that have no row yet, given PCollection[Sentence] and PCollection[Record] of rows as JSON.

    A row belongs to a sentence if it has the sentence's id, and the name and version of the model that will embed it.
    The version covers all that changes vectors but for engine and precision, which are not compared. Sentences left out
    are counted ("sentences_written"). The two inputs are joined by id, and neither has to fit into memory. A record
    that is not a row fails the pipeline, because no sentence is at fault.

    Args:
        encoder: the options of the encoder; its version is computed on the worker, from the files of the model.
        cleanup: as in EmbedSentences.
    """

    def __init__(self, encoder: EncoderOptions, cleanup: str = "disabled") -> None:
        super().__init__()
        self._take_ids = _TakeIds(encoder, cleanup)

    def expand(self, pcolls: Any) -> Any:
        """Joins the pair (sentences, rows)."""
        sentences, rows = pcolls
        keyed = sentences | "Key by id" >> beam.Map(_by_id).with_output_types(_Keyed)
        known = rows | "Take ids" >> beam.ParDo(self._take_ids).with_output_types(_Keyed)
        # CoGroupByKey would pickle each value.
        grouped = (keyed, known) | "Join" >> beam.Flatten() | "Group by id" >> beam.GroupByKey()
        return grouped | "Leave out" >> beam.ParDo(_LeaveOut()).with_output_types(Sentence)


def sentence_of(data: bytes) -> Sentence:
    """The sentence of a row given as JSON; its content is "" if it was not stored.

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
    time = row.get("event_time")
    return Sentence(
        id=row["id"],
        message_id=row["message_id"],
        sentence_index=row["sentence_index"],
        begin=row["begin"],
        end=row["end"],
        content=row["content"],
        metadata={pair["key"]: as_text(pair["value"]) for pair in row["metadata"]},
        event_time=None if time is None else parse_time(time, "event_time"),
        revision=as_text(row.get("revision") or ""),
    )


class _Parse(beam.DoFn):
    def __init__(self) -> None:
        self._counters = Counters()

    def process(self, record: Record) -> Iterator[Any]:
        self._counters.count("rows_read")
        try:
            sentence = sentence_of(record.data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._counters.count("dead_letters_rows")
            for letter in dead_letters(STAGE, error, record.data, attributes_of(record)):
                yield beam.pvalue.TaggedOutput(TAG, letter)
            return
        yield sentence.id, sentence


class _TakeNewest(beam.DoFn):
    def __init__(self) -> None:
        self._counters = Counters()

    def process(self, group: tuple[str, Iterable[Sentence]]) -> Iterator[Any]:
        sentences = list(group[1])
        newest = max(sentences, key=_age)
        if len(sentences) > 1:
            self._counters.count("rows_doubled", len(sentences) - 1)
        if newest.content:
            self._counters.count("sentences")
            yield newest
            return
        self._counters.count("dead_letters_rows")
        error = "expected a row's sentence in its column 'content', got none; it was written with --store_content=false"
        for letter in dead_letters(STAGE, error, element_json(newest), {"message_id": newest.message_id}):
            yield beam.pvalue.TaggedOutput(TAG, letter)


def _age(sentence: Sentence) -> tuple[bool, bool, int, list[tuple[str, str]]]:
    """A sort key for the rows with the same id, which gives the same order in every run."""
    time = sentence.event_time
    return bool(sentence.content), time is not None, time or 0, sorted(sentence.metadata.items())


def _by_id(sentence: Sentence) -> tuple[str, Sentence]:
    return sentence.id, sentence


class _TakeIds(beam.DoFn):
    def __init__(self, encoder: EncoderOptions, cleanup: str) -> None:
        self._encoder = encoder
        self._cleanup = cleanup

    def setup(self) -> None:
        name, version = name_and_version(self._encoder)
        self._wanted = name, version_with(version, self._cleanup)

    def process(self, record: Record) -> Iterator[tuple[str, None]]:
        try:
            row = json.loads(record.data)
            key, *made_by = (row[column.name] for column in KEY_COLUMNS)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"expected rows written earlier, with {', '.join(repr(column.name) for column in KEY_COLUMNS)}, "
                f"got {record.data[:80]!r} in {record.origin}; name rows only"
            ) from error
        if tuple(made_by) == self._wanted:
            yield key, None


class _LeaveOut(beam.DoFn):
    def __init__(self) -> None:
        self._counters = Counters()

    def process(self, group: tuple[str, Iterable[Optional[Sentence]]]) -> Iterator[Sentence]:
        found = list(group[1])
        sentences = [sentence for sentence in found if sentence is not None]
        if len(sentences) == len(found):
            yield from sentences
        elif sentences:
            self._counters.count("sentences_written", len(sentences))
