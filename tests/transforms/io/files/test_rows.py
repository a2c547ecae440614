"""Rows of Parquet and Avro as JSON: literal values, whatever Python's types hold, and one bad value costs one row."""

import datetime
import decimal
import functools
import io
import json
import math
import pathlib
import subprocess
import sys
import uuid
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from transforms.io.files.avro import read_avro
from transforms.io.files.parquet import _value, _values, read_parquet
from transforms.io.files.pieces import FileRange, Piece, Unreadable
from transforms.io.json_rows import as_json, date_text, timestamp_text


def parquet(path: pathlib.Path, table: pa.Table, **options: Any) -> list[Piece | Unreadable]:
    """What is read of a table that was written to `path`."""
    pq.write_table(table, path, **options)
    return list(read_parquet(FileRange(str(path), 0, 0)))


def avro(path: pathlib.Path, kinds: dict[str, Any], rows: list[dict[str, Any]], **options: Any) -> list[Any]:
    """What is read of rows that were written to `path`."""
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    buffer = io.BytesIO()
    fastavro.writer(buffer, {"type": "record", "name": "Row", "fields": fields}, rows, **options)
    path.write_bytes(buffer.getvalue())
    return list(read_avro(FileRange(str(path), 0, 0)))


def ticks(values: list[int], kind: pa.DataType) -> pa.Array:
    """Times by their number of ticks, of which Python's types may know nothing."""
    width = pa.int32() if kind.bit_width == 32 else pa.int64()
    return pa.array(values, width).cast(kind)


def bytes_as_strings(values: list[bytes], kind: pa.DataType) -> pa.Array:
    """A column of strings that nobody has checked."""
    made = pa.array(values, pa.binary())
    return pa.Array.from_buffers(kind, len(values), made.buffers())


MILLION = 10**6
COLUMNS: dict[str, tuple[pa.Array, list[Any]]] = {
    "a date": (
        ticks([0, 2932896, 2932897, -719162, -719163, -735000, 10**7], pa.date32()),
        ["1970-01-01", "9999-12-31", "+10000-01-01", "0001-01-01", "0000-12-31", "-0043-08-22", "+29349-01-26"],
    ),
    "microseconds": (
        ticks([0, 1_500_000, 253402300800 * MILLION, -62135596800 * MILLION - 1, -(10**18)], pa.timestamp("us")),
        [
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:01.500000",
            "+10000-01-01T00:00:00",
            "0000-12-31T23:59:59.999999",
            "-29719-04-05T22:13:20",
        ],
    ),
    "a zone": (
        ticks([0, 253402300799 * MILLION, 253402300800 * MILLION], pa.timestamp("us", "Asia/Tokyo")),
        ["1970-01-01T09:00:00+09:00", "9999-12-31T23:59:59+00:00", "+10000-01-01T00:00:00+00:00"],
    ),
    "an unknown zone": (ticks([0], pa.timestamp("ms", "Mars/Base")), ["1970-01-01T00:00:00+00:00"]),
    "nanoseconds": (
        ticks([1704164645123456789, 1704164645000000000, 1704164645000001000, -1], pa.timestamp("ns")),
        [
            "2024-01-02T03:04:05.123456789",
            "2024-01-02T03:04:05",
            "2024-01-02T03:04:05.000001",
            "1969-12-31T23:59:59.999999999",
        ],
    ),
    "nanoseconds in a zone": (
        ticks([1704164645123456789], pa.timestamp("ns", "America/New_York")),
        ["2024-01-01T22:04:05.123456789-05:00"],
    ),
    "a time of day": (ticks([1, 3_600_000_000_000], pa.time64("ns")), ["00:00:00.000000001", "01:00:00"]),
    "a duration": (
        ticks([1, 93_784_000_000_000, -1_000_000_000, 10**18], pa.duration("ns")),
        ["0:00:00.000000001", "1 day, 2:03:04", "-1 day, 23:59:59", "11574 days, 1:46:40"],
    ),
    "a long duration": (ticks([10**17], pa.duration("s")), ["1157407407407 days, 9:46:40"]),
    "a decimal": (
        pa.array([decimal.Decimal("1.10"), decimal.Decimal("0E-2")], pa.decimal128(30, 2)),
        ["1.10", "0.00"],
    ),
    "float32": (pa.array([1.1, 1e10, 16777216], pa.float32()), [1.1, 1e10, 16777216.0]),
    "float16": (pa.array([np.float16(1.1), None], pa.float16()), [1.1, None]),
    "binary": (pa.array([b"Caf\xc3\xa9", None], pa.binary()), ["Café", None]),
    "large binary": (pa.array([b"Caf\xc3\xa9"], pa.large_binary()), ["Café"]),
    "fixed binary": (pa.array([b"ab"], pa.binary(2)), ["ab"]),
    "a dictionary": (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
    "lists": (pa.array([[1.1], None, []], pa.list_(pa.float32())), [[1.1], None, []]),
    "structs": (
        pa.array(
            [{"a": 1.1, "b": b"x"}],
            pa.struct({"a": pa.float32(), "b": pa.binary()}),
        ),
        [{"a": 1.1, "b": "x"}],
    ),
    "nested nanoseconds": (
        pa.array([[1, None]], pa.list_(pa.int64())).cast(pa.list_(pa.timestamp("ns"))),
        [["1970-01-01T00:00:00.000000001", None]],
    ),
    "maps": (pa.array([[("k", 1.1), ("k", 2.2)]], pa.map_(pa.string(), pa.float32())), [[["k", 1.1], ["k", 2.2]]]),
    "uint64": (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_value_of_parquet_keeps_its_literal(tmp_path: pathlib.Path, name: str) -> None:
    """As ISO 8601, as the shortest number, or as text."""
    column, expected = COLUMNS[name]
    pieces = parquet(tmp_path / "a.parquet", pa.table({"text": ["x"] * len(column), "v": column}))
    assert [json.loads(piece.data)["v"] for piece in pieces] == expected
    assert [piece.position for piece in pieces] == list(range(len(expected)))


def test_floats_that_are_no_numbers_stay(tmp_path: pathlib.Path) -> None:
    """In either precision."""
    values = [math.nan, math.inf, -math.inf]
    table = pa.table({"single": pa.array(values, pa.float32()), "double": values})
    rows = [piece.data for piece in parquet(tmp_path / "a.parquet", table)]
    assert rows == [f'{{"single": {each}, "double": {each}}}'.encode() for each in ("NaN", "Infinity", "-Infinity")]


def test_int96_holds_the_year_9999(tmp_path: pathlib.Path) -> None:
    """Spark's old timestamps, in microseconds: in nanoseconds the year would be 1816."""
    times = [datetime.datetime(9999, 12, 31, 23, 59, 59, 999999), datetime.datetime(2024, 1, 2, 3, 4, 5)]
    table = pa.table({"at": pa.array(times, pa.timestamp("us"))})
    pieces = parquet(tmp_path / "a.parquet", table, use_deprecated_int96_timestamps=True)
    assert [json.loads(piece.data)["at"] for piece in pieces] == [time.isoformat() for time in times]


_READ = """
import sys
sys.modules["pandas"] = None
from transforms.io.files.pieces import FileRange
from transforms.io.files.parquet import read_parquet
for path in sys.argv[1:]:
    for piece in read_parquet(FileRange(path, 0, 0)):
        sys.stdout.buffer.write(piece.data + b"\\n")
"""


@pytest.mark.subprocess
def test_rows_are_the_same_without_pandas(tmp_path: pathlib.Path) -> None:
    """Arrow converts nanoseconds to pandas' types where it finds them."""
    paths, expected = [], []
    for number, (column, _) in enumerate(COLUMNS.values()):
        paths.append(str(tmp_path / f"{number}.parquet"))
        expected += [piece.data for piece in parquet(pathlib.Path(paths[-1]), pa.table({"v": column}))]
    done = subprocess.run([sys.executable, "-c", _READ, *paths], capture_output=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines() == expected


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("string", bytes_as_strings([b"One.", b"Caf\xe9 here.", b"Three."], pa.string())),
        ("binary", pa.array([b"One.", b"Caf\xe9 here.", b"Three."], pa.binary())),
        ("struct", pa.array([{"a": b"x"}, {"a": b"Caf\xe9 here."}, None], pa.struct({"a": pa.binary()}))),
        ("list", pa.array([[b"x"], [b"Caf\xe9 here."], None], pa.list_(pa.binary()))),
        ("map", pa.array([[("k", b"x")], [("k", b"Caf\xe9 here.")], None], pa.map_(pa.string(), pa.binary()))),
    ],
)
def test_bytes_that_are_not_utf_8_cost_their_row(tmp_path: pathlib.Path, kind: str, column: pa.Array) -> None:
    """The row is a dead letter that holds its bytes and names their column; the others are read."""
    table = pa.table({"id": [1, 2, 3], "v": column})
    first, bad, third = parquet(tmp_path / "a.parquet", table)
    assert isinstance(first, Piece)
    assert isinstance(third, Piece)
    assert isinstance(bad, Unreadable)
    assert (bad.position, third.position) == (1, 2)
    assert "expected UTF-8 in the column 'v', got other bytes" in str(bad.error)
    assert json.loads(bad.data)["id"] == 2
    assert b'{"base64": "Q2Fm6SBoZXJlLg=="}' in bad.data


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ([("text", pa.string()), ("tag", pa.string()), ("tag", pa.int64())], "tag"),
        ([("text", pa.string()), ("s", pa.struct([("a", pa.int64()), ("a", pa.int64())]))], "s.a"),
        ([("text", pa.string()), ("l", pa.list_(pa.struct([("a", pa.int64()), ("a", pa.int64())])))], r"l\.\w+\.a"),
    ],
)
def test_doubled_columns_are_refused_by_name(tmp_path: pathlib.Path, fields: list[Any], column: str) -> None:
    """One of them would hide the other."""
    schema = pa.schema(fields)
    table = pa.Table.from_arrays([pa.nulls(1, field.type) for field in schema], schema=schema)
    with pytest.raises(ValueError, match=f"expected each column once, got '{column}' 2 times; rename it"):
        parquet(tmp_path / "a.parquet", table)


_PAIR = pa.struct({"a": pa.string(), "b": pa.bool_()})
MODERN = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1))
ARRAYS = st.one_of(
    *(
        st.lists(values | st.none(), max_size=5).map(functools.partial(pa.array, type=kind))
        for values, kind in (
            (st.text(), pa.string()),
            (st.text().map(str.encode), pa.binary()),
            (st.floats(width=32), pa.float32()),
            (st.floats(), pa.float64()),
            (st.dates(), pa.date32()),
            (st.datetimes(), pa.timestamp("us")),
            (
                st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1)),
                pa.timestamp("us", "Europe/Paris"),
            ),
            (st.times(), pa.time64("us")),
            (st.timedeltas(datetime.timedelta(-(10**6)), datetime.timedelta(10**6)), pa.duration("us")),
            (st.lists(st.floats(width=32)), pa.list_(pa.float32())),
            (
                st.fixed_dictionaries({"a": st.text(), "b": st.booleans()}),
                pa.struct({"a": pa.string(), "b": pa.bool_()}),
            ),
        )
    )
)


@given(ARRAYS)
def test_a_value_is_the_same_alone_and_in_its_column(column: pa.Array) -> None:
    """So that one bad value changes nothing of the others of its batch."""
    assert as_json(_values(column)) == as_json([_value(scalar) for scalar in column])


@given(st.datetimes())
def test_times_are_written_as_python_writes_them(time: datetime.datetime) -> None:
    """Where Python can."""
    micros = (time - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)
    assert timestamp_text(micros, MILLION, False) == time.isoformat()
    assert date_text(micros // (86400 * MILLION)) == time.date().isoformat()


AVRO: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "date": ("int", [0, 10**7, -735000], ["1970-01-01", "+29349-01-26", "-0043-08-22"]),
    "time-millis": ("int", [3_600_001], ["01:00:00.001000"]),
    "time-micros": ("long", [3_600_000_000], ["01:00:00"]),
    "timestamp-millis": (
        "long",
        [1500, 253402300800000],
        ["1970-01-01T00:00:01.500000+00:00", "+10000-01-01T00:00:00+00:00"],
    ),
    "timestamp-micros": ("long", [-62135596800 * MILLION - 1], ["0000-12-31T23:59:59.999999+00:00"]),
    "timestamp-nanos": ("long", [1704164645123456789], ["2024-01-02T03:04:05.123456789+00:00"]),
    "local-timestamp-millis": ("long", [0], ["1970-01-01T00:00:00"]),
    "local-timestamp-micros": ("long", [10**18], ["+33658-09-27T01:46:40"]),
    "uuid": ("string", ["no uuid at all"], ["no uuid at all"]),
    "of our own": ("string", ["x"], ["x"]),
}


@pytest.mark.parametrize("logical", AVRO)
def test_a_logical_type_of_avro_is_text(tmp_path: pathlib.Path, logical: str) -> None:
    """Alone and in a union, however far from what Python's types hold."""
    kind, raw, expected = AVRO[logical]
    plain = {"v": kind, "u": ["null", kind, {"type": "array", "items": kind}]}
    avro(tmp_path / "a.avro", plain, [{"v": each, "u": [each]} for each in raw])
    # The file is that of the logical type, of the same length, whose values fastavro itself may not be able to write.
    typed = {"type": kind, "logicalType": logical}
    declared = {"v": typed, "u": ["null", typed, {"type": "array", "items": typed}]}
    pieces = avro(tmp_path / "b.avro", declared, [])
    fields = [{"name": name, "type": each} for name, each in declared.items()]
    rewritten = _with_schema((tmp_path / "a.avro").read_bytes(), {"type": "record", "name": "Row", "fields": fields})
    (tmp_path / "a.avro").write_bytes(rewritten)
    pieces = list(read_avro(FileRange(str(tmp_path / "a.avro"), 0, 0)))
    assert [json.loads(piece.data) for piece in pieces] == [{"v": each, "u": [each]} for each in expected]


def _with_schema(data: bytes, schema: Any) -> bytes:
    """An Avro file with another schema in its header."""
    header = fastavro.schemaless_reader(stream := io.BytesIO(data), fastavro.read.HEADER_SCHEMA)
    rest = stream.read()
    header["meta"]["avro.schema"] = json.dumps(schema).encode()
    fastavro.schemaless_writer(made := io.BytesIO(), fastavro.read.HEADER_SCHEMA, header)
    return made.getvalue() + rest


def test_other_types_of_avro_keep_their_values(tmp_path: pathlib.Path) -> None:
    """Numbers with their literal, bytes as the text that they are."""
    kinds: dict[str, Any] = {
        "decimal": {"type": "bytes", "logicalType": "decimal", "precision": 40, "scale": 2},
        "fixed": {"type": "fixed", "name": "f", "size": 8, "logicalType": "decimal", "precision": 9, "scale": 2},
        "float": "float",
        "floats": {"type": "map", "values": ["null", "float"]},
        "bytes": "bytes",
        "enum": {"type": "enum", "name": "e", "symbols": ["A"]},
        "uuid": {"type": "fixed", "name": "u", "size": 16, "logicalType": "uuid"},
        "inner": {"type": "record", "name": "R", "fields": [{"name": "again", "type": ["null", "R"]}]},
    }
    row = {
        "decimal": decimal.Decimal("-12345678901234567890123456789.10"),
        "fixed": decimal.Decimal("0.00"),
        "float": 1.1,
        "floats": {"k": 1.1},
        "bytes": b"Caf\xc3\xa9",
        "enum": "A",
        "uuid": uuid.UUID(int=5).bytes,
        "inner": {"again": {"again": None}},
    }
    (piece,) = avro(tmp_path / "a.avro", kinds, [row])
    assert json.loads(piece.data) == row | {
        "decimal": "-12345678901234567890123456789.10",
        "fixed": "0.00",
        "bytes": "Café",
        "uuid": "00000000-0000-0000-0000-000000000005",
    }


@pytest.mark.parametrize("kind", ["string", "bytes"])
def test_bytes_of_avro_that_are_not_utf_8_cost_their_row(tmp_path: pathlib.Path, kind: str) -> None:
    """As in Parquet."""
    rows = [{"id": number, "v": b"Caf\xe9" if number == 1 else b"fine"} for number in range(3)]
    avro(tmp_path / "a.avro", {"id": "long", "v": "bytes"}, rows)
    fields = [{"name": "id", "type": "long"}, {"name": "v", "type": kind}]
    data = _with_schema((tmp_path / "a.avro").read_bytes(), {"type": "record", "name": "Row", "fields": fields})
    (tmp_path / "a.avro").write_bytes(data)
    first, bad, third = read_avro(FileRange(str(tmp_path / "a.avro"), 0, 0))
    assert (json.loads(first.data), json.loads(third.data)) == ({"id": 0, "v": "fine"}, {"id": 2, "v": "fine"})
    assert isinstance(bad, Unreadable)
    assert json.loads(bad.data) == {"id": 1, "v": {"base64": "Q2Fm6Q=="}}


def test_fastavros_own_types_stay_as_they_are(tmp_path: pathlib.Path) -> None:
    """What other code in the process reads is what it was."""
    kinds = {"v": {"type": "int", "logicalType": "date"}}
    avro(tmp_path / "a.avro", kinds, [{"v": datetime.date(2024, 1, 2)}])
    assert list(fastavro.reader((tmp_path / "a.avro").open("rb"))) == [{"v": datetime.date(2024, 1, 2)}]


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"])
def test_avro_is_read_with_every_codec(tmp_path: pathlib.Path, codec: str) -> None:
    """BigQuery exports with snappy."""
    rows = [{"text": f"Row {number}."} for number in range(100)]
    pieces = avro(tmp_path / "a.avro", {"text": "string"}, rows, codec=codec)
    assert [json.loads(piece.data) for piece in pieces] == rows


def test_a_broken_block_of_avro_keeps_the_rows_before_it(tmp_path: pathlib.Path) -> None:
    """And the error says which row is the first that could not be read."""
    rows = [{"text": f"Row {number}."} for number in range(100)]
    avro(tmp_path / "a.avro", {"text": "string"}, rows, sync_interval=100)
    data = (tmp_path / "a.avro").read_bytes()
    (tmp_path / "a.avro").write_bytes(data[: len(data) * 3 // 4])
    read: list[Any] = []
    pieces = read_avro(FileRange(str(tmp_path / "a.avro"), 0, 0))
    with pytest.raises(ValueError, match="expected Avro to the end of the file, could not read row ") as error:
        read.extend(json.loads(piece.data) for piece in pieces)
    assert 0 < len(read) < 100
    assert read == rows[: len(read)]
    assert f"row {len(read)}:" in str(error.value)
