"""Inputs: where a run's messages come from, and what is made for the run and removed after it."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pipeline.names import journal_beside
from pipeline.places import check_files, is_pipe, looking_at, row_files
from pipeline.settings import Settings
from transforms.io.bigquery.tables import check_readable, exists
from transforms.io.pubsub.resources import temporary_subscription
from transforms.schema import JOURNAL_COLUMNS


class Inputs(NamedTuple):
    """Where messages come from.

    Attributes:
        patterns: files to read.
        names: what to call a file that is not called by its path.
        rows: the files among them that hold rows.
        subscription: the Pub/Sub subscription that our own source reads.
        native: whether Beam's native source reads Pub/Sub.
        journal: the journal of the rows to read, files or a table; empty if there is none.
        written: what tells which sentences are written, files or a table: the journal of rows, or else the rows.
        reused: rows whose vectors are used again, files or a table.
    """

    patterns: Sequence[str] = ()
    names: Mapping[str, str] = {}
    rows: Sequence[str] = ()
    subscription: str = ""
    native: bool = False
    journal: Sequence[str] = ()
    written: Sequence[str] = ()
    reused: Sequence[str] = ()

    @property
    def is_stream(self) -> bool:
        """Whether the input is an endless stream."""
        return self.native or bool(self.subscription)


@contextlib.contextmanager
def open_inputs(settings: Settings, native: bool) -> Iterator[Inputs]:
    """The inputs of checked settings: files found, standard input spooled, a topic's subscription made.

    The spool and the subscription exist while the block runs. `native` chooses Beam's own read of Pub/Sub.

    Raises:
        ValueError: if files or a topic do not exist.
    """
    with contextlib.ExitStack() as stack:
        if native:
            found = Inputs(native=True)
        elif settings.input_subscription:
            found = Inputs(subscription=settings.input_subscription)
        elif settings.input_topic:
            found = Inputs(subscription=stack.enter_context(temporary_subscription(settings.input_topic)))
        elif settings.input_format == "bigquery":
            found = Inputs(journal=_journal_of_input(settings))
        else:
            place = _files(stack, "input", settings.input)
            found = Inputs([place], {} if place == settings.input else {place: settings.input})
            if settings.input_format == "rows":
                found = _with_journal(found, place, settings.input_journal)
        if settings.already_written:
            found = found._replace(written=written_before(stack, settings))
        if settings.reuse and settings.output_format != "pubsub":
            is_table = settings.output_format == "bigquery"
            reused = [settings.reuse] if is_table else row_files(_files(stack, "reuse", settings.reuse)).rows
            found = found._replace(reused=reused)
        yield found


def _with_journal(inputs: Inputs, place: str, journal: str) -> Inputs:
    """Inputs of the rows in `place`, with their journal: none, the one that is named, or else the one beside them."""
    rows, beside = row_files(place)
    if journal not in ("", "none"):
        check_files("input_journal", journal)
    return inputs._replace(rows=rows, journal={"": beside, "none": ()}.get(journal, [journal]))


def _journal_of_input(settings: Settings) -> Sequence[str]:
    """The journal of the table that is read: none, the one that is named, or else the one beside it if there is one."""
    named = settings.input_journal
    if named == "none":
        return ()
    if not named:
        return _if_there("input", journal_beside(settings.input, "bigquery"))
    with looking_at("input_journal", named):
        check_readable(named, JOURNAL_COLUMNS)
    return [named]


def _if_there(option: str, table: str) -> Sequence[str]:
    with looking_at(option, table):
        return [table] if exists(table) else ()
    # Who may not look at it may still read it.
    return [table]


def written_before(stack: contextlib.ExitStack, settings: Settings) -> Sequence[str]:
    """The journal of the rows that are written already; the rows themselves if this run keeps no journal.

    Raises:
        ValueError: if they have no journal, but this run keeps one.
    """
    rows = settings.already_written
    if settings.output_format == "bigquery":
        place: Sequence[str] = [rows]
        journal = settings.journal if rows == settings.output else journal_beside(rows, "bigquery")
        # A table that is still to be made has no rows that could lack a journal.
        found = _if_there("already_written", journal) or ([] if _if_there("already_written", rows) else [journal])
    else:
        place, found = row_files(_files(stack, "already_written", rows))
    if settings.journal and not found:
        raise ValueError(
            f"expected a journal beside --already_written, which alone tells what is whole, got {rows!r} without one; "
            "write everything once, with --reuse to take vectors from there, or keep no journal with --journal=none"
        )
    return found if settings.journal else place


def _files(stack: contextlib.ExitStack, option: str, place: str) -> str:
    """Where the files of `place`, the value of `option`, can be read more than once."""
    if is_pipe(place):
        return stack.enter_context(_spooled(option, place))
    check_files(option, place)
    return place


@contextlib.contextmanager
def _spooled(option: str, place: str) -> Iterator[str]:
    # Python has no standard input where the shell closed it.
    if place == "-" and sys.stdin is None:
        raise ValueError(f"expected text on standard input for --{option}=-, it is closed; pipe text into it")
    # The suffix tells how the data is compressed.
    suffix = os.path.splitext(place)[1]
    with tempfile.NamedTemporaryFile(prefix="sentence-embeddings-", suffix=suffix) as spool:
        try:
            with contextlib.nullcontext(sys.stdin.buffer) if place == "-" else open(place, "rb") as pipe:
                shutil.copyfileobj(pipe, spool)
            spool.flush()
        except OSError as error:
            raise ValueError(f"expected --{option} to be readable, could not copy {place}: {error.strerror}") from error
        yield spool.name
