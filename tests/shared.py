"""What is made once for a whole run of pytest, whichever of pytest-xdist's processes asks for it first.

Made files lie in one directory of the run. A server runs in a process of its own that ends with pytest's.
"""

import contextlib
import fcntl
import importlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

# How often a server looks whether pytest is still there.
_LOOK_SECONDS = 0.5


class Shared:
    """Files and servers of the whole run.

    Attributes:
        folder: where they are; every process of the run has the same.
        process: the id of the one whose end is that of the servers.
    """

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        # Each process of pytest-xdist has a directory of its own in that of the run.
        alone = "PYTEST_XDIST_WORKER" not in os.environ
        self.folder = factory.getbasetemp() if alone else factory.getbasetemp().parent
        self.process = os.getpid() if alone else os.getppid()

    def made(self, name: str, make: Callable[[pathlib.Path], object]) -> pathlib.Path:
        """The directory `name` as `make` has filled it; who comes second waits for it."""
        path, mark = self.folder / name, self.folder / f"{name}.made"
        with self._locked(name):
            if not mark.exists():
                shutil.rmtree(path, ignore_errors=True)
                path.mkdir()
                make(path)
                mark.touch()
        return path

    def served(self, name: str) -> Any:
        """What the context manager `name`, as module:function, yields in a process of its own, through JSON.

        Raises:
            RuntimeError: with what went wrong, in whichever process asks, if it did not start.
        """
        said, log = (self.folder / f"{name}.{kind}" for kind in ("json", "log"))
        with self._locked(name):
            if not said.exists():
                with log.open("wb") as output:
                    # A session of its own: Ctrl-C is pytest's to see, and the server ends when pytest has.
                    server = subprocess.Popen(
                        [sys.executable, "-m", "tests.shared", name, str(said), str(self.process)],
                        stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                        cwd=pathlib.Path(__file__).parent.parent,
                    )  # fmt: skip
                while not said.exists():
                    assert server.poll() is None or said.exists(), log.read_text()
                    time.sleep(0.05)
        answer = json.loads(said.read_text())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _serve(name: str, said: pathlib.Path, pytest_process: int) -> None:
    """Enter the context manager `name`, write what it yields into `said`, and leave it once pytest is gone."""
    module, function = name.split(":")
    with contextlib.ExitStack() as stack:
        try:
            answer = {"value": stack.enter_context(getattr(importlib.import_module(module), function)())}
        except RuntimeError as error:
            answer = {"error": str(error)}
        whole = said.with_suffix(".part")
        whole.write_text(json.dumps(answer))
        whole.rename(said)
        while "value" in answer and _runs(pytest_process):
            time.sleep(_LOOK_SECONDS)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def main(argv: Sequence[str]) -> None:
    """`python -m tests.shared MODULE:FUNCTION FILE PID`."""
    # Whoever kills it by SIGTERM finds its children gone too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    _serve(argv[0], pathlib.Path(argv[1]), int(argv[2]))


if __name__ == "__main__":
    main(sys.argv[1:])
