"""`python -m pipeline.runners`: gets Prism and Flink, if they are not there yet, and prints where they are.

It needs Go 1.21 or later and Maven, and takes some minutes the first time.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence

from pipeline import stopping
from pipeline.runners import POM, RunnerMissingError, flink_jar, home, locked, prism_path

_PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism"
_JOB_SERVER = "org.apache.beam.runners.flink.FlinkJobServerDriver"
# What Flink's and Beam's serializers reach into.
OPENED = tuple(f"java.base/java.{name}" for name in ("lang", "util", "util.concurrent", "nio", "net", "time", "io"))


def main() -> int:
    """Get what is missing. Returns 0 if all is there, 1 if something could not be had."""
    for path, get in ((prism_path(), _get_prism), (flink_jar(), _get_flink)):
        try:
            if not path.exists():
                _fill(path.parent, get)
        except RunnerMissingError as error:
            print(error, file=sys.stderr)
            return 1
        print(path)
    return 0


def _fill(folder: pathlib.Path, get: Callable[[pathlib.Path], None]) -> None:
    """Let `get` fill a folder that appears only when it is whole and checked."""
    home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home()) as part:
        made = pathlib.Path(part, folder.name)
        made.mkdir()
        get(made)
        if not folder.exists():
            made.rename(folder)


def _get_prism(folder: pathlib.Path) -> None:
    version = locked("prism.version")
    _run(["go", "install", f"{_PRISM}@{version}"], GOBIN=str(folder))
    said = _run(["go", "version", "-m", str(folder / "prism")])
    (found,) = [line.split()[-1] for line in said.splitlines() if line.split()[0] == "mod"]
    _check(f"Prism {version}", found, locked("prism.sum"))


def _get_flink(folder: pathlib.Path) -> None:
    _run(["mvn", "--batch-mode", "--quiet", "--strict-checksums", f"--file={POM}", "dependency:copy-dependencies",
          f"-DoutputDirectory={folder}"])  # fmt: skip
    jars = sorted(path.name for path in folder.glob("*.jar"))
    sums = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in jars)
    _check("the jars of Flink", hashlib.sha256(sums.encode()).hexdigest(), locked("flink.sha256"))
    _write_class_path(folder / flink_jar().name, jars)


def _write_class_path(path: pathlib.Path, jars: Sequence[str]) -> None:
    """Write a jar that holds nothing but the names of those beside it, and which class to start."""
    lines = {"Manifest-Version": "1.0", "Main-Class": _JOB_SERVER, "Add-Opens": " ".join(OPENED),
             "Class-Path": " ".join(jars)}  # fmt: skip
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "".join(_wrapped(f"{name}: {text}") for name, text in lines.items()))


def _wrapped(line: str) -> str:
    """A line of a manifest, which may have 72 bytes and goes on behind a space."""
    return "\n ".join([line[:70], *(line[start : start + 69] for start in range(70, len(line), 69))]) + "\n"


def _check(what: str, found: str, expected: str) -> None:
    if found != expected:
        raise RunnerMissingError(f"expected {what} of checksum {expected}, got {found}; {POM} has the version")


def _run(command: Sequence[str], **environment: str) -> str:
    if not shutil.which(command[0]):
        raise RunnerMissingError(f"expected {command[0]!r} on the PATH, which gets a runner, got none; install it")
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise RunnerMissingError(f"expected {' '.join(command)} to succeed, got {done.returncode}: {said}")
    return done.stdout


if __name__ == "__main__":
    stopping.leave("python -m pipeline.runners", main)
