"""Streaming from and to Pub/Sub, with Google's emulator over a real socket."""

import collections
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.metrics.metric import Lineage
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline import replay
from pipeline.emulators.pubsub import PubsubEmulator, Subscription
from transforms.counters import Counters, process_counts
from transforms.dead_letters import dead_letters, payload_of
from transforms.io.pubsub import read as pubsub
from transforms.io.pubsub.read import ReadFromSubscription
from transforms.io.pubsub.resources import (
    CONSUME,
    PUBLISH,
    check_subscription,
    check_topic,
    publisher_client,
    subscriber_client,
    temporary_subscription,
)
from transforms.io.pubsub.write import WriteToTopic
from transforms.kinds import DEAD_LETTERS
from transforms.parsing import STAGE
from transforms.types import Record

_seen: dict[str, list[Any]] = collections.defaultdict(list)


class _Collect(beam.DoFn):
    """A sink that keeps what came, with its Beam timestamp, under `key`, after `seconds` a bundle."""

    def __init__(self, key: str, seconds: float = 0.0, fail: bool = False) -> None:
        self._key = key
        self._seconds = seconds
        self._fail = fail

    def start_bundle(self) -> None:
        self._bundle: list[Any] = []

    def process(self, element: Any, timestamp: Any = beam.DoFn.TimestampParam) -> None:
        self._bundle.append((element, timestamp.micros))

    def finish_bundle(self) -> None:
        if not self._bundle:
            return
        time.sleep(self._seconds)
        if self._fail:
            raise RuntimeError("the sink is broken")
        _seen[self._key] += self._bundle


class _AppendToFile(beam.DoFn):
    """A sink that has written a bundle's payloads, a line each, before the bundle ends."""

    def __init__(self, path: str) -> None:
        self._path = path

    def start_bundle(self) -> None:
        self._lines: list[str] = []

    def process(self, record: Record) -> None:
        self._lines.append(record.data.decode() + "\n")

    def finish_bundle(self) -> None:
        # Before, so that a kill finds it in the middle of a bundle.
        time.sleep(0.1 if self._lines else 0)
        with open(self._path, "a") as file:
            file.writelines(self._lines)
            file.flush()
            os.fsync(file.fileno())


class Stream:
    """A local stream in a thread, until `stop()` or an error of its own."""

    def __init__(self, subscription: str, sink: Callable[[Any], Any], **options: Any) -> None:
        pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(["--streaming"]))
        _ = sink(pipeline | "Read" >> ReadFromSubscription(subscription, **options))
        self.error: Exception | None = None
        self.metrics: Any = None
        self._pipeline = pipeline
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.metrics = self._pipeline.run().metrics()
        except Exception as error:
            self.error = error

    def join(self) -> None:
        """Wait for the stream to return."""
        self._thread.join(timeout=60)
        assert not self._thread.is_alive(), "the stream did not end"


@contextlib.contextmanager
def streaming(subscription: str, sink: Callable[[Any], Any], **options: Any) -> Iterator[Stream]:
    """Run a stream for as long as the block runs."""
    stream = Stream(subscription, sink, **options)
    try:
        yield stream
    finally:
        pubsub.stop()
        stream.join()
        pubsub.resume()
    if stream.error:
        raise stream.error


def collect(key: str, **options: Any) -> Callable[[Any], Any]:
    """Collect into `_seen[key]`."""
    return lambda records: records | "Collect" >> beam.ParDo(_Collect(key, **options))


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait, and fail if it takes too long."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)


def payloads(count: int) -> list[bytes]:
    """Distinct payloads."""
    return [b"message %d" % number for number in range(count)]


@pytest.fixture
def key() -> str:
    """A key of its own in `_seen`."""
    return uuid.uuid4().hex


@pytest.fixture
def subscription(pubsub_server: PubsubEmulator) -> Subscription:
    """A topic and a subscription of the test's own, with the shortest deadline."""
    return pubsub_server.subscription(ack_deadline_seconds=10)


def test_messages_arrive_as_published(pubsub_server: PubsubEmulator, subscription: Subscription, key: str) -> None:
    """Payload, attributes, id and publish time are what another subscriber of the topic sees."""
    with temporary_subscription(subscription.topic) as witness:
        pubsub_server.publish(subscription.topic, [b"plain", "naïve ☃".encode(), b"\xff\x00"], origin="é", empty="")
        pubsub_server.publish(subscription.topic, [b""], only="attributes")
        pubsub_server.publish(subscription.topic, [b"x" * 9_000_000])
        with streaming(subscription.name, collect(key)):
            wait_until(lambda: len(_seen[key]) >= 5)
        expected = {
            message.message_id: (message.data, dict(message.attributes), message.publish_time.timestamp_pb())
            for message in pubsub_server.receive(witness, 5)
        }
    assert len(_seen[key]) == len(expected) == 5
    for record, timestamp in _seen[key]:
        data, attributes, published = expected[record.id]
        assert (record.data, record.attributes, record.origin) == (data, attributes, "")
        assert record.event_time == timestamp == published.seconds * 1_000_000 + published.nanos // 1000


def test_a_bundle_is_not_acknowledged_before_its_sink_is_done(pubsub_server: PubsubEmulator, key: str) -> None:
    """A sink that fails at the very end of a bundle gives all of its messages back, long before their deadline."""
    subscription = pubsub_server.subscription(ack_deadline_seconds=600)
    ids = pubsub_server.publish(subscription.topic, payloads(300))
    stream = Stream(subscription.name, collect(key, fail=True))
    stream.join()
    assert "the sink is broken" in str(stream.error)
    assert {message.message_id for message in pubsub_server.receive(subscription.name, 300)} == set(ids)


def test_acknowledgement_follows_the_sink(pubsub_server: PubsubEmulator, subscription: Subscription, key: str) -> None:
    """While the sink is at work nothing is acknowledged, and when it is done all of it is."""
    before = process_counts().get("pubsub_acknowledged", 0)
    pubsub_server.publish(subscription.topic, payloads(100))
    with streaming(subscription.name, collect(key, seconds=2), max_wait_seconds=1):
        while not _seen[key]:
            assert process_counts().get("pubsub_acknowledged", 0) == before
            time.sleep(0.02)
        wait_until(lambda: process_counts().get("pubsub_acknowledged", 0) == before + len(_seen[key]))
    assert pubsub_server.left(subscription.name) == 0


def test_several_readers_read_each_message_once(
    pubsub_server: PubsubEmulator, subscription: Subscription, key: str
) -> None:
    """Also where they are worked one after another, as on the local runner."""
    pubsub_server.publish(subscription.topic, payloads(500))
    with streaming(subscription.name, collect(key), readers=3, max_messages=50):
        wait_until(lambda: len(_seen[key]) >= 500)
    assert sorted(record.data for record, _ in _seen[key]) == sorted(payloads(500))
    assert pubsub_server.left(subscription.name) == 0


@pytest.mark.slow
def test_a_bundle_longer_than_the_deadline_is_not_delivered_again(
    pubsub_server: PubsubEmulator, subscription: Subscription, key: str
) -> None:
    """The deadline of 10 s is extended for a bundle of 13 s, and for what waits behind it."""
    pubsub_server.publish(subscription.topic, payloads(40))
    with streaming(subscription.name, collect(key, seconds=13), max_messages=20, lease_seconds=10):
        wait_until(lambda: len(_seen[key]) >= 40, seconds=120)
    assert sorted(record.data for record, _ in _seen[key]) == sorted(payloads(40))
    assert pubsub_server.left(subscription.name) == 0


def test_stop_finishes_and_acknowledges_what_was_pulled(pubsub_server: PubsubEmulator, key: str) -> None:
    """What was pulled before `stop()` is written, the rest is there for others at once: together each message once."""
    subscription = pubsub_server.subscription(ack_deadline_seconds=600)
    pubsub_server.publish(subscription.topic, payloads(2000))
    with streaming(subscription.name, collect(key, seconds=0.3), max_messages=100):
        wait_until(lambda: bool(_seen[key]))
    written = [record.data for record, _ in _seen[key]]
    rest = [message.data for message in pubsub_server.receive(subscription.name, 2000 - len(written))]
    assert 0 < len(written) < 2000
    assert sorted(written + rest) == sorted(payloads(2000))
    assert pubsub_server.left(subscription.name) == 0


def stream_to_file(subscription: str, path: str) -> None:
    """What the killed process runs: SIGTERM ends it, with exit code 0."""
    signal.signal(signal.SIGTERM, lambda *_: pubsub.stop())
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(["--streaming"]))
    read = ReadFromSubscription(subscription, max_messages=100, lease_seconds=10)
    _ = pipeline | "Read" >> read | "Append" >> beam.ParDo(_AppendToFile(path))
    pipeline.run()


@pytest.mark.slow
def test_nothing_is_lost_by_kill_9(pubsub_server: PubsubEmulator, subscription: Subscription, tmp_path: Path) -> None:
    """Killed twice in the middle and started again, the stream writes every message; SIGTERM then ends it cleanly."""
    count = 3000
    path = tmp_path / "lines"
    path.touch()
    pubsub_server.publish(subscription.topic, payloads(count))
    program = f"from tests.integration.test_pubsub import stream_to_file as s; s({subscription.name!r}, {str(path)!r})"

    def written() -> list[bytes]:
        return path.read_bytes().split(b"\n")[:-1]

    def has_written(enough: int | None) -> bool:
        return len(written()) >= enough if enough else set(written()) >= set(payloads(count))

    for enough in (count // 4, count // 2, None):
        process = subprocess.Popen([sys.executable, "-c", program])
        try:
            wait_until(functools.partial(has_written, enough))
        finally:
            process.send_signal(signal.SIGKILL if enough else signal.SIGTERM)
            code = process.wait(timeout=60)
    assert code == 0
    assert set(written()) == set(payloads(count))
    assert pubsub_server.left(subscription.name) == 0


def test_idle_costs_next_to_nothing(subscription: Subscription, key: str) -> None:
    """A stream without messages takes hardly any CPU, and still ends at once."""
    with streaming(subscription.name, collect(key)):
        time.sleep(1)
        begun = time.process_time()
        time.sleep(5)
        assert time.process_time() - begun < 1
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 10


def test_metrics_do_not_grow_with_bundles(pubsub_server: PubsubEmulator, subscription: Subscription, key: str) -> None:
    """The metrics of more bundles than Python's stack is deep are still there at the end, and right."""
    count = sys.getrecursionlimit() + 200
    pubsub_server.publish(subscription.topic, payloads(count))
    with streaming(subscription.name, collect(key), max_messages=1, max_wait_seconds=0) as stream:
        wait_until(lambda: len(_seen[key]) >= count, seconds=180)
    (pulled,) = (one.committed for one in stream.metrics.query()["counters"] if one.key.metric.name == "pubsub_pulled")
    assert pulled == count


@pytest.mark.slow
def test_a_subscription_that_goes_away_ends_the_stream(subscription: Subscription, key: str) -> None:
    """The error says which subscription is missing and what to do."""
    stream = Stream(subscription.name, collect(key))
    time.sleep(1)
    subscriber_client().delete_subscription(subscription=subscription.name)
    stream.join()
    assert "expected a subscription that exists" in str(stream.error)


def test_missing_resources_are_named(subscription: Subscription) -> None:
    """A look before the start tells what is missing."""
    check_subscription(subscription.name, [CONSUME])
    check_topic(subscription.topic, [PUBLISH])
    with pytest.raises(ValueError, match="expected a subscription that exists, got 'projects/p/subscriptions/none'"):
        check_subscription("projects/p/subscriptions/none")
    with pytest.raises(ValueError, match="expected a topic that exists, got 'projects/p/topics/none'"):
        check_topic("projects/p/topics/none")
    with (
        pytest.raises(ValueError, match="expected a topic that exists"),
        temporary_subscription("projects/p/topics/none"),
    ):
        pass


def test_a_temporary_subscription_receives_and_is_deleted(
    pubsub_server: PubsubEmulator, subscription: Subscription
) -> None:
    """It sees what is published while it is there, and it is gone afterwards."""
    with temporary_subscription(subscription.topic) as name:
        pubsub_server.publish(subscription.topic, [b"now"])
        assert [message.data for message in pubsub_server.receive(name, 1)] == [b"now"]
    with pytest.raises(ValueError, match="expected a subscription that exists"):
        check_subscription(name)


def test_a_temporary_subscription_with_messages_is_kept(
    pubsub_server: PubsubEmulator, subscription: Subscription, caplog: pytest.LogCaptureFixture
) -> None:
    """What was not pulled when the stream ended waits there, and the log says how to go on."""
    with temporary_subscription(subscription.topic) as name:
        pubsub_server.publish(subscription.topic, [b"later"])
    assert f"go on with --input_subscription={name}" in caplog.text
    assert [message.data for message in pubsub_server.receive(name, 1)] == [b"later"]


@pytest.mark.parametrize("pulled", [0, 1])
def test_a_temporary_subscription_of_a_run_that_failed_is_kept(
    subscription: Subscription, caplog: pytest.LogCaptureFixture, pulled: int
) -> None:
    """With all that it pulled and did not acknowledge, which Pub/Sub gives to nobody else yet."""
    with contextlib.suppress(RuntimeError), temporary_subscription(subscription.topic) as name:
        Counters().count("pubsub_pulled", pulled)
        if not pulled:
            raise RuntimeError
    check_subscription(name)
    assert f"kept {name}" in caplog.text


def write(rows: list[bytes], topic: str, key: str, **options: Any) -> None:
    """Write `rows` in one pipeline; the output and dead letters are collected under `key`."""
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        result = pipeline | beam.Create(rows) | WriteToTopic(topic, **options).with_dead_letters()
        _ = result.output | "Collect output" >> beam.ParDo(_Collect(f"{key} output"))
        _ = result.dead_letters | "Collect letters" >> beam.ParDo(_Collect(f"{key} letters"))


def test_rows_are_written_to_a_topic(pubsub_server: PubsubEmulator, subscription: Subscription, key: str) -> None:
    """More rows than a request takes arrive, each once, and each is counted and comes out."""
    rows = payloads(2500)
    before = process_counts().get("pubsub_published", 0)
    write(rows, subscription.topic, key)
    received = pubsub_server.receive(subscription.name, 2500)
    assert sorted(message.data for message in received) == sorted(rows)
    assert len({message.message_id for message in received}) == 2500
    assert pubsub_server.left(subscription.name) == 0
    assert process_counts()["pubsub_published"] - before == 2500
    assert sorted(row for row, _ in _seen[f"{key} output"]) == sorted(rows)
    assert not _seen[f"{key} letters"]


def test_only_refused_rows_are_dead_letters(
    pubsub_server: PubsubEmulator, subscription: Subscription, key: str
) -> None:
    """An empty row, which Pub/Sub would refuse together with its request, and one too large; all others arrive."""
    large = b'"' + b"x" * 10_000_000 + b'"'
    rows = [*payloads(50), b"", *payloads(100)[50:], large]
    write(rows, subscription.topic, key)
    received = pubsub_server.receive(subscription.name, 100)
    assert sorted(message.data for message in received) == sorted(payloads(100))
    letters = collections.defaultdict(list)
    for letter, _ in _seen[f"{key} letters"]:
        letters[letter.id].append(letter)
    assert {payload_of(parts) for parts in letters.values()} == {b"", large}


def test_a_topic_is_waited_for(pubsub_server: PubsubEmulator, key: str) -> None:
    """Rows for a topic that comes back later are written then, and none is a dead letter."""
    later = f"projects/tests/topics/later-{key}"
    made = threading.Timer(3, lambda: publisher_client().create_topic(name=later))
    before = process_counts()
    made.start()
    write(payloads(10), later, key)
    made.join()
    # No subscription can be there before the topic; that the rows were acknowledged is what can be seen.
    assert process_counts()["pubsub_published"] - before.get("pubsub_published", 0) == 10
    assert process_counts()["write_retries"] > before.get("write_retries", 0)
    assert not _seen[f"{key} letters"]


def test_a_topic_that_stays_away_fails_the_bundle(key: str, pubsub_server: PubsubEmulator) -> None:
    """After the allowed time the bundle fails, so that its source delivers the messages again."""
    topic = "projects/tests/topics/never-there"
    with pytest.raises(Exception, match=f"expected Pub/Sub topic {topic} to take rows within 2 s of retries"):
        write([b"row"], topic, key, retry_for_seconds=2)
    assert not _seen[f"{key} letters"]


def test_dead_letters_are_published_as_they_came(
    pubsub_server: PubsubEmulator, subscription: Subscription, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More of them than a request takes, with their attributes; what Pub/Sub refuses is told."""
    records = [Record(payload, "", "", {"é": "ü"}, 0) for payload in payloads(1200)]
    records += [Record(b"x" * 6_000_000, "", "", {}, 0), Record(b"y" * 6_000_000, "", "", {}, 0)]
    records += [Record(b"", "", "", {}, 0)]
    letters = [one for record in records for one in dead_letters(STAGE, "no", record.data, record.attributes)]
    lines = [json.dumps(DEAD_LETTERS.to_json(letter)) + "\n" for letter in letters]
    (tmp_path / "letters.jsonl").write_text("".join(lines))
    arguments = [f"--letters={tmp_path}/letters.jsonl", "--letters_format=jsonl", f"--to_topic={subscription.topic}"]
    assert replay.main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == f"published 1,202 messages to {subscription.topic}\n"
    assert err.startswith("refused: expected messages with data or attributes")
    received = pubsub_server.receive(subscription.name, 1202)
    assert sorted((message.data, dict(message.attributes)) for message in received) == sorted(
        (record.data, record.attributes) for record in records if record.data
    )
    assert pubsub_server.left(subscription.name) == 0


def test_read_and_write_in_one_stage(pubsub_server: PubsubEmulator, subscription: Subscription) -> None:
    """A stream from subscription to topic: what arrives there is acknowledged here."""
    target = pubsub_server.subscription()
    pubsub_server.publish(subscription.topic, payloads(500))
    with streaming(
        subscription.name,
        lambda records: records | beam.Map(lambda record: record.data) | WriteToTopic(target.topic).with_dead_letters(),
    ):
        received = pubsub_server.receive(target.name, 500)
    assert sorted(message.data for message in received) == sorted(payloads(500))
    assert pubsub_server.left(subscription.name) == 0


def test_lineage_names_the_subscription_and_the_topic(
    subscription: Subscription, pubsub_server: PubsubEmulator
) -> None:
    """As Beam's own read and write do."""
    other = pubsub_server.subscription()
    sink = WriteToTopic(other.topic)
    before = process_counts().get("pubsub_published", 0)
    with streaming(subscription.name, lambda records: records | beam.Map(lambda record: record.data) | sink) as stream:
        pubsub_server.publish(subscription.topic, payloads(5))
        wait_until(lambda: process_counts().get("pubsub_published", 0) == before + 5)
    named = {label: Lineage.query(stream.metrics, label) for label in (Lineage.SOURCE, Lineage.SINK)}
    assert named == {
        Lineage.SOURCE: {f"pubsub:subscription:tests.{subscription.name.rpartition('/')[2]}"},
        Lineage.SINK: {f"pubsub:topic:tests.{other.topic.rpartition('/')[2]}"},
    }
