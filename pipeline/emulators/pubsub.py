"""Google's Pub/Sub emulator as a real process on a free port, with topics and subscriptions to use in a test."""

import contextlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pipeline.emulators import EmulatorMissingError, emulator
from pipeline.servers import free_port
from transforms.io.pubsub.resources import publisher_client, subscriber_client

_HOST = "PUBSUB_EMULATOR_HOST"
_INSTALL = (
    "install it with `gcloud components install pubsub-emulator beta` or the package google-cloud-cli-pubsub-emulator"
)


class Subscription(NamedTuple):
    """The full names of a topic and of a subscription to it."""

    topic: str
    name: str


class PubsubEmulator:
    """A running emulator.

    Attributes:
        host: its host:port, as in PUBSUB_EMULATOR_HOST.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self._publisher = publisher_client()
        self._subscriber = subscriber_client()

    def subscription(self, ack_deadline_seconds: int = 60) -> Subscription:
        """Make a new topic with a new subscription."""
        name = uuid.uuid4().hex
        made = Subscription(f"projects/tests/topics/t-{name}", f"projects/tests/subscriptions/s-{name}")
        self._publisher.create_topic(name=made.topic)
        self._subscriber.create_subscription(
            request={"name": made.name, "topic": made.topic, "ack_deadline_seconds": ack_deadline_seconds}
        )
        return made

    def publish(self, topic: str, payloads: Sequence[bytes], **attributes: str) -> list[str]:
        """Publish in requests of 500 messages, and return the ids."""
        ids: list[str] = []
        for start in range(0, len(payloads), 500):
            messages = [{"data": data, "attributes": attributes} for data in payloads[start : start + 500]]
            ids += self._publisher.publish(topic=topic, messages=messages).message_ids
        return ids

    def receive(self, subscription: str, count: int, seconds: float = 20) -> list[Any]:
        """Pull and acknowledge until `count` messages arrived, or `seconds` passed."""
        messages: list[Any] = []
        until = time.monotonic() + seconds
        while len(messages) < count and time.monotonic() < until:
            received = self._subscriber.pull(subscription=subscription, max_messages=1000, timeout=5).received_messages
            if received:
                ids = [one.ack_id for one in received]
                self._subscriber.acknowledge(subscription=subscription, ack_ids=ids)
            messages += [one.message for one in received]
        return messages

    def left(self, subscription: str, seconds: float = 3) -> int:
        """How many messages are neither acknowledged nor held by anybody; waits `seconds` before it returns 0."""
        return len(self.receive(subscription, 1, seconds))


@contextlib.contextmanager
def pubsub_emulator() -> Iterator[PubsubEmulator]:
    """Start the emulator, point PUBSUB_EMULATOR_HOST at it, and stop it with its Java child.

    Raises:
        EmulatorMissingError: if gcloud, the emulator or Java is missing.
    """
    if not shutil.which("gcloud"):
        raise EmulatorMissingError(f"expected gcloud on the path, got none; {_INSTALL}")
    host = f"127.0.0.1:{free_port()}"
    command = ["gcloud", "beta", "emulators", "pubsub", "start", f"--host-port={host}", "--project=tests", "--quiet"]
    before = os.environ.get(_HOST)
    with tempfile.TemporaryDirectory() as data, emulator([*command, f"--data-dir={data}"], host, _INSTALL):
        os.environ[_HOST] = host
        try:
            yield PubsubEmulator(host)
        finally:
            os.environ.pop(_HOST)
            if before is not None:
                os.environ[_HOST] = before
