"""What Pub/Sub is asked to publish, seen by a server of the test's own."""

from collections.abc import Iterator
from concurrent import futures
from functools import partial
from typing import Any

import apache_beam as beam
import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from google.pubsub_v1 import types

from transforms.io.errors import Refused
from transforms.io.pubsub.write import MAX_MESSAGE_BYTES, Outgoing, WriteToTopic, publish
from transforms.io.retries import Refusal, deliver

TOPIC = "projects/p/topics/top"


class Server(grpc.GenericRpcHandler):
    """Keeps the requests to publish, and fails as `failures` says first, and always for `refused` messages."""

    def __init__(self) -> None:
        self.failures: list[grpc.StatusCode] = []
        self.refused: set[bytes] = set()
        self.tries = 0
        self.requests: list[Any] = []

    def service(self, call: Any) -> Any:
        """Every call is one to publish."""
        return grpc.unary_unary_rpc_method_handler(
            self._publish, types.PublishRequest.deserialize, types.PublishResponse.serialize
        )

    def _publish(self, request: Any, context: Any) -> Any:
        self.tries += 1
        if self.failures:
            context.abort(self.failures.pop(0), "no")
        if any(message.data in self.refused for message in request.messages):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
        self.requests.append(request)
        return types.PublishResponse(message_ids=[str(number) for number in range(len(request.messages))])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A running server, which publishers are told is the emulator."""
    handler = Server()
    running = grpc.server(futures.ThreadPoolExecutor(2), [handler], options=[("grpc.max_receive_message_length", -1)])
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}")
    running.start()
    yield handler
    running.stop(0).wait()


def send(messages: list[Outgoing]) -> list[Refusal]:
    """Deliver `messages`, and give the refused ones."""
    return list(deliver(partial(publish, TOPIC), messages, 10, "the topic"))


def test_messages_are_published_in_requests_that_pubsub_takes(server: Server) -> None:
    """At most a thousand messages and 9 MB each; attributes count, and larger messages go alone."""
    messages = [Outgoing(b"%d" % number, {"number": "\N{SNOWMAN}" * 300}) for number in range(12_000)]
    messages += [Outgoing(b"x" * size) for size in (4_000_000, 5_000_001, 9_500_000, MAX_MESSAGE_BYTES)]
    assert send(messages) == []
    got = [(one.data, dict(one.attributes)) for request in server.requests for one in request.messages]
    assert got == [tuple(message) for message in messages]
    assert {request.topic for request in server.requests} == {TOPIC}
    for request in server.requests:
        assert len(request.messages) <= 1000
        assert types.PublishRequest.pb(request).ByteSize() < (9_100_000 if len(request.messages) > 1 else 10_100_000)


def test_a_message_too_large_never_leaves_the_machine(server: Server) -> None:
    """Pub/Sub would refuse it for ever."""
    expected = "expected a message of at most 10000000 bytes, got 10000001; shorten its text"
    assert send([Outgoing(b"a"), Outgoing(b"x" * 9_999_996, {"five": "!"})]) == [Refusal(1, expected)]
    assert [len(request.messages) for request in server.requests] == [1]


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
    ],
    ids=lambda code: str(code.name),
)
def test_what_is_no_messages_fault_is_retried_by_deliver_alone(server: Server, code: grpc.StatusCode) -> None:
    """The client tries once; `deliver` counts and bounds the tries."""
    server.failures = [code]
    with pytest.raises(Exception, match="no"):
        publish(TOPIC, [Outgoing(b"a")])
    assert server.tries == 1
    server.failures = [code]
    assert send([Outgoing(b"a"), Outgoing(b"b")]) == []
    assert [len(request.messages) for request in server.requests] == [2]


def test_a_refused_message_alone_is_left_out(server: Server) -> None:
    """A request that Pub/Sub refuses is halved; in case of doubt, what it took is sent once more."""
    server.refused = {b"a"}
    assert send([Outgoing(b"a"), Outgoing(b"b")]) == [Refusal(0, "InvalidArgument: 400 no")]
    assert {tuple(one.data for one in request.messages) for request in server.requests} == {(b"b",)}


def test_an_empty_message_never_leaves_the_machine(server: Server) -> None:
    """Pub/Sub would refuse it with all the others; an attribute is enough."""
    refusals = send([Outgoing(b""), Outgoing(b"", {"key": "value"}), Outgoing(b"a")])
    assert refusals == [Refusal(0, "expected messages with data or attributes, got an empty one")]
    assert sum(len(request.messages) for request in server.requests) == 2


def test_too_many_messages_are_refused_together() -> None:
    """Before anything is sent, so that they can be halved."""
    with pytest.raises(Refused, match="expected at most 1000 messages of together 9000000 bytes, got 1001 of 1001"):
        publish(TOPIC, [Outgoing(b"a")] * 1001)


def test_a_write_is_one_step_of_its_name() -> None:
    """A streaming job is updated by its steps' names."""
    pipeline = beam.Pipeline(options=PipelineOptions([]))
    _ = pipeline | beam.Create([b"row"]) | "Write" >> WriteToTopic(TOPIC).with_dead_letters()
    steps = pipeline.to_runner_api().components.transforms.values()
    leaves = [step.unique_name for step in steps if step.spec.urn and not step.subtransforms]
    assert [name for name in leaves if name.startswith("Write")] == ["Write/Publish/ParDo(_Publish)"]
