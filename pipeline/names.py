"""What the names of places say: where rows, dead letters and the journal are beside each other, and in which files."""

import glob
import os
import re
from typing import NamedTuple

# The folders beside rows that hold what is none.
_DEAD_LETTERS, _JOURNAL = BESIDE_ROWS = ("dead_letters", "journal")

# How a stream and a compaction, and how a batch and a compaction, number the files of a prefix.
_NAME = re.compile(r"(.+?)((?:-\d{8}T\d{6}-[0-9a-f]{12})?(?:-\d{5}-of-\d{5})?)\.([^.]+)", re.DOTALL)


def dead_letters_beside(output: str, output_format: str) -> str:
    """Where dead letters go by default: beside the rows; "" for a topic, which has no place beside it."""
    if output_format == "pubsub":
        return ""
    if output_format == "bigquery":
        return f"{output}_error_records"
    return _beside(output, _DEAD_LETTERS)


def journal_beside(output: str, output_format: str) -> str:
    """Where the journal goes by default: beside the rows."""
    return f"{output}_journal" if output_format == "bigquery" else _beside(output, _JOURNAL)


def _beside(output: str, folder: str) -> str:
    above, _, name = output.rpartition("/")
    return f"{above}/{folder}/{name}" if above else f"{folder}/{name}"


class Place(NamedTuple):
    """What the name of a file says: the prefix that a run writes under, and the format."""

    prefix: str
    format: str
    numbered: bool


def place_of(path: str) -> Place:
    """The place that a file of the pipeline is of; of another file, its name is the prefix."""
    folder, name = os.path.split(path)
    match = _NAME.fullmatch(name)
    prefix, suffix, file_format = match.groups() if match else (name, "", "")
    return Place(os.path.join(folder, prefix), file_format, bool(suffix))


def written_under(prefix: str, file_format: str) -> list[str]:
    """The files that runs wrote under a local prefix, whatever numbers they gave them."""
    found = glob.glob(f"{glob.escape(prefix)}-*.{file_format}")
    return sorted(path for path in found if place_of(path) == (prefix, file_format, True))
