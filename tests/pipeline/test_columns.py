"""Own columns on every way of a row: into files, through another model, a compaction and a replay."""

import datetime
import decimal
import json
import pathlib
from typing import Any

import fastavro
import pyarrow.parquet as pq
import pytest

from pipeline import compact, replay
from pipeline.__main__ import main
from pipeline.current import current_rows
from pipeline.graph import _Keep
from pipeline.letters import ENTRIES
from tests.conftest import as_arguments, sentence
from tests.pipeline.test_cli import arguments, read_rows, write_messages
from transforms.columns import own_columns
from transforms.dead_letters import element_json
from transforms.io.pubsub import write as pubsub
from transforms.kinds import rows_with
from transforms.types import SentenceEmbedding

SPECIFICATIONS = [
    "tenant:STRING=org.id",
    "stars:INT64",
    "score:FLOAT64",
    "price:NUMERIC",
    "verified:BOOL",
    "bought:TIMESTAMP",
    "day:DATE",
]
COLUMNS = ",".join(SPECIFICATIONS)
MESSAGES: list[dict[str, Any]] = [
    {
        "id": "a",
        "text": "Hello there. How are you?",
        "lang": "en",
        "org": {"id": "acme", "size": 3},
        "stars": 5,
        "score": 0.1,
        "price": 1,
        "verified": True,
        "bought": "2026-01-02T03:04:05.000006Z",
        "day": "2026-01-02",
    },
    {"id": "b", "text": "Fine.", "lang": "en", "price": "1.50"},
]
EXPECTED: dict[str, dict[str, Any]] = {
    "a": {
        "tenant": "acme",
        "stars": 5,
        "score": 0.1,
        "price": decimal.Decimal("1.000000000"),
        "verified": True,
        "bought": datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC),
        "day": datetime.date(2026, 1, 2),
    },
    "b": dict.fromkeys(("tenant", "stars", "score", "verified", "bought", "day")) | {"price": decimal.Decimal("1.5")},
}
# What stands in JSON for the types that it lacks.
IN_JSON = {"price": ("1", "1.5"), "bought": ("2026-01-02T03:04:05.000006Z", None), "day": ("2026-01-02", None)}


def own_of(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The own columns of rows, by message."""
    return {row["message_id"]: {name: row[name] for name in EXPECTED["a"]} for row in rows}


def read(folder: pathlib.Path, file_format: str) -> list[dict[str, Any]]:
    """The rows of the files in a folder."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob(f"*.{file_format}")):
        if file_format == "parquet":
            rows += pq.read_table(path).to_pylist()
        elif file_format == "avro":
            with path.open("rb") as file:
                rows += list(fastavro.reader(file))
        else:
            rows += map(json.loads, path.read_text().splitlines())
    return rows


@pytest.mark.parametrize("file_format", ["parquet", "avro", "jsonl"])
def test_files_have_them_and_keep_them_in_a_compaction(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, file_format: str
) -> None:
    """Each in the format's own type, beside the metadata that is kept; value for value, null for null."""
    write_messages(tmp_path, *MESSAGES)
    given = {"columns": COLUMNS, "metadata_fields": "lang", "output_format": file_format}
    assert main(arguments(tmp_path, text_encoder, **given)) == 0
    rows = read(tmp_path / "out", file_format)
    expected = EXPECTED
    if file_format == "jsonl":
        values = {name: dict(zip("ab", pair, strict=True)) for name, pair in IN_JSON.items()}
        expected = {id: own | {name: values[name][id] for name in values} for id, own in EXPECTED.items()}
    assert own_of(rows) == expected
    assert [row["metadata"] for row in rows] == [[{"key": "lang", "value": "en"}]] * 3
    chosen = {"input": f"{tmp_path}/out/rows*.{file_format}", "output": tmp_path / "few" / "rows"}
    assert compact.main(as_arguments(chosen)) == 0
    assert sorted(map(repr, read(tmp_path / "few", file_format))) == sorted(map(repr, rows))


def test_files_from_before_a_column_are_compacted_with_later_ones(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path
) -> None:
    """The column is null in their rows."""
    for number, columns in enumerate(["", "stars:INT64", COLUMNS]):
        write_messages(tmp_path, MESSAGES[0] | {"id": str(number)})
        output = tmp_path / "out" / f"rows{number}"
        assert main(arguments(tmp_path, text_encoder, columns=columns, output=output)) == 0
    table = current_rows(f"{tmp_path}/out/rows*.parquet")
    found = {row["message_id"]: (row["stars"], row["tenant"]) for row in table.to_pylist()}
    assert found == {"0": (None, None), "1": (5, None), "2": (5, "acme")}


def test_files_with_two_types_of_a_column_are_refused(tmp_path: pathlib.Path, text_encoder: pathlib.Path) -> None:
    """In one line that names both."""
    for number, columns in enumerate(["stars:INT64", "stars:STRING"]):
        write_messages(tmp_path, MESSAGES[0])
        output = tmp_path / "out" / f"rows{number}"
        assert main(arguments(tmp_path, text_encoder, columns=columns, output=output)) == 0
    with pytest.raises(ValueError, match="expected one type in the column 'stars', got INT64, and STRING in .*rows1"):
        current_rows(f"{tmp_path}/out/rows*.parquet")


def test_rows_embedded_again_keep_them(tmp_path: pathlib.Path, text_encoder: pathlib.Path) -> None:
    """From the rows' columns, whatever the metadata holds; rows that were written without get them from it."""
    write_messages(tmp_path, *MESSAGES)
    for name, given in {"kept": {"columns": COLUMNS, "metadata_fields": ""}, "late": {}}.items():
        (tmp_path / name).mkdir()
        assert main(arguments(tmp_path, text_encoder, output=tmp_path / name / "old" / "rows", **given)) == 0
        rows = {"input": tmp_path / name / "old", "input_format": "rows", "id_field": ""}
        again = {**rows, "columns": COLUMNS, "output": tmp_path / name / "out" / "rows", "metadata_fields": "lang"}
        assert main(arguments(tmp_path, text_encoder, **again)) == 0
        assert own_of(read_rows(tmp_path / name)) == EXPECTED
        assert {pair["key"] for row in read_rows(tmp_path / name) for pair in row["metadata"]} <= {"lang"}


def test_a_row_whose_metadata_does_not_fit_a_column_is_a_dead_letter(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a message's would be."""
    write_messages(tmp_path, MESSAGES[0] | {"stars": "many"}, MESSAGES[1])
    assert main(arguments(tmp_path, text_encoder, output=tmp_path / "old" / "rows")) == 0
    given = {"input": tmp_path / "old", "input_format": "rows", "id_field": "", "columns": "stars:INT64"}
    assert main(arguments(tmp_path, text_encoder, **given)) == 0
    assert [row["message_id"] for row in read_rows(tmp_path)] == ["b"]
    assert "expected INT64 in the field 'stars', for the column 'stars', got 'many'" in capsys.readouterr().out


def test_a_letter_is_played_again_with_another_type(tmp_path: pathlib.Path, text_encoder: pathlib.Path) -> None:
    """The message was kept whole, before anything was left out of it."""
    write_messages(tmp_path, MESSAGES[0] | {"stars": "4.5"}, MESSAGES[1])
    given = {"columns": "stars:INT64,tenant:STRING=org.id", "metadata_fields": ""}
    assert main(arguments(tmp_path, text_encoder, **given)) == 0
    assert [row["message_id"] for row in read_rows(tmp_path)] == ["b"]
    letters = {"letters": f"{tmp_path}/out/dead_letters/*.parquet", "letters_format": "parquet"}
    given["columns"] = given["columns"].replace("INT64", "FLOAT64")
    again = arguments(tmp_path, text_encoder, output=tmp_path / "again" / "rows", **letters, **given)
    assert replay.main([each for each in again if not each.startswith("--input=")]) == 0
    rows = read(tmp_path / "again", "parquet")
    assert [(row["content"], row["stars"], row["tenant"], row["metadata"]) for row in rows] == [
        ("Hello there.", 4.5, "acme", []),
        ("How are you?", 4.5, "acme", []),
    ]


@pytest.mark.parametrize("stage", ["Write rows", pubsub.STAGE])
def test_a_refused_row_is_played_again_with_them(stage: str) -> None:
    """As a table or a topic was given it."""
    own = [column for column, _ in own_columns(SPECIFICATIONS)]
    texts = ("acme", "5", "0.1", "1.5", "true", "2026-01-02T03:04:05.000006Z", "2026-01-02")
    metadata = {"lang": "en"} | {f"columns.{column.name}": text for column, text in zip(own, texts, strict=True)}
    row = SentenceEmbedding("i", "m", 0, 0, 1, "x", metadata, None, "", b"\0\0\x80?", "m", "v", "float32", 1, False)
    payload = element_json(row)
    if stage == pubsub.STAGE:
        payload = json.dumps(rows_with(own).to_json(row), ensure_ascii=False).encode()
    assert rows_with(own).to_dict(ENTRIES[stage].make(payload, {})) == rows_with(own).to_dict(row)


def test_a_column_that_no_message_has_is_said(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of any option that names a field."""
    write_messages(tmp_path, *MESSAGES)
    assert main(arguments(tmp_path, text_encoder, columns="tenant:STRING=org.id,starz:INT64")) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("not found")]
    assert line == "not found     columns 'starz' in none of 2 messages; did you mean 'stars'?"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"columns": "tenant"}, "expected --columns as NAME:TYPE=FIELD, got 'tenant'"),
        ({"columns": "tenant:TEXT"}, "expected --columns of a type of STRING, INT64"),
        ({"columns": "model:STRING"}, "expected --columns of names that differ, got 'model'"),
    ],
)
def test_wrong_columns_are_refused_before_anything_runs(
    tmp_path: pathlib.Path,
    text_encoder: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    given: dict[str, str],
    reason: str,
) -> None:
    """In one line."""
    write_messages(tmp_path, *MESSAGES)
    assert main(arguments(tmp_path, text_encoder, **given)) == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("own", [(), own_columns(["a:STRING"])])
def test_without_own_columns_no_name_is_kept_that_was_not_asked_for(own: Any) -> None:
    """Rows may have a field that is called as a value travels."""
    keep = _Keep(["lang"], [column for column, _ in own])
    keep.start_bundle()
    (kept,) = keep.process(sentence("Hi.")._replace(metadata={"lang": "en", "columns.a": "x", "columns.b": "y"}))
    assert kept.metadata == {"lang": "en"} | ({"columns.a": "x"} if own else {})
