"""The reader of Parquet files; a value that Python's types cannot hold becomes text."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.io.files.pieces import FileRange, Pieces, Unreadable
from transforms.io.files.rows import check_names, pieces_of, shortest
from transforms.io.json_rows import clock_text, date_text, duration_text, timestamp_text

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
        parquet = pq.ParquetFile(file, coerce_int96_timestamp_unit="us")
        _check_fields(parquet.schema_arrow, "")
        first = 0
        for group in range(parquet.num_row_groups):
            batches = parquet.iter_batches(batch_size=_ROWS_A_BATCH, columns=columns, row_groups=[group])
            try:
                yield from pieces_of(itertools.chain.from_iterable(map(_rows, batches)), first)
            # Arrow raises exceptions of many kinds for damaged data.
            except Exception as error:
                what = f"{piece.path}, row group {group}, from row {first}"
                yield Unreadable(first, what.encode("utf-8", "backslashreplace"), error)
            first += parquet.metadata.row_group(group).num_rows


def _check_fields(fields: "Iterable[pa.Field]", path: str) -> None:
    """As `check_names`, for nested fields too."""
    fields = list(fields)
    check_names([field.name for field in fields], path)
    for field in fields:
        kind = field.type
        inner = [kind.field(number) for number in range(kind.num_fields)]
        _check_fields(inner, f"{path}{field.name}.")


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
    ("is_time", lambda scalar: clock_text(scalar.value, _A_SECOND[scalar.type.unit])),
    ("is_duration", lambda scalar: duration_text(scalar.value, _A_SECOND[scalar.type.unit])),
    ("is_float32", lambda scalar: shortest(np.float32(scalar.as_py()))),
    ("is_float16", lambda scalar: shortest(np.float16(scalar.as_py()))),
    ("is_string", _text),
    ("is_large_string", _text),
    ("is_string_view", _text),
)
