import pathlib
import re
from collections.abc import Sequence

import pytest

from pipeline.status import Status, main, status, status_sql
from tests.conftest import ROOT
from transforms.io.files.write import FILE_FORMATS, WRITERS
from transforms.kinds import JOURNAL
from transforms.types import JournalEntry


def entry(id: str, version: int, model: str = "one", sentences: int = 2, **fields: object) -> JournalEntry:
    """An entry of a version without dead letters, written 3 s after its event time, `fields` changing some."""
    made = JournalEntry(id, version, f"{version}-abc", version, model, "v1", sentences, sentences, 0, False, version)
    return made._replace(written_at=version + 3_000_000)._replace(**fields)  # type: ignore[arg-type]


HISTORY = [
    entry("edited", 1),
    entry("edited", 2),
    entry("same", 1),
    entry("same", 1),
    entry("blank", 3, sentences=0),
    entry("late", 5),
    entry("late", 4, written_at=9_000_000),
    entry("gone", 1),
    entry("gone", 2, sentences=0, deleted=True),
    entry("back", 1, sentences=0, deleted=True),
    entry("back", 2),
    entry("half", 1, rows=1, dead_letters=1),
    entry("twice", 1),
    entry("twice", 1, revision="1-def", written_at=8_000_000),
    entry("edited", 1, "two"),
    entry("same", 1, "two"),
    entry("gone", 1, "two"),
    entry("back", 1, "two", sentences=0, deleted=True),
    entry("same", 1, "old", model_version="v0", event_time=None),
]
EXPECTED = [
    Status("old", "v0", 7, 1, 6, 0, 0, 0, 0, None, None),
    Status("one", "v1", 7, 6, 0, 0, 1, 1, 1, 3.0, 8.0),
    # It has not seen the deletion, which counts as stale though the message is not one any more.
    Status("two", "v1", 7, 1, 4, 3, 0, 0, 1, 3.0, 3.0),
]


def write(folder: pathlib.Path, entries: Sequence[JournalEntry], file_format: str = "parquet", number: int = 0) -> str:
    """A file of rows in `folder`, which is not looked into, and its journal; what names the rows."""
    name = f"rows-{number:05}-of-00002.{file_format}"
    (folder / "journal").mkdir(exist_ok=True)
    (folder / name).touch()
    writer = WRITERS[file_format]((folder / "journal" / name).open("wb"), JOURNAL)
    writer.write(entries)
    writer.close()
    return str(folder / f"rows-*.{file_format}")


def rounded(found: Status) -> Status:
    """With times to the second, which are estimates."""
    times = (None if seconds is None else float(round(seconds)) for seconds in found[-2:])
    return Status(*found[:-2], *times)


@pytest.mark.parametrize("file_format", FILE_FORMATS)
def test_of_each_model_the_messages_are_counted_by_their_newest_version(
    tmp_path: pathlib.Path, file_format: str
) -> None:
    """Whatever the files that hold the entries, and their order."""
    write(tmp_path, HISTORY[::2], file_format)
    rows = write(tmp_path, HISTORY[1::2][::-1], file_format, 1)
    assert list(map(rounded, status(rows))) == EXPECTED


def test_the_statement_for_bigquery_is_the_one_that_is_shipped() -> None:
    """Below what a person reads of it."""
    shipped = (ROOT / "templates" / "sql" / "status.sql").read_text(encoding="utf-8")
    assert shipped.endswith(f".sql | bq query --nouse_legacy_sql\n{status_sql('PROJECT.DATASET.embeddings_journal')}")


def test_the_table_has_a_line_for_each_model(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Or for the one that is asked for, of which there may be no time."""
    rows = write(tmp_path, HISTORY)
    assert main([f"--rows={rows}"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    names = (
        "model model_version messages complete missing stale dead_lettered version_conflicts deleted late_p50 late_p99"
    )
    assert head.split() == names.replace("_", " ").split()
    assert [line.split()[:6] for line in lines] == [[str(value) for value in each[:6]] for each in EXPECTED]
    assert main([f"--rows={rows}", "--model=old", f"--journal={tmp_path}/journal"]) == 0
    _, line = capsys.readouterr().out.splitlines()
    assert line.split() == ["old", "v0", "7", "1", "6", "0", "0", "0", "0", "-", "-"]


@pytest.mark.parametrize(
    ("chosen", "code"),
    [([], 1), (["--model=one"], 0), (["--model=two"], 1), (["--model=old", "--model_version=v0"], 1)],
)
def test_what_is_missing_or_stale_can_fail_a_schedule(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], chosen: list[str], code: int
) -> None:
    """If it is asked to; one line says what."""
    rows = write(tmp_path, HISTORY)
    assert main([f"--rows={rows}", *chosen]) == 0
    assert main([f"--rows={rows}", "--expect_complete", *chosen]) == code
    printed = capsys.readouterr().err
    assert printed.count("\n") == code
    assert ("4 missing and 3 stale of two version v1" in printed) == (chosen in ([], ["--model=two"]))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--rows=nothing/*"], "expected --rows to match a file, 'nothing/.' matches none; check the path"),
        (["--rows=other.parquet"], "expected a journal beside --rows, got 'other.parquet' without one; name it with"),
        (["--rows=rows-*", "--model=three"], "expected --model=three in it, got old version v0, one version v1, two"),
        (["--rows=rows-*", "--model_version=3"], "expected entries in the journal of --model_version=3 in it, got old"),
        (["--rows=rows-*", "--journal=nothing"], "expected --journal to match a file, 'nothing' matches none"),
        (["--rows=rows-*", "--journal=other.parquet"], "expected a journal of the pipeline in '.*other.parquet'"),
        (["--rows=gs://bucket/rows*"], "expected --rows of files on this machine or a table, got 'gs://bucket/rows"),
    ],
)
def test_what_has_no_journal_is_refused(
    in_directory: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    """In one line."""
    write(in_directory, HISTORY)
    (in_directory / "other.parquet").write_bytes(b"no Parquet")
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert re.match(f"python -m pipeline.status: {reason}", printed)
    assert printed.count("\n") == 1


def test_a_journal_without_entries_says_nothing_of_any_model(tmp_path: pathlib.Path) -> None:
    """It is refused too."""
    assert main([f"--rows={write(tmp_path, [])}"]) == 2
