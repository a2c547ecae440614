"""The whole stream, from the Pub/Sub emulator to a BigQuery emulator: nothing lost, nothing doubled for a reader."""

import collections
import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.cloud import bigquery

from pipeline.__main__ import main
from pipeline.emulators.pubsub import PubsubEmulator, Subscription
from tests.conftest import ROOT, as_arguments
from tests.integration.fault_proxy import FaultProxy
from tests.sql import newest_rows_view
from transforms.io.bigquery.write import METHODS
from transforms.io.pubsub import read as pubsub

SECONDS = 120


def arguments(subscription: Subscription, dataset: str, model: pathlib.Path, **options: Any) -> list[str]:
    """The program's arguments for a stream into dataset.rows and dataset.letters, `options` adding some."""
    chosen = {
        "input_subscription": subscription.name,
        "input_format": "json",
        "model": model,
        "output": f"{dataset}.rows",
        "output_format": "bigquery",
        "dead_letters": f"{dataset}.letters",
        **options,
    }
    return as_arguments(chosen)


@contextlib.contextmanager
def streaming(run: list[str]) -> Iterator[None]:
    """The program at work in a thread; at the end it is stopped, and must have ended well."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(run)))
    thread.start()
    try:
        yield
    finally:
        pubsub.stop()
        thread.join(SECONDS)
    assert codes == [0]


def wait_for(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Until `condition` is true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "expected the stream to get there"
        time.sleep(0.2)


def query(client: bigquery.Client, sql: str) -> list[Any]:
    """The rows of a statement."""
    return list(client.query(sql).result())


def messages_in(client: bigquery.Client, table: str) -> set[str]:
    """The ids of the messages that have rows."""
    return {row.message_id for row in query(client, f"SELECT DISTINCT message_id FROM `{table}`")}


def payloads(count: int, text: str = "Message number {0}. It has two sentences.") -> list[bytes]:
    """Messages with ids 0 to count - 1."""
    return [json.dumps({"text": text.format(i)}).encode() for i in range(count)]


def publish(server: PubsubEmulator, subscription: Subscription, messages: list[bytes], first: int = 0) -> None:
    """Publish with an attribute key: the message's number, from `first` on."""
    for number, payload in enumerate(messages, first):
        server.publish(subscription.topic, [payload], key=str(number))


POISON = [
    b'{"text": "bad \xff\xfe UTF-8"}',
    b'{"text": "cut',
    b'{"body": "no text"}',
    b'{"text": "a raw \x00 NUL"}',
    b'{"text": ' + b"[" * 100_000,
    b'{"text": "raise the model"}',
    b'{"text": "' + b"x" * 9_000_000 + b'"}',
]


def test_poison_is_kept_whole_and_stops_nothing(
    pubsub_server: PubsubEmulator, dataset: str, client: bigquery.Client, text_encoder: pathlib.Path
) -> None:
    """One message in twenty is poison of some kind: all of it is in the error records, all else is embedded."""
    subscription = pubsub_server.subscription()
    messages = payloads(20 * len(POISON))
    for kind, payload in enumerate(POISON):
        messages[20 * kind + 7] = payload
    publish(pubsub_server, subscription, messages)
    good = {str(number) for number in range(len(messages)) if number % 20 != 7}

    def done() -> bool:
        return messages_in(client, f"{dataset}.rows") >= good and len(letters()) == len(POISON)

    def letters() -> dict[str, bytes]:
        parts: dict[str, dict[int, bytes]] = collections.defaultdict(dict)
        stages = {}
        for row in query(client, f"SELECT * FROM `{dataset}.letters`"):
            data = row.payload_bytes if row.payload_string is None else row.payload_string.encode()
            parts[row.id][row.part] = data
            stages[row.id] = (row.stage, row.parts)
        whole = {key: b"".join(found[part] for part in sorted(found)) for key, found in parts.items()}
        return {key: data for key, data in whole.items() if len(parts[key]) == stages[key][1]}

    with streaming(arguments(subscription, dataset, text_encoder, id_attribute="key")):
        wait_for(done)
    assert messages_in(client, f"{dataset}.rows") == good
    payloads_kept = sorted(letters().values(), key=len)
    parsed = sorted((poison for poison in POISON if b"raise" not in poison), key=len)
    assert [kept for kept in payloads_kept if b"sentence_index" not in kept] == parsed
    assert [json.loads(kept)["content"] for kept in payloads_kept if b"sentence_index" in kept] == ["raise the model"]


def test_a_message_published_three_times_is_one_row_an_id_in_the_view(
    pubsub_server: PubsubEmulator, dataset: str, client: bigquery.Client, text_encoder: pathlib.Path
) -> None:
    """An id attribute makes copies the same message: three times the rows, and the view shows each once."""
    subscription = pubsub_server.subscription()
    with streaming(arguments(subscription, dataset, text_encoder, id_attribute="key")):
        for _ in range(3):
            publish(pubsub_server, subscription, payloads(20))
        wait_for(lambda: query(client, f"SELECT COUNT(*) AS n FROM `{dataset}.rows`")[0].n == 3 * 2 * 20)
    client.query(newest_rows_view(f"{dataset}.newest", f"{dataset}.rows")).result()
    (seen,) = query(client, f"SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids FROM `{dataset}.newest`")
    assert (seen.n, seen.ids) == (40, 40)


def test_a_stream_goes_through_a_function_of_the_users_own(
    pubsub_server: PubsubEmulator,
    dataset: str,
    client: bigquery.Client,
    text_encoder: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """Which sees the attributes; what it leaves out is acknowledged, too, and what it fails on is a dead letter."""
    udf = tmp_path / "udf.py"
    udf.write_text(
        "def halves(message):\n"
        "    number = int(message['key'])\n"
        "    return None if number % 2 else [{**message, 'text': t} for t in message['parts'][: 4 // number]]\n"
    )
    subscription = pubsub_server.subscription()
    options = {"id_attribute": "key", "udf": udf, "udf_function": "halves"}
    publish(pubsub_server, subscription, [b'{"parts": ["One.", "Two."]}'] * 5)
    with streaming(arguments(subscription, dataset, text_encoder, **options)):
        wait_for(lambda: messages_in(client, f"{dataset}.rows") >= {"2#0", "2#1", "4#0"})
        wait_for(lambda: len(query(client, f"SELECT id FROM `{dataset}.letters`")) == 1)
    assert messages_in(client, f"{dataset}.rows") == {"2#0", "2#1", "4#0"}
    assert pubsub_server.left(subscription.name) == 0


def test_a_stream_fills_own_columns_and_says_how_long_rows_took(
    pubsub_server: PubsubEmulator,
    dataset: str,
    client: bigquery.Client,
    text_encoder: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From attributes and fields; a value of another type is a dead letter, and the rest goes on."""
    subscription = pubsub_server.subscription()
    texts = [json.dumps({"text": "One. Two.", "shop": {"stars": stars}}).encode() for stars in (1, "none", None)]
    publish(pubsub_server, subscription, texts)
    options = {"columns": "number:INT64=key,stars:INT64=shop.stars", "metadata_fields": "", "output": f"{dataset}.own"}
    with streaming(arguments(subscription, dataset, text_encoder, **options)):
        wait_for(lambda: {row.table_id for row in client.list_tables(dataset)} >= {"own"})
        wait_for(lambda: len(query(client, f"SELECT id FROM `{dataset}.own`")) == 4)
        wait_for(lambda: len(query(client, f"SELECT id FROM `{dataset}.letters`")) == 1)
    rows = query(client, f"SELECT DISTINCT number, stars, ARRAY_LENGTH(metadata) AS kept FROM `{dataset}.own`")
    assert sorted(tuple(row.values()) for row in rows) == [(0, 1, 0), (2, None, 0)]
    (lag,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("lag ")]
    seconds = r"[0-9.]+ s"
    assert re.fullmatch(f"lag +min {seconds}, mean {seconds}, max {seconds} from .* over 2 messages", lag)


@pytest.mark.slow
def test_killed_three_times_the_stream_loses_nothing(
    pubsub_server: PubsubEmulator,
    dataset: str,
    client: bigquery.Client,
    text_encoder: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Kill -9 in the middle and a new start, three times: no row is missing, and the view has no double."""
    subscription = pubsub_server.subscription(ack_deadline_seconds=10)
    run = [sys.executable, "-m", "pipeline", *arguments(subscription, dataset, text_encoder, id_attribute="key")]
    published = itertools.count()
    enough = threading.Event()

    def publish_until_enough() -> None:
        while not enough.wait(0.05):
            publish(pubsub_server, subscription, payloads(1), next(published))

    def run_until(messages: int, end: signal.Signals) -> None:
        process = subprocess.Popen(run, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: len(messages_in(client, f"{dataset}.rows")) >= messages)
        finally:
            process.send_signal(end)
            code = process.wait(SECONDS)
        assert code == (0 if end == signal.SIGTERM else -end)

    # There is always more to come when the program is killed.
    publisher = threading.Thread(target=publish_until_enough)
    publisher.start()
    try:
        for _ in range(3):
            run_until(len(messages_in(client, f"{dataset}.rows")) + 100, signal.SIGKILL)
    finally:
        enough.set()
        publisher.join()
    count = next(published)
    run_until(count, signal.SIGTERM)
    client.query(newest_rows_view(f"{dataset}.newest", f"{dataset}.rows")).result()
    (raw,) = query(client, f"SELECT COUNT(*) AS n FROM `{dataset}.rows`")
    (seen,) = query(client, f"SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids FROM `{dataset}.newest`")
    with capsys.disabled():
        print(f"\nkilled three times over {2 * count} rows: {raw.n - seen.n} raw doubles, {seen.n} in the view")
    assert (seen.n, seen.ids) == (2 * count, 2 * count)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_an_outage_in_the_middle_loses_nothing(
    method: str,
    pubsub_server: PubsubEmulator,
    dataset: str,
    client: bigquery.Client,
    proxy: FaultProxy,
    text_encoder: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """503, 429 and quota errors, a cut connection and a refused row: the ids are those of a batch run over the same."""
    subscription = pubsub_server.subscription()
    messages = payloads(120)
    messages[60] = b'{"text": "This row is refused."}'
    lines = [json.dumps({**json.loads(m), "key": str(i)}) for i, m in enumerate(messages)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    batch = [f"--input={tmp_path}/in.jsonl", "--input_format=jsonl", "--id_field=key", f"--model={text_encoder}"]
    assert main([*batch, f"--output={tmp_path}/out/rows", "--output_format=jsonl"]) == 0
    (path,) = (tmp_path / "out").glob("*.jsonl")
    expected = {row["id"]: row["content"] for row in map(json.loads, path.read_text().splitlines())}
    refused = {key for key, content in expected.items() if content == "This row is refused."}
    proxy.refuse("This row is refused.")

    def done() -> bool:
        found = {row.id for row in query(client, f"SELECT id FROM `{dataset}.rows`")}
        return found == set(expected) - refused

    run = arguments(subscription, dataset, text_encoder, id_attribute="key", bigquery_write_method=method)
    with streaming(run):
        publish(pubsub_server, subscription, messages[:40])
        for start, fault in ((40, "unavailable"), (60, "rate"), (80, "quota")):
            failed = proxy.failed
            proxy.fail_next(3, fault)
            publish(pubsub_server, subscription, messages[start : start + 20], start)
            wait_for(lambda failed=failed: proxy.failed > failed)  # type: ignore[misc]
        proxy.cut()
        publish(pubsub_server, subscription, messages[100:], 100)
        wait_for(done)
    (letter,) = query(client, f"SELECT * FROM `{dataset}.letters`")
    assert json.loads(letter.payload_string)["id"] in refused
    assert pubsub_server.left(subscription.name) == 0


def test_a_new_version_is_taken_up_in_mid_stream_and_a_broken_one_is_not(
    pubsub_server: PubsubEmulator,
    dataset: str,
    client: bigquery.Client,
    tiny_bert: pathlib.Path,
    other_tiny_bert: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """Rows of both good versions, no gap between them, and no message whose sentences are of two."""
    subscription = pubsub_server.subscription()
    versions = tmp_path / "model"
    shutil.copytree(tiny_bert, versions / "1")
    numbers = iter(range(100_000))

    def published_until(condition: Callable[[], bool]) -> None:
        def tick() -> bool:
            number = next(numbers)
            pubsub_server.publish(subscription.topic, [payloads(1)[0]], key=str(number))
            return condition()

        wait_for(tick)

    def found() -> set[str]:
        return {row.v for row in query(client, f"SELECT DISTINCT model_version AS v FROM `{dataset}.rows`")}

    run = arguments(subscription, dataset, versions, id_attribute="key", model_poll_seconds=1, max_seq_length=40)
    with streaming(run):
        published_until(lambda: len(found()) == 1)
        shutil.copytree(other_tiny_bert, versions / "2")
        published_until(lambda: len(found()) == 2)
        shutil.copytree(tiny_bert, versions / "3")
        os.truncate(versions / "3" / "encoder" / "variables" / "variables.data-00000-of-00001", 10)
        for _ in range(20):
            published_until(lambda: True)
            time.sleep(0.2)
        last = next(numbers)
        wait_for(lambda: len(messages_in(client, f"{dataset}.rows")) == last)
    assert len(found()) == 2
    mixed = query(
        client,
        f"SELECT message_id FROM `{dataset}.rows` GROUP BY message_id HAVING COUNT(DISTINCT model_version) > 1",
    )
    assert mixed == []
