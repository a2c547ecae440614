"""Places to read from and write to: what their names stand for."""

import contextlib
import itertools
import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from google.api_core.exceptions import Forbidden, GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from requests import RequestException

from pipeline.names import BESIDE_ROWS, Place, journal_beside, place_of
from transforms.io.files.match import match

# Another process finds something else under such a path, even if it is a file.
_DESCRIPTOR = re.compile(r"/dev/(stdin|fd/\d+)|/proc/(self|\d+)/fd/\d+")


def literal(path: str) -> str:
    """The pattern that only `path` matches."""
    # Beam does not escape a bracket in a set, and Python warns of a set that begins with one.
    return path.translate({ord("["): r"[\[]", ord("*"): "[*]", ord("?"): "[?]"})


def shards(prefix: str, file_format: str) -> str:
    """The pattern of the files that a batch writes under `prefix`."""
    # Beam lists nothing for a pattern that names no folder; split() makes a local path absolute.
    number = "[0-9]" * 5
    return f"{literal(FileSystems.join(*FileSystems.split(prefix)))}-{number}-of-{number}.{file_format}"


def shard(prefix: str, number: int, total: int, file_format: str) -> str:
    """The name of file `number` of `total` that a batch writes under `prefix`."""
    return f"{FileSystems.join(*FileSystems.split(prefix))}-{number:05}-of-{total:05}.{file_format}"


class RowFiles(NamedTuple):
    """What a place of rows stands for: files or patterns to read."""

    rows: Sequence[str]
    journal: Sequence[str]


def row_files(place: str) -> RowFiles:
    """The rows in `place`, a path, folder or pattern, without the journal and dead letters in folders beside them."""
    found = [file.path for file in match(place).files]
    folders = {os.path.dirname(path) for path in found}
    rows = [path for path in found if not _is_beside(path, folders)]
    journal = itertools.chain.from_iterable(
        map(_journal_files, sorted({place_of(path)._replace(numbered=True) for path in rows}))
    )
    return RowFiles([place] if len(rows) == len(found) else rows, list(journal))


def _is_beside(path: str, folders: Collection[str]) -> bool:
    above, folder = os.path.split(os.path.dirname(path))
    return folder in BESIDE_ROWS and above in folders


def _journal_files(rows: Place) -> Sequence[str]:
    """The files, or a pattern of them, of the journal beside the rows of a place."""
    beside = Place(journal_beside(rows.prefix, rows.format), rows.format, True)
    pattern = f"{literal(beside.prefix)}-*.{rows.format}"
    found = [file.path for file in match(pattern).files]
    # The prefix of another run may begin with this one.
    ours = [path for path in found if place_of(path) == beside]
    return [pattern] if found and len(ours) == len(found) else ours


def is_pipe(place: str) -> bool:
    """Whether `place` can be read only once, from its beginning: standard input, a pipe or a device."""
    if place == "-" or _DESCRIPTOR.fullmatch(place):
        return True
    try:
        mode = os.stat(place).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def check_files(option: str, place: str) -> None:
    """Check that at least one file is to be read in `place`, the value of `option`: a path, folder or pattern.

    Raises:
        ValueError: if there are none.
    """
    try:
        found = match(place)
    except (BeamIOError, ValueError, OSError) as error:
        raise ValueError(f"expected --{option} to name files, could not look at {place!r}: {error}") from error
    if found.left_out and not found.files:
        raise ValueError(
            f"expected --{option} to match a file, {place!r} matches only what is left out, such as "
            f"{found.left_out[0].path!r}; name a file whose name begins with . or _ by its whole path"
        )
    if not found.files:
        raise ValueError(f"expected --{option} to match a file, {place!r} matches none; check the path")


def files_of(places: Sequence[str]) -> set[str]:
    """The real paths of the files that are read in `places`."""
    return {os.path.realpath(file.path) for place in places for file in match(place).files}


def paths(patterns: Sequence[str]) -> set[str]:
    """The real paths of the files that Beam's `patterns` match, hidden ones too."""
    return {os.path.realpath(file.path) for found in FileSystems.match(patterns) for file in found.metadata_list}


@contextlib.contextmanager
def looking_at(option: str, table: str) -> Iterator[None]:
    """Turn what BigQuery says about the table that `option` names into an error of one line."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"--{option}: {error}") from error
    except Forbidden:
        # An account that may read or write rows need not be allowed to look at the table.
        return
    except (GoogleAPICallError, GoogleAuthError, RequestException) as error:
        raise ValueError(f"expected --{option} in BigQuery, could not look at {table}: {error}") from error
