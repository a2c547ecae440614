"""Bundles of several threads on their way to BigQuery over one connection."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from google.cloud import bigquery

from tests.integration.fault_proxy import FaultProxy
from tests.integration.test_bigquery import embedding, ids, ids_of
from transforms.io.bigquery.storage_write import ArrowAppender
from transforms.io.bigquery.tables import parse_table
from transforms.io.retries import deliver
from transforms.kinds import ROWS
from transforms.types import SentenceEmbedding

THREADS = 8
BUNDLES = 15


@pytest.mark.slow
def test_nothing_is_lost_when_the_connection_breaks(dataset: str, client: bigquery.Client, proxy: FaultProxy) -> None:
    """Cut twice with appends of all threads under way, it is opened again, and each bundle is there."""
    table = f"{dataset}.rows"
    send = ArrowAppender[SentenceEmbedding](parse_table(table), lambda rows: ROWS.to_arrow(rows, pa.float64()))
    rows = [embedding(number) for number in range(THREADS * BUNDLES)]
    proxy.delay(0.1)

    def write(thread: int) -> None:
        for number in range(thread, len(rows), THREADS):
            if thread == 0 and number in (3 * THREADS, 9 * THREADS):
                assert proxy.cut() > 0
            assert list(deliver(send, [rows[number]], 60, "the table")) == []

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(write, range(THREADS)))
    assert proxy.streams >= 3
    assert sorted(set(ids(client, table))) == ids_of(rows)
