"""Files that runs wrote, read back by any format: as dicts, as Arrow batches, and which own columns they have."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipeline.names import place_of
from transforms.schema import ARROW_TYPES, AVRO_TYPES, EMBEDDING_COLUMNS, Column, arrow_schema

_ROWS_A_BATCH = 8192


def _parquet_rows(file: Any) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(file).iter_batches(_ROWS_A_BATCH):
        yield from batch.to_pylist()


def _avro_rows(file: Any) -> Iterable[dict[str, Any]]:
    import fastavro

    return fastavro.reader(file)  # type: ignore[no-any-return]


def _json_rows(file: Any) -> Iterable[dict[str, Any]]:
    return map(json.loads, file)


# The rows of an open file of each format, with times as the format has them: of JSON Lines they are text.
READERS: dict[str, Callable[[Any], Iterable[dict[str, Any]]]] = {
    "parquet": _parquet_rows,
    "avro": _avro_rows,
    "jsonl": _json_rows,
}


def read_batches(
    paths: Sequence[str], columns: Sequence[Column], read: Callable[[int], object] = lambda rows: None
) -> Any:
    """The rows of files of any format as a stream of Arrow batches; `read` is told how many there are in each."""
    schema = arrow_schema(columns)

    def batches() -> Iterator[pa.RecordBatch]:
        for path in paths:
            for table in _tables(path, columns):
                read(len(table))
                yield from table.cast(schema).to_batches()

    return pa.RecordBatchReader.from_batches(schema, batches())


def _tables(path: str, columns: Sequence[Column]) -> Iterator[pa.Table]:
    file_format = place_of(path).format
    if file_format == "parquet":
        yield from _parquet_tables(path, columns)
        return
    with open(path, "rb") as file:
        rows = iter(READERS[file_format](file))
        if file_format == "jsonl":
            times = [column.name for column in columns if column.type == "TIMESTAMP"]
            rows = (row | {name: row[name] and datetime.fromisoformat(row[name]) for name in times} for row in rows)
        while batch := list(itertools.islice(rows, _ROWS_A_BATCH)):
            yield pa.Table.from_pylist(batch, arrow_schema(columns))


def _parquet_tables(path: str, columns: Sequence[Column]) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_A_BATCH):
            table = pa.Table.from_batches([batch])
            for column in columns:
                if column.mode == "NULLABLE" and column.name not in table.column_names:
                    table = table.append_column(column.name, pa.nulls(len(table), ARROW_TYPES[column.type]))
            yield table.select([column.name for column in columns])


def own_columns_of(paths: Sequence[str]) -> tuple[Column, ...]:
    """The own columns of files; where a file has only nulls in one, others tell its type.

    Raises:
        ValueError: if files have one column in two types, or of another type than own columns may have.
    """
    # It imports Beam, which a search does without.
    from transforms.columns import TYPES

    types: dict[str, str] = {}
    for path in paths:
        for name, kind in _OWN_TYPES[place_of(path).format](path).items():
            if kind not in (*TYPES, ""):
                raise ValueError(f"expected own columns of {', '.join(TYPES)}, got another type in {name!r} of {path}")
            if kind and types.get(name, "") not in ("", kind):
                raise ValueError(f"expected one type in the column {name!r}, got {types[name]}, and {kind} in {path}")
            types[name] = kind or types.get(name, "")
    return tuple(Column(name, kind or "STRING", "NULLABLE", "") for name, kind in types.items())


def _parquet_types(path: str) -> dict[str, str]:
    import pyarrow.parquet as pq

    names = {kind: name for name, kind in ARROW_TYPES.items()}
    return {field.name: names.get(field.type, "other") for field in pq.read_schema(path) if field.name not in _OURS}


def _avro_types(path: str) -> dict[str, str]:
    import fastavro

    with open(path, "rb") as file:
        schema: Any = fastavro.reader(file).writer_schema
    names = {json.dumps(["null", kind], sort_keys=True): name for name, kind in AVRO_TYPES.items()}
    return {
        field["name"]: names.get(json.dumps(field["type"], sort_keys=True), "other")
        for field in schema["fields"]
        if field["name"] not in _OURS
    }


def _jsonl_types(path: str) -> dict[str, str]:
    """The types in which JSON has the columns; "" for those that are null in every row."""
    types: dict[str, str] = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            for name, value in json.loads(line).items():
                if name not in _OURS:
                    types[name] = types.get(name) or _JSON_TYPES.get(type(value), "other")
            if all(types.values()):
                break
    return types


_OURS = {column.name for column in EMBEDDING_COLUMNS}
_JSON_TYPES = {type(None): "", str: "STRING", bool: "BOOL", int: "INT64", float: "FLOAT64"}
_OWN_TYPES: dict[str, Callable[[str], dict[str, str]]] = {
    "parquet": _parquet_types,
    "jsonl": _jsonl_types,
    "avro": _avro_types,
}
