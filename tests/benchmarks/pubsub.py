"""Measure messages per second, CPU and memory of the Pub/Sub source: `python -m tests.benchmarks.pubsub`.

It runs on Beam's local runner. The sink does nothing, so only the source and the runner are measured.
"""

import argparse
import os
import resource
import threading
import time

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.emulators.pubsub import PubsubEmulator, Subscription, pubsub_emulator
from transforms.counters import process_counts
from transforms.io.pubsub import read as pubsub
from transforms.types import Record


class _Work(beam.DoFn):
    """Sleeps at the end of each bundle, like a slow sink."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def process(self, record: Record) -> None:
        pass

    def finish_bundle(self) -> None:
        time.sleep(self._seconds)


def _memory_kb() -> int:
    with open("/proc/self/statm") as status:
        return int(status.read().split()[1]) * resource.getpagesize() // 1024


def _acknowledged() -> int:
    return process_counts().get("pubsub_acknowledged", 0)


def _watch(emulator: PubsubEmulator, subscription: Subscription, options: argparse.Namespace) -> None:
    payload = b"x" * options.bytes
    batch = 1000 if not options.rate else max(1, options.rate // 20)
    marks: list[tuple[int, int]] = []
    begun, cpu = time.monotonic(), time.process_time()
    for start in range(0, options.messages, batch):
        emulator.publish(subscription.topic, [payload] * min(batch, options.messages - start))
        if options.rate:
            time.sleep(max(0.0, begun + (start + batch) / options.rate - time.monotonic()))
        # Stay at most 5000 messages ahead, so that memory is the pipeline's and not the backlog's.
        while start - _acknowledged() > 5000:
            time.sleep(0.01)
        if start * 10 // options.messages > len(marks) - 1:
            marks.append((_acknowledged(), _memory_kb()))
    while _acknowledged() < options.messages:
        time.sleep(0.05)
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    marks.append((_acknowledged(), _memory_kb()))
    print(f"{options.messages} messages in {seconds:.1f} s: {options.messages / seconds:.0f} a second, "
          f"CPU {cpu / seconds:.0%} of a core, publisher included")  # fmt: skip
    for count, memory in marks:
        print(f"  {count:>8} acknowledged, {memory / 1024:.1f} MB")
    if options.idle:
        cpu, memory = time.process_time(), _memory_kb()
        time.sleep(options.idle)
        print(f"idle: CPU {(time.process_time() - cpu) / options.idle:.2%} of a core, {_memory_kb() - memory:+d} kB "
              f"in {options.idle} s")  # fmt: skip
    pubsub.stop()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--bytes", type=int, default=200)
    parser.add_argument("--rate", type=int, default=0, help="messages per second; 0 for as fast as they are taken")
    parser.add_argument("--max_messages", type=int, default=1000)
    parser.add_argument("--max_wait_seconds", type=float, default=0.1)
    parser.add_argument(
        "--work_seconds", type=float, default=0.0, help="how many seconds the sink takes for each bundle"
    )
    parser.add_argument("--idle", type=int, default=30, help="how many seconds to stay idle afterwards")
    options = parser.parse_args()
    with pubsub_emulator() as emulator:
        subscription = emulator.subscription()
        watcher = threading.Thread(target=_watch, args=(emulator, subscription, options))
        watcher.start()
        pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(["--streaming"]))
        read = pubsub.ReadFromSubscription(
            subscription.name, max_messages=options.max_messages, max_wait_seconds=options.max_wait_seconds
        )
        _ = pipeline | "Read" >> read | "Work" >> beam.ParDo(_Work(options.work_seconds))
        metrics = pipeline.run().metrics()
        watcher.join()
    bundles = next(
        one.committed for one in metrics.query()["distributions"] if one.key.metric.name == "pubsub_bundle_messages"
    )
    print(f"{bundles.count} bundles of {bundles.min} to {bundles.max} messages, mean {bundles.mean:.1f}")
    print(f"counters: {process_counts()}; peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB; "
          f"pid {os.getpid()}")  # fmt: skip


if __name__ == "__main__":
    main()
