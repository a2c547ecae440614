"""What a run does to the place that it writes to: put its files there, keep, replace, refuse and clean."""

import contextlib
import dataclasses
import errno
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from apache_beam.io.filesystem import CompressionTypes, FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem

from pipeline.command_line import parse
from pipeline.current import current_rows
from pipeline.outputs import make_outputs, waiting_files
from pipeline.settings import Settings, settings_of
from tests.conftest import ROOT
from tests.pipeline.program import Program, arguments, read_files, write_messages

HEX = "0123456789abcdef" * 2
GOOD = {"id": "good", "text": "A good row."}


def settings(folder: pathlib.Path, **options: Any) -> Settings:
    """The settings of a run of `arguments`."""
    return settings_of(parse(arguments(folder, "minilm", **options))[0])


def names(folder: pathlib.Path) -> set[str]:
    """The files and folders in `folder`, hidden ones included."""
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.fixture
def again(run: Program) -> Program:
    """The program in a folder in which it has written one row, and nothing else."""
    run.lines(GOOD)
    return run


def test_rows_stay_when_the_clock_is_ahead_of_that_of_the_files(run: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files on a network get the time of their server."""
    changed = os.path.getmtime
    monkeypatch.setattr(os.path, "getmtime", lambda path: changed(path) - 120)
    run.lines(GOOD)
    assert run.contents() == ["A good row."]


def test_only_files_of_an_earlier_run_are_replaced_and_the_summary_says_how_many(again: Program) -> None:
    """By their names, whatever their time."""
    out = again.out
    (out / "dead_letters").mkdir(exist_ok=True)
    for stale in ("rows-00001-of-00007.parquet", "dead_letters/rows-00000-of-00001.parquet"):
        (out / stale).write_bytes(b"of an earlier run")
    others = {"rows-later-of-march.parquet", "rows-00000-of-00001.jsonl", "rows2-00000-of-00001.parquet"}
    for other in others:
        (out / other).write_bytes(b"of another run")
    lines = again.lines()
    assert names(out) == {"dead_letters", "journal", "rows-00000-of-00001.parquet", *others}
    assert names(out / "dead_letters") == set()
    places = f"1 of {out}/journal/rows, 1 of {out}/dead_letters/rows, 2 of {out}/rows"
    assert f"replaced      4 files of an earlier run ({places})" in lines


def test_rows_stay_if_dead_letters_cannot_be_put_into_place(again: Program) -> None:
    """A run that fails replaces no rows."""
    (again.out / "dead_letters" / "rows-00000-of-00001.parquet").mkdir(parents=True)
    ran = again({"id": 1, "text": "Another row."}, {"id": 2})
    assert (ran.code, again.contents()) == (1, ["A good row."])
    assert "the pipeline failed" in ran.err


def test_a_first_run_replaces_nothing_and_says_nothing_of_it(run: Program) -> None:
    """No line without a file."""
    assert "replaced" not in "\n".join(run.lines(GOOD))
    assert names(run.out) == {"dead_letters", "journal", "rows-00000-of-00001.parquet"}


@pytest.mark.parametrize(
    ("messages", "options", "why"),
    [
        ([{"id": 1, "text": "Hi."}], {"text_field": "nosuch"}, "1 dead letters"),
        ([{"id": 1, "text": "Hi.", "title": ""}], {"text_field": "title"}, "1 messages without text"),
        ([{"id": 1, "text": "Hi."}], {"min_length": 50}, "1 sentences dropped by length"),
        ([{"id": 1, "text": "raise"}, {"id": 2, "text": " "}], {}, "1 dead letters, 1 messages without text"),
    ],
)
def test_a_run_that_makes_no_row_ends_with_1_and_keeps_what_was_there(
    again: Program, messages: list[dict[str, Any]], options: dict[str, Any], why: str
) -> None:
    """One line says why, and dead letters are where they always are."""
    ran = again(*messages, **options)
    assert ran.code == 1
    assert ran.err == f"python -m pipeline: expected rows, got none: {why}; rows of an earlier run are kept\n"
    assert again.contents() == ["A good row."]
    assert len(read_files(again.out / "dead_letters", "parquet")) == why.count("dead letters")


def test_a_run_without_the_ids_that_were_asked_for_keeps_what_was_there(again: Program) -> None:
    """Rows with other ids would take the place of good ones."""
    ran = again({"id": 1, "text": "Hi."}, id_field="ident")
    assert (ran.code, again.contents()) == (1, ["A good row."])
    assert ran.out.startswith("rows          1, not kept\n")
    assert "expected a message with what --id_field names, got none; rows of an earlier run are kept" in ran.err


def test_an_empty_input_is_no_failure_and_replaces_nothing(again: Program) -> None:
    """There was nothing to make rows of."""
    write_messages(again.folder)
    again.lines()
    assert again.contents() == ["A good row."]


def test_when_all_is_written_already_the_run_is_good_and_replaces_nothing(again: Program) -> None:
    """Rows for all sentences are elsewhere."""
    options = {"output": again.folder / "new" / "rows", "already_written": again.out}
    again.lines(GOOD, {"id": "b", "text": "Another."}, **options)
    (first,) = (again.folder / "new").glob("*.parquet")
    before = first.read_bytes()
    again.lines(GOOD, **options)
    assert first.read_bytes() == before


@pytest.mark.parametrize("common", ["output", "dead_letters"])
def test_a_second_run_into_a_place_where_one_is_at_work_is_refused(run: Program, common: str) -> None:
    """By whatever name it calls the place, and the first run does not notice."""
    (run.folder / "alias").symlink_to(run.out)
    first = settings(run.folder, dead_letters=run.out / "letters")
    make_outputs(first)
    places = {name: run.folder / "other" / name for name in ("output", "dead_letters")}
    places[common] = run.folder / "alias" / pathlib.Path(getattr(first, common)).name
    with waiting_files(first.places):
        refusal = run.refusal(GOOD, **places)
        assert f"expected --{common} apart from that of a run at work, got {places[common]}, where another" in refusal
    run.lines(**places)
    assert [name for name in names(run.out) if name.endswith("lock")] == []


def test_one_run_at_a_time_holds_a_place(tmp_path: pathlib.Path) -> None:
    """Although each removes the lock's file at its end, while others try to lock it."""
    for folder in ("dead_letters", "journal"):
        (tmp_path / "out" / folder).mkdir(parents=True)
    inside, most, held = 0, 0, 0
    counting = threading.Lock()
    chosen = settings(tmp_path)

    def run() -> None:
        nonlocal inside, most, held
        for _ in range(200):
            with contextlib.suppress(ValueError), waiting_files(chosen.places):
                with counting:
                    inside += 1
                    most, held = max(most, inside), held + 1
                with counting:
                    inside -= 1

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, held > 4) == (1, True)


def test_what_a_killed_run_left_is_removed_by_the_next_run_into_the_same_place(run: Program) -> None:
    """What is of another place, or of the user, stays."""
    left = [f".rows-{HEX}", f"beam-temp-rows-{HEX}", f"dead_letters/.rows-{HEX}"]
    kept = [f".rows-2-{HEX}", ".rows-notes", f"beam-temp-rows2-{HEX}", f"rows-{HEX}"]
    for name in (*left, *kept):
        (run.out / name).mkdir(parents=True)
        (run.out / name / "half.parquet").write_bytes(b"half a file")
    (run.out / ".rows.lock").touch()
    run.lines(GOOD)
    assert names(run.out) == {"dead_letters", "journal", "rows-00000-of-00001.parquet", *kept}
    assert names(run.out / "dead_letters") == set()


def test_what_a_killed_run_left_is_not_taken_for_rows_written(again: Program) -> None:
    """Hidden files, and the temporary folders of Beam's sink."""
    for left in (f".rows-{HEX}/a.parquet", f"beam-temp-rows-{HEX}/a.parquet", ".part.parquet"):
        (again.out / left).parent.mkdir(exist_ok=True)
        (again.out / left).write_bytes(b"half a file")
    options = {"output": again.folder / "new" / "rows", "already_written": again.out}
    again.lines(GOOD, {"id": "b", "text": "Another."}, **options)
    assert [row["content"] for row in read_files(again.folder / "new", "parquet")] == ["Another."]


def test_a_run_that_fails_leaves_nothing_and_replaces_nothing(again: Program) -> None:
    """Neither its folder nor its lock."""
    broken = again.folder / "broken.parquet"
    broken.write_bytes(b"no Parquet")
    before = names(again.out)
    assert again({"id": "b", "text": "Another."}, already_written=broken, journal="none").code == 1
    assert (names(again.out), again.contents()) == (before, ["A good row."])


def test_a_full_disk_is_not_kept_full(again: Program, caplog: pytest.LogCaptureFixture) -> None:
    """A limit of the size of files stands for it: a write fails half way, with an error of the system."""
    write_messages(again.folder, *({"id": i, "text": f"Message {i * 7919} of many."} for i in range(5000)))
    before = names(again.out)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        ran = again()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ran.code == 1
    (line,) = ran.err.splitlines()
    assert f"python -m pipeline: the pipeline failed: OSError: [Errno {errno.EFBIG}]" in line
    assert "Errno" not in caplog.text
    assert (names(again.out), again.contents()) == (before, ["A good row."])


@pytest.fixture
def many(run: Program) -> Program:
    """The program with more messages than a test can wait for."""
    write_messages(run.folder, *({"id": i, "text": f"Message number {i} of many. And more."} for i in range(100_000)))
    return run


@contextlib.contextmanager
def at_work(program: Program, *more: str) -> "Iterator[subprocess.Popen[str]]":
    """`python -m pipeline` in a session of its own, once it has begun to write."""
    command = [sys.executable, "-m", "pipeline", *arguments(program.folder, program.model), *more]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True) as process:
        try:
            until = time.monotonic() + 300
            while not list(program.out.glob(".rows-*/*")):
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < until
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.parametrize(
    ("number", "code", "more"),
    [
        (signal.SIGINT, 130, []),
        (signal.SIGTERM, 143, []),
        (signal.SIGINT, 130, ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]),
    ],
)
def test_a_stopped_run_ends_soon_and_leaves_nothing(
    many: Program, number: signal.Signals, code: int, more: list[str]
) -> None:
    """As Ctrl-C does, the signal goes to all processes of the run; one line says what happened."""
    with at_work(many, *more) as process:
        begun = time.monotonic()
        subprocess.run(["kill", f"-{number.value}", "--", f"-{process.pid}"], check=True)
        printed = process.communicate(timeout=10)[1]
        assert time.monotonic() - begun < 5
    assert process.returncode == code
    assert printed.splitlines()[-1] == f"python -m pipeline: stopped by {number.name} before its end; run it again"
    assert "Traceback" not in printed
    assert names(many.out) == {"dead_letters", "journal"}
    assert names(many.out / "dead_letters") == names(many.out / "journal") == set()


@pytest.mark.slow
@pytest.mark.subprocess
def test_a_killed_run_locks_nobody_out_and_the_next_one_cleans_up(many: Program) -> None:
    """While it runs, it does lock others out."""
    with at_work(many) as process:
        assert "where another one is writing" in many.refusal()
        process.kill()
        process.wait()
    assert len(names(many.out)) > 1
    many.lines(GOOD)
    assert names(many.out) == {"dead_letters", "journal", "rows-00000-of-00001.parquet"}


@pytest.mark.parametrize("option", ["output", "dead_letters"])
@pytest.mark.parametrize("place", ["there", "there/"])
def test_a_directory_is_no_prefix(run: Program, in_directory: pathlib.Path, option: str, place: str) -> None:
    """Files would be written beside it."""
    (in_directory / "there").mkdir()
    expected = f"expected --{option} to be a path prefix such as there/rows, got {place!r}"
    assert expected in run.refusal(GOOD, **{option: place})


@pytest.mark.parametrize(
    ("option", "place", "other"),
    [
        ("dead_letters", "out/rows", "output"),
        ("journal", "out/rows", "output"),
        ("journal", "out/dead_letters/rows", "dead_letters"),
    ],
)
def test_no_two_places_share_a_prefix(
    run: Program, in_directory: pathlib.Path, option: str, place: str, other: str
) -> None:
    """Their files would have the same names."""
    expected = f"expected --{option} apart from --{other}, got {place!r} for both"
    assert expected in run.refusal(GOOD, **{option: place})


def journal(program: Program) -> list[tuple[str, bool, int]]:
    """Message, deleted and rows of the entries of the journal, in order."""
    entries = read_files(program.out / "journal", "parquet")
    return sorted((entry["message_id"], entry["deleted"], entry["rows"]) for entry in entries)


def test_a_run_that_only_deletes_ends_well_with_its_journal_in_place(again: Program) -> None:
    """It has no row to make; those of an earlier run are replaced, as by any run."""
    ran = again({"id": "good", "gone": True}, {"id": "other", "gone": "yes"}, delete_field="gone")
    assert (ran.code, ran.err) == (0, "")
    assert journal(again) == [("good", True, 0), ("other", True, 0)]
    assert again.contents() == []
    assert "records       2: 0 messages, 2 deletions" in ran.out
    assert f"journal       2 versions of messages in {again.out}/journal/rows" in ran.out


def test_a_run_of_blank_messages_alone_ends_with_1_and_replaces_no_journal(again: Program) -> None:
    """A wrong --text_field looks like that."""
    assert again({"id": "good", "text": " "}).code == 1
    assert (again.contents(), journal(again)) == (["A good row."], [("good", False, 1)])


def test_without_a_journal_versions_are_not_told_apart(run: Program) -> None:
    """No journal, and rows as of a release that had none: readers see all of them."""
    run.lines(GOOD, {"id": "b", "text": ""}, {"id": "good", "text": "A better row."}, journal="none")
    assert names(run.out) == {"dead_letters", "rows-00000-of-00001.parquet"}
    assert {row["revision"] for row in run.rows()} == {""}
    assert sorted(current_rows(f"{run.out}/*.parquet")["content"].to_pylist()) == ["A better row.", "A good row."]


def test_the_journal_of_rows_that_are_replaced_by_rows_without_one_goes_with_them(again: Program) -> None:
    """Else it would hide them."""
    again.lines(GOOD, journal="none")
    assert names(again.out / "journal") == set()
    assert current_rows(f"{again.out}/*.parquet")["content"].to_pylist() == ["A good row."]


def test_rows_without_a_journal_beside_one_that_stays_are_refused(again: Program) -> None:
    """What a stream or a compaction wrote, a batch does not replace."""
    journal = again.out / "journal"
    (path,) = journal.iterdir()
    os.rename(path, journal / "rows-20261126T081500-0123456789ab.parquet")
    expected = (
        f"expected --journal with an --output that has one, {journal}/rows, by which readers take rows for current"
    )
    assert expected in again.refusal(journal="none")
    assert again.contents() == ["A good row."]


def test_a_journal_needs_a_sink_that_says_when_rows_are_written(run: Program) -> None:
    """A topic does not."""
    topics = {"output": "projects/p/topics/rows", "dead_letters": "projects/p/topics/bad", "output_format": "pubsub"}
    refusal = run.refusal(GOOD, **topics, journal="p:d.journal")
    assert "expected --journal with a sink that says when rows are written" in refusal


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": "in", "output": "in/rows"}, "expected --output apart from --input"),
        ({"input": "in/", "output": "in/deeper/rows"}, "expected --output apart from --input"),
        ({"input": "alias", "output": "in/rows"}, "expected --output apart from --input"),
        ({"input": "in", "output": "alias/rows"}, "expected --output apart from --input"),
        ({"input": "in/*.jsonl", "output": "in/rows"}, "expected --output apart from --input"),
        ({"input": "in", "output": "out/rows", "dead_letters": "in/bad"}, "expected --dead_letters apart from --input"),
        ({"input": "./*/*.jsonl", "output": "rows"}, "'dead_letters/rows', the default; give --dead_letters a place"),
    ],
)
def test_what_the_next_run_would_read_is_not_written(
    run: Program, in_directory: pathlib.Path, options: dict[str, Any], message: str
) -> None:
    """Rows and dead letters have no place among the input."""
    (in_directory / "in").mkdir()
    (in_directory / "alias").symlink_to(in_directory / "in")
    write_messages(in_directory / "in", GOOD)
    assert message in run.refusal(output_format="jsonl", **options)
    assert names(in_directory) == {"in", "alias"}


@pytest.mark.parametrize(
    "options",
    [
        {"input": "in/*.jsonl", "output": "in/rows"},
        {"input": "in", "output": "inside/rows"},
        {"input": "in/in.jsonl", "output": "in/rows"},
    ],
)
def test_beside_the_input_is_a_good_place(run: Program, in_directory: pathlib.Path, options: dict[str, Any]) -> None:
    """If the pattern of the input does not match what is written there."""
    (in_directory / "in").mkdir()
    write_messages(in_directory / "in", GOOD)
    run.lines(**options)


@pytest.mark.parametrize("folder", ["out", "out [1]", "what*", ""])
def test_any_folder_can_be_written_to(run: Program, in_directory: pathlib.Path, folder: str) -> None:
    """The working directory, and one whose name is a pattern to Beam; files there are replaced as anywhere."""
    place = pathlib.Path(folder)
    place.mkdir(exist_ok=True)
    (place / "rows-00001-of-00002.parquet").write_bytes(b"of an earlier run")
    run.lines(GOOD, output=place / "rows")
    assert [path.name for path in place.glob("rows*")] == ["rows-00000-of-00001.parquet"]


def test_files_are_written_where_there_are_no_locks(again: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on some network file systems. What others left stays, because they may be at work."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    (again.out / f".rows-{HEX}").mkdir()
    again.lines()
    assert names(again.out) >= {f".rows-{HEX}", "rows-00000-of-00001.parquet"}


class Bucket(LocalFileSystem):
    """A file system without folders and locks, of names bucket://PATH that stand for local files."""

    @classmethod
    def scheme(cls) -> str:
        """The scheme of its names."""
        return "bucket"

    def split(self, path: str) -> tuple[str, str]:
        """The folder and the name."""
        folder, _, name = path.rpartition("/")
        return folder, name

    def has_dirs(self) -> bool:
        """There are only names."""
        return False

    def _list(self, prefix: str) -> Iterator[FileMetadata]:
        for found in pathlib.Path(_local(prefix.rpartition("/")[0])).rglob("*"):
            if found.is_file() and (path := f"bucket://{found}").startswith(prefix):
                yield FileMetadata(path, found.stat().st_size)

    def exists(self, path: str) -> bool:
        """Whether there is a file of that name."""
        return pathlib.Path(_local(path)).is_file()

    def metadata(self, path: str) -> FileMetadata:
        """What is known of a file."""
        return dataclasses.replace(super().metadata(_local(path)), path=path)

    def create(self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.AUTO) -> Any:
        """A file to write."""
        return super().create(_local(path), mime_type, compression_type)

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        """Rename files."""
        super().rename([*map(_local, source_file_names)], [*map(_local, destination_file_names)])

    def delete(self, paths: list[str]) -> None:
        """Delete files."""
        for path in paths:
            pathlib.Path(_local(path)).unlink()


def _local(path: str) -> str:
    return re.sub("^bucket://", "", path)


def test_a_file_system_without_folders_gives_the_same_promise(again: Program) -> None:
    """Rows are put into place at the end, replacing those of an earlier run and leaving nothing else."""
    (again.out / "rows-00001-of-00002.parquet").write_bytes(b"of an earlier run")
    output = f"bucket://{again.out}/rows"
    lines = again.lines({"id": "b", "text": "Another."}, {"id": "c", "text": "raise"}, output=output)
    assert again.contents() == ["Another."]
    places = f"1 of bucket://{again.out}/journal/rows, 2 of {output}"
    assert f"replaced      3 files of an earlier run ({places})" in lines
    assert {path.name for path in again.out.rglob("*") if path.is_file()} == {"rows-00000-of-00001.parquet"}
    assert again({"id": "c", "text": "raise"}, output=output).code == 1
    assert again.contents() == ["Another."]


def test_a_replay_that_makes_no_row_keeps_what_was_there(again: Program) -> None:
    """Its exit code and line are those of the program."""
    again.lines(GOOD, {"id": "b", "text": 7})
    ran = again.replay(dead_letters=again.folder / "again" / "letters")
    assert (ran.code, again.contents()) == (1, ["A good row."])
    assert ran.err.startswith("python -m pipeline.replay: expected rows, got none: 1 dead letters")
    assert len(list((again.folder / "again").iterdir())) == 1


def test_a_replay_does_not_replace_its_letters(again: Program) -> None:
    """They would be gone if they failed in another way."""
    again.lines(GOOD, {"id": "b", "text": 7})
    ran = again.replay()
    assert ran.code == 2
    assert "expected --letters apart from the files under --dead_letters" in ran.err
