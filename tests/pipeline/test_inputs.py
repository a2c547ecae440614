import contextlib
import gzip
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.checks import check_inputs
from pipeline.command_line import parse
from pipeline.inputs import Inputs, open_inputs
from pipeline.settings import Settings, settings_of
from tests.beam import run
from transforms.io.files.read import ReadFiles

FORMATS = {
    "text": b"One.\n",
    "jsonl": b'{"text": "One."}\n',
    "csv": b"text\nOne.\n",
    "tsv": b"text\nOne.\n",
    "document": b"One.\n",
}


def settings(place: pathlib.Path | str, input_format: str = "text", **more: Any) -> Settings:
    """The settings of a run over `place`."""
    options = {"input": place, "input_format": input_format, "output": "out/rows", "output_format": "parquet", **more}
    return settings_of(parse([f"--{name}={value}" for name, value in options.items()])[0])


def records(inputs: Inputs, input_format: str = "text") -> list[tuple[str, bytes]]:
    """The origins and payloads of what a run reads."""
    found = run(None, ReadFiles(inputs.patterns, input_format, names=inputs.names))
    return sorted((record.origin, record.data) for record in found)


@contextlib.contextmanager
def fed(path: pathlib.Path, data: bytes) -> Iterator[None]:
    """A named pipe into which `data` is written once."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    yield
    writer.join()


@pytest.mark.parametrize("input_format", FORMATS)
def test_a_pipe_is_read_once_and_whole(tmp_path: pathlib.Path, input_format: str) -> None:
    """Under its own name; what was spooled is gone afterwards."""
    pipe = tmp_path / "pipe [1]"
    with fed(pipe, FORMATS[input_format]), open_inputs(settings(pipe, input_format), native=False) as inputs:
        ((origin, data),) = records(inputs, input_format)
    assert origin.rpartition("#")[0] == str(pipe)
    assert b"One." in data
    assert not [place for place in inputs.patterns if os.path.exists(place)]


def test_a_pipe_is_decompressed_by_its_suffix(tmp_path: pathlib.Path) -> None:
    """As a file would be."""
    pipe = tmp_path / "pipe.gz"
    with fed(pipe, gzip.compress(b"One.\n")), open_inputs(settings(pipe), native=False) as inputs:
        assert records(inputs) == [(f"{pipe}#0", b"One.")]


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd", "/proc/{pid}/fd"])
def test_an_open_descriptor_is_read(tmp_path: pathlib.Path, folder: str) -> None:
    """As bash's <(...) gives it, of a pipe or of a file."""
    folder = folder.format(pid=os.getpid())
    (tmp_path / "a").write_bytes(b"One.\n")
    reading, writing = os.pipe()
    os.write(writing, b"One.\n")
    os.close(writing)
    for descriptor in (reading, os.open(tmp_path / "a", os.O_RDONLY)):
        with open_inputs(settings(f"{folder}/{descriptor}"), native=False) as inputs:
            assert records(inputs) == [(f"{folder}/{descriptor}#0", b"One.")]
        os.close(descriptor)


@pytest.mark.subprocess
def test_standard_input_has_a_path_too(tmp_path: pathlib.Path) -> None:
    """/dev/stdin, whether it is a pipe or a file."""
    code = (
        "from pipeline.inputs import open_inputs; from tests.pipeline.test_inputs import records, settings\n"
        "with open_inputs(settings('/dev/stdin'), native=False) as inputs: print(records(inputs))"
    )
    (tmp_path / "a").write_bytes(b"One.\n")
    given: list[dict[str, Any]] = [{"input": b"One.\n"}, {"stdin": (tmp_path / "a").open("rb")}]
    for each in given:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, **each)
        assert done.stdout == b"[('/dev/stdin#0', b'One.')]\n"


def test_an_empty_device_gives_nothing(tmp_path: pathlib.Path) -> None:
    """/dev/null is a device that ends."""
    with open_inputs(settings("/dev/null"), native=False) as inputs:
        assert records(inputs) == []


def test_a_descriptor_that_is_not_open_is_refused(tmp_path: pathlib.Path) -> None:
    """In one line."""
    with (
        pytest.raises(ValueError, match="^expected --input to be readable, could not copy /dev/fd/999: No such file"),
        open_inputs(settings("/dev/fd/999"), native=False),
    ):
        pass


@pytest.mark.parametrize("place", ["-", "/dev/stdin", "/dev/fd/63"])
def test_a_remote_runner_reads_no_pipe_of_this_machine(place: str) -> None:
    """It has none."""
    with pytest.raises(ValueError, match=f"got {place}; standard input is read locally only"):
        check_inputs(settings(place), "DataflowRunner", here=False)


@pytest.mark.parametrize("option", ["input", "already_written"])
def test_a_place_that_exists_is_no_pattern(tmp_path: pathlib.Path, option: str) -> None:
    """For every option that names files."""
    (tmp_path / "a[1].txt").write_bytes(b"One.\n")
    (tmp_path / "a1.txt").write_bytes(b"Another.\n")
    place = str(tmp_path / "a[1].txt")
    given: dict[str, Any] = {"input": tmp_path / "a1.txt", "journal": "none", option: place}
    with open_inputs(settings(given.pop("input"), **given), native=False) as inputs:
        patterns = {"input": inputs.patterns, "already_written": inputs.written}[option]
        assert records(Inputs(patterns)) == [(f"{place}#0", b"One.")]


@pytest.mark.parametrize("option", ["input", "already_written"])
def test_a_place_of_nothing_but_hidden_files_is_refused(tmp_path: pathlib.Path, option: str) -> None:
    """The line names one, and what to do."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "_SUCCESS").touch()
    (tmp_path / "a").touch()
    given: dict[str, Any] = {"input": tmp_path / "a", option: tmp_path / "in"}
    with (
        pytest.raises(ValueError, match=f"^expected --{option} to match a file, .* left out, such as '.*/_SUCCESS'; "),
        open_inputs(settings(given.pop("input"), **given), native=False),
    ):
        pass


def test_an_encoding_that_there_is_not_is_refused() -> None:
    """Before any work."""
    with pytest.raises(
        ValueError, match="^expected encoding to be one of Python's text encodings, .* got 'latin-2000'"
    ):
        check_inputs(settings("a", encoding="latin-2000"), "", here=True)


def test_an_input_that_is_not_utf8_is_an_option_like_any_other(tmp_path: pathlib.Path) -> None:
    """Beam's copy of the options is one that it can keep."""
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")
    with open(name, "w") as file:
        file.write("One.\n")
    arguments, beam_options = parse([f"--input={name}", "--input_format=text", "--output=a", "--output_format=jsonl"])
    with open_inputs(settings_of(arguments), native=False) as inputs:
        assert records(inputs) == [(f"{tmp_path}/caf%E9.txt#0", b"One.")]
    str(beam_options.get_all_options()).encode()
