"""Measure rows per second of small bundles far from BigQuery: python -m tests.benchmarks.appends [rows a bundle ...].

Each thread appends one bundle after the other to the emulator through a proxy, whose answers take as long as those of a
distant region. Every row must arrive once.
"""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline.emulators.bigquery import bigquery_emulator
from tests.benchmarks.bigquery_writers import PROJECT, arrow, some_rows, use, write
from tests.integration.fault_proxy import FaultProxy
from transforms.io.bigquery.tables import create_table
from transforms.io.google_clients import bigquery_client
from transforms.schema import EMBEDDING_COLUMNS, EMBEDDING_LAYOUT

DELAYS = (0.0, 0.1)
THREADS = (1, 10)
SECONDS = 10.0
DIMENSION = 384


def measure(table: str, bundle: int, threads: int) -> float:
    """Rows per second that `threads` append in bundles of `bundle` rows."""
    create_table(table, EMBEDDING_COLUMNS, EMBEDDING_LAYOUT)
    send, rows = arrow(table), some_rows(bundle, DIMENSION)
    write(send, rows)
    until = time.monotonic() + SECONDS

    def append(_: int) -> int:
        count = 0
        while time.monotonic() < until:
            write(send, rows)
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
        use(proxy.rest, proxy.storage)
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
