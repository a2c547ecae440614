"""Measure what the journal costs a run: runs with it and without, in pairs, to Parquet.

python -m tests.benchmarks.journal [--messages=examples/messages.jsonl] [--model=minilm] [--copies=1] [--pairs=5]
    [--rate=0]

CPU is that of the process, as the system counts it: of a batch run all, its start included. With a rate, the
messages are published to the Pub/Sub emulator instead, so many a second, and the CPU is that of a stream from its first
message to its last. The table has medians of the runs, and the median of the pairs' ratios with the least and the
greatest.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import pyarrow.parquet as pq

from pipeline.emulators.pubsub import PubsubEmulator, Subscription, pubsub_emulator
from tests.conftest import ROOT


def main() -> None:
    """Print a Markdown table."""
    arguments = _parser().parse_args()
    runs: dict[str, list[float]] = {"": [], "--journal=none": []}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        count = write_messages(pathlib.Path(arguments.messages), folder / "in.jsonl", arguments.copies)
        for turn in range(arguments.pairs + 1):
            # Which one is first changes from pair to pair; the first pair fills the caches of the disk.
            for option in sorted(runs, reverse=bool(turn % 2)):
                if arguments.rate:
                    used = stream_cpu_seconds(folder / f"{turn}{option}", arguments.model, option, arguments.rate)
                else:
                    used = cpu_seconds(folder, arguments.model, option)
                if turn:
                    runs[option].append(used)
    ratios = [with_it / without for with_it, without in zip(*runs.values(), strict=True)]
    print(f"{count:,} messages, {arguments.model}, {arguments.pairs} pairs\n")
    print("| run | CPU s | of the run without |\n| --- | --- | --- |")
    print(f"| --journal=none | {statistics.median(runs['--journal=none']):.2f} | 1 |")
    ratio = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    print(f"| with the journal | {statistics.median(runs['']):.2f} | {ratio} |")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--messages", default="examples/messages.jsonl", help="JSONL records with id and text.")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--copies", type=int, default=1, help="How often each message is there, each time different.")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rate", type=float, default=0, help="Messages a second of a stream; 0 for a batch run.")
    return parser


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


def stream_cpu_seconds(folder: pathlib.Path, model: str, option: str, rate: float) -> float:
    """The CPU seconds of a stream, from when it is ready until the last message has come through."""
    lines = (folder.parent / "in.jsonl").read_bytes().splitlines()
    with pubsub_emulator() as server:
        subscription = server.subscription()
        command = [sys.executable, "-m", "pipeline", f"--input_subscription={subscription.name}", "--input_format=json"]
        command += ["--id_field=id", f"--model={model}", f"--output={folder}/rows", "--output_format=parquet"]
        process = subprocess.Popen([*command, *filter(None, [option])], cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            wait_for_messages(folder, 0, server, subscription)
            begun, cpu = time.monotonic(), cpu_of(process.pid)
            for number, line in enumerate(lines):
                time.sleep(max(0.0, begun + number / rate - time.monotonic()))
                server.publish(subscription.topic, [line])
            wait_for_messages(folder, len(lines), server, subscription)
            return cpu_of(process.pid) - cpu
        finally:
            process.kill()
            process.wait()


def wait_for_messages(folder: pathlib.Path, count: int, server: PubsubEmulator, subscription: Subscription) -> None:
    """Until `count` messages, and the one that this publishes behind them, have rows."""
    mark = f"after {count}"
    server.publish(subscription.topic, [json.dumps({"id": mark, "text": "Ready."}).encode()])
    found: set[str] = set()
    seen: set[pathlib.Path] = set()
    while mark not in found or len(found - {mark, "after 0"}) < count:
        time.sleep(0.2)
        for path in set(folder.glob("rows*.parquet")) - seen:
            seen.add(path)
            found.update(pq.read_table(path, columns=["message_id"])["message_id"].to_pylist())


def cpu_of(process: int) -> float:
    """The CPU seconds that a process has used so far."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
