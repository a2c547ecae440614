"""Readers of the rows of typed files, as JSON; a value that Python's types cannot hold becomes text."""

import collections
import decimal
import functools
import itertools
import struct
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.io.files.pieces import FileRange, Piece, Pieces, Unreadable
from transforms.io.json_rows import as_json, date_text, duration_text, shown, time_text, timestamp_text

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_A_BATCH = 1024
_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def read_parquet(piece: FileRange, columns: Sequence[str] | None = None) -> Pieces:
    """The rows of a Parquet file; of all its columns, or of `columns`.

    A row group that cannot be read does not affect the others.

    Raises:
        ValueError: if two columns, or two fields of a struct, have one name.
    """
    import pyarrow.parquet as pq

    with FileSystems.open(piece.path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        # In nanoseconds, int96 would hold the years 1677 to 2262 only.
        parquet = pq.ParquetFile(file, coerce_int96_timestamp_unit="us", page_checksum_verification=True)
        _check_fields(parquet.schema_arrow, "")
        first = 0
        for group in range(parquet.num_row_groups):
            batches = parquet.iter_batches(batch_size=_ROWS_A_BATCH, columns=columns, row_groups=[group])
            try:
                yield from _pieces(itertools.chain.from_iterable(map(_rows, batches)), first)
            # Arrow raises exceptions of many kinds for damaged data.
            except Exception as error:
                what = f"{piece.path}, row group {group}, from row {first}"
                yield Unreadable(first, what.encode("utf-8", "backslashreplace"), error)
            first += parquet.metadata.row_group(group).num_rows


def read_avro(piece: FileRange) -> Pieces:
    """The rows of an Avro file.

    Raises:
        ValueError: if a block cannot be read, or two fields of a record have one name.
    """
    with FileSystems.open(piece.path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        yield from _pieces(_avro_rows(file))


def _pieces(rows: Iterable[dict[str, Any]], first: int = 0) -> Pieces:
    for number, row in enumerate(rows, first):
        try:
            yield Piece(number, as_json(row), {})
        except UnicodeEncodeError:
            column = next(name for name, value in row.items() if shown(value) != value or shown({name: 0}) != {name: 0})
            error = ValueError(f"expected UTF-8 in the column {column!r}, got other bytes; write it as UTF-8")
            yield Unreadable(number, as_json(shown(row)), error)


def _check_fields(fields: "Iterable[pa.Field]", path: str) -> None:
    """Checks that no two columns, or fields of a struct, have one name: the last would hide the others."""
    fields = list(fields)
    _check_names([field.name for field in fields], path)
    for field in fields:
        kind = field.type
        inner = [kind.field(number) for number in range(kind.num_fields)]
        _check_fields(inner, f"{path}{field.name}.")


def _check_names(names: Sequence[str], path: str) -> None:
    for name, count in collections.Counter(names).items():
        if count > 1:
            raise ValueError(f"expected each column once, got {path + name!r} {count} times; rename it")


# Parquet


def _rows(batch: "pa.RecordBatch") -> list[dict[str, Any]]:
    """The rows of a batch; bytes that are not UTF-8 are strings decoded with "surrogateescape"."""
    if not batch.num_columns:
        return [{} for _ in range(batch.num_rows)]
    names = batch.schema.names
    columns = map(_values, batch.columns)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(column: "pa.Array") -> list[Any]:
    """The values of a column, converted at once, or else one by one if a value is not what Python's types can hold."""
    try:
        return _converter(column.type)(column)
    # Arrow, Python and the databases of time zones raise exceptions of many kinds.
    except Exception:
        return [_value(scalar) for scalar in column]


@functools.lru_cache(maxsize=1024)
def _converter(kind: "pa.DataType") -> "Callable[[pa.Array], list[Any]]":
    """How to convert a column of a type at once; it may raise for values that need to be converted one by one."""
    import pyarrow as pa

    leaves = set(_leaves(kind))
    if kind in leaves and pa.types.is_timestamp(kind) and kind.unit == "ns":
        return _nanosecond_values
    if any(pa.types.is_float16(leaf) or getattr(leaf, "unit", "") == "ns" for leaf in leaves):
        return lambda column: [_value(scalar) for scalar in column]
    # A cast to text checks that bytes are UTF-8, and writes a float32 as its shortest literal.
    text = _mapped(kind, lambda leaf: pa.large_string() if _is_bytes(leaf) or leaf == pa.float32() else leaf)
    if text == kind:
        return lambda column: column.to_pylist()
    plain = _mapped(kind, lambda leaf: pa.large_string() if _is_bytes(leaf) else _float64(leaf))
    return lambda column: column.cast(text).cast(plain).to_pylist()


def _is_bytes(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    checks = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return any(check(kind) for check in checks)


def _float64(kind: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa

    return pa.float64() if kind == pa.float32() else kind


def _leaves(kind: "pa.DataType") -> "Iterator[pa.DataType]":
    """The types of the values in nested values of a type."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        yield from _leaves(kind.value_type)
    elif kind.num_fields:
        for number in range(kind.num_fields):
            yield from _leaves(kind.field(number).type)
    else:
        yield kind


def _mapped(kind: "pa.DataType", change: "Callable[[pa.DataType], pa.DataType]") -> "pa.DataType":
    """A nested type with the types of its values changed."""
    import pyarrow as pa

    def inner(field: "pa.Field") -> "pa.Field":
        return field.with_type(_mapped(field.type, change))

    if pa.types.is_dictionary(kind):
        changed = _mapped(kind.value_type, change)
        return kind if changed == kind.value_type else changed
    if pa.types.is_struct(kind):
        return pa.struct([inner(kind.field(number)) for number in range(kind.num_fields)])
    if pa.types.is_map(kind):
        return pa.map_(inner(kind.key_field), inner(kind.item_field))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(inner(kind.value_field), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(inner(kind.value_field))
    return pa.list_(inner(kind.value_field)) if pa.types.is_list(kind) else change(kind)


def _nanosecond_values(column: "pa.Array") -> list[str | None]:
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pc.floor_temporal(column, unit="microsecond").cast(pa.timestamp("us", column.type.tz)).to_pylist()
    pairs = zip(whole, column.cast(pa.int64()).to_pylist(), strict=True)
    return [None if time is None else _with_nanoseconds(time, ticks % 1000) for time, ticks in pairs]


def _with_nanoseconds(time: Any, nanos: int) -> str:
    """A datetime as ISO 8601, with nine digits if nanoseconds need them."""
    if not nanos:
        return str(time.isoformat())
    text = time.isoformat(timespec="microseconds")
    # Behind the digits stands the offset of its time zone.
    end = text.index(".") + 7
    return f"{text[:end]}{nanos:03}{text[end:]}"


def _value(scalar: "pa.Scalar") -> Any:
    """A value as Python's types hold it, or as text where they cannot."""
    import pyarrow as pa

    kind = scalar.type
    if not scalar.is_valid:
        return None
    if isinstance(scalar, pa.DictionaryScalar):
        return _value(scalar.value)
    if isinstance(scalar, pa.StructScalar):
        return {kind.field(number).name: _value(scalar[number]) for number in range(kind.num_fields)}
    if isinstance(scalar, pa.MapScalar):
        return [(_value(pair[0]), _value(pair[1])) for pair in scalar.values]
    if isinstance(scalar, pa.ListScalar):
        return [_value(each) for each in scalar.values]
    for is_kind, convert in _CONVERSIONS:
        if getattr(pa.types, is_kind)(kind):
            return convert(scalar)
    return scalar.as_py()


def _timestamp(scalar: "pa.Scalar") -> str:
    import pyarrow as pa

    kind = scalar.type
    micros, nanos = divmod(scalar.value, 1000) if kind.unit == "ns" else (scalar.value, 0)
    try:
        unit = "us" if kind.unit == "ns" else kind.unit
        return _with_nanoseconds(pa.scalar(micros, pa.timestamp(unit, kind.tz)).as_py(), nanos)
    # Python knows neither years beyond 1 to 9999 nor every time zone.
    except Exception:
        return timestamp_text(scalar.value, _A_SECOND[kind.unit], bool(kind.tz))


def _text(scalar: "pa.Scalar") -> str:
    data: bytes = scalar.as_buffer().to_pybytes()
    return data.decode("utf-8", "surrogateescape")


# How single values of the types are converted that Python, or its conversion by Arrow, does not hold in full.
_CONVERSIONS: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("is_timestamp", _timestamp),
    ("is_date32", lambda scalar: date_text(scalar.value)),
    ("is_date64", lambda scalar: date_text(scalar.value // 86_400_000)),
    ("is_time", lambda scalar: time_text(scalar.value, _A_SECOND[scalar.type.unit])),
    ("is_duration", lambda scalar: duration_text(scalar.value, _A_SECOND[scalar.type.unit])),
    ("is_float32", lambda scalar: _shortest(np.float32(scalar.as_py()))),
    ("is_float16", lambda scalar: _shortest(np.float16(scalar.as_py()))),
    ("is_string", _text),
    ("is_large_string", _text),
    ("is_string_view", _text),
)


def _shortest(number: "np.floating[Any]") -> float:
    """The float64 whose literal is the shortest one of a float of less precision."""
    return float(str(number))


# Avro

# What an Avro block ends with: in Snappy, the checksum of its data, and always the marker of its file.
_CRC_BYTES, _SYNC_BYTES = 4, 16
# The prefix of logical types that are read as text here, so that those of fastavro stay as they are.
_TEXT = "text-of-"


def _avro_rows(file: Any) -> Iterator[dict[str, Any]]:
    """The rows of an Avro file; bytes that are not UTF-8 are bytes, or strings decoded with "surrogateescape"."""
    import fastavro

    _register_readers()
    blocks = fastavro.block_reader(file)
    schema = fastavro.parse_schema(_as_text(blocks.writer_schema))
    number = 0
    try:
        for block in blocks:
            _check_sum(file, block)
            for _ in range(block.num_records):
                row: Any = fastavro.schemaless_reader(
                    block.bytes_, schema, None, handle_unicode_errors="surrogateescape"
                )
                yield row
                number += 1
            if block.bytes_.read(1):
                raise ValueError("expected the end of the block behind its last row")
    except Exception as error:
        raise ValueError(f"expected Avro to the end of the file, could not read row {number}: {error!r}") from error


def _check_sum(file: Any, block: Any) -> None:
    """Checks the checksum of a block that has one, as those in Snappy do; fastavro skips it."""
    if block.codec != "snappy":
        return
    end = file.tell()
    file.seek(block.offset + block.size - _SYNC_BYTES - _CRC_BYTES)
    expected = int.from_bytes(file.read(_CRC_BYTES), "big")
    file.seek(end)
    if zlib.crc32(block.bytes_.getbuffer()) != expected:
        raise ValueError("expected a block of its checksum, got another one")


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
        _check_names([field["name"] for field in schema["fields"]], "")
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
    "float-float": lambda data, *_: _shortest(np.float32(data)),
    "int-date": lambda data, *_: date_text(data),
    "int-time-millis": lambda data, *_: time_text(data, 10**3),
    "long-time-micros": lambda data, *_: time_text(data, 10**6),
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
