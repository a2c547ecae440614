"""Messages a second from files of each format, read and parsed on the local runner, without an encoder.

python -m tests.benchmarks.reading [--records=200000] [--formats=jsonl,csv]
"""

import argparse
import csv
import gzip
import json
import pathlib
import tempfile
import time
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from transforms import ParseMessages
from transforms.io.files.read import ReadFiles


def rows(count: int) -> list[dict[str, Any]]:
    """Messages of some two sentences, with an id, a time and three more fields."""
    text = "The delivery came on Tuesday, two days late. Still, nobody complained about it."
    return [
        {"id": n, "at": 1_700_000_000_000 + n, "text": f"{text} ({n})", "lang": "en", "stars": n % 5, "price": n / 4}
        for n in range(count)
    ]


def write(folder: pathlib.Path, name: str, records: list[dict[str, Any]]) -> tuple[pathlib.Path, str]:
    """The file of a format, and what ReadFiles calls the format."""
    path = folder / f"records.{name}"
    kind = name.removesuffix(".gz")
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
        return path, kind
    with (gzip.open if name.endswith(".gz") else open)(path, "wt", encoding="utf-8", newline="") as file:
        if kind == "jsonl":
            file.writelines(json.dumps(record) + "\n" for record in records)
        else:
            writer = csv.DictWriter(file, list(records[0]), delimiter={"csv": ",", "tsv": "\t"}[kind])
            writer.writeheader()
            writer.writerows(records)
    return path, kind


def read(path: pathlib.Path, kind: str) -> tuple[float, float]:
    """The seconds, of the clock and of the CPU, that it takes to read and parse a file."""
    clock, cpu = time.perf_counter(), time.process_time()
    with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([])) as pipeline:
        records = pipeline | ReadFiles([str(path)], kind)
        records | ParseMessages(kind, id_field="id", timestamp_field="at")
    return time.perf_counter() - clock, time.process_time() - cpu


def main() -> None:
    """Print a line for each format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--formats", default="jsonl,jsonl.gz,csv,csv.gz,tsv,parquet")
    arguments = parser.parse_args()
    records = rows(arguments.records)
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.formats.split(","):
            path, kind = write(pathlib.Path(folder), name, records)
            seconds, cpu = read(path, kind)
            print(f"{name:10} {len(records) / seconds:10,.0f} records a second, {cpu:.2f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
