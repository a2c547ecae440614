"""Separated values: the formats whose records are fields with a delimiter between them."""

import csv
import sys
from typing import NamedTuple


class Separated(NamedTuple):
    """How the fields of a record are written.

    Attributes:
        delimiter: what stands between two fields.
        is_quoted: whether double quotes enclose fields, rather than being text.
    """

    delimiter: str
    is_quoted: bool


# Each format by its name, as it is unless an option says otherwise: RFC 4180, and TSV as registered with IANA.
SEPARATED = {"csv": Separated(",", True), "tsv": Separated("\t", False)}


def quoted_records(text: str, delimiter: str) -> list[list[str]]:
    """The fields of each record in `text`, in which quotes may enclose delimiters, quotes and line ends.

    Raises:
        csv.Error: if the quotes of a field do not enclose all of it, or are not closed.
    """
    allow_large_fields()
    return list(csv.reader([text], delimiter=delimiter, strict=True))


def allow_large_fields() -> None:
    """Lifts the csv module's process-wide limit, which is far below the size of the largest message."""
    csv.field_size_limit(sys.maxsize)
