"""`python -m pipeline.compact`: the current rows of many files, and their journal, in few files."""

import argparse
import contextlib
import datetime
import os
import pathlib
import shutil
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import console, stopping
from pipeline.arguments import Parser
from pipeline.checks import check_prefix
from pipeline.current import CurrentRows, View
from pipeline.names import journal_beside, place_of
from pipeline.outputs import make_directory, replace, waiting_files
from pipeline.places import shard
from transforms.io.disk import is_local, sync
from transforms.io.files.match import would_read
from transforms.io.files.write import FILE_FORMATS, WRITERS
from transforms.kinds import JOURNAL, ROWS, Kind

# Enough for Parquet's row groups to be read fast.
_ROWS_A_GROUP = 16_384


class Compacted(NamedTuple):
    """What a compaction did.

    Attributes:
        read: how many rows it read.
        rows: how many of them it wrote.
        entries: how many entries the journal has.
        deletions: how many of these are of deletions.
    """

    read: int
    rows: int
    entries: int
    deletions: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns 1 if it failed, 2 if it was refused."""
    arguments = _parser().parse_args(argv)
    console.prepare()
    try:
        rows = CurrentRows(arguments.input, arguments.journal, option="input")
        places = {"output": arguments.output, "journal": _check(arguments, rows)}
        for option, prefix in places.items():
            make_directory(option, pathlib.Path(prefix).parent)
        with waiting_files(places) as folders:
            return _run(arguments, rows, list(places.values()), folders)
    except ValueError as error:
        print(f"python -m pipeline.compact: {error}", file=sys.stderr)
        return 2


def _parser() -> Parser:
    parser = Parser(
        "pipeline.compact",
        "Write the current rows of many files, and their journal, into few files of the same format.",
    )
    parser.add_argument("--input", required=True, metavar="GLOB", help="Files of rows, and beside them their journal.")
    parser.add_argument("--output", required=True, metavar="PREFIX", help="Where to write them, as in a run.")
    parser.add_argument("--journal", default="", metavar="PREFIX", help="The journal of --input, if the run named one.")
    parser.add_argument("--rows_per_file", type=int, default=100_000, help="Most rows of a file. [100000]")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="Remove the files of --input once the others are in place. --output must be their prefix.",
    )
    return parser


def _check(arguments: argparse.Namespace, rows: CurrentRows) -> str:
    """Check that the files can be compacted to where they go; the prefix of their journal there.

    Raises:
        ValueError: if they cannot.
    """
    prefix, paths = arguments.output, rows.matched()
    places = {place_of(os.path.abspath(path)) for path in paths}
    formats = {place.format for place in places}
    if len(formats) != 1 or not formats <= set(FILE_FORMATS):
        raise ValueError(
            f"expected --input of files of one format, {', '.join(FILE_FORMATS)}, got {', '.join(sorted(formats))}"
        )
    if not is_local(prefix):
        raise ValueError(f"expected --output on this machine, got {prefix!r}; copy the files")
    check_prefix("output", prefix)
    if arguments.rows_per_file < 1:
        raise ValueError(f"expected --rows_per_file of at least 1, got {arguments.rows_per_file}")
    (file_format,) = formats
    inputs = {place.prefix for place in places}
    if arguments.replace:
        if inputs != {os.path.abspath(prefix)}:
            raise ValueError(
                f"expected --output to be the prefix of --input with --replace, {' and '.join(sorted(inputs))}, "
                f"got {prefix!r}"
            )
        return arguments.journal or journal_beside(prefix, file_format)
    if os.path.abspath(prefix) in inputs or would_read(arguments.input, shard(prefix, 0, 1, file_format)):
        raise ValueError(
            f"expected --output apart from --input, got {prefix!r}, which it matches; choose another place, or let "
            "--replace remove the files of --input"
        )
    return journal_beside(prefix, file_format)


def _run(arguments: argparse.Namespace, rows: CurrentRows, prefixes: Sequence[str], folders: Mapping[str, str]) -> int:
    waiting = [pathlib.Path(folders[prefix]) for prefix in prefixes]
    file_format = place_of(rows.matched()[0]).format

    def write(view: View) -> tuple[View, Compacted]:
        if len(view.rows) > 1:
            raise ValueError(
                "expected --input of files that all have a journal, or none, got both; compact them one by one"
            )
        return view, _write(view, waiting, file_format, arguments.rows_per_file, unfinished=arguments.replace)

    try:
        view, done = rows.read(write)
        suffix = _unique() if arguments.replace else ""
        files = [sorted(map(str, folder.iterdir())) for folder in waiting]
        for path in [path for found in files for path in found]:
            sync(path)
        with stopping.handled_by(signal.SIG_IGN):
            # Rows are in place before their entries, and removed after them: an entry that is read has all its rows.
            for prefix, found in zip(prefixes, files, strict=True):
                replace(f"{prefix}{suffix}", file_format, found)
                sync(os.path.dirname(os.path.abspath(prefix)))
            removed = rows.remove() if arguments.replace else 0
    except (UnwritableError, OSError) as error:
        print(f"python -m pipeline.compact: could not write {' and '.join(prefixes)}: {error}", file=sys.stderr)
        return 1
    print(f"rows          {done.rows:,} of {done.read:,}, in {len(files[0]):,} files instead of {len(view.paths):,}")
    print(f"journal       {done.entries:,} newest versions, {done.deletions:,} of them deletions")
    if removed:
        print(f"removed       {removed:,} files of {arguments.input}, and of their journal")
    return 0


def _unique() -> str:
    """What no other file of a prefix has in its name, in the form that a stream gives its files."""
    return f"-{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}"


class UnwritableError(Exception):
    """A file could not be written, whatever the state of those that are read."""


def _write(
    view: View, waiting: Sequence[pathlib.Path], file_format: str, rows_per_file: int, unfinished: bool
) -> Compacted:
    """Write the rows and the journal into the two folders `waiting`, which are made, or emptied first.

    The journal keeps deletions: without its entry, a deleted message would come back with an older version that
    arrives late.
    """
    for folder in waiting:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    read: list[int] = []
    kind = ROWS._replace(columns=view.columns)
    rows = _save(view.batches(read.append, unfinished), waiting[0], file_format, kind, rows_per_file)
    entries = view.entries()
    _save(iter([entries]), waiting[1], file_format, JOURNAL, len(entries) or 1)
    return Compacted(sum(read), rows, len(entries), pc.sum(entries["deleted"]).as_py() or 0)


def _save(tables: Iterator[pa.Table], folder: pathlib.Path, file_format: str, kind: Kind, rows_per_file: int) -> int:
    """Write tables into files of at most `rows_per_file` rows; how many rows there are."""
    total, left = 0, 0
    writer: Any = None
    for table in _groups(tables, min(_ROWS_A_GROUP, rows_per_file)):
        with _written():
            if left < len(table):
                if writer:
                    writer.close()
                path, left = folder / f"{total:012}.{file_format}", rows_per_file
                writer = WRITERS[file_format](path.open("wb"), _AsRead(*kind))
            writer.write(table if file_format == "parquet" else table.to_pylist())
        total, left = total + len(table), left - len(table)
    with _written():
        if writer:
            writer.close()
    return total


@contextlib.contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnwritableError(error) from error


class _AsRead(Kind):
    """A kind whose rows are tables, or what Arrow makes of them, already."""

    def to_arrow(self, elements: Any, vector: Any = None) -> Any:
        return elements

    def to_dict(self, element: Any) -> Any:
        return element


def _groups(tables: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    """The rows of tables in tables of `size` rows, the last one of fewer."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        while sum(map(len, held)) >= size:
            whole = pa.concat_tables(held)
            yield whole[:size]
            held = [whole[size:]]
    if any(map(len, held)):
        yield pa.concat_tables(held)


if __name__ == "__main__":
    stopping.leave("python -m pipeline.compact", main)
