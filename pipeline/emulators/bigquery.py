"""A BigQuery emulator as a process of its own: `with bigquery_emulator() as emulator: ...`.

bqemulator's requirements conflict with the pipeline's, so it is installed in a virtual environment of its own, in
$BQEMULATOR_HOME or the user's cache. `python -m pipeline.emulators.bigquery` makes the environment ahead of time.
"""

import contextlib
import fcntl
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.emulators import EmulatorMissingError, free_port

_LOCK = pathlib.Path(__file__).with_name("bqemulator_lock.txt")
_MAIN = pathlib.Path(__file__).with_name("bqemulator_main.py")
_IMPORT_EXTENSION = "from duckdb_extensions import import_extension; import_extension('spatial')"
_START_SECONDS = 60.0


class Emulator(NamedTuple):
    """Where a running emulator is: REST and gRPC, each host:port."""

    rest: str
    storage: str


def home() -> pathlib.Path:
    """The directory of the emulator's virtual environment."""
    given = os.environ.get("BQEMULATOR_HOME")
    return pathlib.Path(given) if given else pathlib.Path.home() / ".cache" / "sentence-embeddings" / "bqemulator"


def install() -> pathlib.Path:
    """The emulator's Python; its environment is made if it does not exist.

    Raises:
        EmulatorMissingError: if a package cannot be installed.
    """
    python = home() / "bin" / "python"
    made = home() / "made_of.txt"
    locked = ["--require-hashes", f"--requirement={_LOCK}", f"--constraint={_LOCK}"]
    try:
        home().mkdir(parents=True, exist_ok=True)
        with home().with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if made.exists() and made.read_text() == _LOCK.read_text():
                return python
            venv.create(home(), with_pip=True, clear=True)
            for arguments in (["-m", "pip", "install", "--quiet", *locked], ["-c", _IMPORT_EXTENSION]):
                subprocess.run([python, *arguments], env=_environment(), check=True, timeout=900, capture_output=True)
            made.write_text(_LOCK.read_text())
    except (OSError, subprocess.SubprocessError) as error:
        raise EmulatorMissingError(
            f"no BigQuery emulator: {error}; make it with python -m pipeline.emulators.bigquery"
        ) from error
    return python


def _environment() -> dict[str, str]:
    # DuckDB keeps its extensions in the home directory.
    return os.environ | {"HOME": str(home())}


@contextlib.contextmanager
def bigquery_emulator() -> Iterator[Emulator]:
    """A running, empty emulator on free ports of 127.0.0.1, killed at the end.

    Raises:
        EmulatorMissingError: if it is not available.
    """
    python = install()
    emulator = Emulator(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
    command = [str(python), str(_MAIN), "start", "--ephemeral", "--no-admin", "--log-level=error"]
    command += [f"--rest-port={emulator.rest.split(':')[1]}", f"--grpc-port={emulator.storage.split(':')[1]}"]
    log = home() / "last_start.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=_environment()) as process,
    ):
        try:
            _wait_until_ready(process, emulator.rest, log)
            yield emulator
        finally:
            process.kill()


def _wait_until_ready(process: "subprocess.Popen[bytes]", address: str, log: pathlib.Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{address}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise EmulatorMissingError(f"the BigQuery emulator did not start; {log} says: {log.read_text()[-2000:]}")


if __name__ == "__main__":
    sys.exit(0 if install() else 1)
