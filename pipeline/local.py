"""`python -m pipeline.local`: the stream on one machine, from Google's Pub/Sub emulator to a BigQuery emulator.

It starts both, publishes messages at a chosen rate, runs `python -m pipeline` on them, and prints what arrives and how
long that took, until it is stopped.
"""

import collections
import contextlib
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.arguments import Parser
from pipeline.emulators import EmulatorMissingError
from pipeline.emulators.bigquery import bigquery_emulator
from pipeline.emulators.pubsub import PubsubEmulator, Subscription, pubsub_emulator
from transforms.encoder.catalogue import find_model
from transforms.io.google_clients import REST_EMULATOR, STORAGE_EMULATOR, bigquery_client

_PROJECT = "local-project"
_ROWS = f"{_PROJECT}.local.rows"
_TICK_SECONDS = 0.1
_REPORT_SECONDS = 5.0
_EXAMPLES = pathlib.Path("examples/messages.jsonl")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the harness. Returns 0 if every message arrived, 1 if not, 2 if it was refused."""
    parser = Parser("pipeline.local", (__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", default=str(_EXAMPLES), metavar="FILE", help="JSONL records with a field text.")
    parser.add_argument("--rate", type=float, default=10.0, help="Messages per second. [10]")
    parser.add_argument("--count", type=int, default=0, help="Stop after this many messages; 0 for no limit.")
    parser.add_argument("--model", default="minilm", help="Model, as in `python -m pipeline`. [minilm]")
    parser.add_argument("--preprocessor", default="", help="Preprocessor, as in `python -m pipeline`.")
    arguments, more = parser.parse_known_args(argv)
    more += [f"--model={arguments.model}", f"--preprocessor={arguments.preprocessor}"]
    try:
        texts = _texts(pathlib.Path(arguments.messages))
        # Whether http is allowed is among the options of the pipeline.
        find_model(arguments.model, arguments.preprocessor, allow_http=True)
        with pubsub_emulator() as pubsub, bigquery_emulator() as bigquery:
            os.environ |= {REST_EMULATOR: bigquery.rest, STORAGE_EMULATOR: bigquery.storage}
            bigquery_client(_PROJECT).create_dataset(f"{_PROJECT}.local")
            subscription = pubsub.subscription()
            print(f"Pub/Sub on {pubsub.host}, BigQuery on {bigquery.rest}, rows in {_ROWS}", flush=True)
            with _pipeline(subscription, more) as process:
                return _run(pubsub, subscription, texts, arguments.rate, arguments.count, process)
    except (EmulatorMissingError, ValueError) as error:
        print(f"python -m pipeline.local: {error}", file=sys.stderr)
        return 2


def _texts(path: pathlib.Path) -> list[str]:
    if not path.exists():
        raise ValueError(f"expected --messages to be a JSONL file, {path} is not there; run it from a clone")
    try:
        with path.open(encoding="utf-8") as lines:
            return [json.loads(line)["text"] for line in lines]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"expected --messages to be JSONL records with a field text, got {path}: {error!r}") from error


@contextlib.contextmanager
def _pipeline(subscription: Subscription, more: Sequence[str]) -> "Iterator[subprocess.Popen[bytes]]":
    """`python -m pipeline` on the subscription, stopped as a user would stop it."""
    command = [sys.executable, "-m", "pipeline", f"--input_subscription={subscription.name}", "--input_format=json"]
    command += ["--id_field=id", f"--output={_ROWS}", "--output_format=bigquery", *more]
    # In its own process group, an interrupt of the harness does not stop it before what was published has arrived.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


class _Arrivals:
    """When each message was published, and how long after that its rows could be queried."""

    def __init__(self) -> None:
        self.published: dict[str, float] = {}
        self.waited: dict[str, float] = {}
        self._missing: collections.deque[str] = collections.deque()
        self._client = bigquery_client(_PROJECT)

    def publish(self, names: Sequence[str]) -> None:
        """Record that these messages were published now. Their names sort by time."""
        self.published |= dict.fromkeys(names, time.time())
        self._missing.extend(names)

    def look(self) -> None:
        """Record which messages arrived since the last look."""
        while self._missing and self._missing[0] in self.waited:
            self._missing.popleft()
        if not self._missing:
            return
        sql = f"SELECT DISTINCT message_id FROM `{_ROWS}` WHERE message_id >= '{self._missing[0]}'"
        rows = self._client.query(sql).result()
        now = time.time()
        for row in rows:
            self.waited.setdefault(row.message_id, now - self.published[row.message_id])

    def report(self) -> str:
        """One line: how many arrived, and percentiles of how long that took."""
        line = f"{len(self.published):,} published, {len(self.waited):,} arrived"
        if self.waited:
            half, most = np.percentile(list(self.waited.values()), [50, 99])
            line += f"; from publishing to queryable p50 {half:.2f} s, p99 {most:.2f} s"
        return line


def _run(
    pubsub: PubsubEmulator,
    subscription: Subscription,
    texts: Sequence[str],
    rate: float,
    count: int,
    process: "subprocess.Popen[bytes]",
) -> int:
    if not _is_ready(pubsub, subscription, process):
        # The program has said why it ended.
        return process.wait()
    stopped = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: stopped.set())
    # This also ends the emulators and the program, which run in process groups of their own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        arrivals = _Arrivals()
        start = reported = time.time()
        numbers = itertools.count()
        while not stopped.is_set() and process.poll() is None:
            due = int((time.time() - start) * rate) - len(arrivals.published)
            if count:
                due = min(due, count - len(arrivals.published))
            batch = {
                f"local-{number:09}": texts[number % len(texts)] for number in itertools.islice(numbers, max(due, 0))
            }
            payloads = [json.dumps({"id": name, "text": text}).encode() for name, text in batch.items()]
            arrivals.publish(list(batch))
            pubsub.publish(subscription.topic, payloads)
            arrivals.look()
            if time.time() - reported > _REPORT_SECONDS:
                reported = time.time()
                print(arrivals.report(), flush=True)
            if count and len(arrivals.waited) >= count:
                break
            stopped.wait(_TICK_SECONDS)
        _wait_for_rest(arrivals, process)
        print(arrivals.report(), flush=True)
        return 0 if len(arrivals.waited) == len(arrivals.published) else 1
    finally:
        signal.signal(signal.SIGINT, before)


def _is_ready(
    pubsub: PubsubEmulator, subscription: Subscription, process: "subprocess.Popen[bytes]", seconds: float = 120
) -> bool:
    """Wait until a first message has come through, so that no later one waits for the model to load.

    False if the program has ended instead.

    Raises:
        ValueError: if no message has come through after `seconds`.
    """
    from google.api_core.exceptions import NotFound

    pubsub.publish(subscription.topic, [json.dumps({"id": "first", "text": "Ready."}).encode()])
    until = time.time() + seconds
    while time.time() < until and process.poll() is None:
        with contextlib.suppress(NotFound):
            if list(bigquery_client(_PROJECT).query(f"SELECT id FROM `{_ROWS}`").result()):
                print("ready: a first message has arrived, which only the summary at the end counts", flush=True)
                return True
        time.sleep(_TICK_SECONDS)
    if process.poll() is not None:
        return False
    raise ValueError(
        f"expected the pipeline to write a first row in {seconds:.0f} s, it wrote none; try a smaller --model"
    )


def _wait_for_rest(arrivals: _Arrivals, process: "subprocess.Popen[bytes]", seconds: float = 30) -> None:
    until = time.time() + seconds
    while len(arrivals.waited) < len(arrivals.published) and time.time() < until and process.poll() is None:
        time.sleep(_TICK_SECONDS)
        arrivals.look()


if __name__ == "__main__":
    sys.exit(main())
