"""A reader of the current rows while a stream of edits is killed and files are compacted: one version a message, whole.

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
from collections.abc import Iterator, Mapping

import pytest

from pipeline import compact
from pipeline.current import current_rows
from pipeline.emulators.pubsub import PubsubEmulator, Subscription
from tests.conftest import ROOT, as_arguments
from tests.integration.test_stream import wait_for

SECONDS = float(os.environ.get("SECONDS", "20"))
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


def shown(pattern: str) -> State:
    """What a reader sees, which must be whole: of each message, all sentences of one version, and each once."""
    rows = collections.defaultdict(list)
    # Before the first rows, there are no files.
    with contextlib.suppress(ValueError):
        for row in current_rows(pattern).select(["message_id", "content"]).to_pylist():
            match = _CONTENT.fullmatch(row["content"])
            assert match
            rows[row["message_id"]].append(tuple(map(int, match.groups())))
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
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nor an older one after a newer; in the end it sees the last of each."""
    subscription = pubsub_server.subscription(ack_deadline_seconds=10)
    prefix, pattern = tmp_path / "out" / "rows", f"{tmp_path}/out/rows*.parquet"
    options = {
        "input_subscription": subscription.name,
        "input_format": "json",
        "id_attribute": "key",
        "version_attribute": "version",
        "delete_attribute": "gone",
        "model": text_encoder,
        "output": prefix,
        "output_format": "parquet",
    }
    command = [sys.executable, "-m", "pipeline", *as_arguments(options)]
    editor = _Editor(pubsub_server, subscription)
    newest: dict[str, int] = {}
    looks = 0

    def look() -> State:
        nonlocal looks
        state, looks = shown(pattern), looks + 1
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
            files = len(list(prefix.parent.glob("rows*")))
            assert compact.main([f"--input={pattern}", f"--output={prefix}", "--replace"]) == 0
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
        print(f"\n{looks} looks at {editor.count} versions, killed twice; {files} files before the last compaction")
