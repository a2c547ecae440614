"""Measure what the journal costs a batch run: runs with it and without, in pairs, to Parquet.

python -m tests.benchmarks.journal [--messages=examples/messages.jsonl] [--model=minilm] [--copies=1] [--pairs=5]

CPU is that of the whole process, its start included, as the system counts it. The table has medians of the runs; the
ratio is the median of the pairs' ratios, between the least and the greatest of them.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from tests.conftest import ROOT


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--messages", default="examples/messages.jsonl", help="JSONL records with id and text.")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--copies", type=int, default=1, help="How often each message is there, each time different.")
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    runs: dict[str, list[float]] = {"": [], "--journal=none": []}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        count = write_messages(pathlib.Path(arguments.messages), folder / "in.jsonl", arguments.copies)
        for turn in range(arguments.pairs + 1):
            # Which one is first changes from pair to pair; the first pair fills the caches of the disk.
            for option in sorted(runs, reverse=bool(turn % 2)):
                used = cpu_seconds(folder, arguments.model, option)
                if turn:
                    runs[option].append(used)
    ratios = [with_it / without for with_it, without in zip(*runs.values(), strict=True)]
    print(f"{count:,} messages, {arguments.model}, {arguments.pairs} pairs\n")
    print("| run | CPU s | of the run without |\n| --- | --- | --- |")
    print(f"| --journal=none | {statistics.median(runs['--journal=none']):.2f} | 1 |")
    ratio = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    print(f"| with the journal | {statistics.median(runs['']):.2f} | {ratio} |")


def write_messages(source: pathlib.Path, target: pathlib.Path, copies: int) -> int:
    """Write `copies` of each message, with ids and texts of their own; how many there are."""
    messages = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    with target.open("w", encoding="utf-8") as file:
        for copy in range(copies):
            for message in messages:
                # A text that recurs would be encoded once.
                text = message["text"] if not copy else message["text"].replace(".", f" {copy}.")
                file.write(json.dumps(message | {"id": f"{message['id']}-{copy}", "text": text}) + "\n")
    return copies * len(messages)


def cpu_seconds(folder: pathlib.Path, model: str, option: str) -> float:
    """The CPU seconds of a run."""
    command = [sys.executable, "-m", "pipeline", f"--input={folder}/in.jsonl", "--input_format=jsonl", "--id_field=id"]
    command += [f"--model={model}", f"--output={folder}/out{option}/rows", "--output_format=parquet"]
    process = subprocess.Popen([*command, *filter(None, [option])], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ValueError(f"expected the run to end well, got code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
