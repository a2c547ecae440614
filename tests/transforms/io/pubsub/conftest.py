from collections.abc import Iterator

import pytest

from tests.transforms.io.pubsub.server import Server, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A running server, which pullers are told is the emulator."""
    with serving() as (handler, address):
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", address)
        yield handler
