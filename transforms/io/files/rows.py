"""Readers of the rows of typed files, as JSON; a value that Python's types cannot hold becomes text."""

import collections
import functools
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.io.files.pieces import FileRange, Piece, Pieces, Unreadable
from transforms.io.json_rows import as_json, date_text, duration_text, is_utf8, shown, time_text, timestamp_text

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_A_BATCH = 1024
_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def read_parquet(piece: FileRange, columns: Sequence[str] | None = None) -> Pieces:
    """The rows of a Parquet file; of all its columns, or of `columns`.

    Raises:
        ValueError: if two columns, or two fields of a struct, have one name.
    """
    import pyarrow.parquet as pq

    with FileSystems.open(piece.path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        # In nanoseconds, int96 would hold the years 1677 to 2262 only.
        parquet = pq.ParquetFile(file, coerce_int96_timestamp_unit="us")
        _check_fields(parquet.schema_arrow, "")
        batches = parquet.iter_batches(batch_size=_ROWS_A_BATCH, columns=columns)
        yield from _pieces(row for batch in batches for row in _rows(batch))


def read_avro(piece: FileRange) -> Pieces:
    """The rows of an Avro file.

    Raises:
        ValueError: if a block cannot be read, or two fields of a record have one name.
    """
    with FileSystems.open(piece.path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        yield from _pieces(_avro_rows(file))


def _pieces(rows: Iterable[dict[str, Any]]) -> Pieces:
    for number, row in enumerate(rows):
        try:
            yield Piece(number, as_json(row), {})
        except UnicodeEncodeError:
            readable = shown(row)
            columns = [name for name in row if as_json(readable[name]) != _json_or_none(row[name])]
            error = f"expected UTF-8 in the column {columns[0]!r}, got other bytes; write it as UTF-8"
            yield Unreadable(number, as_json(readable), ValueError(error))
