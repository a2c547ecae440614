"""The reader of Avro files; a value that Python's types cannot hold becomes text."""

import decimal
import functools
import struct
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.io.files.pieces import FileRange, Pieces
from transforms.io.files.rows import check_names, pieces_of, shortest
from transforms.io.json_rows import clock_text, date_text, timestamp_text

# The prefix of logical types that are read as text here, so that those of fastavro stay as they are.
_TEXT = "text-of-"


def read_avro(piece: FileRange) -> Pieces:
    """The rows of an Avro file.

    Raises:
        ValueError: if a block cannot be read, or two fields of a record have one name.
    """
    with FileSystems.open(piece.path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        yield from pieces_of(_avro_rows(file))


def _avro_rows(file: Any) -> Iterator[dict[str, Any]]:
    """The rows of an Avro file; bytes that are not UTF-8 are bytes, or strings decoded with "surrogateescape"."""
    import fastavro

    _register_readers()
    blocks = fastavro.block_reader(file)
    schema = fastavro.parse_schema(_as_text(blocks.writer_schema))
    number = 0
    try:
        for block in blocks:
            for _ in range(block.num_records):
                row: Any = fastavro.schemaless_reader(
                    block.bytes_, schema, None, handle_unicode_errors="surrogateescape"
                )
                yield row
                number += 1
    except Exception as error:
        raise ValueError(f"expected Avro to the end of the file, could not read row {number}: {error!r}") from error


def _as_text(schema: Any) -> Any:
    """A schema of the same data whose logical types and float32 are read by `_register_readers`' functions."""
    if isinstance(schema, list):
        return [_as_text(branch) for branch in schema]
    if schema == "float":
        return _as_text({"type": "float"})
    if not isinstance(schema, dict):
        return schema
    changed = {key: value for key, value in schema.items() if not key.startswith("__")}
    if "fields" in schema:
        check_names([field["name"] for field in schema["fields"]], "")
        changed["fields"] = [field | {"type": _as_text(field["type"])} for field in schema["fields"]]
        return changed
    for key in ("items", "values"):
        if key in schema:
            changed[key] = _as_text(schema[key])
    if isinstance(schema["type"], list | dict):
        changed["type"] = _as_text(schema["type"])
    logical = "float" if schema["type"] == "float" else schema.get("logicalType")
    return changed | ({"logicalType": _TEXT + logical} if logical else {})


@functools.cache
def _register_readers() -> None:
    from fastavro.read import LOGICAL_READERS

    for name, read in _AVRO_READERS.items():
        kind, _, logical = name.partition("-")
        LOGICAL_READERS[f"{kind}-{_TEXT}{logical}"] = read


def _avro_decimal(data: bytes, schema: Any, _: Any) -> str:
    digits = int.from_bytes(data, "big", signed=True)
    return f"{decimal.Decimal((digits < 0, tuple(map(int, str(abs(digits)))), -schema.get('scale', 0))):f}"


def _avro_duration(data: bytes, *_: Any) -> str:
    """Months, days and milliseconds, as ISO 8601."""
    months, days, millis = struct.unpack("<3I", data)
    return f"P{months}M{days}DT{millis // 1000}.{millis % 1000:03}S"


def _avro_timestamps(a_second: int, utc: bool) -> Callable[..., str]:
    return lambda data, *_: timestamp_text(data, a_second, utc)


_AVRO_READERS: dict[str, Callable[..., Any]] = {
    "float-float": lambda data, *_: shortest(np.float32(data)),
    "int-date": lambda data, *_: date_text(data),
    "int-time-millis": lambda data, *_: clock_text(data, 10**3),
    "long-time-micros": lambda data, *_: clock_text(data, 10**6),
    **{
        f"long-{prefix}timestamp-{unit}": _avro_timestamps(a_second, not prefix)
        for prefix in ("", "local-")
        for unit, a_second in (("millis", 10**3), ("micros", 10**6), ("nanos", 10**9))
    },
    "bytes-decimal": _avro_decimal,
    "fixed-decimal": _avro_decimal,
    "fixed-uuid": lambda data, *_: str(uuid.UUID(bytes=data)),
    "fixed-duration": _avro_duration,
}
