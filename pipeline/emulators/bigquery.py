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
import venv
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.emulators import EmulatorMissingError, emulator
from pipeline.servers import free_port, port_of

_LOCK = pathlib.Path(__file__).with_name("bqemulator_lock.txt")
_MAIN = pathlib.Path(__file__).with_name("bqemulator_main.py")
_IMPORT_EXTENSION = "from duckdb_extensions import import_extension; import_extension('spatial')"


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
                # DuckDB keeps its extensions in the home directory.
                environment = os.environ | {"HOME": str(home())}
                subprocess.run([python, *arguments], env=environment, check=True, timeout=900, capture_output=True)
            made.write_text(_LOCK.read_text())
    except (OSError, subprocess.SubprocessError) as error:
        raise EmulatorMissingError(
            f"no BigQuery emulator: {error}; make it with python -m pipeline.emulators.bigquery"
        ) from error
    return python


@contextlib.contextmanager
def bigquery_emulator() -> Iterator[Emulator]:
    """A running, empty emulator on free ports of 127.0.0.1, killed at the end.

    Raises:
        EmulatorMissingError: if it is not available.
    """
    python = install()
    address = Emulator(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
    command = [str(python), str(_MAIN), "start", "--ephemeral", "--no-admin", "--log-level=error"]
    command += [f"--rest-port={port_of(address.rest)}", f"--grpc-port={port_of(address.storage)}"]
    log = home() / "last_start.log"
    # It serves gRPC once it serves REST.
    with emulator(command, address.storage, f"{log} says more", log, {"HOME": str(home())}):
        yield address


if __name__ == "__main__":
    sys.exit(0 if install() else 1)
