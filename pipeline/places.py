"""Places to read from and write to: what their names stand for."""

import os
from collections.abc import Sequence

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems


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


def paths(patterns: Sequence[str]) -> set[str]:
    """The real paths of the files that `patterns` match."""
    return {os.path.realpath(file.path) for match in FileSystems.match(patterns) for file in match.metadata_list}
