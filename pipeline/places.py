"""Places to read from and write to: what their names stand for."""

import os
import re
import stat
from collections.abc import Sequence

from apache_beam.io.filesystem import BeamIOError

from transforms.io.files.match import match

# Another process finds something else under such a path, even if it is a file.
_DESCRIPTOR = re.compile(r"/dev/(stdin|fd/\d+)|/proc/(self|\d+)/fd/\d+")


def dead_letters_beside(output: str, output_format: str) -> str:
    """Where dead letters go by default: beside the rows; "" for a topic, which has no place beside it."""
    if output_format == "pubsub":
        return ""
    if output_format == "bigquery":
        return f"{output}_error_records"
    folder, _, name = output.rpartition("/")
    return f"{folder}/dead_letters/{name}" if folder else f"dead_letters/{name}"


def shards(prefix: str, file_format: str) -> str:
    """The pattern of the files that a batch writes under `prefix`."""
    return f"{prefix}-?????-of-?????.{file_format}"


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


def paths(places: Sequence[str], with_hidden: bool = False) -> set[str]:
    """The real paths of the files that `places` stand for, as they are read, or with all that is left out then."""
    found = [match(place) for place in places]
    return {
        os.path.realpath(file.path) for each in found for file in (*each.files, *(each.left_out if with_hidden else ()))
    }
