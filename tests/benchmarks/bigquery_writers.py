"""Compare the BigQuery writers on the emulator: python -m tests.benchmarks.bigquery_writers [rows] [dimension ...].

Rows per second depend on the emulator, which shares the machine. CPU seconds are those of the writer's process alone.
Bytes are all that it sent over TCP, without TLS.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.emulators.bigquery import Emulator, bigquery_emulator
from tests.integration.tcp_forwarder import TcpForwarder
from transforms.io.bigquery.storage_write import ArrowAppender
from transforms.io.bigquery.streaming_inserts import JsonInserter
from transforms.io.bigquery.tables import create_table, parse_table
from transforms.io.google_clients import REST_EMULATOR, STORAGE_EMULATOR, bigquery_client
from transforms.io.retries import WRITTEN, Answer, deliver
from transforms.kinds import ROWS
from transforms.schema import (
    EMBEDDING_COLUMNS,
    EMBEDDING_LAYOUT,
)
from transforms.types import SentenceEmbedding

PROJECT = "local-project"
BUNDLE = 500

Send = Callable[[Sequence[SentenceEmbedding]], Answer]


class Measured(NamedTuple):
    """What a writer needed for its rows."""

    rows_a_second: float
    cpu_seconds_a_million: float
    bytes_a_row: float


def arrow(table: str) -> Send:
    """Ours: Arrow over gRPC."""
    return ArrowAppender[SentenceEmbedding](parse_table(table), lambda rows: ROWS.to_arrow(rows, pa.float64()))


def inserts(table: str) -> Send:
    """Ours: JSON over HTTP."""
    return JsonInserter[SentenceEmbedding](parse_table(table), lambda row: ROWS.to_json(row), lambda row: row.id)


def library(table: str) -> Send:
    """The client library's own insert_rows_json, for comparison."""
    name = str(parse_table(table))

    def send(rows: Sequence[SentenceEmbedding]) -> Answer:
        made = [ROWS.to_json(row) for row in rows]
        if errors := bigquery_client(PROJECT).insert_rows_json(name, made, [row.id for row in rows]):
            raise ValueError(f"expected all rows to be written, got {errors[0]}")
        return WRITTEN

    return send


WRITERS = {"STORAGE_WRITE_ARROW": arrow, "STREAMING_INSERTS": inserts, "insert_rows_json": library}


def some_rows(count: int, dimension: int) -> list[SentenceEmbedding]:
    """Rows like those of a review corpus, with random vectors of length 1."""
    vectors = np.random.default_rng(0).standard_normal((count, dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        SentenceEmbedding(
            id=f"{number:032x}",
            message_id=f"{number // 4:032x}",
            sentence_index=number % 4,
            begin=0,
            end=76,
            content="The staff were friendly, the food was good, and we came back the next night.",
            metadata={"source": "reviews", "stars": "5"},
            event_time=1_700_000_000_000_000 + number,
            revision="",
            embedding=vectors[number].astype("<f4").tobytes(),
            model="minilm",
            model_version="0123456789abcdef",
            precision="float32",
            tokens=19,
            truncated=False,
        )
        for number in range(count)
    ]


def measure(make: Callable[[str], Send], rows: Sequence[SentenceEmbedding], emulator: Emulator) -> Measured:
    """One pass to measure time, and one through a counting forwarder to measure bytes; every row must arrive."""
    use(emulator.rest, emulator.storage)
    table = f"{PROJECT}.benchmark.{make.__name__}_{len(rows[0].embedding) // 4}"
    create_table(table, EMBEDDING_COLUMNS, EMBEDDING_LAYOUT)
    send = make(table)
    write(send, rows[:BUNDLE])
    wall, cpu = time.perf_counter(), time.process_time()
    write(send, rows)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    with TcpForwarder(emulator.rest) as rest, TcpForwarder(emulator.storage) as storage:
        use(rest.address, storage.address)
        write(make(table), rows)
        sent = rest.bytes_sent + storage.bytes_sent
    use(emulator.rest, emulator.storage)
    found = next(iter(bigquery_client(PROJECT).query(f"SELECT COUNT(*) FROM `{table}`").result()))[0]
    if found != BUNDLE + 2 * len(rows):
        raise ValueError(f"expected {BUNDLE + 2 * len(rows)} rows in {table}, got {found}")
    return Measured(len(rows) / wall, cpu / len(rows) * 1e6, sent / len(rows))


def use(rest: str, storage: str) -> None:
    """Point the clients at these addresses."""
    os.environ[REST_EMULATOR], os.environ[STORAGE_EMULATOR] = rest, storage


def write(send: Send, rows: Sequence[SentenceEmbedding]) -> None:
    """Write `rows` in bundles, one after the other."""
    for begin in range(0, len(rows), BUNDLE):
        if refused := list(deliver(send, rows[begin : begin + BUNDLE], 60, "the emulator")):
            raise ValueError(f"expected all rows to be taken, got {refused[0]}")


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    count = int(arguments[0]) if arguments else 4000
    dimensions = [int(argument) for argument in arguments[1:]] or [384, 768]
    print(f"{count} rows in bundles of {BUNDLE}\n")
    print("| writer | dimension | rows/s | CPU s/million rows | bytes/row |\n| --- | --- | --- | --- | --- |")
    with bigquery_emulator() as emulator:
        use(emulator.rest, emulator.storage)
        bigquery_client(PROJECT).create_dataset("benchmark")
        for dimension in dimensions:
            rows = some_rows(count, dimension)
            for name, make in WRITERS.items():
                result = measure(make, rows, emulator)
                print(
                    f"| {name} | {dimension} | {result.rows_a_second:,.0f} | {result.cpu_seconds_a_million:,.0f} "
                    f"| {result.bytes_a_row:,.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:])
