"""Pub/Sub clients, the names of topics and subscriptions, and temporary subscriptions."""

import contextlib
import logging
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from google import pubsub_v1
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.protobuf import duration_pb2
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from transforms.counters import process_counts
from transforms.io.errors import is_transient
from transforms.io.google_clients import emulator_address, missing_rights, once_per_process

# The permissions that reading a subscription and writing to a topic need there.
CONSUME = "pubsub.subscriptions.consume"
PUBLISH = "pubsub.topics.publish"

_EMULATOR = "PUBSUB_EMULATOR_HOST"
# Source: https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names; in syntax that Python, Java and RE2 share.
_ID = "[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
SUBSCRIPTION_REGEX = f"projects/[^/]+/subscriptions/{_ID}"
TOPIC_REGEX = f"projects/[^/]+/topics/{_ID}"
# The shortest expiration that Pub/Sub accepts, so that a subscription left by a killed run is deleted after a day.
_EXPIRES_AFTER = duration_pb2.Duration(seconds=24 * 3600)

# How long a look at a resource may take.
_LOOK_SECONDS = 30.0
# How long the end of a stream waits for a message that it did not pull.
_LAST_LOOK_SECONDS = 2.0

_log = logging.getLogger(__name__)


# What Pub/Sub asks of an id, and the ids that meet it. They are checked in this order.
_ID_RULES = {
    "has 3 to 255 characters": r".{3,255}",
    "begins with a letter": r"[A-Za-z].*",
    "has only letters, digits and - . _ ~ + %": r"[A-Za-z0-9._~+%-]*",
    'does not begin with "goog"': r"(?!goog).*",
}


def validated(name: str, kind: str) -> str:
    """Returns the name of a resource of `kind`, "subscription" or "topic", unchanged if it is valid.

    Raises:
        ValueError: if it is not of the form projects/P/subscriptions/S or projects/P/topics/T.
    """
    form = re.fullmatch(f"projects/[^/]+/{kind}s/([^/]+)", name)
    broken = [rule for rule, ids in _ID_RULES.items() if form and not re.fullmatch(ids, form[1], re.DOTALL)]
    if broken or not form:
        which = f"projects/P/{kind}s/{kind[0].upper()}" + (f" whose id {broken[0]}" if broken else "")
        raise ValueError(
            f"expected a {kind} as {which}, got {name!r}; `gcloud pubsub {kind}s list` prints the names that there are"
        )
    return name


def check_subscription(subscription: str, rights: Sequence[str] = ()) -> None:
    """Checks that `subscription` exists, and logs a warning if Pub/Sub counts how often it delivers a message.

    Without the permission to look, the check passes.

    Args:
        subscription: projects/P/subscriptions/S.
        rights: the permissions that this process needs there, such as CONSUME.

    Raises:
        ValueError: if the name is invalid, the subscription does not exist or cannot be looked at, or a right is
            missing.
    """
    validated(subscription, "subscription")
    with _looking_at(subscription), subscriber_client() as client:
        # An account that may read messages need not be allowed to look.
        with contextlib.suppress(exceptions.PermissionDenied):
            found = client.get_subscription(subscription=subscription, timeout=_LOOK_SECONDS)
            if found.dead_letter_policy.dead_letter_topic:
                _warn_of_policy(subscription, found.dead_letter_policy)
        _check_rights(client, subscription, rights)


def _warn_of_policy(subscription: str, policy: Any) -> None:
    _log.warning(
        "%s has a dead-letter policy: after %d deliveries, which kills and outages count towards, Pub/Sub itself moves "
        "a message to %s, and it gets no row; remove the policy with `gcloud pubsub subscriptions update %s "
        "--clear-dead-letter-policy`, as what cannot be used becomes a dead letter anyway",
        subscription,
        policy.max_delivery_attempts or 5,
        policy.dead_letter_topic,
        subscription,
    )


def check_topic(topic: str, rights: Sequence[str] = ()) -> None:
    """Checks that `topic` exists; without the permission to look, the check passes.

    Args:
        topic: projects/P/topics/T.
        rights: the permissions that this process needs there, such as PUBLISH.

    Raises:
        ValueError: if the name is invalid, the topic does not exist or cannot be looked at, or a right is missing.
    """
    validated(topic, "topic")
    with _looking_at(topic):
        client = publisher_client()
        with contextlib.suppress(exceptions.PermissionDenied):
            client.get_topic(topic=topic, timeout=_LOOK_SECONDS)
        _check_rights(client, topic, rights)


@contextlib.contextmanager
def _looking_at(name: str) -> Iterator[None]:
    """Turns what Pub/Sub says about `name` into an error of one line."""
    try:
        yield
    except exceptions.NotFound:
        raise missing(name) from None
    except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise ValueError(
            f"expected to reach {name}, got {said}; check the network, the account (`gcloud auth application-default "
            f"login`) and its rights, or set {_EMULATOR}"
        ) from error


def _check_rights(client: Any, name: str, rights: Sequence[str]) -> None:
    if not rights:
        return
    request = {"resource": name, "permissions": list(rights)}
    try:
        granted = client.test_iam_permissions(request=request, retry=None, timeout=_LOOK_SECONDS).permissions
    # Emulators do not know permissions, and an outage is none of this check's business.
    except exceptions.GoogleAPICallError:
        return
    if absent := set(rights).difference(granted):
        raise missing_rights(name, absent)


def missing(name: str) -> ValueError:
    """The error for a topic or subscription that does not exist, with the command that creates it."""
    kind = name.split("/")[2].removesuffix("s")
    command = f"gcloud pubsub {kind}s create {name}" + (" --topic=TOPIC" if kind == "subscription" else "")
    return ValueError(f"expected a {kind} that exists, got {name!r}; make it with `{command}`")


@contextlib.contextmanager
def temporary_subscription(topic: str, ack_deadline_seconds: int = 60) -> Iterator[str]:
    """A subscription of `topic` that exists while the block runs, and receives the messages published from then on.

    It is deleted if the block ends well, all that was pulled is acknowledged, and no more messages wait. Otherwise it
    is kept, and a line in the log says how to go on with it. Pub/Sub deletes it after a day without use.

    Raises:
        ValueError: if `topic` is not of the form projects/P/topics/T, or does not exist.
    """
    project = validated(topic, "topic").split("/")[1]
    name = f"projects/{project}/subscriptions/sentence-embeddings-{uuid.uuid4().hex}"
    with contextlib.ExitStack() as stack:
        with _looking_at(topic):
            client = stack.enter_context(subscriber_client())
            client.create_subscription(
                request={
                    "name": name,
                    "topic": topic,
                    "ack_deadline_seconds": ack_deadline_seconds,
                    "expiration_policy": {"ttl": _EXPIRES_AFTER},
                }
            )
        before, is_done = _unacknowledged(), False
        try:
            yield name
            is_done = _unacknowledged() <= before
        finally:
            _end(client, name, is_done)


def _unacknowledged() -> int:
    counts = process_counts()
    return counts.get("pubsub_pulled", 0) - counts.get("pubsub_acknowledged", 0)


def _end(client: Any, subscription: str, is_done: bool) -> None:
    """Deletes a temporary subscription whose messages are all done, and keeps any other."""
    try:
        if is_done and not _has_message(client, subscription):
            client.delete_subscription(subscription=subscription)
            return
    except (exceptions.GoogleAPICallError, GoogleAuthError) as error:
        _log.warning("could not look for messages of %s and delete it: %s", subscription, error)
    _log.warning(
        "kept %s, as it may hold messages: go on with --input_subscription=%s instead of --input_topic, or delete it "
        "with `gcloud pubsub subscriptions delete %s`; it expires after a day without use",
        *[subscription] * 3,
    )


def _has_message(client: Any, subscription: str) -> bool:
    try:
        response = client.pull(subscription=subscription, max_messages=1, retry=None, timeout=_LAST_LOOK_SECONDS)
    except exceptions.DeadlineExceeded:
        return False
    ids = [received.ack_id for received in response.received_messages]
    if ids:
        client.modify_ack_deadline(subscription=subscription, ack_ids=ids, ack_deadline_seconds=0, timeout=10)
    return bool(ids)


def may_pass(error: BaseException) -> bool:
    """Whether a request to a subscription may succeed later; one that was deleted never comes back as it was."""
    return is_transient(error) and not isinstance(error, exceptions.NotFound)


def subscriber_client() -> Any:
    """A client for subscriptions, which connects to the emulator if PUBSUB_EMULATOR_HOST names one."""
    if address := emulator_address(_EMULATOR):
        return pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=_emulator_channel(address)))
    return pubsub_v1.SubscriberClient()


def publisher_client() -> Any:
    """This process's client for topics, which connects to the emulator if PUBSUB_EMULATOR_HOST names one."""
    return _publisher_client(emulator_address(_EMULATOR))


@once_per_process
def _publisher_client(address: str | None) -> Any:
    if address is not None:
        return pubsub_v1.PublisherClient(transport=PublisherGrpcTransport(channel=_emulator_channel(address)))
    return pubsub_v1.PublisherClient()


def _emulator_channel(address: str) -> grpc.Channel:
    # The library's own channel to an emulator has gRPC's limit of 4 MB for responses, but a message may have 10 MB.
    return grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
