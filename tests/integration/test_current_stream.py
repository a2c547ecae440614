"""A reader of the current rows while a stream of edits is killed and what is retired is removed: one version a message.

SECONDS=60 python -m pytest tests/integration/test_current_stream.py -n 0 -s
"""

import collections
import contextlib
import itertools
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import pytest
from google.cloud import bigquery

from pipeline import compact
from pipeline.current import current_rows
from pipeline.emulators.pubsub import PubsubEmulator, Subscription
from tests.conftest import ROOT, as_arguments
from tests.integration.test_sql import for_emulator, shipped
from tests.integration.test_stream import wait_for

SECONDS = float(os.environ.get("SECONDS", "9"))
MESSAGES = 12
RATE = 30
_CONTENT = re.compile(r"Edit (\d+) has sentence (\d+) of (\d+)\.")

# The version that is shown of a message, and how many sentences it has.
State = Mapping[str, tuple[int, int]]


class _Editor(threading.Thread):
    """Publishes RATE versions a second of a few messages: of up to four sentences, blank, or deletions."""

    def __init__(self, server: PubsubEmulator, subscription: Subscription) -> None:
        super().__init__(daemon=True)
        self._server, self._topic = server, subscription.topic
        self.last: dict[str, tuple[int, int]] = {}
        self.count, self.enough = 0, threading.Event()

    def run(self) -> None:
        draw = random.Random(0)
        for number in itertools.count(1):
            key, sentences = f"m{draw.randrange(MESSAGES)}", draw.randint(0, 4)
            text = " ".join(f"Edit {number} has sentence {index} of {sentences}." for index in range(sentences))
            payload, attributes = json.dumps({"text": text}), {"key": key, "version": str(number)}
            if not sentences and number % 2:
                payload, attributes["gone"] = "{}", "true"
            self._server.publish(self._topic, [payload.encode()], **attributes)
            self.last[key], self.count = (number, sentences), number
            if self.enough.wait(1 / RATE):
                return


class Sink(Protocol):
    """Where the rows are."""

    options: dict[str, Any]

    def current(self) -> Iterable[tuple[str, str]]:
        """The message_id and content of each current row."""

    def remove_retired(self) -> None:
        """Remove what is not current, while the stream runs."""


class Files(Sink):
    """Parquet files with their journal."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._prefix, self._pattern = folder / "rows", f"{folder}/rows*.parquet"
        self.options = {"output": self._prefix, "output_format": "parquet"}

    def current(self) -> Iterable[tuple[str, str]]:
        """See Sink."""
        # Before the first rows, there are no files.
        with contextlib.suppress(ValueError):
            for row in current_rows(self._pattern).select(["message_id", "content"]).to_pylist():
                yield row["message_id"], row["content"]

    def remove_retired(self) -> None:
        """Write the current rows anew, and remove the files that had them."""
        assert compact.main([f"--input={self._pattern}", f"--output={self._prefix}", "--replace"]) == 0


class Tables(Sink):
    """A table with its journal and view, as the shipped statements make them."""

    def __init__(self, client: bigquery.Client, dataset: str) -> None:
        self._client, self._dataset = client, dataset
        self.options = {"output": f"{dataset}.embeddings", "output_format": "bigquery"}
        for file in ("embeddings.sql", "journal.sql", "current_embeddings.sql"):
            client.query(for_emulator(shipped(file, dataset))).result()

    def current(self) -> Iterable[tuple[str, str]]:
        """See Sink."""
        found = self._client.query(f"SELECT message_id, content FROM `{self._dataset}.current_embeddings`").result()
        return [tuple(row) for row in found]

    def remove_retired(self) -> None:
        """Delete what is retired."""
        sql = shipped("delete_retired.sql", self._dataset)
        # Nothing of this test is as old as what a schedule removes.
        sql = sql.replace("INTERVAL 2 HOUR", "INTERVAL 0 HOUR").replace("INTERVAL 7 DAY", "INTERVAL 0 HOUR")
        for statement in sql.split(";\n")[:2]:
            self._client.query(statement).result()


@pytest.fixture(params=["files", "tables"])
def sink(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Sink:
    """Files, and tables of the BigQuery emulator."""
    if request.param == "files":
        return Files(tmp_path / "out")
    return Tables(request.getfixturevalue("client"), request.getfixturevalue("dataset"))


def shown(sink: Sink) -> State:
    """What a reader sees, which must be whole: of each message, all sentences of one version, and each once."""
    rows = collections.defaultdict(list)
    for message_id, content in sink.current():
        match = _CONTENT.fullmatch(content)
        assert match
        rows[message_id].append(tuple(map(int, match.groups())))
    found = {}
    for message, sentences in rows.items():
        ((version, count),) = {(version, count) for version, _, count in sentences}
        assert sorted(index for _, index, _ in sentences) == list(range(count)), sentences
        found[message] = version, count
    return found


@contextlib.contextmanager
def running(command: list[str]) -> "Iterator[subprocess.Popen[bytes]]":
    """The program, in any case gone at the end."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.subprocess
def test_a_reader_never_sees_two_versions_of_a_message_nor_half_of_one(
    pubsub_server: PubsubEmulator,
    text_encoder: pathlib.Path,
    sink: Sink,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nor an older one after a newer; in the end it sees the last of each."""
    subscription = pubsub_server.subscription(ack_deadline_seconds=10)
    options = {
        "input_subscription": subscription.name,
        "input_format": "json",
        "id_attribute": "key",
        "version_attribute": "version",
        "delete_attribute": "gone",
        "model": text_encoder,
        **sink.options,
    }
    command = [sys.executable, "-m", "pipeline", *as_arguments(options)]
    editor = _Editor(pubsub_server, subscription)
    newest: dict[str, int] = {}
    looks = 0

    def look() -> State:
        nonlocal looks
        state, looks = shown(sink), looks + 1
        for message, (version, _) in state.items():
            assert version >= newest.get(message, 0)
            newest[message] = version
        return state

    def has_changed() -> bool:
        return look() != before

    def is_done() -> bool:
        return look() == {key: last for key, last in editor.last.items() if last[1]}

    for kill in (True, True, False):
        before = look()
        with running(command) as process:
            if not editor.is_alive():
                editor.start()
            wait_for(has_changed)
            until = time.monotonic() + SECONDS / 3
            while time.monotonic() < until:
                look()
            sink.remove_retired()
            assert process.poll() is None
            if kill:
                continue
            editor.enough.set()
            editor.join()
            wait_for(is_done)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    assert is_done()
    with capsys.disabled():
        print(f"\n{looks} looks at {editor.count} versions, killed twice")
