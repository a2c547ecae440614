"""Places to read from and write to: what their names stand for."""

import os
import re
from collections.abc import Sequence

from apache_beam.io.filesystem import BeamIOError, FileSystem
from apache_beam.io.filesystems import FileSystems

# Hidden names, and the temporary folders of Beam's own sink.
_LEFT_BEHIND = re.compile(r"(?:^|(?<=/))(?:\.|beam-temp-)")


def dead_letters_beside(output: str, output_format: str) -> str:
    """Where dead letters go by default: beside the rows; "" for a topic, which has no place beside it."""
    if output_format == "pubsub":
        return ""
    if output_format == "bigquery":
        return f"{output}_error_records"
    folder, _, name = output.rpartition("/")
    return f"{folder}/dead_letters/{name}" if folder else f"dead_letters/{name}"


def is_local(place: str) -> bool:
    """Whether `place` is on this machine's file system."""
    return "://" not in place


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


def would_match(pattern: str, path: str) -> bool:
    """Whether `pattern`, of files to read, matches `path`, of a file that need not exist yet."""
    if not is_local(pattern) or not is_local(path):
        return bool(re.match(FileSystem.translate_pattern(pattern), path))
    if os.path.exists(pattern):
        return os.path.realpath(pattern) == os.path.realpath(path)
    folder = _fixed_folder(pattern)
    absolute = os.path.join(literal(os.path.realpath(folder or ".")), pattern[len(folder) :].lstrip("/"))
    return bool(re.match(FileSystem.translate_pattern(absolute), os.path.realpath(path)))


def _fixed_folder(pattern: str) -> str:
    """What comes before the first wildcard of `pattern`, up to a slash."""
    before = re.split(r"[*?[]", pattern, maxsplit=1)[0]
    return before[: before.rfind("/") + 1]


def pattern_of(place: str) -> str:
    """The pattern of the files that `place`, a path, glob or directory, stands for."""
    return place.rstrip("/") + "/**" if os.path.isdir(place) or place.endswith("/") else place


def find_files(option: str, place: str) -> str:
    """The pattern of the files that `place`, the value of `option`, stands for; at least one file matches it.

    Raises:
        ValueError: if there are none.
    """
    pattern = pattern_of(place)
    try:
        found = FileSystems.match([pattern], [1])[0].metadata_list
    except (BeamIOError, ValueError, OSError) as error:
        raise ValueError(f"expected --{option} to name files, could not look at {place!r}: {error}") from error
    if not found:
        raise ValueError(f"expected --{option} to match a file, {place!r} matches none; check the path")
    return pattern


def find_rows(option: str, place: str) -> list[str]:
    """A pattern for each of the files that `place`, the value of `option`, stands for, but for what killed runs left.

    Raises:
        ValueError: if there are none.
    """
    pattern = find_files(option, place)
    known = len(_fixed_folder(pattern))
    found = [file.path for file in FileSystems.match([pattern])[0].metadata_list]
    rows = [path for path in found if not _LEFT_BEHIND.search(path, known)]
    if not rows:
        raise ValueError(f"expected --{option} to match a file of rows, {place!r} matches none; check the path")
    return [literal(path) for path in rows]


def paths(patterns: Sequence[str]) -> set[str]:
    """The real paths of the files that `patterns` match."""
    return {os.path.realpath(file.path) for match in FileSystems.match(patterns) for file in match.metadata_list}
