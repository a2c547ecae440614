"""Prism and Flink: where `make runners` puts them, and how they are started."""

import os
import pathlib
import xml.etree.ElementTree as xml

POM = pathlib.Path(__file__).with_name("pom.xml")
GET = "python -m pipeline.runners"


class RunnerMissingError(RuntimeError):
    """A runner is not on this machine; the message says what to do."""


def locked(name: str) -> str:
    """The property `name` of the pom: a version or a checksum."""
    return xml.parse(POM).getroot().findtext(f"{{*}}properties/{{*}}{name}", "")


def home() -> pathlib.Path:
    """The folder of the runners: $RUNNERS_HOME, or one in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("RUNNERS_HOME") or pathlib.Path(cache, "sentence-embeddings", "runners"))


def prism_path() -> pathlib.Path:
    """Where `make runners` puts Prism."""
    return home() / f"prism-{locked('prism.version')}" / "prism"


def flink_jar() -> pathlib.Path:
    """Where `make runners` puts a jar that starts Beam's job server for Flink: a class path over the jars beside it."""
    return home() / f"flink-{locked('flink.sha256')[:12]}" / "job-server.jar"


def present(path: pathlib.Path) -> pathlib.Path:
    """`path` itself.

    Raises:
        RunnerMissingError: if it is not there.
    """
    if not path.exists():
        raise RunnerMissingError(f"expected {path}, which is not there; get it with `make runners` or `{GET}`")
    return path
