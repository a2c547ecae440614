"""Measure rows per second of small bundles far from BigQuery: python -m tests.benchmarks.appends [rows a bundle ...].

Each thread appends one bundle after the other to the emulator through a proxy, whose answers take as long as those of a
distant region. Every row must arrive once.
"""

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from pipeline.emulators.bigquery import bigquery_emulator
from tests.integration.conftest import PROJECT
from tests.integration.fault_proxy import FaultProxy
from transforms.io.bigquery.storage_write import ArrowAppender
from transforms.io.bigquery.tables import create_table, parse_table
from transforms.io.google_clients import REST_EMULATOR, STORAGE_EMULATOR, bigquery_client
from transforms.io.retries import deliver
from transforms.kinds import ROWS
from transforms.schema import EMBEDDING_COLUMNS, EMBEDDING_LAYOUT
from transforms.types import SentenceEmbedding

DELAYS = (0.0, 0.1)
THREADS = (1, 10)
SECONDS = 10.0
DIMENSION = 384


def some_rows(count: int) -> list[SentenceEmbedding]:
    """Rows like those of a review corpus, with random vectors of length 1."""
    vectors = np.random.default_rng(0).standard_normal((count, DIMENSION), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    text = "The staff were friendly, the food was good, and we came back the next night."
    metadata, model = {"source": "reviews", "stars": "5"}, ("minilm", "0123456789abcdef", "float32", 19, False)
    return [
        SentenceEmbedding(
            f"{number:032x}", f"{number // 4:032x}", number % 4, 0, len(text), text, metadata,
            1_700_000_000_000_000 + number, "", vector.astype("<f4").tobytes(), *model,
        )
        for number, vector in enumerate(vectors)
    ]  # fmt: skip


def measure(table: str, bundle: int, threads: int) -> float:
    """Rows per second that `threads` append in bundles of `bundle` rows."""
    create_table(table, EMBEDDING_COLUMNS, EMBEDDING_LAYOUT)
    rows = some_rows(bundle)
    send = ArrowAppender[SentenceEmbedding](parse_table(table), lambda sent: ROWS.to_arrow(sent, pa.float64()))

    def write() -> None:
        if refused := list(deliver(send, rows, 60, "the emulator")):
            raise ValueError(f"expected all rows to be taken, got {refused[0]}")

    write()
    until = time.monotonic() + SECONDS

    def append(_: int) -> int:
        count = 0
        while time.monotonic() < until:
            write()
            count += 1
        return count

    begun = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        appends = sum(pool.map(append, range(threads)))
    seconds = time.monotonic() - begun
    found = next(iter(bigquery_client(PROJECT).query(f"SELECT COUNT(*) FROM `{table}`").result()))[0]
    if found != (appends + 1) * bundle:
        raise ValueError(f"expected {(appends + 1) * bundle} rows in {table}, got {found}")
    return appends * bundle / seconds


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    print(f"{DIMENSION} dimensions, {SECONDS:g} s each\n")
    print("| rows/bundle | delay ms | threads | rows/s |\n| --- | --- | --- | --- |")
    with bigquery_emulator() as emulator, FaultProxy(emulator).running() as proxy:
        os.environ[REST_EMULATOR], os.environ[STORAGE_EMULATOR] = proxy.rest, proxy.storage
        bigquery_client(PROJECT).create_dataset("benchmark")
        for bundle in [int(argument) for argument in arguments] or [10]:
            for delay in DELAYS:
                for threads in THREADS:
                    proxy.delay(delay)
                    table = f"{PROJECT}.benchmark.appends_{bundle}_{round(delay * 1000)}_{threads}"
                    rate = measure(table, bundle, threads)
                    print(f"| {bundle} | {delay * 1000:g} | {threads} | {rate:,.0f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
