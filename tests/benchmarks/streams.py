"""Compare a stream on each runner with the encoder engine alone, over the same sentences.

python -m tests.benchmarks.streams [--model=minilm] [--count=8192] [--runners=local,prism,flink] [--readers=1]
    [--sinks=parquet,bigquery] [--rounds=1]

- Messages of one sentence each are in the Pub/Sub emulator before the program starts, so that it never waits for one.
- The engine alone is given 2,048 sentences at once, before and after each stream; a stream's share is of the mean.
- A stream's rate is that between the first rows in its sink and the last. What comes before them is its start.
- CPU is that of the program, which works in the same process on every runner (LOOPBACK on Flink). The emulators and the
  runner use the same cores.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pyarrow.parquet as pq

from pipeline import console
from pipeline.emulators.bigquery import bigquery_emulator
from pipeline.emulators.pubsub import PubsubEmulator, Subscription, pubsub_emulator
from pipeline.runners import present, prism_path
from pipeline.runners.flink import job_server
from tests.benchmarks.memory import sentences
from tests.benchmarks.small_bundles import BATCH, Run, measure
from tests.benchmarks.throughput import uncached
from tests.integration.conftest import PROJECT
from tests.integration.test_runners import program
from transforms.encoder.text_encoder import TextEncoder
from transforms.io.bigquery.tables import create_table
from transforms.io.google_clients import REST_EMULATOR, STORAGE_EMULATOR, bigquery_client
from transforms.schema import DEAD_LETTER_COLUMNS, DEAD_LETTER_LAYOUT, EMBEDDING_COLUMNS, EMBEDDING_LAYOUT

RUNNERS = ("local", "prism", "flink")
SINKS = ("parquet", "bigquery")
_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 600.0


class Stream(NamedTuple):
    """One stream: sentences a second, milliseconds of CPU a sentence, seconds to its first rows."""

    rate: float
    cpu: float
    start: float


class Sink(NamedTuple):
    """The options that choose a sink, and what counts the rows in it."""

    options: list[str]
    rows: Callable[[], int]


def _parser() -> argparse.ArgumentParser:
    """Its options."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--model", default="minilm")
    made.add_argument("--count", type=int, default=4 * BATCH, help="Number of messages, each of one sentence.")
    made.add_argument("--runners", default=",".join(RUNNERS))
    made.add_argument("--readers", default="1", help="Numbers of readers; the parallelism on Flink.")
    made.add_argument("--sinks", default=",".join(SINKS))
    made.add_argument("--rounds", type=int, default=1)
    return made


def main() -> None:
    """Print a Markdown table."""
    arguments = _parser().parse_args()
    # Whoever ends it by SIGTERM finds its servers gone too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console.prepare()
    console.import_tensorflow()
    encoder = uncached(TextEncoder(arguments.model))
    texts = sentences(arguments.count).splitlines()
    alone(encoder, texts[:BATCH])
    print(
        "| runner | readers | sink | sentences/s | engine alone | share | CPU ms a sentence | engine alone | start s |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with pubsub_emulator() as server, bigquery_emulator() as emulator, job_server() as endpoint:
        os.environ[REST_EMULATOR], os.environ[STORAGE_EMULATOR] = emulator.rest, emulator.storage
        bigquery_client(PROJECT).create_dataset("benchmark")
        for name in arguments.runners.split(","):
            for readers in map(int, arguments.readers.split(",")):
                options = runner_options(name, readers, endpoint)
                for kind in arguments.sinks.split(","):
                    found = []
                    before = alone(encoder, texts)
                    for _ in range(arguments.rounds):
                        subscription = published(server, texts)
                        with sink(kind) as written:
                            run = stream(subscription, len(texts), written, [f"--model={arguments.model}", *options])
                        after = alone(encoder, texts)
                        found.append((*run, (before.rate + after.rate) / 2, (before.cpu + after.cpu) / 2))
                        before = after
                    rate, cpu, start, engine, engine_cpu = map(statistics.median, zip(*found, strict=True))
                    share = statistics.median(row[0] / row[3] for row in found)
                    print(f"| {name} | {readers} | {kind} | {rate:,.0f} | {engine:,.0f} | {share:.2f} | {cpu:.2f} | "
                          f"{engine_cpu:.2f} | {start:.1f} |", flush=True)  # fmt: skip


def alone(encoder: TextEncoder, texts: Sequence[str]) -> Run:
    """One pass of the engine alone over the texts."""
    return measure(encoder, [texts[i : i + BATCH] for i in range(0, len(texts), BATCH)], threads=1)


def runner_options(name: str, readers: int, job_endpoint: str) -> list[str]:
    """The program's options for a runner."""
    flink = ["--runner=PortableRunner", f"--job_endpoint={job_endpoint}", "--environment_type=LOOPBACK"]
    flink += [f"--parallelism={readers}", "--checkpointing_interval=1000", "--max_bundle_time_mills=50"]
    return {
        "local": [],
        "prism": ["--runner=PrismRunner", f"--prism_location={present(prism_path())}"],
        "flink": flink,
    }[name] + [f"--readers={readers}"]


def published(server: PubsubEmulator, texts: Sequence[str]) -> Subscription:
    """A subscription with a message for each text."""
    made = server.subscription()
    server.publish(made.topic, [json.dumps({"text": text}).encode() for text in texts])
    return made


@contextlib.contextmanager
def sink(kind: str) -> Iterator[Sink]:
    """An empty sink of SINKS."""
    if kind == "bigquery":
        table = f"{PROJECT}.benchmark.stream_{time.time_ns()}"
        create_table(table, EMBEDDING_COLUMNS, EMBEDDING_LAYOUT)
        create_table(f"{table}_error_records", DEAD_LETTER_COLUMNS, DEAD_LETTER_LAYOUT)
        client, counted = bigquery_client(PROJECT), f"SELECT COUNT(*) FROM `{table}`"
        options = ["--output_format=bigquery", f"--output={table}"]
        yield Sink(options, lambda: int(next(iter(client.query(counted).result()))[0]))
        client.delete_table(table)
        return
    with tempfile.TemporaryDirectory() as folder:
        rows: dict[pathlib.Path, int] = {}

        def count() -> int:
            for path in set(pathlib.Path(folder).glob("rows-*")) - set(rows):
                rows[path] = pq.read_metadata(path).num_rows
            return sum(rows.values())

        yield Sink(["--output_format=parquet", f"--output={folder}/rows"], count)


def stream(subscription: Subscription, rows: int, sink: Sink, options: Sequence[str]) -> Stream:
    """Run the program until `rows` rows are in the sink.

    Raises:
        RuntimeError: if it ends before that.
    """
    begun = time.monotonic()
    source = (f"--input_subscription={subscription.name}", "--input_format=json")
    with program(*source, *sink.options, *options) as process:
        first: tuple[float, float, int] | None = None
        while True:
            now, cpu, count = time.monotonic(), _cpu_seconds(process.pid), sink.rows()
            if count and first is None:
                first = now, cpu, count
            if count >= rows:
                break
            if process.poll() is not None or now > begun + _PATIENCE_SECONDS:
                process.kill()
                raise RuntimeError(f"expected {rows} rows, got {count}: {process.communicate()[1][-2000:]}")
            time.sleep(_LOOK_SECONDS)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=_PATIENCE_SECONDS)
    if process.returncode or count != rows or first is None:
        raise RuntimeError(f"expected {rows} rows and exit code 0, got {count} and {process.returncode}: {errors}")
    done = count - first[2]
    return Stream(done / (now - first[0]), 1000 * (cpu - first[1]) / done, first[0] - begun)


def _cpu_seconds(process: int) -> float:
    """The CPU time of a process so far."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
