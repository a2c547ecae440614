"""Outputs: tables and directories that are made before a run, and files that are put into place after it."""

import contextlib
import fcntl
import logging
import os
import pathlib
import re
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from pipeline import stopping
from pipeline.names import journal_beside
from pipeline.places import literal, looking_at, shard, shards
from pipeline.settings import Settings
from transforms.io.bigquery.tables import WRITE, check_right, create_table
from transforms.io.disk import is_local
from transforms.kinds import DEAD_LETTERS, JOURNAL, rows_with

_log = logging.getLogger(__name__)


def make_outputs(settings: Settings, here: bool = True) -> None:
    """Make the tables or the directories of rows and dead letters that do not exist yet.

    `here`: whether the workers are in this process, or at least on this machine.

    Raises:
        ValueError: if one cannot be made or written to, or an existing table has other columns.
    """
    if settings.spill_dir and is_local(settings.spill_dir):
        make_directory("spill_dir", pathlib.Path(settings.spill_dir))
    if settings.output_format == "bigquery":
        kinds = {"output": rows_with(settings.own), "dead_letters": DEAD_LETTERS, "journal": JOURNAL}
        for option, name in settings.places.items():
            with looking_at(option, name):
                create_table(name, kinds[option].columns, kinds[option].layout)
            if here:
                with looking_at(option, name):
                    check_right(name, WRITE)
    elif settings.output_format != "pubsub":
        for option, prefix in settings.places.items():
            if is_local(prefix):
                make_directory(option, pathlib.Path(prefix).parent)


def make_directory(option: str, folder: pathlib.Path) -> None:
    """Make the folder of the prefix that is the value of `option`, if it does not exist.

    Raises:
        ValueError: if it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"expected --{option} in a directory that can be written, {folder}: {error.strerror}"
        ) from error


@contextlib.contextmanager
def waiting_files(places: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """For each prefix in `places`, by the option that says so, a hidden folder beside it, where its files wait.

    While the block runs, no other run can write there, if the prefix is local. The folders, and what they hold, are
    removed at its end; those that a killed run left are removed at its beginning.

    Raises:
        ValueError: if another run is writing there.
    """
    folders = {}
    with contextlib.ExitStack() as stack:
        for option, prefix in places.items():
            folder, name = FileSystems.split(prefix)
            if is_local(prefix) and stack.enter_context(_locked(option, prefix, pathlib.Path(folder, f".{name}.lock"))):
                _remove_left_behind(folder, name)
            folders[prefix] = FileSystems.join(folder, f".{name}-{uuid.uuid4().hex}")
        try:
            yield folders
        finally:
            with stopping.handled_by(signal.SIG_IGN):
                for folder in folders.values():
                    _remove(folder)


@contextlib.contextmanager
def _locked(option: str, prefix: str, path: pathlib.Path) -> Iterator[bool]:
    """Hold a lock on the file `path`, which a killed process does not leave locked; False if none can be had there."""
    while True:
        try:
            lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        except OSError as error:
            raise ValueError(
                f"expected --{option} in a directory that can be written, {path}: {error.strerror}"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise ValueError(
                f"expected --{option} apart from that of a run at work, got {prefix}, where another one is writing; "
                "wait for its end, or choose another place"
            ) from error
        except OSError:
            # Some network file systems have no locks.
            os.close(lock)
            yield False
            return
        # The run that held the lock removed the file at its end, maybe after it was opened here.
        if _is_at(path, lock):
            break
        os.close(lock)
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


def _is_at(path: pathlib.Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _remove_left_behind(folder: str, name: str) -> None:
    """Remove what killed runs left of the prefix folder/name, Beam's own temporary folders included."""
    theirs = re.compile(rf"(\.|beam-temp-){re.escape(name)}-[0-9a-f]{{32}}")
    for found in os.scandir(folder):
        if theirs.fullmatch(found.name):
            _remove(found.path)


def _remove(folder: str) -> None:
    """Remove a folder, which need not be there, and what it holds."""
    if is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        _delete(_files(f"{literal(folder)}/**"))
    except BeamIOError as error:
        _log.warning("could not remove %s: %s", folder, error)


def put_in_place(
    settings: Settings, folders: Mapping[str, str], rows: bool = True, deletions: bool = False
) -> dict[str, int]:
    """Rename the files that wait in `folders`; the number of an earlier run's files that they replaced, by prefix.

    An earlier run's dead letters are replaced by none if this run has only rows. If it has neither rows nor
    `deletions`, or if `rows` is false and its rows are to be left out, nothing is replaced but dead letters by dead
    letters.

    Raises:
        BeamIOError: if one cannot be renamed.
    """
    waiting = {prefix: sorted(_files(f"{literal(folder)}/*")) for prefix, folder in folders.items()}
    if not settings.journal:
        # The journal of rows that are replaced would hide those that have none.
        waiting.setdefault(journal_beside(settings.output, settings.output_format), [])
    has_rows = rows and (deletions or bool(waiting[settings.output]))
    if not has_rows:
        waiting |= {prefix: [] for prefix in waiting if prefix != settings.dead_letters}
    # What signals would interrupt here is no run any more, but its files would be of two runs.
    with stopping.handled_by(signal.SIG_IGN):
        return {
            prefix: replace(prefix, settings.output_format, files)
            # Rows last: rows that replace others tell that all is in place.
            for prefix, files in reversed(waiting.items())
            if files or has_rows
        }


def replace(prefix: str, file_format: str, files: Sequence[str]) -> int:
    """Rename `files` to those of a batch of `prefix`, in place of an earlier one's; the number of these.

    Raises:
        BeamIOError: if one cannot be renamed.
    """
    before = _files(shards(prefix, file_format))
    after = [shard(prefix, number, len(files), file_format) for number in range(len(files))]
    FileSystems.rename(files, after)
    _delete(set(before) - set(after))
    return len(before)


def _delete(files: Iterable[str]) -> None:
    # Beam takes paths to delete as patterns.
    if patterns := [literal(file) for file in files]:
        FileSystems.delete(patterns)


def _files(pattern: str) -> list[str]:
    return [file.path for match in FileSystems.match([pattern]) for file in match.metadata_list]
