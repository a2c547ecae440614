"""Rows that an earlier run wrote: read back as sentences, or known as written already."""

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
from transforms.encoder.text_encoder import name_and_version
from transforms.parsing import as_text, parse_time, source_attributes
from transforms.schema import EMBEDDING_COLUMNS
from transforms.types import Record, Sentence

STAGE = "Parse rows"
# Input formats of rows: Parquet files, or a table.
ROW_FORMATS = ("rows", "bigquery")
# A row's sentence, without its vector and what says how that was made.
SENTENCE_COLUMNS = tuple(column for column in EMBEDDING_COLUMNS if column.name in Sentence._fields)
# What tells whether a sentence has its row.
KEY_COLUMNS = tuple(column for column in EMBEDDING_COLUMNS if column.name in ("id", "model", "model_version"))

# A sentence by its id, or None for a row of it.
_Keyed = tuple[str, Optional[Sentence]]

_KINDS: dict[str, type] = {"STRING": str, "INT64": int}


class ParseRows(DeadLetterTransform):
    """PCollection[Record] of rows as JSON to PCollection[Sentence], each id once.

    Of the rows of one id, the newest by event time counts, as in `bigquery_tables.newest_rows_view`, and one that has
    its sentence before one without; the others are counted ("rows_doubled"). A row that is none, or whose sentence
    was not stored, is a dead letter.

    The rows are grouped by id, so that all are read before the first is embedded: BigQuery forgets a read session
    after six hours.
    """

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Sentence]:
        """Sentences, and the rows that give none."""
        parsed = split_dead_letters(pcoll, STAGE, _Parse(), tuple[str, Sentence])
        grouped = parsed.output | "Group by id" >> beam.GroupByKey()
        newest = split_dead_letters(grouped, "Take newest", _TakeNewest(), Sentence)
        letters = (parsed.dead_letters, newest.dead_letters) | "Gather dead letters" >> beam.Flatten()
        return WithDeadLetters(newest.output, letters)


class LeaveOutWritten(beam.PTransform):
    """PCollection[Sentence] and PCollection[Record] of rows as JSON to the sentences that no row is of.

    A row is of a sentence if it has its id, and name and version of the model to come; other options of the encoder
    are not compared. What is left out is counted ("sentences_written"). Both sides are joined by id and neither has
    to fit into memory. Something else than a row fails the pipeline: no sentence is at fault.

    Args:
        model: as EmbedSentences'; its version is found on the worker, from the files that its encoder is made of.
        preprocessor: as EmbedSentences'.
    """

    def __init__(self, model: str, preprocessor: str = "") -> None:
        super().__init__()
        self._take_ids = _TakeIds(model, preprocessor)

    def expand(self, pcolls: Any) -> Any:
        """Wires the join for the pair (sentences, rows)."""
        sentences, rows = pcolls
        keyed = sentences | "Key by id" >> beam.Map(_by_id).with_output_types(_Keyed)
        known = rows | "Take ids" >> beam.ParDo(self._take_ids).with_output_types(_Keyed)
        # Not CoGroupByKey, which pickles each value.
        grouped = (keyed, known) | "Join" >> beam.Flatten() | "Group by id" >> beam.GroupByKey()
        return grouped | "Leave out" >> beam.ParDo(_LeaveOut()).with_output_types(Sentence)


def sentence_of(data: bytes) -> Sentence:
    """The sentence of a row as JSON; "" as its content if that was not stored.

    Raises:
        ValueError: if it is no row.
    """
    row = json.loads(data)
    for column in SENTENCE_COLUMNS:
        kind = _KINDS.get(column.type)
        if kind and type(row.get(column.name)) is not kind:
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
    )


class _Parse(beam.DoFn):
    def __init__(self) -> None:
        self._counters = Counters()

    def process(self, record: Record) -> Iterator[Any]:
        self._counters.count("rows_read")
        try:
            sentence = sentence_of(record.data)
        except (ValueError, TypeError, KeyError) as error:
            self._counters.count("dead_letters_rows")
            for letter in dead_letters(STAGE, error, record.data, source_attributes(record)):
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
    """What orders rows of one id, in the same way in every run."""
    time = sentence.event_time
    return bool(sentence.content), time is not None, time or 0, sorted(sentence.metadata.items())


def _by_id(sentence: Sentence) -> tuple[str, Sentence]:
    return sentence.id, sentence


class _TakeIds(beam.DoFn):
    def __init__(self, model: str, preprocessor: str) -> None:
        self._model = model
        self._preprocessor = preprocessor

    def setup(self) -> None:
        self._wanted = name_and_version(self._model, self._preprocessor)

    def process(self, record: Record) -> Iterator[tuple[str, None]]:
        try:
            row = json.loads(record.data)
            key, *made_by = (row[column.name] for column in KEY_COLUMNS)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"expected rows written earlier, with {', '.join(column.name for column in KEY_COLUMNS)}, "
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
