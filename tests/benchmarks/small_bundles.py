"""Compare many threads with small calls of one encoder with one thread that gives it 2,048 sentences at once.

python -m tests.benchmarks.small_bundles [--model=minilm] [--engine=tensorflow] [--precision=float32] [--count=2048]
    [--threads=1,12,64] [--rounds=5]

- Each round runs the large batch, and then each number of threads, whose calls have 1 to 10 sentences. All are over the
  same sentences, without the cache. The table has medians of the rounds; a ratio is the median of the rounds' ratios.
- CPU is that of the whole process. Where other programs use the cores too, it tells more than the clock does.
- A lone call is one of one thread, one after the other.
"""

import argparse
import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline import console
from tests.benchmarks.memory import sentences
from tests.benchmarks.throughput import uncached
from transforms.encoder.text_encoder import TextEncoder

BATCH = 2048


class Run(NamedTuple):
    """One run over all the sentences: sentences a second, and milliseconds of CPU a sentence."""

    rate: float
    cpu: float


def main() -> None:
    """Print two Markdown tables."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--model", default="minilm")
    made.add_argument("--engine", default="tensorflow")
    made.add_argument("--precision", default="float32")
    made.add_argument("--count", type=int, default=BATCH, help="Number of sentences.")
    made.add_argument("--threads", default="1,12,64")
    made.add_argument("--rounds", type=int, default=5)
    arguments = made.parse_args()
    console.prepare()
    encoder = uncached(TextEncoder(arguments.model, engine=arguments.engine, precision=arguments.precision))
    texts = sentences(arguments.count).splitlines()
    threads = [int(number) for number in arguments.threads.split(",")]
    large = [texts[i : i + BATCH] for i in range(0, len(texts), BATCH)]
    runs: dict[int, list[Run]] = {number: [] for number in (0, *threads)}
    for turn in range(arguments.rounds + 1):
        for number, found in runs.items():
            calls = small_calls(texts, turn) if number else large
            run = measure(encoder, calls, max(1, number))
            # The first round compiles and fills what the engine caches by shape.
            if turn:
                found.append(run)
    print("| threads | sentences a call | sentences/s | of the large batch | CPU ms a sentence |")
    print("| --- | --- | --- | --- | --- |")
    for number, found in runs.items():
        ratio = statistics.median(run.rate / base.rate for run, base in zip(found, runs[0], strict=True))
        what = f"{number} | 1 to 10" if number else f"1 | {BATCH:,}"
        rate, cpu = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"| {what} | {rate:,.0f} | {ratio:.2f} | {cpu:.2f} |")
    print("\n| lone call | p50 ms | p99 ms |\n| --- | --- | --- |")
    for size in (1, 10):
        taken = lone_calls(encoder.encode, texts, size)
        percentiles = statistics.quantiles(taken, n=100)
        print(f"| {size} | {percentiles[49]:.1f} | {percentiles[98]:.1f} |")


def small_calls(texts: Sequence[str], seed: int) -> list[Sequence[str]]:
    """The texts in calls of 1 to 10."""
    draw, calls, begin = random.Random(seed), [], 0
    while begin < len(texts):
        size = draw.randint(1, 10)
        calls.append(texts[begin : begin + size])
        begin += size
    return calls


def measure(encoder: TextEncoder, calls: Sequence[Sequence[str]], threads: int) -> Run:
    """Let `threads` make the calls, each taking the next one when it has finished one."""
    left = iter(calls)
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                call = next(left, None)
            if call is None:
                return
            encoder.encode(call)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    start, cpu = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    count = sum(map(len, calls))
    return Run(count / (time.perf_counter() - start), 1000 * (time.process_time() - cpu) / count)


def lone_calls(
    encode: Callable[[Sequence[str]], object], texts: Sequence[str], size: int, count: int = 100
) -> list[float]:
    """The milliseconds that each of `count` calls takes, of `size` texts each, one after the other."""
    taken = []
    for number in range(count):
        start = time.perf_counter()
        encode([texts[(number * size + i) % len(texts)] for i in range(size)])
        taken.append(1000 * (time.perf_counter() - start))
    return taken


if __name__ == "__main__":
    main()
