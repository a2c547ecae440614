"""Measure how the program's time and memory grow with its input, in paired runs over inputs of several lengths.

python -m tests.benchmarks.scale --sentences=FILE [--model=minilm] [--counts=2000,20000] [--rounds=3]

FILE is as in tests.benchmarks.throughput. Times do not include the start.
"""

import argparse
import pathlib
import statistics

from tests.benchmarks.throughput import different, program


def _parser() -> argparse.ArgumentParser:
    """Its options."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--sentences", type=pathlib.Path, required=True)
    made.add_argument("--model", default="minilm")
    made.add_argument("--counts", default="2000,20000")
    made.add_argument("--rounds", type=int, default=3)
    return made


def main() -> None:
    """Print a Markdown table."""
    arguments = _parser().parse_args()
    counts = sorted(int(count) for count in arguments.counts.split(","))
    texts = different(arguments.sentences.read_text(encoding="utf-8"), counts[-1])
    rounds = [
        [program(texts[:count], arguments.model, "tensorflow", "float32") for count in counts]
        for _ in range(arguments.rounds)
    ]
    print("| sentences | seconds, warm | times the first | peak memory, MB | times the first |\n|---|---|---|---|---|")
    for at, count in enumerate(counts):
        seconds = [count / runs[at].warm for runs in rounds]
        longer = [spent * runs[0].warm / counts[0] for spent, runs in zip(seconds, rounds, strict=True)]
        megabytes = [runs[at].megabytes for runs in rounds]
        larger = [runs[at].megabytes / runs[0].megabytes for runs in rounds]
        medians = [statistics.median(found) for found in (seconds, longer, megabytes, larger)]
        print("| {:,} | {:.1f} | {:.2f} | {:,.0f} | {:.2f} |".format(count, *medians))


if __name__ == "__main__":
    main()
