"""A stream on a Flink cluster of two task managers, each with a reader, while its processes are killed.

MESSAGES=5000 RATE=50 python -m pytest tests/integration/test_flink_kills.py -n 0 -s   # with the longest gap
"""

import contextlib
import os
import pathlib
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest
from google.cloud import bigquery

from pipeline.emulators.pubsub import PubsubEmulator, Subscription
from pipeline.runners import RunnerMissingError
from pipeline.runners.flink import Cluster, cluster, job_server, task_manager, worker_pool
from tests.integration.conftest import not_tested
from tests.integration.test_flink_cluster import jobs
from tests.integration.test_runners import program
from tests.integration.test_stream import SECONDS, messages_in, query, wait_for
from tests.sql import newest_rows_view

MESSAGES = int(os.environ.get("MESSAGES", "600"))
RATE = float(os.environ.get("RATE", "15"))
pytestmark = [pytest.mark.slow, pytest.mark.runner, pytest.mark.emulator, pytest.mark.subprocess]


class _Publisher(threading.Thread):
    """Publishes RATE messages a second; one in twenty is poison."""

    def __init__(self, server: PubsubEmulator, subscription: Subscription) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._topic = subscription.topic
        self.published = 0

    def run(self) -> None:
        begun = time.monotonic()
        for number in range(MESSAGES):
            time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
            text = f'{{"text": "Message number {number}. It has two sentences."}}'
            self._server.publish(self._topic, [text[: 9 if number % 20 == 7 else None].encode()], key=str(number))
            self.published += 1

    def wait(self, share: float) -> None:
        """Until so many of the messages are published."""
        wait_for(lambda: self.published >= share * MESSAGES, 2 * MESSAGES / RATE)


class _Gaps(threading.Thread):
    """Looks for the longest time in which no message's rows came."""

    def __init__(self, client: bigquery.Client, table: str) -> None:
        super().__init__(daemon=True)
        self._client, self._table = client, table
        self.longest, self.done = 0.0, threading.Event()

    def run(self) -> None:
        count, since = 0, time.monotonic()
        while not self.done.wait(0.5):
            now = next(iter(query(self._client, f"SELECT COUNT(*) FROM `{self._table}`")))[0]
            if count:
                self.longest = max(self.longest, time.monotonic() - since)
            if now != count:
                count, since = now, time.monotonic()


@pytest.fixture
def two_task_managers() -> Iterator[Cluster]:
    """A cluster of two task managers of one slot."""
    try:
        with cluster(2) as running:
            yield running
    except RunnerMissingError as error:
        not_tested(error)


def _worker_processes() -> list[int]:
    """The Python workers that the pool has started."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if b"SdkHarness(" in path.read_bytes():
                found.append(int(path.parent.name))
    return sorted(found)


def test_kills_lose_nothing(
    two_task_managers: Cluster,
    pubsub_server: PubsubEmulator,
    dataset: str,
    client: bigquery.Client,
    text_encoder: pathlib.Path,
) -> None:
    """Each task manager and a worker are killed: all is written and acknowledged, and the view shows it once."""
    subscription = pubsub_server.subscription()
    publisher, gaps = _Publisher(pubsub_server, subscription), _Gaps(client, f"{dataset}.rows")
    good = {str(number) for number in range(MESSAGES) if number % 20 != 7}
    with (
        job_server(two_task_managers.rest) as endpoint,
        worker_pool() as workers,
        contextlib.ExitStack() as restarted,
    ):
        with program(
            f"--input_subscription={subscription.name}", "--input_format=json", f"--model={text_encoder}",
            "--id_attribute=key", "--output_format=bigquery", f"--output={dataset}.rows",
            f"--dead_letters={dataset}.letters", "--runner=PortableRunner", f"--job_endpoint={endpoint}",
            "--environment_type=EXTERNAL", f"--environment_config={workers}", "--parallelism=2", "--readers=2",
            "--checkpointing_interval=1000", "--max_bundle_time_mills=50", "--wait=false",
        ) as process:  # fmt: skip
            _, errors = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, errors
        publisher.start()
        wait_for(lambda: bool(messages_in(client, f"{dataset}.rows")))
        gaps.start()
        for number, killed in enumerate(two_task_managers.task_managers, 1):
            publisher.wait(number / 4)
            killed.send_signal(signal.SIGKILL)
            restarted.enter_context(task_manager(two_task_managers.folder))
        publisher.wait(3 / 4)
        wait_for(lambda: bool(_worker_processes()))
        os.kill(_worker_processes()[-1], signal.SIGKILL)
        publisher.join(2 * MESSAGES / RATE)
        wait_for(lambda: messages_in(client, f"{dataset}.rows") == good, 2 * SECONDS)
        wait_for(lambda: len(query(client, f"SELECT DISTINCT id FROM `{dataset}.letters`")) == MESSAGES - len(good))
        gaps.done.set()
        wait_for(lambda: pubsub_server.left(subscription.name) == 0)
        for job in jobs(two_task_managers.rest):
            url = f"http://{two_task_managers.rest}/jobs/{job}?mode=cancel"
            urllib.request.urlopen(urllib.request.Request(url, method="PATCH")).close()
    query(client, newest_rows_view(f"{dataset}.newest", f"{dataset}.rows"))
    found = query(client, f"SELECT message_id, sentence_index, content FROM `{dataset}.newest`")
    assert len(found) == len({(row.message_id, row.sentence_index) for row in found}) == 2 * len(good)
    assert all(row.content in (f"Message number {row.message_id}.", "It has two sentences.") for row in found)
    doubled = next(iter(query(client, f"SELECT COUNT(*) FROM `{dataset}.rows`")))[0] - len(found)
    print(f"{MESSAGES} messages at {RATE:g} a second: the longest gap {gaps.longest:.1f} s, {doubled} rows twice")
