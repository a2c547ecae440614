"""Compaction: the current rows of many files in few, and nothing lost on the way."""

import os
import pathlib
import resource
import signal
import subprocess
import sys
import time
from typing import Any

import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystems import FileSystems

from pipeline import compact
from pipeline.current import current_rows
from pipeline.names import written_under
from tests.conftest import ROOT, as_arguments
from tests.pipeline.stories import rows_of, version, write_bundle, write_rows
from tests.pipeline.test_current import contents, found
from transforms.io.files.write import FILE_FORMATS
from transforms.kinds import ROWS
from transforms.types import is_end


def arguments(folder: pathlib.Path, **options: Any) -> list[str]:
    """A compaction of folder/out/rows*.parquet into folder/few/rows."""
    chosen = {"input": f"{folder}/out/rows*.parquet", "output": folder / "few" / "rows", **options}
    return as_arguments(chosen)


def replacing(folder: pathlib.Path) -> list[str]:
    """A compaction of folder/out/rows in its place."""
    return [*arguments(folder, output=folder / "out" / "rows"), "--replace"]


def files(folder: pathlib.Path) -> dict[str, bytes]:
    """All files below a folder, with what they hold."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def many(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder whose place out/rows has ten edits of each of three messages, the last of which is deleted."""
    for number in range(10):
        for message in "abc":
            text = None if (message, number) == ("c", 9) else f"Edit {number}. Of {message}."
            write_bundle(tmp_path / "out" / "rows", version(number, text, message))
    return tmp_path


CURRENT = ["Edit 9.", "Edit 9.", "Of a.", "Of b."]


def test_current_rows_go_into_few_files_and_the_input_stays(
    many: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose bytes are those that were there, and the summary says what was done."""
    before = files(many / "out")
    assert compact.main(arguments(many)) == 0
    assert files(many / "out") == before
    assert sorted(files(many / "few")) == [
        "journal/rows-00000-of-00001.parquet",
        "rows-00000-of-00001.parquet",
    ]
    assert contents(many / "few" / "rows*") == CURRENT
    assert capsys.readouterr().out == (
        "rows          4 of 58, in 1 files instead of 29\njournal       3 newest versions, 1 of them deletions\n"
    )


def test_a_second_compaction_takes_the_place_of_the_first(many: pathlib.Path) -> None:
    """Of its rows and of its journal, with as many files as asked for."""
    assert compact.main(arguments(many, rows_per_file=1)) == 0
    assert len(written_under(f"{many}/few/rows", "parquet")) == 4
    write_bundle(many / "out" / "rows", version(10, "Last.", "a"), version(10, None, "b"))
    assert compact.main(arguments(many, rows_per_file=3)) == 0
    assert len(written_under(f"{many}/few/rows", "parquet")) == 1
    assert contents(many / "few" / "rows*") == ["Last."]


def test_the_input_is_replaced_if_that_is_asked_for(many: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Again and again, while it grows, and what a stream writes meanwhile is not touched."""
    for number in (20, 21):
        assert compact.main(replacing(many)) == 0
        assert len(files(many / "out")) == 2
        assert contents(many / "out" / "rows*") == (CURRENT if number == 20 else ["Edit 9.", "Late.", "Of b."])
        write_bundle(many / "out" / "rows", version(number, "Late.", "a"))
    assert "removed       59 files of " in capsys.readouterr().out


def test_a_deleted_message_does_not_come_back_with_an_older_version(many: pathlib.Path) -> None:
    """That is why the journal keeps deletions, and the versions without sentences."""
    write_bundle(many / "out" / "rows", version(10, " ", "b"))
    assert compact.main(replacing(many)) == 0
    write_bundle(many / "out" / "rows", version(3, "Late edit.", "c"), version(3, "Late edit.", "b"))
    assert contents(many / "out" / "rows*") == ["Edit 9.", "Of a."]


@pytest.mark.parametrize("file_format", FILE_FORMATS)
def test_every_format_stays_what_it_is(tmp_path: pathlib.Path, file_format: str) -> None:
    """Value for value."""
    for number in (1, 2):
        write_bundle(tmp_path / "out" / "rows", version(number, f"One. {number}."), file_format=file_format)
    pattern = f"{tmp_path}/out/rows*.{file_format}"
    assert compact.main(arguments(tmp_path, input=pattern)) == 0
    assert found(f"{tmp_path}/few/rows*.{file_format}") == found(pattern)


def test_without_a_journal_all_rows_are_kept(tmp_path: pathlib.Path) -> None:
    """Rows of an earlier release, say."""
    rows = [row._replace(revision="") for row in rows_of(version(1, "One. Two.")) if not is_end(row)]
    (tmp_path / "out").mkdir()
    for number in range(2):
        pq.write_table(ROWS.to_arrow(rows), tmp_path / "out" / f"rows-0000{number}-of-00002.parquet")
    assert compact.main(arguments(tmp_path)) == 0
    assert contents(tmp_path / "few" / "rows*") == ["One.", "One.", "Two.", "Two."]
    assert compact.main(replacing(tmp_path)) == 0
    assert contents(tmp_path / "out" / "rows*") == ["One.", "One.", "Two.", "Two."]


def test_rows_of_no_version_are_not_lost_when_the_input_is_replaced(tmp_path: pathlib.Path) -> None:
    """Those of messages that the journal does not know; they are not current, but nowhere else."""
    rows = [row._replace(revision="") for row in rows_of(version(1, "Old.")) + rows_of(version(1, "Other.", "n"))]
    (tmp_path / "out").mkdir()
    table = ROWS.to_arrow([row for row in rows if row.embedding])
    pq.write_table(table, tmp_path / "out" / "rows-00000-of-00001.parquet")
    write_bundle(tmp_path / "out" / "rows", version(2, "New."))
    assert compact.main(replacing(tmp_path)) == 0
    (path,) = (tmp_path / "out").glob("rows*")
    assert sorted(pq.read_table(path)["content"].to_pylist()) == ["New.", "Other."]


def test_rows_on_their_way_stay_out_of_a_copy(tmp_path: pathlib.Path) -> None:
    """Its journal would never have their entry."""
    write_bundle(tmp_path / "out" / "rows", version(1, "One."))
    write_rows(tmp_path / "out" / "rows", version(2, "Two."))
    assert compact.main(arguments(tmp_path)) == 0
    (path,) = (tmp_path / "few").glob("rows*")
    assert pq.read_table(path)["content"].to_pylist() == ["One."]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"output": "{0}/out/rows"}, "expected --output apart from --input, got '{0}/out/rows', which it matches;"),
        ({"output": "{0}/out/rows2"}, "expected --output apart from --input, got '{0}/out/rows2', which it matches;"),
        ({"output": "{0}/out"}, "expected --output to be a path prefix such as {0}/out/rows, got '{0}/out', a dir"),
        ({"output": "gs://bucket/rows"}, "expected --output on this machine, got 'gs://bucket/rows'"),
        ({"output": "{0}/file/rows"}, "expected --output in a directory that can be written, {0}/file: "),
        ({"input": "{0}/out/none*"}, "expected --input to match files of rows, '{0}/out/none*' matches none"),
        ({"input": "{0}/fi*"}, "expected --input of files of one format, parquet, jsonl, avro, got "),
        ({"input": "{0}/bad*.parquet"}, "expected rows of the pipeline in '{0}/bad*.parquet': "),
        ({"rows_per_file": 0}, "expected --rows_per_file of at least 1, got 0"),
        ({"journal": "{0}/none"}, "expected --journal=PREFIX of the run that wrote the rows, '{0}/none' has no files"),
    ],
)
def test_what_cannot_be_compacted_is_refused_with_one_line(
    many: pathlib.Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any], reason: str
) -> None:
    """Exit code 2, and nothing is written or removed."""
    (many / "file").touch()
    (many / "bad.parquet").write_bytes(b"no Parquet")
    before = files(many)
    filled = {name: value.format(many) if isinstance(value, str) else value for name, value in options.items()}
    assert compact.main(arguments(many, **filled)) == 2
    printed = capsys.readouterr().err
    assert reason.format(many) in printed
    assert printed.count("\n") == 1
    assert files(many) == before


def test_only_the_files_of_its_own_place_are_replaced(many: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else what reads one of the places would miss rows or entries."""
    write_bundle(many / "out" / "rows2", version(1, "One."))
    assert compact.main(replacing(many)) == 2
    expected = (
        f"expected --output to be the prefix of --input with --replace, {many}/out/rows and {many}/out/rows2, got "
    )
    assert expected in capsys.readouterr().err


def test_files_with_a_journal_and_without_are_not_mixed(many: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one place, the journal would hide those that have none."""
    table = ROWS.to_arrow([rows_of(version(1, "Old.", "old"))[0]._replace(revision="")])
    pq.write_table(table, many / "out" / "rows_old-00000-of-00001.parquet")
    assert compact.main(arguments(many)) == 2
    assert "expected --input of files that all have a journal, or none, got both" in capsys.readouterr().err


def test_a_place_where_a_run_is_at_work_is_refused(many: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is removed."""
    from pipeline.outputs import waiting_files

    before = files(many)
    with waiting_files({"output": f"{many}/out/rows"}):
        assert compact.main(replacing(many)) == 2
    assert "expected --output apart from that of a run at work" in capsys.readouterr().err
    assert files(many) == before


class Killed(BaseException):
    """The end of the process."""


@pytest.mark.parametrize("step", range(6))
def test_whatever_step_it_dies_at_the_current_rows_are_all_there(
    many: pathlib.Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Before and after each rename, and in the middle of removing."""
    before = found(f"{many}/out/rows*.parquet")
    steps = 0

    def dying(do: Any) -> Any:
        def wrapped(*given: Any, **named: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == step + 1:
                raise Killed
            return do(*given, **named)

        return wrapped

    monkeypatch.setattr(FileSystems, "rename", dying(FileSystems.rename))
    monkeypatch.setattr(pathlib.Path, "unlink", dying(pathlib.Path.unlink))
    with pytest.raises(Killed):
        compact.main(replacing(many))
    monkeypatch.undo()
    assert found(f"{many}/out/rows*.parquet") == before
    assert compact.main(replacing(many)) == 0
    assert (found(f"{many}/out/rows*.parquet"), len(files(many / "out"))) == (before, 2)


@pytest.mark.slow
@pytest.mark.subprocess
def test_killed_at_any_time_it_leaves_the_current_rows(tmp_path: pathlib.Path) -> None:
    """Kill -9 at many moments of a compaction in place; what it leaves behind, the next one removes."""
    for number in range(60):
        bundle = [version(number, f"Edit {number}. Of {message}.", str(message)) for message in range(100)]
        write_bundle(tmp_path / "out" / "rows", *bundle)
    expected = found(f"{tmp_path}/out/rows*.parquet")
    command = [sys.executable, "-m", "pipeline.compact", *replacing(tmp_path)]
    begun = time.monotonic()
    subprocess.run([*command[:3], *arguments(tmp_path)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    whole = time.monotonic() - begun
    codes = set()
    for share in (0.8, 0.9, 0.95, 1, 1.05, 1.1):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            process.wait(share * whole)
        except subprocess.TimeoutExpired:
            process.kill()
        codes.add(process.wait())
        assert found(f"{tmp_path}/out/rows*.parquet") == expected
    assert codes <= {0, -signal.SIGKILL}
    assert compact.main(replacing(tmp_path)) == 0
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert [name for name in left if name.startswith(".")] == []


def test_a_full_disk_ends_it_with_one_line(many: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, and all is as it was; a limit of the size of files stands for it."""
    before = files(many)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        assert compact.main(replacing(many)) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"python -m pipeline.compact: could not write {many}/out/rows and {many}/out/journal/rows: ")
    assert files(many) == before


def test_a_file_that_took_the_place_of_one_that_was_read_is_not_removed(
    many: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds what the compaction did not see."""
    path = max((many / "out").glob("rows*"))
    rename = FileSystems.rename

    def renaming(*given: Any) -> None:
        rename(*given)
        os.utime(path)

    monkeypatch.setattr(FileSystems, "rename", renaming)
    assert compact.main(replacing(many)) == 0
    assert path.exists()
    assert current_rows(f"{many}/out/rows*").num_rows == 4
