"""What is refused, and warned of, before a stream starts."""

import logging

import pytest
from google.auth.exceptions import DefaultCredentialsError
from google.pubsub_v1 import types

from tests.transforms.io.pubsub.server import Server
from transforms.io.pubsub import resources
from transforms.io.pubsub.resources import CONSUME, check_subscription, temporary_subscription

SUBSCRIPTION = "projects/p/subscriptions/sub"


@pytest.mark.parametrize("may_look", [True, False])
def test_a_missing_right_is_named(server: Server, may_look: bool) -> None:
    """Whether or not the account may look at the subscription."""
    if not may_look:
        server.subscription = None
    server.granted = {"pubsub.subscriptions.get"}
    with pytest.raises(
        ValueError, match=f"^expected the right {CONSUME} on {SUBSCRIPTION}, which this account lacks; .*$"
    ):
        check_subscription(SUBSCRIPTION, [CONSUME])


@pytest.mark.parametrize("granted", [None, {CONSUME}])
def test_a_right_that_is_there_or_cannot_be_asked_for_passes(server: Server, granted: set[str] | None) -> None:
    """Emulators know no rights."""
    server.granted = granted
    check_subscription(SUBSCRIPTION, [CONSUME])


def test_a_policy_that_counts_deliveries_is_warned_of(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """In one line that says what happens and what to do."""
    policy = {"dead_letter_topic": "projects/p/topics/dead", "max_delivery_attempts": 7}
    server.subscription = types.Subscription(dead_letter_policy=policy)
    with caplog.at_level(logging.WARNING):
        check_subscription(SUBSCRIPTION)
    (line,) = caplog.messages
    assert "after 7 deliveries" in line
    assert "projects/p/topics/dead" in line
    assert "--clear-dead-letter-policy" in line


@pytest.mark.parametrize(
    "check", [check_subscription, lambda name: temporary_subscription("projects/p/topics/top").__enter__()]
)
def test_missing_credentials_are_one_line(check: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do."""

    def client() -> None:
        raise DefaultCredentialsError("Your default credentials were not found.\nSee the manual.")

    monkeypatch.setattr(resources, "subscriber_client", client)
    with pytest.raises(
        ValueError, match="^expected to reach .*, got Your default .*`gcloud auth application-default login`.*$"
    ):
        check(SUBSCRIPTION)  # type: ignore[operator]
