"""Getting Prism and Flink: what is pinned, what is checked, and what is left behind if it fails."""

import pathlib

import apache_beam as beam
import pytest

from pipeline.runners import flink_jar, locked, prism_path
from pipeline.runners.__main__ import OPENED, main
from pipeline.runners.flink import TASK_MANAGER_MEMORY
from tests.conftest import ROOT

# It installs a file, and says that it was made of another module.
_GO = """#!/bin/sh
if [ "$1" = install ]; then echo prism > "$GOBIN/prism"; else echo "mod beam v0 h1:other"; fi
"""


def test_prism_is_of_the_version_of_beam() -> None:
    """Its protocol is that of the Python that it runs."""
    assert locked("prism.version") == f"v{beam.__version__}"


@pytest.fixture
def tools(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An empty folder of programs, which is the PATH, beside an empty one for runners."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin")
    monkeypatch.setenv("RUNNERS_HOME", str(tmp_path / "runners"))
    return tmp_path / "bin"


def test_what_is_there_is_not_got_again(tools: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without Go and Maven, its places are printed."""
    for path in (prism_path(), flink_jar()):
        path.parent.mkdir(parents=True)
        path.touch()
    assert main() == 0
    assert capsys.readouterr().out.split() == [str(prism_path()), str(flink_jar())]


def test_another_checksum_is_refused(tools: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what was got is not kept."""
    (tools / "go").write_text(_GO)
    (tools / "go").chmod(0o755)
    assert main() == 1
    assert "h1:other" in capsys.readouterr().err
    assert list((tools.parent / "runners").iterdir()) == []


def test_a_tool_that_is_missing_is_one_line(
    tools: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which one, and what it is for."""
    monkeypatch.setenv("PATH", str(tools))
    assert main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected 'go' on the PATH" in line


def test_the_documented_cluster_is_the_tested_one() -> None:
    """Sizes of memory, and what Java opens."""
    page = (ROOT / "docs" / "runners.md").read_text()
    for name, size in TASK_MANAGER_MEMORY.items():
        assert f"taskmanager.memory.{name}{'' if '.m' in name else '.size'}={size}b" in page
    assert all(f"--add-opens={name}=ALL-UNNAMED" in page for name in OPENED)
