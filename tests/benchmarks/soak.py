"""Run two streams for a long time, with a fault every 20 seconds, and account for every message.

python -m tests.benchmarks.soak [--minutes=30] [--runner=local|flink] [--rate=100] [--seed=0] [--logs=out/soak]

- Each message goes to the Pub/Sub emulator once for either stream: one writes to the BigQuery emulator, the other to
  files on a small disk of its own. One message in twenty is poison.
- A program that ends is started again after a second, as a supervisor would do it. On Flink both streams are jobs of a
  session cluster of two task managers.
- A gap is a time in which a sink got no row. It belongs to the last fault that had begun by then, and may go on through
  later ones: most faults last for longer than the 20 seconds.
- Memory is that of the largest process of a stream, once it is half a minute old.
- The full disk needs the right to mount one; without it, this fault is left out.

It ends with 0 if no message was lost, made a wrong row, became a dead letter without being poison, is doubled in the
view, or was left in its subscription, and both streams ended well.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar
from unittest import mock

import grpc
from google.api_core.exceptions import GoogleAPIError

from pipeline import console
from pipeline.emulators.bigquery import bigquery_emulator
from pipeline.emulators.pubsub import PubsubEmulator, Subscription, pubsub_emulator
from tests.benchmarks.memory import proportional, with_children
from tests.benchmarks.soak_account import Account, BigQuerySink, FileSink, Sink, account, message, refused
from tests.benchmarks.soak_runs import Flink, Local, Runs
from tests.conftest import write_text_encoder
from tests.integration.conftest import PROJECT
from tests.integration.fault_proxy import FaultProxy
from tests.integration.grpc_proxy import GrpcProxy
from transforms.io.bigquery.storage_write import ACKNOWLEDGE_SECONDS
from transforms.io.bigquery.tables import create_table
from transforms.io.google_clients import REST_EMULATOR, STORAGE_EMULATOR, bigquery_client
from transforms.schema import DEAD_LETTER_COLUMNS, DEAD_LETTER_LAYOUT, EMBEDDING_COLUMNS, EMBEDDING_LAYOUT

T = TypeVar("T")

_DATASET = f"{PROJECT}.soak"
RUNNERS: dict[str, Any] = {"local": Local, "flink": Flink}
FAULT_EVERY_SECONDS = 20.0
# Longer than the lease of a message.
_STOPPED_SECONDS = 35.0
_REFUSED_SECONDS = 30.0
_LONG_SECONDS = ACKNOWLEDGE_SECONDS + 5
_DISK_BYTES = 512 * 2**20
_PUBLISH_SECONDS = 0.1
_LOOK_SECONDS = 0.5
_GROWN_UP_SECONDS = 30.0
# How long the streams may bring no row before what is left counts as lost, once the last fault is over.
_PATIENCE_SECONDS = 300.0


class Fault(NamedTuple):
    """A fault.

    Attributes:
        name: what the table calls it.
        target: what it strikes; two faults of one target do not overlap.
        seconds: how long it lasts.
        strike: begins when it is entered, and is over when it is left.
        in_rounds: it comes in one round of the draw out of so many.
    """

    name: str
    target: str
    seconds: float
    strike: Callable[[], AbstractContextManager[None]]
    in_rounds: int = 1


class Struck(NamedTuple):
    """A fault that came, and when."""

    name: str
    begun: float


class Report(NamedTuple):
    """What a soak found.

    Attributes:
        accounts: of each sink, by its name.
        left: the messages left in each sink's subscription.
        failures: what went wrong at the end of the streams.
        notes: what happened besides.
        faults: a line of a table for each fault: its name, how often it came, the longest gap of each sink in seconds.
        memory: the medians in megabytes of the first third of the samples and of the last.
    """

    accounts: Mapping[str, Account]
    left: Mapping[str, int]
    failures: Sequence[str]
    notes: Sequence[str]
    faults: Sequence[Sequence[object]]
    memory: tuple[float, float]

    def is_clean(self) -> bool:
        """Whether nothing was lost, refused, wrong, doubled or left, and the streams ended well."""
        left = any(self.left.values())
        return all(one.is_clean() for one in self.accounts.values()) and not left and not self.failures


class _Publisher(threading.Thread):
    """Publishes `rate` messages a second to each of the topics, until it is told that it is enough."""

    def __init__(self, server: PubsubEmulator, topics: Sequence[str], rate: float) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._topics = topics
        self._rate = rate
        self.enough = threading.Event()
        self.published = 0

    def run(self) -> None:
        begun = time.monotonic()
        while not self.enough.wait(_PUBLISH_SECONDS):
            due = int((time.monotonic() - begun) * self._rate)
            some = [message(number) for number in range(self.published, due)]
            # What is published twice has the same ids.
            with contextlib.suppress(GoogleAPIError):
                for topic in self._topics:
                    self._server.publish(topic, some)
                self.published = due


class _Watcher(threading.Thread):
    """Looks when the rows of a sink became more."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(daemon=True)
        self._sink = sink
        self.times: list[float] = []
        self.done = threading.Event()

    def run(self) -> None:
        before = 0
        while not self.done.wait(_LOOK_SECONDS):
            # While BigQuery is stopped, a query may fail.
            with contextlib.suppress(GoogleAPIError, OSError):
                if (count := self._sink.count()) > before:
                    before = count
                    self.times.append(time.monotonic())

    def longest_gaps(self, struck: Sequence[Struck]) -> dict[str, float]:
        """The longest gap of each fault."""
        longest: dict[str, float] = collections.defaultdict(float)
        for begin, end in zip(self.times, self.times[1:], strict=False):
            # The last rows may be seen a little before or after the fault.
            names = [one.name for one in struck if one.begun < min(begin + 2 * _LOOK_SECONDS, end)]
            if names:
                longest[names[-1]] = max(longest[names[-1]], end - begin)
        return longest


class _Memory(threading.Thread):
    """Samples the memory of the largest process that has been there for a while."""

    def __init__(self, runs: Runs) -> None:
        super().__init__(daemon=True)
        self._runs = runs
        self._samples: list[float] = []
        self._first_seen: dict[int, float] = {}
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(2 * _LOOK_SECONDS):
            now = time.monotonic()
            grown = [
                proportional(process) / 1e6
                for process in self._runs.processes()
                if now - self._first_seen.setdefault(process, now) > _GROWN_UP_SECONDS
            ]
            self._samples += [max(grown)] if grown else []

    def thirds(self) -> tuple[float, float]:
        """The median in megabytes of the first third of the samples, and of the last."""
        third = len(self._samples) // 3
        if not third:
            return 0.0, 0.0
        return statistics.median(self._samples[:third]), statistics.median(self._samples[-third:])


@contextlib.contextmanager
def _killed(runs: Runs) -> Iterator[None]:
    runs.kill()
    yield


@contextlib.contextmanager
def _stopped(processes: Callable[[], Sequence[int]]) -> Iterator[None]:
    found = processes()
    _send(found, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(found, signal.SIGCONT)


def _send(processes: Sequence[int], number: signal.Signals) -> None:
    """Send a signal to those of the processes that are there: a program may end by itself at any time."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


@contextlib.contextmanager
def _not_logged_in(bigquery: FaultProxy, pubsub: GrpcProxy) -> Iterator[None]:
    bigquery.fail_next(sys.maxsize, "no login")
    pubsub.code = grpc.StatusCode.UNAUTHENTICATED
    yield
    bigquery.fail_next(0, "no login")
    pubsub.code = None


@contextlib.contextmanager
def _renamed(bigquery: FaultProxy) -> Iterator[None]:
    bigquery.rename("content")
    yield
    bigquery.rename("")


@contextlib.contextmanager
def _full(disk: pathlib.Path) -> Iterator[None]:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    yield
    filler.unlink()


@contextlib.contextmanager
def _small_disk(folder: pathlib.Path) -> Iterator[bool]:
    """A disk of _DISK_BYTES at `folder`; whether it could be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def draw(faults: Sequence[Fault], seed: int) -> Iterator[Fault]:
    """Rounds of the faults, each in another order."""
    order = random.Random(seed)
    number = 0
    while True:
        chosen = [fault for fault in faults if number % fault.in_rounds == fault.in_rounds - 1]
        yield from order.sample(chosen, len(chosen))
        number += 1


def _strike_until(end: float, faults: Sequence[Fault], seed: int, every: float) -> list[Struck]:
    """Let a fault begin every so many seconds until `end`, and wait until all are over."""
    struck: list[Struck] = []
    at_work: dict[str, Future[None]] = {}
    waiting: list[Fault] = []
    coming = draw(faults, seed)

    def last(fault: Fault) -> None:
        with fault.strike():
            time.sleep(fault.seconds)

    with ThreadPoolExecutor(len(faults)) as pool:
        while time.monotonic() < end:
            begun = time.monotonic()
            while not (free := [fault for fault in waiting if not _is_at_work(at_work, fault)]):
                waiting.append(next(coming))
            fault = free[0]
            waiting.remove(fault)
            print(f"{time.strftime('%X')} {fault.name}", file=sys.stderr, flush=True)
            struck.append(Struck(fault.name, begun))
            at_work[fault.target] = pool.submit(last, fault)
            time.sleep(max(0.0, min(begun + every, end) - time.monotonic()))
    return struck


def _is_at_work(at_work: Mapping[str, "Future[None]"], fault: Fault) -> bool:
    before = at_work.get(fault.target)
    if before and before.done():
        # Raises what went wrong in it.
        before.result()
        return False
    return before is not None


@contextlib.contextmanager
def _with_processes(server: AbstractContextManager[T]) -> Iterator[tuple[T, Callable[[], Sequence[int]]]]:
    """The server at work, and what tells its processes."""
    before = with_children(os.getpid())
    with server as running:
        own = sorted(set(with_children(os.getpid())) - set(before))
        yield running, lambda: own


class _Scene(NamedTuple):
    """All that runs: the emulators, what stands before them, the sinks and their subscriptions, and the streams."""

    server: PubsubEmulator
    pubsub: GrpcProxy
    bigquery: FaultProxy
    pubsub_processes: Callable[[], Sequence[int]]
    bigquery_processes: Callable[[], Sequence[int]]
    sinks: dict[str, Sink]
    subscriptions: dict[str, Subscription]
    runs: Runs
    disk: pathlib.Path
    mounted: bool


@contextlib.contextmanager
def _scene(runner: str, logs: pathlib.Path) -> Iterator[_Scene]:
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        write_text_encoder(folder / "model")
        disk = folder / "disk"
        disk.mkdir()
        mounted = stack.enter_context(_small_disk(disk))
        server, pubsub_processes = stack.enter_context(_with_processes(pubsub_emulator()))
        emulator, bigquery_processes = stack.enter_context(_with_processes(bigquery_emulator()))
        bigquery, pubsub = FaultProxy(emulator), GrpcProxy(server.host)
        address = stack.enter_context(pubsub.running())
        stack.enter_context(bigquery.running())
        own = {REST_EMULATOR: emulator.rest, STORAGE_EMULATOR: emulator.storage}
        stack.enter_context(mock.patch.dict(os.environ, own))
        client = bigquery_client(PROJECT)
        client.create_dataset("soak")
        create_table(f"{_DATASET}.rows", EMBEDDING_COLUMNS, EMBEDDING_LAYOUT)
        create_table(f"{_DATASET}.letters", DEAD_LETTER_COLUMNS, DEAD_LETTER_LAYOUT)
        sinks: dict[str, Sink] = {
            "bigquery": BigQuerySink(client, _DATASET),
            "jsonl": FileSink(disk / "rows", disk / "letters"),
        }
        places = {"bigquery": f"{_DATASET}.", "jsonl": f"{disk}/"}
        subscriptions = {name: server.subscription(ack_deadline_seconds=10) for name in sinks}
        programs = {
            name: [
                f"--input_subscription={subscriptions[name].name}", "--input_format=json", "--id_field=id",
                f"--model={folder}/model", f"--output_format={name}", f"--output={place}rows",
                f"--dead_letters={place}letters",
            ]
            for name, place in places.items()
        }  # fmt: skip
        environment = {
            "PUBSUB_EMULATOR_HOST": address,
            REST_EMULATOR: bigquery.rest,
            STORAGE_EMULATOR: bigquery.storage,
        }
        with RUNNERS[runner](programs, environment, logs) as runs:
            yield _Scene(server, pubsub, bigquery, pubsub_processes, bigquery_processes, sinks, subscriptions, runs,
                         disk, mounted)  # fmt: skip


def _faults(scene: _Scene) -> list[Fault]:
    runs, bigquery = scene.runs, scene.bigquery_processes
    found = [
        Fault("kill -9", "program", 0, lambda: _killed(runs)),
        Fault("program stopped", "program", _STOPPED_SECONDS, lambda: _stopped(runs.processes)),
        Fault("Pub/Sub stopped", "Pub/Sub", _STOPPED_SECONDS, lambda: _stopped(scene.pubsub_processes)),
        Fault("BigQuery stopped", "BigQuery", _STOPPED_SECONDS, lambda: _stopped(bigquery)),
        Fault("BigQuery stopped for long", "BigQuery", _LONG_SECONDS, lambda: _stopped(bigquery), in_rounds=3),
        Fault("401", "login", _REFUSED_SECONDS, lambda: _not_logged_in(scene.bigquery, scene.pubsub)),
        Fault("column renamed", "table", _REFUSED_SECONDS, lambda: _renamed(scene.bigquery)),
    ]
    full = Fault("disk full", "disk", _REFUSED_SECONDS, lambda: _full(scene.disk))
    return [*found, full] if scene.mounted else found


def soak(
    minutes: float, runner: str, rate: float, seed: int, logs: pathlib.Path, every: float = FAULT_EVERY_SECONDS
) -> Report:
    """Run it for so many minutes, with a fault every so many seconds, and account for what came of it."""
    logs.mkdir(parents=True, exist_ok=True)
    with _scene(runner, logs) as scene:
        topics = [subscription.topic for subscription in scene.subscriptions.values()]
        publisher, memory = _Publisher(scene.server, topics, rate), _Memory(scene.runs)
        watchers = {name: _Watcher(sink) for name, sink in scene.sinks.items()}
        for started in (publisher, memory, *watchers.values()):
            started.start()
        _wait_for(lambda: all(watcher.times for watcher in watchers.values()))
        struck = _strike_until(time.monotonic() + 60 * minutes, _faults(scene), seed, every)
        publisher.enough.set()
        publisher.join()
        _wait_until_done(scene.sinks.values(), publisher.published)
        watching: list[_Memory | _Watcher] = [memory, *watchers.values()]
        for thread in watching:
            thread.done.set()
            thread.join()
        notes = scene.runs.notes() + ([] if scene.mounted else ["no disk could be mounted, so none was full"])
        notes += [
            f"{name} refused {letter}" for name, sink in scene.sinks.items() for letter in refused(sink.letters())
        ]
        failures = scene.runs.finish()
        # What a stream held comes again once its lease has ended.
        time.sleep(_STOPPED_SECONDS)
        gaps = {name: watcher.longest_gaps(struck) for name, watcher in watchers.items()}
        return Report(
            accounts={name: _account(sink, publisher.published) for name, sink in scene.sinks.items()},
            left={name: scene.server.left(one.name) for name, one in scene.subscriptions.items()},
            failures=failures,
            notes=notes,
            faults=[
                [name, count, *(round(gaps[sink][name], 1) for sink in gaps)]
                for name, count in sorted(collections.Counter(one.name for one in struck).items())
            ],
            memory=memory.thirds(),
        )


def _account(sink: Sink, messages: int) -> Account:
    return account(messages, sink.rows(), sink.letters())


def _wait_for(condition: Callable[[], bool]) -> None:
    """Until it is true, or for _PATIENCE_SECONDS."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while not condition() and time.monotonic() < until:
        time.sleep(4 * _LOOK_SECONDS)


def _wait_until_done(sinks: Collection[Sink], messages: int) -> None:
    """Until nothing is lost of the messages, or no sink has got a row for _PATIENCE_SECONDS."""
    before = -1
    while (rows := sum(sink.count() for sink in sinks)) > before:
        before = rows
        _wait_for(lambda: not any(_account(sink, messages).lost for sink in sinks))


def _print(report: Report) -> None:
    print("| sink | " + " | ".join(Account._fields) + " | left |")
    print("| --- |" + " --- |" * (len(Account._fields) + 1))
    for name, found in report.accounts.items():
        print(f"| {name} | " + " | ".join(f"{count:,}" for count in found) + f" | {report.left[name]} |")
    print("\n| fault | times |" + "".join(f" longest gap of {name}, s |" for name in report.accounts))
    print("| --- | --- |" + " --- |" * len(report.accounts))
    for line in report.faults:
        print("| " + " | ".join(map(str, line)) + " |")
    print("\nmemory: median of {:.0f} MB in the first third, {:.0f} MB in the last".format(*report.memory))
    print("\n".join([*report.notes, *report.failures]))


def _parser() -> argparse.ArgumentParser:
    """Its options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--runner", choices=RUNNERS, default="local")
    parser.add_argument("--rate", type=float, default=100.0, help="Messages a second.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the order of the faults.")
    parser.add_argument(
        "--logs", type=pathlib.Path, default=pathlib.Path("out/soak"), help="Folder of the programs' logs."
    )
    return parser


def main() -> int:
    """Print the report. Returns 0 if it is clean, else 1."""
    # Whoever ends it by SIGTERM finds its servers gone too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console.prepare()
    report = soak(**vars(_parser().parse_args()))
    _print(report)
    return 0 if report.is_clean() else 1


if __name__ == "__main__":
    sys.exit(main())
