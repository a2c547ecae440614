"""Rows in a BigQuery table, on an emulator: embedded again by another model, or left out of the next run."""

import json
import pathlib
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from google.cloud import bigquery

from pipeline.__main__ import main
from tests.beam import run
from tests.conftest import ROOT, as_arguments
from tests.integration.test_bigquery import embedding, ids_of, write
from tests.sql import newest_rows_view
from transforms.io.bigquery.read import ReadTable, _streams
from transforms.known import KEY_COLUMNS
from transforms.reembedding import SENTENCE_COLUMNS, ParseRows
from transforms.types import Sentence

TEXTS = [{"id": f"m{i}", "text": f"Good dog {i}. Bad cat!", "at": i, "lang": "en"} for i in range(6)]


def embed(dataset: str, model: pathlib.Path, to: str, **options: Any) -> int:
    """A run to the table `to` of `dataset`; its exit code."""
    chosen = {"output": f"{dataset}.{to}", "dead_letters": f"{dataset}.letters", "output_format": "bigquery"}
    given = {**chosen, "model": model, "max_seq_length": 40, **options}
    return main([f"--{name}={value}" for name, value in given.items()])


def messages(folder: pathlib.Path, texts: list[dict[str, Any]]) -> dict[str, Any]:
    """The options that read `texts`, written to a file."""
    (folder / "in.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    return {"input": folder / "in.jsonl", "input_format": "jsonl", "id_field": "id", "timestamp_field": "at"}


def rows(client: bigquery.Client, table: str) -> list[dict[str, Any]]:
    """The rows of a table by id."""
    return [dict(row) for row in client.query(f"SELECT * FROM `{table}` ORDER BY id, model").result()]


def assert_same(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """The same rows, vectors within float32's rounding."""
    found, expected = ([row.pop("embedding") for row in side] for side in (some, others))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert some == others


def test_a_run_after_another_embeds_what_is_new(
    tmp_path: pathlib.Path,
    tiny_bert: pathlib.Path,
    dataset: str,
    client: bigquery.Client,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The table that is read is the one that is written; it ends as if everything came in one run."""
    assert embed(dataset, tiny_bert, "rows", **messages(tmp_path, TEXTS[:4])) == 0
    capsys.readouterr()
    assert embed(dataset, tiny_bert, "rows", already_written=f"{dataset}.rows", **messages(tmp_path, TEXTS)) == 0
    printed = capsys.readouterr().out
    assert "rows          4 in" in printed
    assert "sentences     12, of them truncated 0, written already 8" in printed
    assert embed(dataset, tiny_bert, "whole", **messages(tmp_path, TEXTS)) == 0
    assert_same(rows(client, f"{dataset}.rows"), rows(client, f"{dataset}.whole"))


def test_a_table_embedded_by_another_model_is_as_from_the_messages(
    tmp_path: pathlib.Path,
    tiny_bert: pathlib.Path,
    other_tiny_bert: pathlib.Path,
    dataset: str,
    client: bigquery.Client,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same ids, offsets, times and metadata; doubles of the stream are embedded once."""
    for _ in range(2):
        assert embed(dataset, tiny_bert, "rows", **messages(tmp_path, TEXTS)) == 0
    capsys.readouterr()
    table = {"input": f"{dataset}.rows", "input_format": "bigquery"}
    assert embed(dataset, other_tiny_bert, "again", **table) == 0
    assert "rows read     24, and 12 duplicates left out" in capsys.readouterr().out
    assert embed(dataset, other_tiny_bert, "direct", **messages(tmp_path, TEXTS)) == 0
    again = rows(client, f"{dataset}.again")
    old = {row["id"]: row["embedding"] for row in rows(client, f"{dataset}.rows")}
    assert not any(np.allclose(row["embedding"], old[row["id"]]) for row in again)
    assert_same(again, rows(client, f"{dataset}.direct"))


def test_a_table_takes_a_second_model_once(
    tmp_path: pathlib.Path, tiny_bert: pathlib.Path, text_encoder: pathlib.Path, dataset: str, client: bigquery.Client
) -> None:
    """Read and written in one run, and in a second one that finds nothing left to do."""
    assert embed(dataset, tiny_bert, "rows", **messages(tmp_path, TEXTS)) == 0
    table = f"{dataset}.rows"
    for _ in range(2):
        assert embed(dataset, text_encoder, "rows", input=table, input_format="bigquery", already_written=table) == 0
        assert len({(row["id"], row["model"]) for row in rows(client, table)}) == len(rows(client, table)) == 24


def test_of_a_table_the_current_state_is_embedded_again(
    tmp_path: pathlib.Path, tiny_bert: pathlib.Path, text_encoder: pathlib.Path, dataset: str, client: bigquery.Client
) -> None:
    """An edit, a deletion and a blank text; by the journal beside it, or the one that is named."""
    assert embed(dataset, tiny_bert, "rows", **messages(tmp_path, TEXTS)) == 0
    changes = [{"id": "m0", "text": "Bad dog.", "at": 9}, {"id": "m1", "gone": 1, "at": 9}]
    changes += [{"id": "m2", "text": "", "at": 9}]
    assert embed(dataset, tiny_bert, "rows", delete_field="gone", **messages(tmp_path, changes)) == 0
    table = {"input": f"{dataset}.rows", "input_format": "bigquery"}
    for to, more in {"beside": {}, "named": {"input_journal": f"{dataset}.rows_journal"}}.items():
        assert embed(dataset, text_encoder, to, **table, **more) == 0
        assert {row["content"] for row in rows(client, f"{dataset}.{to}") if row["message_id"] < "m3"} == {"Bad dog."}
        entries = client.query(f"SELECT message_id, sentences, deleted FROM `{dataset}.{to}_journal`").result()
        assert sorted(tuple(entry.values()) for entry in entries) == [
            ("m0", 1, False),
            ("m1", 0, True),
            ("m2", 0, False),
            *((f"m{number}", 2, False) for number in (3, 4, 5)),
        ]


def test_a_table_without_revisions_is_read(
    tmp_path: pathlib.Path, tiny_bert: pathlib.Path, dataset: str, client: bigquery.Client
) -> None:
    """It was written before there were any; it has no journal either."""
    assert embed(dataset, tiny_bert, "rows", journal="none", **messages(tmp_path, TEXTS)) == 0
    client.query(f"CREATE TABLE `{dataset}.before` AS SELECT * EXCEPT (revision) FROM `{dataset}.rows`").result()
    assert embed(dataset, tiny_bert, "again", input=f"{dataset}.before", input_format="bigquery") == 0
    assert_same(rows(client, f"{dataset}.again"), rows(client, f"{dataset}.rows"))


def test_vectors_of_a_table_are_used_again(
    tmp_path: pathlib.Path,
    tiny_bert: pathlib.Path,
    dataset: str,
    client: bigquery.Client,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Bit for bit, by a run that writes to the same table."""
    assert embed(dataset, tiny_bert, "rows", **messages(tmp_path, TEXTS)) == 0
    before = rows(client, f"{dataset}.rows")
    capsys.readouterr()
    edited = [{**TEXTS[0], "text": "Good dog 0. Good cat!", "at": 9}, *TEXTS[1:]]
    assert embed(dataset, tiny_bert, "rows", reuse=f"{dataset}.rows", **messages(tmp_path, edited)) == 0
    assert "reused        11 vectors of" in capsys.readouterr().out
    after = rows(client, f"{dataset}.rows")
    assert len(after) == 2 * len(before)
    vectors = {row["content"]: row["embedding"] for row in before}
    assert all(row["embedding"] == vectors.get(row["content"], row["embedding"]) for row in after)


def test_rows_without_a_journal_do_not_tell_what_is_written(
    tmp_path: pathlib.Path,
    tiny_bert: pathlib.Path,
    dataset: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line says so, and what to do; a table that is not there yet has nothing to tell."""
    options = {"already_written": f"{dataset}.fresh", **messages(tmp_path, TEXTS)}
    assert embed(dataset, tiny_bert, "fresh", **options) == 0
    assert embed(dataset, tiny_bert, "old", journal="none", **messages(tmp_path, TEXTS)) == 0
    capsys.readouterr()
    assert embed(dataset, tiny_bert, "old", **{**options, "already_written": f"{dataset}.old"}) == 2
    printed = capsys.readouterr().err
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
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, tiny_bert: pathlib.Path, dataset: str, client: bigquery.Client
) -> None:
    """No version that was carried to its end is embedded a second time, and none is left out."""
    texts = [{"id": f"m{i}", "text": f"Good dog {i}. Bad cat {i}! Dog {i}.", "at": i} for i in range(600)]
    assert embed(dataset, text_encoder, "rows", **messages(tmp_path, texts)) == 0
    table = f"{dataset}.rows"
    options = {"input": table, "input_format": "bigquery", "already_written": table, "model": tiny_bert}
    options |= {"output": table, "output_format": "bigquery", "dead_letters": f"{dataset}.letters"}
    command = [sys.executable, "-c", _SMALL_WRITES, *as_arguments({**options, "max_seq_length": 40, "batch_size": 64})]

    def finished() -> int:
        sql = f"SELECT COUNT(*) AS n FROM `{table}_journal` WHERE model = '{tiny_bert.name}'"
        return int(next(iter(client.query(sql).result())).n)

    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 120
        while not finished():
            assert time.monotonic() < until
            time.sleep(0.05)
        process.kill()
    before = finished()
    assert 0 < before < 600
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"written already {3 * before:,}" in done.stdout
    assert finished() == 600
    sql = f"SELECT COUNT(DISTINCT id) AS n FROM `{table}` WHERE model = '{tiny_bert.name}'"
    assert next(iter(client.query(sql).result())).n == 1800


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
        (
            "letters",
            "has no column 'begin', 'content', 'end', 'message_id', 'metadata', 'sentence_index'",
        ),
        ("view", "is a view; name the table behind it"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(
    table: str,
    reason: str,
    tiny_bert: pathlib.Path,
    dataset: str,
    client: bigquery.Client,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With one line, before any work."""
    client.query(newest_rows_view(f"{dataset}.view", f"{dataset}.rows")).result()
    assert embed(dataset, tiny_bert, "rows", input=f"{dataset}.{table}", input_format="bigquery") == 2
    printed = capsys.readouterr().err
    assert printed.startswith("python -m pipeline: --input: expected a table")
    assert reason in printed
    assert printed.count("\n") == 1
