"""What is known is not made again: versions that are written, and vectors of contents that recur."""

import json
import pathlib
import re
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

from tests.beam import run
from tests.conftest import message, record
from tests.transforms.test_reembedding import by_id, embed, rows_of
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import name_and_version
from transforms.kinds import JOURNAL, ROWS
from transforms.known import ReuseVectors, WholeVersions
from transforms.schema import json_row
from transforms.splitter import SentenceSplitter
from transforms.splitting import sentences
from transforms.types import JournalEntry, Message, Sentence, SentenceEmbedding, is_end
from transforms.versions import versioned

# A hundred sentences, of which no two are alike.
LONG = [f"The dog barks {number} times." for number in range(100)]


def split(*messages: Message) -> list[Sentence]:
    """The sentences and ends of messages."""
    return [each for one in messages for each in versioned(one, sentences(one, SentenceSplitter())[0])]


def joined(transform: Any, found: Iterable[Sentence], beside: Iterable[Any] | None) -> list[Any]:
    """What `transform` makes of sentences and of rows or entries; of sentences alone if those are None."""

    def both(begin: Any) -> Any:
        sides = [begin | "Sentences" >> beam.Create(list(found), reshuffle=False).with_output_types(Sentence)]
        if beside is not None:
            records = [record(json.dumps(json_row(each))) for each in beside]
            sides.append(begin | "Records" >> beam.Create(records, reshuffle=False))
        return tuple(sides) | transform

    collected: list[Any] = run(None, beam.ptransform_fn(both)())
    return collected


def entry(end: Sentence, model: pathlib.Path, **fields: Any) -> dict[str, Any]:
    """The entry of an end, by `model` unless `fields` say otherwise, as a journal holds it."""
    number = int(end.revision.rpartition("-")[0])
    count = end.sentence_index
    made_by = name_and_version(EncoderOptions(str(model)))
    made = JournalEntry(end.message_id, number, end.revision, end.event_time, *made_by, count, count, 0, False, 1)
    return JOURNAL.to_dict(made._replace(**fields))


def row(sentence: Sentence, model: pathlib.Path, vector: Iterable[float], **fields: Any) -> dict[str, Any]:
    """The row of a sentence, by `model` unless `fields` say otherwise, as rows hold it."""
    made_by = name_and_version(EncoderOptions(str(model)))
    embedding = np.array(list(vector), "<f4").tobytes()
    made = SentenceEmbedding(*sentence, embedding, *made_by, "float32", 7, True)
    return ROWS.to_dict(made._replace(**fields))


def edition(text: str, version: int, id: str = "m") -> Message:
    """A version of a message."""
    return message(text, id=id)._replace(version=version)


def test_a_version_is_left_out_whole_if_its_model_has_an_entry_of_it(text_encoder: pathlib.Path) -> None:
    """Another version of the message goes on, in order and with its end; so does one of another model's entries."""
    first, second, other = (split(edition("One. Two.", 1)), split(edition("One. 3.", 2)), split(edition("A.", 1, "n")))
    known = [entry(first[-1], text_encoder), entry(other[-1], text_encoder, model_version="another")]
    whole = WholeVersions(EncoderOptions(str(text_encoder)))
    found = joined(whole, [*second[::-1], *first, *other], known)
    assert [each for each in found if each.message_id == "m"] == second
    assert [each for each in found if each.message_id == "n"] == other


def test_of_a_version_that_comes_twice_one_goes_on(text_encoder: pathlib.Path) -> None:
    """Else its end would follow some of its rows twice, and others once."""
    given = split(edition("One. Two.", 1))
    assert joined(WholeVersions(EncoderOptions(str(text_encoder))), [*given, *given], None) == given


@pytest.mark.parametrize(
    ("written", "given", "goes_on"),
    [
        ([("A.", 1)], ("A.", 5), False),
        ([("A.", 1), ("B.", 2)], ("A.", 5), True),
        ([("B.", 2), ("A.", 3)], ("A.", 5), False),
        ([("", 1)], ("", 5), False),
        ([], ("A.", 5), True),
    ],
)
def test_by_content_a_number_alone_makes_no_version(
    text_encoder: pathlib.Path, written: list[tuple[str, int]], given: tuple[str, int], goes_on: bool
) -> None:
    """But a text that was there before another one is written again."""
    known = [entry(split(edition(*each))[-1], text_encoder) for each in written]
    for by_content in (True, False):
        whole = WholeVersions(EncoderOptions(str(text_encoder)), by_content=by_content)
        assert bool(joined(whole, split(edition(*given)), known)) == (goes_on or not by_content)


def test_a_later_deletion_is_another_version_by_content_too(text_encoder: pathlib.Path) -> None:
    """What was written in between and comes late must stay deleted."""
    first, later = (split(edition("", number)._replace(deleted=True)) for number in (1, 5))
    whole = WholeVersions(EncoderOptions(str(text_encoder)), by_content=True)
    assert joined(whole, later, [entry(first[-1], text_encoder)]) == later


def test_a_content_takes_the_vector_that_it_has_in_any_message(text_encoder: pathlib.Path) -> None:
    """Bit for bit, with what belongs to it; what is unknown, an end, and other models' rows are as they were."""
    known, given = split(edition("One. Two.", 1, "old")), split(edition("Two. Three.", 1, "new"))
    vector = [1 / 3, -0.0, 3e-42, 1e30]
    rows = [row(known[0], text_encoder, vector), row(known[1], text_encoder, vector)]
    rows.append(row(given[1], text_encoder, vector, model_version="another"))
    found = {each.id: each for each in joined(ReuseVectors(EncoderOptions(str(text_encoder))), given, rows)}
    two, three, end = (found.pop(each.id) for each in given)
    assert not found
    assert two.embedding == np.array(vector, "<f4").tobytes()
    assert (two.message_id, two.tokens, two.truncated, two.precision) == ("new", 7, True, "float32")
    assert (two.model, two.model_version) == name_and_version(EncoderOptions(str(text_encoder)))
    assert (three.embedding, end.embedding, is_end(three), is_end(end)) == (b"", b"", False, True)


@pytest.mark.parametrize(
    ("asked", "made_in", "taken"),
    [("float32", "float32", True), ("float32", "bfloat16", False), ("auto", "bfloat16", True)],
)
def test_a_vector_of_another_precision_than_is_asked_for_is_not_taken(
    text_encoder: pathlib.Path, asked: str, made_in: str, taken: bool
) -> None:
    """The version of a model does not tell them apart."""
    given = split(edition("One.", 1))[:1]
    rows = [row(given[0], text_encoder, [1.0], precision=made_in)]
    reuse = ReuseVectors(EncoderOptions(str(text_encoder), precision=asked))
    (found,) = joined(reuse, given, rows)
    assert bool(found.embedding) == taken


def test_rows_without_their_sentence_lend_no_vector(text_encoder: pathlib.Path) -> None:
    """An empty content is not the content of an end."""
    given = split(edition("One.", 1))
    rows = [row(given[0]._replace(content=""), text_encoder, [1.0])]
    assert not any(each.embedding for each in joined(ReuseVectors(EncoderOptions(str(text_encoder))), given, rows))


def test_one_of_many_vectors_of_a_content_is_taken_whatever_their_order(text_encoder: pathlib.Path) -> None:
    """Each run takes the same one, for however many sentences."""
    one = split(edition("Yes.", 1))[0]
    rows = [row(one, text_encoder, [number]) for number in range(2000)]
    given = [one._replace(id=f"{number}") for number in range(2000)]
    options = EncoderOptions(str(text_encoder))
    found = [joined(ReuseVectors(options), given, order) for order in (rows, rows[::-1])]
    assert [len({each.embedding for each in side}) for side in found] == [1, 1]
    assert found[0][0].embedding == found[1][0].embedding
    assert len(found[0]) == 2000


def hundred(changed: str = "") -> list[dict[str, Any]]:
    """Ten messages of ten sentences each; the middle sentence of the fifth may be `changed`."""
    texts = [*LONG[:45], changed or LONG[45], *LONG[46:]]
    return [{"id": f"m{i}", "text": " ".join(texts[10 * i : 10 * i + 10]), "at": 1} for i in range(10)]


@pytest.mark.parametrize("output_format", ["parquet", "jsonl", "avro"])
def test_an_edit_of_one_sentence_in_a_hundred_encodes_one(
    tmp_path: pathlib.Path, tiny_bert: pathlib.Path, capsys: pytest.CaptureFixture[str], output_format: str
) -> None:
    """The vectors of the others are those of the earlier run, and all are in the journal."""
    options = {"output_format": output_format}
    assert embed(tmp_path, tiny_bert, hundred(), "first", **options) == 0
    capsys.readouterr()
    reuse = tmp_path / "first" / f"*.{output_format}"
    assert embed(tmp_path, tiny_bert, hundred("The cat barks."), "second", reuse=reuse, **options) == 0
    printed = capsys.readouterr().out
    assert "rows          100 in" in printed
    assert "reused        99 vectors of" in printed
    assert "batches       1 of 1 sentences on average" in printed
    if output_format != "parquet":
        return
    before = {row["content"]: row for row in rows_of(tmp_path / "first")}
    after = {row["content"]: row for row in rows_of(tmp_path / "second")}
    assert after.keys() - before.keys() == {"The cat barks."}
    for content in after.keys() & before.keys():
        made = ("embedding", "model", "model_version", "precision", "tokens", "truncated")
        assert [after[content][name] for name in made] == [before[content][name] for name in made]
    entries = list(rows_of(tmp_path / "second" / "journal"))
    assert [(each["sentences"], each["rows"], each["dead_letters"]) for each in entries] == [(10, 10, 0)] * 10


def test_a_run_may_take_the_vectors_of_the_rows_that_it_replaces(
    tmp_path: pathlib.Path, tiny_bert: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And without a journal, where nothing needs its order."""
    for reuse in ({}, {"reuse": tmp_path / "out"}):
        capsys.readouterr()
        assert embed(tmp_path, tiny_bert, hundred(), "out", journal="none", **reuse) == 0
    assert "reused        100 vectors of" in capsys.readouterr().out
    assert len(by_id(tmp_path / "out")) == 100


def test_what_is_written_is_left_out_and_of_the_rest_what_is_known_is_not_encoded(
    tmp_path: pathlib.Path, tiny_bert: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both options go together."""
    assert embed(tmp_path, tiny_bert, hundred(), "first") == 0
    first = tmp_path / "first" / "rows*"
    capsys.readouterr()
    changed = hundred("The cat barks.")
    changed[4]["at"] = 2
    assert embed(tmp_path, tiny_bert, changed, "second", already_written=first, reuse=first) == 0
    printed = capsys.readouterr().out
    assert "rows          10 in" in printed
    assert "written already 90" in printed
    assert "batches       1 of 1 sentences on average" in printed


@pytest.mark.slow
@pytest.mark.subprocess
def test_several_processes_leave_out_and_use_again_what_one_would(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where elements are decoded by another process than the one that made them, their types are others."""
    assert embed(tmp_path, text_encoder, hundred(), "first") == 0
    first = tmp_path / "first" / "rows*"
    changed = hundred("The cat barks.")
    changed[4]["at"] = 2
    several = {"direct_running_mode": "multi_processing", "direct_num_workers": 2}
    assert embed(tmp_path, text_encoder, changed, "second", already_written=first, reuse=first, **several) == 0
    assert len(by_id(tmp_path / "second")) == 10
    (entry,) = rows_of(tmp_path / "second" / "journal")
    assert (entry["sentences"], entry["rows"], entry["version"]) == (10, 10, 2000)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"reuse": "nothing/*"}, "expected --reuse to match a file"),
        ({"already_written": "old/rows*"}, "expected a journal beside --already_written, .* got 'old/rows.' without"),
        ({"input_journal": "old"}, "expected --input_journal with rows to read, .* got 'jsonl'; leave it out"),
    ],
)
def test_what_cannot_be_told_is_refused(
    in_directory: pathlib.Path,
    text_encoder: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    reason: str,
) -> None:
    """In one line, before any work."""
    assert embed(in_directory, text_encoder, hundred(), "old", journal="none") == 0
    capsys.readouterr()
    assert embed(in_directory, text_encoder, hundred(), "new", **options) == 2
    printed = capsys.readouterr().err
    assert re.search(reason, printed)
    assert printed.count("\n") == 1


def test_without_a_journal_the_ids_of_rows_tell_what_is_written(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As no version is told apart from another."""
    assert embed(tmp_path, text_encoder, hundred(), "old", journal="none") == 0
    capsys.readouterr()
    written = {"journal": "none", "already_written": tmp_path / "old" / "rows*"}
    assert embed(tmp_path, text_encoder, hundred("The cat barks."), "new", **written) == 0
    assert "written already 99" in capsys.readouterr().out
