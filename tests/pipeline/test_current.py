"""The current rows of files: of each message, those of one version, whole."""

import contextlib
import os
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import compact
from pipeline import current as current_module
from pipeline.current import CurrentRows, current_rows
from tests.pipeline.stories import rows_of, version, write_bundle, write_journal, write_rows
from transforms.io.files.write import FILE_FORMATS
from transforms.kinds import ROWS
from transforms.schema import EMBEDDING_COLUMNS, arrow_schema
from transforms.types import Message, is_end


def contents(pattern: Any, **options: Any) -> list[str]:
    """The sentences of the current rows, sorted."""
    return sorted(current_rows(str(pattern), **options)["content"].to_pylist())


def shown(pattern: str, **options: Any) -> list[str]:
    """The sentences that a tool is shown, sorted."""
    return CurrentRows(pattern, **options).read(
        lambda view: sorted(content for (content,) in view.query("SELECT content FROM rows").fetchall())
    )


messages = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["One. Two. Three.", "One. Four.", "Five.", " ", None])),
    min_size=1,
    max_size=6,
)
bundles = st.lists(
    st.tuples(
        st.lists(st.integers(0, 5), min_size=1, max_size=4),
        st.sampled_from(["x", "y"]),
        st.sampled_from(["whole", "cut off", "compacted", "compacted before the journal"]),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(messages, bundles, st.sampled_from(FILE_FORMATS))
def test_after_every_bundle_they_are_what_a_fresh_run_over_the_live_messages_writes(
    published: list[tuple[str, str | None]], delivered: list[tuple[list[int], str, str]], file_format: str
) -> None:
    """Edits, deletions and new beginnings in any order, some twice, bundles cut off and retried, files compacted."""
    versions = [version(number, text, message) for number, (message, text) in enumerate(published)]
    with tempfile.TemporaryDirectory() as name:
        prefix = pathlib.Path(name, "out", "rows")
        newest: dict[tuple[str, str], Message] = {}
        for numbers, model, fate in delivered:
            bundle = [versions[number % len(versions)] for number in numbers]
            written = write_rows(prefix, *bundle, model=model, file_format=file_format)
            if fate == "compacted before the journal":
                compacted(prefix, file_format)
                assert found(f"{prefix}*.{file_format}") == rebuilt(newest)
            if fate != "cut off":
                write_journal(prefix, written, file_format)
                for message in bundle:
                    before = newest.get((message.id, model), message)
                    newest[message.id, model] = max(before, message, key=lambda each: each.version)
            if fate == "compacted":
                compacted(prefix, file_format)
            assert found(f"{prefix}*.{file_format}") == rebuilt(newest)


def compacted(prefix: pathlib.Path, file_format: str) -> None:
    """Compact all that is at a place, if there are rows."""
    if list(prefix.parent.glob("rows*")):
        assert compact.main([f"--input={prefix}*.{file_format}", f"--output={prefix}", "--replace"]) == 0


def found(pattern: str) -> list[dict[str, Any]]:
    """The current rows, in order; none if there are no files."""
    with contextlib.suppress(ValueError):
        return in_order(current_rows(pattern))
    return []


def rebuilt(newest: dict[tuple[str, str], Message]) -> list[dict[str, Any]]:
    """The rows of the live messages."""
    rows = [row for (_, model), message in newest.items() for row in rows_of(message, model) if not is_end(row)]
    return in_order(ROWS.to_arrow(rows))


def in_order(table: pa.Table) -> list[dict[str, Any]]:
    """The rows by model and id."""
    return sorted(table.to_pylist(), key=lambda row: (row["model"], row["id"]))


def test_an_edit_a_shrink_and_a_deletion_retire_what_was_before(tmp_path: pathlib.Path) -> None:
    """And tools are shown the same."""
    prefix, pattern = tmp_path / "rows", f"{tmp_path}/rows*.parquet"
    for number, (text, expected) in enumerate(
        [("One. Two.", ["One.", "Two."]), ("One. Three.", ["One.", "Three."]), ("One.", ["One."]), (None, [])]
    ):
        write_bundle(prefix, version(number, text))
        assert contents(pattern) == shown(pattern) == expected


def test_rows_without_an_entry_are_not_current_yet(tmp_path: pathlib.Path) -> None:
    """Even before the journal has begun, and the version before stays."""
    write_rows(tmp_path / "rows", version(1, "One."))
    assert contents(f"{tmp_path}/rows*") == shown(f"{tmp_path}/rows*") == []
    write_bundle(tmp_path / "rows", version(1, "One."))
    write_rows(tmp_path / "rows", version(2, "Two."))
    assert contents(f"{tmp_path}/rows*") == ["One."]


def test_of_equal_versions_the_later_written_wins(tmp_path: pathlib.Path) -> None:
    """In whichever order, and again when one comes once more."""
    for text in ("One.", "Two.", "One."):
        write_bundle(tmp_path / "rows", version(1, text))
        assert contents(f"{tmp_path}/rows*") == [text]
        time.sleep(0.001)


def test_places_without_a_journal_are_read_whole(tmp_path: pathlib.Path) -> None:
    """Those of an earlier release too, whose rows have no revision, and copies of rows alone."""
    rows = [row for number in (1, 2) for row in rows_of(version(number, "One.")) if not is_end(row)]
    table = ROWS.to_arrow(rows)
    pq.write_table(table.drop_columns(["revision"]), tmp_path / "old-00000-of-00001.parquet")
    pq.write_table(table, tmp_path / "copied.parquet")
    for name in ("old*", "copied*"):
        assert contents(tmp_path / name) == shown(str(tmp_path / name)) == ["One.", "One."]


def test_one_glob_over_places_with_a_journal_and_without(tmp_path: pathlib.Path) -> None:
    """What the journal knows follows it everywhere."""
    write_bundle(tmp_path / "rows", version(2, "New."))
    old = [row._replace(revision="") for row in rows_of(version(1, "Old.")) + rows_of(version(1, "Other.", "n"))]
    pq.write_table(ROWS.to_arrow([row for row in old if row.embedding]), tmp_path / "old-00000-of-00001.parquet")
    assert contents(f"{tmp_path}/*.parquet") == shown(f"{tmp_path}/*.parquet") == ["New.", "Other."]


def test_versions_of_a_message_in_several_places_are_compared(tmp_path: pathlib.Path) -> None:
    """A folder a day, say; the folders of journals and dead letters among those that a glob matches are left out."""
    write_bundle(tmp_path / "1" / "rows", version(1, "One."))
    write_bundle(tmp_path / "2" / "rows", version(2, "Two."))
    (tmp_path / "2" / "dead_letters").mkdir()
    (tmp_path / "2" / "dead_letters" / "rows-00000-of-00001.parquet").write_bytes(b"no rows")
    assert contents(f"{tmp_path}/*/rows*.parquet") == ["Two."]
    os.rename(tmp_path / "2", tmp_path / "1" / "2")
    assert contents(f"{tmp_path}/1/*.parquet") == ["One."]
    assert contents(f"{tmp_path}/1/*/rows*.parquet") == ["Two."]


def test_rows_that_were_played_again_complete_their_version(tmp_path: pathlib.Path) -> None:
    """Wherever the letters were played to: the entry is in the journal of the first run."""
    first, second, end = rows_of(version(1, "One. Two."))
    (tmp_path / "again" / "journal").mkdir(parents=True)
    (tmp_path / "journal").mkdir()
    write_journal(tmp_path / "rows", [first, end])
    for place, row in ((tmp_path, first), (tmp_path / "again", second)):
        pq.write_table(ROWS.to_arrow([row]), place / "rows-00000-of-00001.parquet")
    (tmp_path / "first").mkdir()
    for name in ("rows-00000-of-00001.parquet", "journal"):
        os.rename(tmp_path / name, tmp_path / "first" / name)
    assert contents(f"{tmp_path}/*/rows*") == shown(f"{tmp_path}/*/rows*") == ["One.", "Two."]


def test_a_glob_of_some_files_of_a_place_takes_all_of_its_journal(tmp_path: pathlib.Path) -> None:
    """Else a version that is not newest would look as if it were."""
    write_bundle(tmp_path / "rows", version(1, "One."))
    (first,) = tmp_path.glob("*.parquet")
    write_bundle(tmp_path / "rows", version(2, "Two."))
    assert contents(first) == []


def test_a_journal_elsewhere_is_named(tmp_path: pathlib.Path) -> None:
    """By the prefix that the run was given; and all versions can be asked for."""
    write_bundle(tmp_path / "rows", version(1, "One."))
    write_bundle(tmp_path / "rows", version(2, "Two."))
    os.rename(tmp_path / "journal", tmp_path / "elsewhere")
    pattern = f"{tmp_path}/rows*.parquet"
    assert contents(pattern) == ["One.", "Two."]
    assert contents(pattern, journal=f"{tmp_path}/elsewhere/rows") == ["Two."]
    assert shown(pattern, journal=f"{tmp_path}/elsewhere/rows", all_versions=True) == ["One.", "Two."]
    with pytest.raises(ValueError, match="expected --journal=PREFIX of the run that wrote the rows, 'no/such' has no"):
        current_rows(pattern, "no/such")


def test_a_row_that_was_written_twice_is_one(tmp_path: pathlib.Path) -> None:
    """Whether the message came again or the bundle was retried."""
    for write in (write_rows, write_bundle, write_bundle):
        write(tmp_path / "rows", version(1, "One. Two."), version(1, "One. Two."))
    assert contents(f"{tmp_path}/rows*") == ["One.", "Two."]


@pytest.mark.parametrize("file_format", FILE_FORMATS)
def test_every_format_gives_the_columns_of_rows(tmp_path: pathlib.Path, file_format: str) -> None:
    """Of the same values."""
    message = version(7, "One. Two.")._replace(event_time=None)
    write_bundle(tmp_path / "rows", message, file_format=file_format)
    table = current_rows(f"{tmp_path}/rows*")
    assert table.schema == arrow_schema(EMBEDDING_COLUMNS)
    assert in_order(table) == rebuilt({("m", "model"): message})


@pytest.mark.parametrize("content", [b"no Parquet", b""])
def test_files_that_the_pipeline_did_not_write_are_refused_with_one_line(
    tmp_path: pathlib.Path, content: bytes
) -> None:
    """Rows or journal."""
    write_bundle(tmp_path / "rows", version(1, "One."))
    for folder in (tmp_path, tmp_path / "journal"):
        broken = folder / "rows-00000-of-00001.parquet"
        broken.write_bytes(content)
        with pytest.raises(ValueError, match=r"^expected rows of the pipeline in '.*'?: [^\n]*$"):
            current_rows(f"{tmp_path}/rows*")
        broken.unlink()


def test_files_that_are_replaced_while_they_are_read_are_read_again(tmp_path: pathlib.Path) -> None:
    """The answer is of one state, not of the journal before and the rows after."""
    write_bundle(tmp_path / "rows", version(1, "One."))
    pattern = f"{tmp_path}/rows*.parquet"
    asked = []

    def ask(view: current_module.View) -> list[str]:
        asked.append(view.paths)
        if len(asked) == 1:
            write_bundle(tmp_path / "rows", version(2, "Two."))
            assert compact.main([f"--input={pattern}", f"--output={tmp_path}/rows", "--replace"]) == 0
        return sorted(content for (content,) in view.query("SELECT content FROM rows").fetchall())

    assert CurrentRows(pattern).read(ask) == ["Two."]
    assert len(asked) == 2


def test_files_that_never_stay_end_with_one_line(tmp_path: pathlib.Path) -> None:
    """Not in a loop without end."""
    write_bundle(tmp_path / "rows", version(1, "One."))
    (path,) = (tmp_path / "journal").iterdir()

    def ask(view: current_module.View) -> None:
        os.utime(path, ns=(0, time.monotonic_ns()))

    with pytest.raises(ValueError, match="expected --embeddings of files that stay, '.*' was replaced all the time"):
        CurrentRows(f"{tmp_path}/rows*.parquet").read(ask)


def test_it_takes_no_more_memory_than_the_journal(tmp_path: pathlib.Path) -> None:
    """Rows come a few thousand at a time."""
    write_bundle(tmp_path / "rows", *(version(1, "One. Two. Three.", str(number)) for number in range(4000)))
    largest: Callable[[current_module.View], int] = lambda view: max(map(len, view.batches()))  # noqa: E731
    assert CurrentRows(f"{tmp_path}/rows*").read(largest) <= 8192
