"""Rows of an earlier run: embedded again by another model, or left out of the next run."""

import itertools
import json
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.__main__ import main
from pipeline.checks import check_earlier
from pipeline.command_line import parse
from pipeline.inputs import Inputs
from pipeline.settings import settings_of
from tests.beam import run
from tests.conftest import record
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import load_encoder, name_and_version
from transforms.kinds import JOURNAL, ROWS
from transforms.reembedding import ParseRows
from transforms.schema import json_row
from transforms.splitter import SentenceSplitter
from transforms.splitting import sentences
from transforms.types import JournalEntry, Message, SentenceEmbedding
from transforms.versions import versioned

TEXTS = [
    {"id": f"m{number}", "text": f"Good dog {number}. Bad cat!", "at": number, "lang": "en"} for number in range(6)
]


def embed(folder: pathlib.Path, model: Any, messages: list[dict[str, Any]], to: str, **options: Any) -> int:
    """A run over `messages` to folder/`to`/rows; its exit code."""
    folder.mkdir(exist_ok=True)
    (folder / "in.jsonl").write_text("".join(json.dumps(message) + "\n" for message in messages))
    chosen = {"input": folder / "in.jsonl", "input_format": "jsonl", "id_field": "id", "timestamp_field": "at"}
    return run_program(folder, model, to, **{**chosen, **options})


def run_program(folder: pathlib.Path, model: Any, to: str, **options: Any) -> int:
    """A run to folder/`to`/rows, in Parquet if `options` do not say otherwise; its exit code."""
    chosen = {"output": folder / to / "rows", "output_format": "parquet", "model": model, "max_seq_length": 40}
    return main([f"--{name}={value}" for name, value in {**chosen, **options}.items()])


def rows_of(folder: pathlib.Path) -> Iterator[dict[str, Any]]:
    """The rows of a folder's Parquet files."""
    for path in sorted(folder.glob("*.parquet")):
        yield from pq.read_table(path).to_pylist()


def by_id(*folders: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The rows of folders by id, no id twice."""
    rows = [row for folder in folders for row in rows_of(folder)]
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def row(**changes: Any) -> dict[str, Any]:
    """A row's sentence as JSON holds it."""
    made = {"id": "i", "message_id": "m", "sentence_index": 0, "begin": 0, "end": 3, "content": "Hi.", "metadata": []}
    return {**made, "event_time": None, **changes}


def parsed(*rows: Any) -> Any:
    """What ParseRows makes of rows, and its dead letters."""
    return run([record(json.dumps(row)) for row in rows], ParseRows().with_dead_letters())


def test_rows_embedded_by_another_model_are_those_of_the_messages(
    tmp_path: pathlib.Path, tiny_bert: pathlib.Path, other_tiny_bert: pathlib.Path
) -> None:
    """The same ids, offsets, times and metadata; the vectors are the other model's."""
    assert embed(tmp_path, tiny_bert, TEXTS, "old") == 0
    assert run_program(tmp_path, other_tiny_bert, "again", input=tmp_path / "old/*.parquet", input_format="rows") == 0
    assert embed(tmp_path, other_tiny_bert, TEXTS, "direct") == 0
    old, again, direct = (by_id(tmp_path / name) for name in ("old", "again", "direct"))
    assert set(old) == set(again) == set(direct)
    for id, row in again.items():
        assert not np.allclose(row.pop("embedding"), old[id]["embedding"])
        assert row == {name: value for name, value in direct[id].items() if name != "embedding"}
    again = by_id(tmp_path / "again")
    found, expected = ([rows[id]["embedding"] for id in sorted(rows)] for rows in (again, direct))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def write_history(folder: pathlib.Path, model: Any) -> list[dict[str, Any]]:
    """Runs to folder/old, one after the other, that edit, shrink, blank and delete; the messages that are left."""
    edited = [{"id": "m0", "text": "Good dog.", "at": 9}, {"id": "m1", "text": "A cat. A dog. Bad cat!", "at": 9}]
    gone = [{"id": "m2", "text": " ", "at": 9}, {"id": "m3", "gone": True, "at": 9}]
    late = [{"id": "m0", "text": "Bad dog. Bad.", "at": 8}]
    for number, messages in enumerate((TEXTS, [*edited, *gone], late)):
        place = {"output": folder / "old" / f"rows-{number}", "delete_field": "gone"}
        assert embed(folder, model, messages, "old", **place) == (1 if messages is gone else 0)
    return [*edited, *TEXTS[4:]]


@pytest.mark.parametrize("place", ["old", "old/*.parquet", "old/rows-*"])
def test_of_a_history_the_current_state_is_embedded_again(
    tmp_path: pathlib.Path,
    tiny_bert: pathlib.Path,
    other_tiny_bert: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    """It is what a run over the live messages gives; the journal has the blank and the deleted ones too."""
    live = write_history(tmp_path, tiny_bert)
    capsys.readouterr()
    assert run_program(tmp_path, other_tiny_bert, "again", input=tmp_path / place, input_format="rows") == 0
    printed = capsys.readouterr().out
    assert "rows read     18, 10 of retired versions, and 0 duplicates left out" in printed
    assert "dead letters  none" in printed
    assert embed(tmp_path, other_tiny_bert, [{"lang": "en"} | message for message in live], "direct") == 0
    again, direct = (by_id(tmp_path / name) for name in ("again", "direct"))
    without = {"embedding", "metadata", "revision"}
    assert [{k: v for k, v in row.items() if k not in without} for _, row in sorted(again.items())] == [
        {k: v for k, v in row.items() if k not in without} for _, row in sorted(direct.items())
    ]
    entries = {each["message_id"]: each for each in rows_of(tmp_path / "again" / "journal")}
    assert {id: (each["version"], each["sentences"], each["deleted"]) for id, each in entries.items()} == {
        "m0": (9000, 1, False),
        "m1": (9000, 3, False),
        "m2": (9000, 0, False),
        "m3": (9000, 0, True),
        "m4": (4000, 2, False),
        "m5": (5000, 2, False),
    }
    assert all(row["revision"] == entries[row["message_id"]]["revision"] for row in again.values())


def test_without_the_journal_the_newest_row_of_each_id_is_read(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, tiny_bert: pathlib.Path
) -> None:
    """Whether it is not asked for, or not there, or no row was written by a program that knew of any."""
    write_history(tmp_path, text_encoder)
    whole = {row["id"] for row in rows_of(tmp_path / "old")}
    rows = {"input": tmp_path / "old" / "*.parquet", "input_format": "rows"}
    assert run_program(tmp_path, tiny_bert, "none", input_journal="none", **rows) == 0
    shutil.move(tmp_path / "old" / "journal", tmp_path / "journal")
    assert run_program(tmp_path, tiny_bert, "absent", **rows) == 0
    for path in (tmp_path / "old").glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["revision"]), path)
    assert run_program(tmp_path, tiny_bert, "before", **rows) == 0
    for name in ("none", "absent", "before"):
        found = by_id(tmp_path / name)
        assert found.keys() == whole
        assert not any(row["revision"] for row in found.values())
        assert not (tmp_path / name / "journal").exists() or not list((tmp_path / name / "journal").iterdir())


def test_a_version_of_which_rows_are_missing_is_not_taken_for_whole(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, tiny_bert: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Readers of the other model would see half of it, and nothing would embed the rest."""
    assert embed(tmp_path, text_encoder, TEXTS, "old") == 0
    (path,) = (tmp_path / "old").glob("*.parquet")
    pq.write_table(pq.read_table(path).slice(0, 5), path)
    capsys.readouterr()
    assert run_program(tmp_path, tiny_bert, "again", input=path, input_format="rows") == 0
    assert "torn          4 versions" in capsys.readouterr().out
    assert {row["message_id"] for row in by_id(tmp_path / "again").values()} == {"m0", "m1"}
    assert {each["message_id"] for each in rows_of(tmp_path / "again" / "journal")} == {"m0", "m1"}


def test_the_journal_may_be_elsewhere(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, tiny_bert: pathlib.Path
) -> None:
    """It is named, then."""
    write_history(tmp_path, text_encoder)
    shutil.move(tmp_path / "old" / "journal", tmp_path / "journal")
    rows = {"input": tmp_path / "old", "input_format": "rows", "input_journal": tmp_path / "journal" / "rows*"}
    assert run_program(tmp_path, tiny_bert, "again", **rows) == 0
    assert len(by_id(tmp_path / "again")) == 8


def test_a_message_of_which_the_journal_knows_nothing_is_read_as_before(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, tiny_bert: pathlib.Path
) -> None:
    """Rows that were written before there was a journal are still embedded."""
    assert embed(tmp_path, text_encoder, TEXTS[:2], "old", journal="none") == 0
    assert embed(tmp_path, text_encoder, TEXTS[1:4], "old", output=tmp_path / "old" / "more") == 0
    rows = {"input": tmp_path / "old" / "*.parquet", "input_format": "rows"}
    assert run_program(tmp_path, tiny_bert, "again", **rows) == 0
    found = by_id(tmp_path / "again")
    assert len(found) == 8
    assert {row["message_id"] for row in found.values() if not row["revision"]} == {"m0"}
    assert {each["message_id"] for each in rows_of(tmp_path / "again" / "journal")} == {"m1", "m2", "m3"}


edition = st.builds(
    Message,
    id=st.just("m"),
    text=st.sampled_from(["", "A. B.", "A. C. D.", "B."]),
    metadata=st.just({"k": "v"}),
    event_time=st.sampled_from([None, 5]),
    version=st.integers(-1, 2),
    deleted=st.booleans(),
)
histories = st.lists(
    st.lists(st.tuples(edition, st.sampled_from(["one", "two"]), st.sampled_from([0, 1, 1, 2])), max_size=5),
    min_size=1,
    max_size=6,
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(histories, st.randoms(use_true_random=False))
def test_whatever_the_history_the_newest_version_that_was_finished_goes_on(histories: Any, random: Any) -> None:
    """Rows and entries may come in any order and several times, of several models, and without their end."""
    rows: list[Any] = []
    entries: list[Any] = []
    expected: list[Any] = []
    clock = itertools.count(1)
    for number, history in enumerate(histories):
        current: tuple[Any, ...] = ()
        for made, model, times in history:
            message = made._replace(id=f"m{number}", text="" if made.deleted else made.text)
            *found, end = versioned(message, sentences(message, SentenceSplitter())[0])
            fields = (b"1234", model, "v1", "float32", 3, False)
            written = [ROWS.to_dict(SentenceEmbedding(*sentence, *fields)) for sentence in found]
            rows += written * (times or 1)
            if not times:
                continue
            at = next(clock)
            count = len(found)
            digest = (message.id, message.version, end.revision, message.event_time, model, "v1")
            entry = JournalEntry(*digest, count, count, 0, message.deleted, at)
            entries += [JOURNAL.to_dict(entry)] * times
            current = max(current, (message.version, at, [*found, end]))
        expected += current[2] if current else []
    random.shuffle(rows)
    random.shuffle(entries)
    found = reembedded([json_row(row) for row in rows], [json_row(entry) for entry in entries])
    assert found.dead_letters == []
    of_message = itertools.groupby(found.output, key=lambda sentence: sentence.message_id)
    assert [each for _, group in sorted((id, list(group)) for id, group in of_message) for each in group] == expected


def reembedded(rows: list[Any], entries: list[Any]) -> Any:
    """What ParseRows makes of rows and the entries of their journal."""

    def both(begin: Any) -> Any:
        sides = {"rows": rows, "entries": entries}
        read = [
            begin | name >> beam.Create([record(json.dumps(each)) for each in side], reshuffle=False)
            for name, side in sides.items()
        ]
        return tuple(read) | ParseRows().with_versions().with_dead_letters()

    return run(None, beam.ptransform_fn(both)())


@pytest.mark.parametrize("output_format", ["parquet", "jsonl", "avro"])
def test_a_run_after_another_embeds_what_is_new(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str], output_format: str
) -> None:
    """Both runs together have each row of one run over everything, once."""
    options = {"output_format": output_format}
    assert embed(tmp_path, text_encoder, TEXTS[:4], "first", **options) == 0
    earlier = tmp_path / "first" / f"*.{output_format}"
    capsys.readouterr()
    assert embed(tmp_path, text_encoder, TEXTS, "second", already_written=earlier, **options) == 0
    printed = capsys.readouterr().out
    assert "rows          4 in" in printed
    assert "sentences     12, of them truncated 0, written already 8" in printed
    if output_format == "parquet":
        assert embed(tmp_path, text_encoder, TEXTS, "whole") == 0
        assert by_id(tmp_path / "first", tmp_path / "second") == by_id(tmp_path / "whole")


def test_rows_of_another_model_are_not_taken_for_written(
    tmp_path: pathlib.Path, tiny_bert: pathlib.Path, other_tiny_bert: pathlib.Path
) -> None:
    """Nor are those of another version of the same model."""
    version = tmp_path / tiny_bert.name
    shutil.copytree(other_tiny_bert, version)
    assert embed(tmp_path, tiny_bert, TEXTS, "old") == 0
    for number, model in enumerate((other_tiny_bert, version)):
        to = f"new{number}"
        assert embed(tmp_path, model, TEXTS, to, already_written=tmp_path / "old/*.parquet") == 0
        assert set(by_id(tmp_path / to)) == set(by_id(tmp_path / "old"))
    assert {row["model"] for row in rows_of(tmp_path / to)} == {row["model"] for row in rows_of(tmp_path / "old")}


@pytest.mark.parametrize(
    "options", [{"pooling": "cls"}, {"normalize": "true"}, {"max_seq_length": 20}, {"cleanup": "shrink"}]
)
def test_rows_whose_vectors_were_made_otherwise_are_not_taken_for_written(
    tmp_path: pathlib.Path, tiny_bert: pathlib.Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any]
) -> None:
    """Whatever option made them other vectors; those that were made the same way are left out."""
    assert embed(tmp_path, tiny_bert, TEXTS[:1], "old") == 0
    for to in ("new", "again"):
        written = tmp_path / ("old" if to == "new" else "new") / "*.parquet"
        capsys.readouterr()
        assert embed(tmp_path, tiny_bert, TEXTS[:1], to, already_written=written, **options) == 0
        assert ("written already 2" in capsys.readouterr().out) == (to == "again")


def test_re_embedding_goes_on_where_it_stopped(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, tiny_bert: pathlib.Path
) -> None:
    """Both options together embed the rows that the other model has not."""
    assert embed(tmp_path, text_encoder, TEXTS, "old") == 0
    assert embed(tmp_path, tiny_bert, TEXTS[:2], "begun") == 0
    rows = {"input": tmp_path / "old/*.parquet", "input_format": "rows"}
    assert run_program(tmp_path, tiny_bert, "rest", already_written=tmp_path / "begun/*.parquet", **rows) == 0
    assert set(by_id(tmp_path / "begun", tmp_path / "rest")) == set(by_id(tmp_path / "old"))


def test_the_name_and_version_are_the_encoders(tiny_bert: pathlib.Path, text_encoder: pathlib.Path) -> None:
    """Of a pair and of a single SavedModel, without loading it."""
    for model in map(str, (tiny_bert, text_encoder)):
        options = EncoderOptions(model, max_seq_length=40)
        encoder = load_encoder(options)
        assert name_and_version(options) == (encoder.name, encoder.version)


def test_of_rows_with_one_id_the_newest_counts() -> None:
    """Whatever their order; one that has its sentence counts before any that has not."""
    time = "2026-01-0{}T00:00:00.000001+00:00"
    rows = [
        row(event_time=time.format(2), metadata=[{"key": "k", "value": "new"}]),
        row(event_time=time.format(1)),
        row(event_time=time.format(3), content=""),
        row(),
        row(id="other"),
    ]
    for order in (rows, rows[::-1]):
        found = parsed(*order)
        assert sorted((sentence.id, sentence.metadata.get("k")) for sentence in found.output) == [
            ("i", "new"),
            ("other", None),
        ]
        assert found.dead_letters == []
        assert next(s.event_time for s in found.output if s.id == "i") == 1_767_312_000_000_001


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (row(content=""), "expected a row's sentence in its column 'content', got none; .*--store_content=false"),
        (row(content=None), "expected STRING in a row's column 'content', got None"),
        (row(begin="0"), "expected INT64 in a row's column 'begin', got '0'"),
        (row(metadata=None), "expected a list in a row's column 'metadata', got None"),
        (row(metadata=[{"value": "v"}]), "KeyError: 'key'"),
        (row(event_time="noon"), "expected RFC 3339"),
        ({"text": "a message"}, "expected STRING in a row's column 'id', got None"),
    ],
)
def test_a_row_that_cannot_be_embedded_again_is_a_dead_letter(broken: dict[str, Any], reason: str) -> None:
    """With what was read of it; the others pass."""
    found = parsed(broken, row(id="fine"))
    assert [sentence.id for sentence in found.output] == ["fine"]
    (letter,) = found.dead_letters
    held = json.loads(letter.payload_string) | {"metadata": None}
    assert held.items() >= {**broken, "metadata": None}.items()
    assert re.search(reason, letter.error_message)


def test_rows_and_dead_letters_add_up(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row read is embedded, a double, or a dead letter."""
    assert embed(tmp_path, text_encoder, TEXTS[:2], "a") == 0
    assert embed(tmp_path, text_encoder, TEXTS[1:3], "b") == 0
    assert embed(tmp_path, text_encoder, TEXTS[3:4], "c", store_content="false") == 0
    capsys.readouterr()
    rows = {"input": tmp_path / "[abc]/*.parquet", "input_format": "rows"}
    assert run_program(tmp_path, text_encoder, "again", **rows) == 0
    printed = capsys.readouterr().out
    assert "rows read     10, and 2 duplicates left out" in printed
    assert "sentences     6," in printed
    assert "dead letters  2 (2 in rows)" in printed


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"already_written": "nothing/*.parquet"}, "expected --already_written to match a file"),
        ({"already_written": "out/rows*"}, "expected --already_written apart from the files under --output"),
        ({"input": "out/rows*", "input_format": "rows"}, "expected --input apart from the files under --output"),
        ({"input": "dataset.table", "input_format": "bigquery"}, "--input: expected a table as project:dataset.table"),
    ],
)
def test_a_wrong_run_is_refused(
    in_directory: pathlib.Path,
    text_encoder: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    reason: str,
) -> None:
    """With one line, before any work: a run must not replace the files that it reads."""
    assert embed(in_directory, text_encoder, TEXTS, "out") == 0
    capsys.readouterr()
    assert embed(in_directory, text_encoder, TEXTS, "out", **options) == 2
    printed = capsys.readouterr()
    assert reason in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("option", ["already_written", "reuse"])
@pytest.mark.parametrize(
    ("output_format", "inputs", "reason"),
    [
        ("parquet", Inputs(subscription="s"), "with --input, which has an end"),
        ("bigquery", Inputs(native=True), "with --input, which has an end, got a stream; leave it out"),
        ("pubsub", Inputs(["x"]), "with files or a table as output, got pubsub"),
    ],
)
def test_where_no_rows_can_be_there_already_the_option_is_refused(
    output_format: str, inputs: Inputs, reason: str, option: str
) -> None:
    """A stream remembers by itself what it has acknowledged, and a topic keeps nothing to look at."""
    given = ["--input=x", "--input_format=text", "--output=y", f"--{option}=x", "--output_format", output_format]
    arguments, _ = parse(given)
    with pytest.raises(ValueError, match=f"expected --{option} {reason}"):
        check_earlier(settings_of(arguments), inputs)


@pytest.mark.parametrize("option", ["already_written", "reuse"])
def test_something_else_than_rows_is_not_taken_for_rows_written(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """It fails the run, which else would embed everything again without a word."""
    assert embed(tmp_path, text_encoder, TEXTS, "a", max_message_bytes=1) == 1
    letters = {option: tmp_path / "a" / "dead_letters" / "*.parquet"}
    assert embed(tmp_path, text_encoder, TEXTS, "b", journal="none", **letters) == 1
    names = {"already_written": "'id'", "reuse": "'content', 'embedding'"}[option]
    assert f"expected what an earlier run wrote, with {names}, 'model', 'model_version'" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["already_written", "reuse"])
def test_a_broken_file_of_rows_written_fails_the_run(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """By its name: what it held would else be embedded again."""
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 cut short")
    broken = {option: tmp_path / "broken.parquet"}
    assert embed(tmp_path, text_encoder, TEXTS, "a", journal="none", **broken) == 1
    assert f"could not use {tmp_path}/broken.parquet: " in capsys.readouterr().err
    assert not list((tmp_path / "a").glob("*.parquet"))


def test_a_broken_journal_of_rows_written_fails_the_run(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As do entries that are none."""
    assert embed(tmp_path, text_encoder, TEXTS, "a") == 0
    (journal,) = (tmp_path / "a" / "journal").iterdir()
    written = {"already_written": tmp_path / "a" / "*.parquet"}
    journal.write_bytes(b"PAR1 cut short")
    assert embed(tmp_path, text_encoder, TEXTS, "b", **written) == 1
    assert f"could not use {journal}: " in capsys.readouterr().err
    journal.write_bytes((tmp_path / "a" / "rows-00000-of-00001.parquet").read_bytes())
    pq.write_table(pq.read_table(journal).drop_columns(["revision"]), journal)
    assert embed(tmp_path, text_encoder, TEXTS, "b", **written) == 1
    assert (
        "expected what an earlier run wrote, with 'message_id', 'version', 'revision', 'model'"
        in capsys.readouterr().err
    )
