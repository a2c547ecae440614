"""The sinks of a run: rows, the journal and dead letters, each written to where the settings say."""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam

from pipeline.settings import Settings
from transforms.io.bigquery.write import (
    METHODS,
    WriteDeadLettersToBigQuery,
    WriteJournalToBigQuery,
    WriteRowsToBigQuery,
)
from transforms.io.files.write import WriteFiles
from transforms.io.files.write_stream import WriteBundleFiles
from transforms.io.pubsub.write import WriteDeadLettersToTopic, WriteToTopic
from transforms.kinds import DEAD_LETTERS, JOURNAL, Kind, rows_with
from transforms.schema import bigquery_schema
from transforms.types import JournalEntry, SentenceEmbedding, is_end
from transforms.versions import KeepJournal

NOWHERE: Mapping[str, str] = {}


def write(
    rows: Any,
    dead_letters: Mapping[str, Any],
    settings: Settings,
    is_stream: bool,
    waiting: Mapping[str, str] = NOWHERE,
    entries: Sequence[Any] = (),
) -> None:
    """Write rows to their sink, the journal after them, and the dead letters of each stage, the sinks' too, to theirs.

    `entries` go into the journal too.

    In a stream, each stage has its own sink of dead letters, because a local stream must be one fused stage, and a
    Flatten would break it up.
    """
    into = functools.partial(_write, settings=settings, waiting=None if is_stream else waiting)
    written = into(rows, "rows", settings.output, kind=rows_with(settings.own))
    dead_letters = {**dead_letters, **written.dead_letters}
    if settings.journal:
        kept = written.elements | "Keep journal" >> beam.ParDo(KeepJournal()).with_output_types(JournalEntry)
        if written.jobs:
            kept |= "Wait for rows" >> beam.transforms.util.WaitOn(*written.jobs)
        if entries:
            kept = (kept, *entries) | "Add entries" >> beam.Flatten()
        dead_letters = {**dead_letters, **into(kept, "journal", settings.journal, kind=JOURNAL).dead_letters}
    if not is_stream:
        gathered = tuple(dead_letters.values()) | "Gather dead letters" >> beam.Flatten()
        into(gathered, "dead letters", settings.dead_letters, kind=DEAD_LETTERS)
        return
    for stage, letters in dead_letters.items():
        into(letters, f"dead letters of {stage}", settings.dead_letters, kind=DEAD_LETTERS)


class _Written(NamedTuple):
    """What became of elements.

    Attributes:
        elements: those that were written, and the ends of versions behind them.
        dead_letters: those that the sink rejected, by stage.
        jobs: what must be done before they are written.
    """

    elements: Any
    dead_letters: Mapping[str, Any] = {}
    jobs: Sequence[Any] = ()


def _write(
    pcoll: Any, what: str, target: str, kind: Kind, settings: Settings, waiting: Mapping[str, str] | None
) -> _Written:
    """Write elements of `kind`; `waiting` has the folders where a batch's files wait for its end, None in a stream."""
    name = f"Write {what}"
    if settings.output_format == "pubsub":
        rows = pcoll | f"Make {what} JSON" >> beam.Map(_json_bytes, kind).with_output_types(bytes)
        patience = settings.retry_for_seconds
        if kind is DEAD_LETTERS:
            rows | name >> WriteDeadLettersToTopic(target, spill_dir=settings.spill_dir, retry_for_seconds=patience)
            return _Written(pcoll)
        sent = rows | name >> WriteToTopic(target, retry_for_seconds=patience).with_dead_letters()
        return _Written(pcoll, {"publish": sent.dead_letters})
    if settings.output_format != "bigquery":
        if waiting is None:
            return _Written(pcoll | name >> WriteBundleFiles(target, settings.output_format, kind))
        to_files = WriteFiles(target, settings.output_format, kind, waiting.get(target, ""))
        _without_ends(pcoll, kind) | name >> to_files
        return _Written(pcoll)
    method = settings.bigquery_write_method
    if method not in METHODS:
        return _Written(pcoll, jobs=_load(_without_ends(pcoll, kind), what, target, kind))
    if kind is DEAD_LETTERS:
        pcoll | name >> WriteDeadLettersToBigQuery(
            target, method, settings.retry_for_seconds, spill_dir=settings.spill_dir
        )
        return _Written(pcoll)
    if kind is JOURNAL:
        stage, write = "journal", WriteJournalToBigQuery(target, method, settings.retry_for_seconds)
    else:
        columns = settings.splitting.columns
        stage, write = "write", WriteRowsToBigQuery(target, method, settings.retry_for_seconds, columns=columns)
    written = pcoll | name >> write.with_dead_letters()
    return _Written(written.output, {stage: written.dead_letters})


def _without_ends(pcoll: Any, kind: Kind) -> Any:
    if kind.element is not SentenceEmbedding:
        return pcoll
    return pcoll | "Leave out ends" >> beam.Filter(lambda row: not is_end(row)).with_output_types(kind.element)


def _load(pcoll: Any, what: str, target: str, kind: Kind) -> Sequence[Any]:
    """Write by Beam's load jobs, into the table that the program has already made; the jobs."""
    rows = pcoll | f"Make {what} rows" >> beam.Map(kind.to_json).with_output_types(dict[str, Any])
    result = rows | f"Write {what}" >> beam.io.WriteToBigQuery(
        target,
        method="FILE_LOADS",
        schema=bigquery_schema(kind.columns),
        create_disposition=beam.io.BigQueryDisposition.CREATE_NEVER,
        write_disposition=beam.io.BigQueryDisposition.WRITE_APPEND,
    )
    return result.destination_load_jobid_pairs, result.destination_copy_jobid_pairs


def _json_bytes(element: Any, kind: Kind) -> bytes:
    return json.dumps(kind.to_json(element), ensure_ascii=False).encode()
