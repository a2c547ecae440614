import contextlib
import pathlib
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator

import pytest

from tests.shared import Shared


@contextlib.contextmanager
def file() -> Iterator[str]:
    """A server that holds a file for as long as it runs."""
    with tempfile.NamedTemporaryFile() as held:
        yield held.name


@contextlib.contextmanager
def nothing() -> Iterator[str]:
    """A server that cannot start."""
    raise RuntimeError("no such server")
    yield ""


def test_a_directory_is_made_once_and_again_if_it_failed(shared: Shared) -> None:
    """Whoever asks later gets what was made, and nothing of a try that broke off."""
    name = f"made-{uuid.uuid4().hex}"

    def fail(path: pathlib.Path) -> None:
        (path / "half").touch()
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        shared.made(name, fail)
    path = shared.made(name, lambda path: (path / "whole").touch())
    assert shared.made(name, fail) == path
    assert [found.name for found in path.iterdir()] == ["whole"]


@pytest.mark.subprocess
def test_a_server_ends_with_the_process_that_it_is_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    """However that ended."""
    shared = Shared(tmp_path_factory)
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        shared.process = sleeper.pid
        held = pathlib.Path(shared.served(f"{__name__}:file"))
        assert held.exists()
        assert shared.served(f"{__name__}:file") == str(held)
        sleeper.kill()
    until = time.monotonic() + 60
    while held.exists():
        assert time.monotonic() < until, "expected the server to end"
        time.sleep(0.05)


@pytest.mark.subprocess
def test_a_server_that_does_not_start_says_why_to_all(shared: Shared) -> None:
    """It is not tried again by each test that needs it."""
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no such server"):
            shared.served(f"{__name__}:nothing")
