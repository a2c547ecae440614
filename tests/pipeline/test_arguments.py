"""The command lines of the programs."""

import importlib
import os
import subprocess
import sys

import pytest

PROGRAMS = (
    "compact",
    "evaluate",
    "expansion_service",
    "export_encoder",
    "models",
    "plan.__main__",
    "replay",
    "report.__main__",
    "search.__main__",
    "status",
)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--modle=x"], "unknown option '--modle'; "),
        (["--help=1"], "argument -h/--help: ignored explicit argument '1'"),
    ],
)
def test_a_wrong_option_ends_each_program_with_one_line(
    name: str, argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even if options are missing, and without the list of all."""
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"pipeline.{name}").main(argv)
    assert ended.value.code == 2
    program = f"python -m pipeline.{name.removesuffix('.__main__')}"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{program}: {said}")


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_usage_of_each_program_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What must be given; the options stand below it, each with what it does."""
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"pipeline.{name}").main(["--help"])
    assert ended.value.code == 0
    usage, blank = capsys.readouterr().out.splitlines()[:2]
    assert usage.startswith("usage: python -m pipeline.")
    assert usage.endswith(" [OPTION ...]")
    assert not blank


@pytest.mark.subprocess
@pytest.mark.parametrize(("arguments", "code"), [(["pipeline.models"], 141), (["pipeline.search", "--help"], 0)])
def test_a_reader_that_has_enough_ends_a_program_silently(arguments: list[str], code: int) -> None:
    """As head does; 141 is the code of what SIGPIPE ends."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run([sys.executable, "-m", *arguments], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (code, b"")
