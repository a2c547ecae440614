"""Rows in a BigQuery table, on an emulator: embedded again by another model, or left out of the next run."""

import json
import pathlib
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from tests.beam import run
from tests.conftest import ROOT, as_arguments
from tests.integration.tables import Tables
from tests.integration.test_bigquery import embedding, ids_of, write
from tests.sql import newest_rows_view
from transforms.io.bigquery.read import ReadTable, _streams
from transforms.known import KEY_COLUMNS
from transforms.reembedding import SENTENCE_COLUMNS, ParseRows
from transforms.types import Sentence

TEXTS = [{"id": f"m{i}", "text": f"Good dog {i}. Bad cat!", "at": i, "lang": "en"} for i in range(6)]


def assert_same(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """The same rows, vectors within float32's rounding."""
    found, expected = ([row.pop("embedding") for row in side] for side in (some, others))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert some == others


def test_a_run_after_another_embeds_what_is_new(tables: Tables) -> None:
    """The table that is read is the one that is written; it ends as if everything came in one run."""
    tables.embed("rows", TEXTS[:4])
    printed = tables.embed("rows", TEXTS, already_written=tables.name("rows"))
    assert "rows          4 in" in printed
    assert "sentences     12, of them truncated 0, written already 8" in printed
    tables.embed("whole", TEXTS)
    assert_same(tables.rows("rows"), tables.rows("whole"))


def test_a_table_embedded_by_another_model_is_as_from_the_messages(
    tables: Tables, other_tiny_bert: pathlib.Path
) -> None:
    """The same ids, offsets, times and metadata; doubles of the stream are embedded once."""
    for _ in range(2):
        tables.embed("rows", TEXTS)
    printed = tables.embed("again", model=other_tiny_bert, **tables.read("rows"))
    assert "rows read     24, and 12 duplicates left out" in printed
    tables.embed("direct", TEXTS, model=other_tiny_bert)
    again = tables.rows("again")
    old = {row["id"]: row["embedding"] for row in tables.rows("rows")}
    assert not any(np.allclose(row["embedding"], old[row["id"]]) for row in again)
    assert_same(again, tables.rows("direct"))


def test_a_table_takes_a_second_model_once(tables: Tables, text_encoder: pathlib.Path) -> None:
    """Read and written in one run, and in a second one that finds nothing left to do."""
    tables.embed("rows", TEXTS)
    for _ in range(2):
        tables.embed("rows", model=text_encoder, already_written=tables.name("rows"), **tables.read("rows"))
        assert len({(row["id"], row["model"]) for row in tables.rows("rows")}) == len(tables.rows("rows")) == 24


def test_of_a_table_the_current_state_is_embedded_again(tables: Tables, text_encoder: pathlib.Path) -> None:
    """An edit, a deletion and a blank text; by the journal beside it, or the one that is named."""
    tables.embed("rows", TEXTS)
    changes = [{"id": "m0", "text": "Bad dog.", "at": 9}, {"id": "m1", "gone": 1, "at": 9}]
    tables.embed("rows", [*changes, {"id": "m2", "text": "", "at": 9}], delete_field="gone")
    ways: dict[str, dict[str, Any]] = {"beside": {}, "named": {"input_journal": tables.name("rows_journal")}}
    for to, more in ways.items():
        tables.embed(to, model=text_encoder, **tables.read("rows"), **more)
        assert {row["content"] for row in tables.rows(to) if row["message_id"] < "m3"} == {"Bad dog."}
        entries = tables.query(f"SELECT message_id, sentences, deleted FROM `{tables.name(to)}_journal`")
        assert sorted(tuple(entry.values()) for entry in entries) == [
            ("m0", 1, False),
            ("m1", 0, True),
            ("m2", 0, False),
            *((f"m{number}", 2, False) for number in (3, 4, 5)),
        ]


def test_a_table_without_revisions_is_read(tables: Tables) -> None:
    """It was written before there were any; it has no journal either."""
    tables.embed("rows", TEXTS, journal="none")
    tables.query(f"CREATE TABLE `{tables.name('before')}` AS SELECT * EXCEPT (revision) FROM `{tables.name('rows')}`")
    tables.embed("again", **tables.read("before"))
    assert_same(tables.rows("again"), tables.rows("rows"))


def test_vectors_of_a_table_are_used_again(tables: Tables) -> None:
    """Bit for bit, by a run that writes to the same table."""
    tables.embed("rows", TEXTS)
    before = tables.rows("rows")
    edited = [{**TEXTS[0], "text": "Good dog 0. Good cat!", "at": 9}, *TEXTS[1:]]
    assert "reused        11 vectors of" in tables.embed("rows", edited, reuse=tables.name("rows"))
    after = tables.rows("rows")
    assert len(after) == 2 * len(before)
    vectors = {row["content"]: row["embedding"] for row in before}
    assert all(row["embedding"] == vectors.get(row["content"], row["embedding"]) for row in after)


def test_rows_without_a_journal_do_not_tell_what_is_written(tables: Tables) -> None:
    """One line says so, and what to do; a table that is not there yet has nothing to tell."""
    tables.embed("fresh", TEXTS, already_written=tables.name("fresh"))
    tables.embed("old", TEXTS, journal="none")
    printed = tables.embed("old", TEXTS, code=2, already_written=tables.name("old"))
    assert "expected a journal beside --already_written" in printed
    assert printed.count("\n") == 1


# A run that asks BigQuery for an acknowledgement of few rows at a time, as one over millions does of many.
_SMALL_WRITES = """
import sys
from pipeline.__main__ import main
from transforms.io.bigquery.write import _TableSink
_TableSink.max_rows = 40
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.subprocess
def test_a_re_embedding_that_is_killed_and_started_again_does_what_is_missing(
    tables: Tables, text_encoder: pathlib.Path, tiny_bert: pathlib.Path
) -> None:
    """No version that was carried to its end is embedded a second time, and none is left out."""
    texts = [{"id": f"m{i}", "text": f"Good dog {i}. Bad cat {i}! Dog {i}.", "at": i} for i in range(600)]
    tables.embed("rows", texts, model=text_encoder)
    table = tables.name("rows")
    options = {**tables.read("rows"), "already_written": table, "model": tiny_bert, "output": table}
    options |= {"output_format": "bigquery", "dead_letters": tables.name("letters")}
    command = [sys.executable, "-c", _SMALL_WRITES, *as_arguments({**options, "max_seq_length": 40, "batch_size": 64})]

    def finished() -> int:
        (row,) = tables.query(f"SELECT COUNT(*) AS n FROM `{table}_journal` WHERE model = '{tiny_bert.name}'")
        return int(row.n)

    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 300
        while not finished():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        process.kill()
    before = finished()
    assert 0 < before < 600
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"written already {3 * before:,}" in done.stdout
    assert finished() == 600
    (row,) = tables.query(f"SELECT COUNT(DISTINCT id) AS n FROM `{table}` WHERE model = '{tiny_bert.name}'")
    assert row.n == 1800


def test_a_table_of_many_streams_is_read_once(dataset: str) -> None:
    """Every row comes back as the sentence that it was, whichever stream it lies in."""
    written = [embedding(number, f"{number}" * 3000) for number in range(300)]
    write(written, f"{dataset}.rows", method="STORAGE_WRITE_ARROW")
    assert len(_streams(f"{dataset}.rows", {"content": False}, "")) > 1
    read = run(None, ReadTable(f"{dataset}.rows", SENTENCE_COLUMNS) | ParseRows())
    assert sorted(read) == sorted(Sentence(*list[Any](row)[: len(Sentence._fields)]) for row in written)


def test_only_what_is_asked_for_is_read(dataset: str) -> None:
    """No vector to tell whether a row is there, and no other model's rows."""
    written = [embedding(number, model="it's" if number < 3 else "other") for number in range(9)]
    write(written, f"{dataset}.rows", method="STORAGE_WRITE_ARROW")
    read = [json.loads(r.data) for r in run(None, ReadTable(f"{dataset}.rows", KEY_COLUMNS, r"model = 'it\'s'"))]
    assert sorted(row["id"] for row in read) == ids_of(written[:3])
    assert {key for row in read for key in row} == {"id", "model", "model_version"}


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("nothing", "nothing does not; check its name"),
        ("letters", "has no column 'begin', 'content', 'end', 'message_id', 'metadata', 'sentence_index'"),
        ("view", "is a view; name the table behind it"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(table: str, reason: str, tables: Tables) -> None:
    """With one line, before any work."""
    tables.query(newest_rows_view(tables.name("view"), tables.name("rows")))
    printed = tables.embed("rows", code=2, **tables.read(table))
    assert printed.startswith("python -m pipeline: --input: expected a table")
    assert reason in printed
    assert printed.count("\n") == 1
