"""Measure look-ups: the start of a search, one over many rows, and the start of a run.

python -m tests.benchmarks.search [--rows=1000000] [--model=minilm] [--repeats=3] [--keep=DIRECTORY]

Rows with random vectors of the model's dimension are made under DIRECTORY, or a temporary one, as a run writes them:
five sentences a message, in files of 100,000 rows, with a journal. Each time is of a whole process, from its start to
its end, as a user waits for it: the first one after the files were written, and the median of the others. Its CPU and
the most memory that it held stand beside it, as other work on the machine changes them less.
"""

import argparse
import datetime
import os
import pathlib
import statistics
import sys
import tempfile
import time
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import name_and_version
from transforms.schema import EMBEDDING_COLUMNS, JOURNAL_COLUMNS, arrow_schema

_ROWS_A_FILE, _ROWS_A_GROUP, _SENTENCES = 100_000, 4096, 5
_DIMENSION = 384
_WORDS = ["staff", "food", "delivery", "invoice", "garden", "engine", "report", "music", "river", "market"]
_BEGIN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


class Cost(NamedTuple):
    """What a process took: seconds, seconds of CPU, and megabytes at most."""

    seconds: float
    cpu: float
    megabytes: float


def main() -> None:
    """Print a Markdown table."""
    arguments = _parser().parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(arguments.keep or name)
        if not (folder / "journal").exists():
            write_rows(folder, arguments.rows, *name_and_version(EncoderOptions(arguments.model)))
        search = ["-m", "pipeline.search", f"--embeddings={folder}/rows-*.parquet", "friendly staff"]
        run = ["-m", "pipeline", f"--input={folder}/one.txt", "--input_format=text", f"--model={arguments.model}"]
        (folder / "one.txt").write_text("The staff were friendly.\n")
        commands = {
            "import of NumPy, DuckDB and Arrow": ["-c", "import numpy, duckdb, pyarrow.parquet"],
            "search": search,
            "search, filtered by metadata": [*search, "--filter=genre=staff"],
            "import of Beam": ["-c", "import apache_beam"],
            "import of TensorFlow, without Keras": ["-c", "from pipeline import console as c; c.import_tensorflow()"],
            "python -m pipeline --help": ["-m", "pipeline", "--help"],
            "python -m pipeline, one message": [*run, f"--output={folder}/out/one", "--output_format=jsonl"],
        }
        print(f"{arguments.rows:,} rows, {arguments.model}\n")
        print("| what | first, s | then, s | CPU, s | MB |\n| --- | --- | --- | --- | --- |")
        for what, command in commands.items():
            first, *others = [cost_of(command) for _ in range(arguments.repeats + 1)]
            then = [statistics.median(each) for each in zip(*others, strict=True)]
            print(f"| {what} | {first.seconds:.2f} | {then[0]:.2f} | {then[1]:.2f} | {then[2]:,.0f} |", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="How many rows are searched.")
    parser.add_argument("--model", default="minilm", help="A model with vectors of 384 numbers.")
    parser.add_argument("--repeats", type=int, default=3, help="How often each command is run after its first time.")
    parser.add_argument("--keep", default="", help="Where rows are made, and found again by a later run.")
    return parser


def cost_of(command: list[str]) -> Cost:
    """What Python takes for `command`, whose output is dropped."""
    started = time.perf_counter()
    nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    process = os.posix_spawn(sys.executable, [sys.executable, *command], os.environ, file_actions=nowhere)
    _, status, used = os.wait4(process, 0)
    if status:
        raise RuntimeError(f"expected an exit code of 0 from {command}, got {os.waitstatus_to_exitcode(status)}")
    return Cost(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def write_rows(folder: pathlib.Path, count: int, model: str, version: str) -> None:
    """Write `count` rows of random vectors, and their journal, as a run does."""
    random = np.random.default_rng(0)
    (folder / "journal").mkdir(parents=True, exist_ok=True)
    files = -(-count // _ROWS_A_FILE)
    schema = arrow_schema(EMBEDDING_COLUMNS)
    repeating = [column.name for column in EMBEDDING_COLUMNS if column.type != "FLOAT64" and not column.fields]
    for number in range(files):
        path = folder / f"rows-{number:05}-of-{files:05}.parquet"
        with pq.ParquetWriter(path, schema, use_dictionary=repeating) as writer:
            end = min(count, (number + 1) * _ROWS_A_FILE)
            for begin in range(number * _ROWS_A_FILE, end, _ROWS_A_GROUP):
                rows = range(begin, min(end, begin + _ROWS_A_GROUP))
                vectors = random.normal(size=(len(rows), _DIMENSION)).astype(np.float32)
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                writer.write_table(_table(schema, rows, vectors, model, version))
    messages = -(-count // _SENTENCES)
    entries = {
        "message_id": [f"m{i}" for i in range(messages)],
        "revision": ["1-a"] * messages,
        "model": [model] * messages,
        "model_version": [version] * messages,
        "written_at": [_BEGIN] * messages,
    }
    journal = arrow_schema(JOURNAL_COLUMNS)
    pq.write_table(_filled(journal, entries, messages), folder / "journal" / "rows-00000-of-00001.parquet")


def _table(schema: pa.Schema, rows: range, vectors: Any, model: str, version: str) -> pa.Table:
    offsets = pa.array(np.arange(0, vectors.size + 1, _DIMENSION), pa.int32())
    embedding = pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel()), type=schema.field("embedding").type)
    said = [f"{_WORDS[i % 10]} {_WORDS[i // 10 % 10]} number {i}" for i in rows]
    values: dict[str, Any] = {
        "id": [f"id{i:012}" for i in rows],
        "message_id": [f"m{i // _SENTENCES}" for i in rows],
        "sentence_index": [i % _SENTENCES for i in rows],
        "content": said,
        "embedding": embedding,
        "model": [model] * len(rows),
        "model_version": [version] * len(rows),
        "revision": ["1-a"] * len(rows),
        "metadata": [[{"key": "genre", "value": _WORDS[i // _SENTENCES % 10]}] for i in rows],
        "event_time": [_BEGIN + datetime.timedelta(minutes=i // _SENTENCES) for i in rows],
    }
    return _filled(schema, values, len(rows))


def _filled(schema: pa.Schema, values: dict[str, Any], count: int) -> pa.Table:
    """A table with what columns have for nothing where `values` has none."""
    empty: dict[Any, Any] = {pa.string(): "", pa.int64(): 0, pa.bool_(): False}
    columns = [values.get(field.name, [empty.get(field.type)] * count) for field in schema]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


if __name__ == "__main__":
    main()
