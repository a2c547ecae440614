"""Dead letters played again."""

import importlib
import json
import pathlib
import pkgutil
import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import InvalidArgument

import transforms
from pipeline import letters, replay
from pipeline.__main__ import main
from tests.conftest import ROOT, message, record, sentence
from transforms.dead_letters import dead_letters, element_json
from transforms.io.pubsub import write as pubsub
from transforms.kinds import DEAD_LETTERS, ROWS
from transforms.parsing import attributes_of
from transforms.types import DeadLetter, JournalEntry, Record, SentenceEmbedding


def run_pipeline(folder: pathlib.Path, model: pathlib.Path, *more: str, fmt: str = "parquet") -> None:
    """Embed folder/in.jsonl into folder/out."""
    arguments = [f"--input={folder}/in.jsonl", "--input_format=jsonl", f"--output={folder}/out/rows"]
    assert main([*arguments, f"--output_format={fmt}", f"--model={model}", *more]) == 0


@pytest.mark.parametrize("letters_format", ["parquet", "jsonl", "avro"])
def test_a_letter_is_played_again_from_its_stage(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, letters_format: str
) -> None:
    """What a setting refused passes with another, under the id that it would have had."""
    lines = [{"text": "This text is fine."}, {"text": "A text that is too long for the bound of the first run."}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run_pipeline(tmp_path, text_encoder, "--max_message_bytes=40", fmt=letters_format)
    done = replay.main(
        [
            f"--letters={tmp_path}/out/dead_letters/*.{letters_format}",
            f"--letters_format={letters_format}",
            "--input_format=jsonl",
            f"--output={tmp_path}/again/rows",
            "--output_format=parquet",
            f"--model={text_encoder}",
        ]
    )
    assert done == 0
    (path,) = (tmp_path / "again").glob("*.parquet")
    again = pq.read_table(path).to_pylist()
    assert [row["content"] for row in again] == [lines[1]["text"]]
    run_pipeline(tmp_path, text_encoder)
    (path,) = (tmp_path / "out").glob("*.parquet")
    whole = {row["content"]: row["id"] for row in pq.read_table(path).to_pylist()}
    assert again[0]["id"] == whole[lines[1]["text"]]


def test_a_letter_goes_through_the_function_again(tmp_path: pathlib.Path, text_encoder: pathlib.Path) -> None:
    """Which has been mended meanwhile; several messages of one record have the ids that they would have had."""
    udf = tmp_path / "udf.py"
    given = [f"--udf={udf}", "--udf_function=f", "--id_field=id"]
    (tmp_path / "in.jsonl").write_text('{"id": 1, "text": "One.|Two."}\n{"id": 2, "text": "Three."}\n')
    udf.write_text("def f(message): return message if message['id'] == 2 else 1 / 0")
    run_pipeline(tmp_path, text_encoder, *given)
    udf.write_text("def f(message): return [{**message, 'text': text} for text in message['text'].split('|')]")
    letters_of = [f"--letters={tmp_path}/out/dead_letters/*.parquet", "--letters_format=parquet"]
    to = [f"--output={tmp_path}/again/rows", "--output_format=parquet", f"--model={text_encoder}"]
    assert replay.main([*letters_of, "--input_format=jsonl", *to, *given]) == 0
    (path,) = (tmp_path / "again").glob("*.parquet")
    assert [(row["message_id"], row["content"]) for row in pq.read_table(path).to_pylist()] == [
        ("1#0", "One."),
        ("1#1", "Two."),
    ]


def embedding(content: str) -> SentenceEmbedding:
    """A row with defaults, whose vector is not all of round numbers."""
    return SentenceEmbedding(
        *sentence(content)._replace(id=content), b"\x00\x00\x80?\xcd\xcc\xcc=", "m", "v", "float32", 3, False
    )


ENTRY = JournalEntry("m", 7, "7-abc", 5, "model", "v1", 2, 2, 0, False, 9)


def test_letters_of_earlier_releases_are_played() -> None:
    """A row that names no revision, and a message without a version, which is then its time."""
    earlier: dict[str, list[Any]] = {
        "Write rows": [embedding("Hi.")],
        "Split sentences": [message("Ha.", event_time=5)],
    }
    rows = []
    for stage, (element,) in earlier.items():
        fields = json.loads(element_json(element))
        for added in ("revision", "version", "deleted"):
            fields.pop(added, None)
        rows += dead_letters(stage, "refused", json.dumps(fields).encode(), {})
    played = letters.choose(rows).elements
    assert played["Write rows"] == [embedding("Hi.")]
    assert played["Split sentences"] == [message("Ha.", event_time=5)._replace(version=5)]


def published(row: SentenceEmbedding) -> bytes:
    """A row as WriteToTopic is given it."""
    return json.dumps(ROWS.to_json(row), ensure_ascii=False).encode()


def test_every_stage_that_writes_a_dead_letter_is_in_the_table() -> None:
    """What a stage calls itself in its letters is a name under which they are played, or which says why not."""
    found = pkgutil.walk_packages(transforms.__path__, "transforms.")
    modules = [importlib.import_module(module.name) for module in found]
    stages = {value for module in modules for name, value in vars(module).items() if name.endswith("STAGE")}
    assert len(stages) == 9
    assert set(letters.ENTRIES) | set(letters.NO_ENTRY) == stages
    names = re.compile(r"(?:(?<!def )\bdead_letters\(|\brefused\(\"\w+\",)\s*([\w.]+)")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "transforms").rglob("*.py")]
    assert {name for source in sources for name in names.findall(source)} == {
        "STAGE", "JOURNAL_STAGE", "self._stage", "stage"
    }  # fmt: skip


def test_elements_come_back_as_they_were(tmp_path: pathlib.Path) -> None:
    """From the letter of each stage; a refused row, vector and all, is written again without being embedded again."""
    (tmp_path / "a#1.jsonl").touch()
    path = f"{tmp_path}/a#1.jsonl"
    record = Record(b"data", "f#1", "id", {"source.kind": "a"}, 5)
    row = Record(b"{}", "rows.parquet#3", "", {}, None)
    played: dict[str, list[Any]] = {
        "Read records": [path, path],
        "Parse messages": [record],
        "Split sentences": [message("Ha.")],
        "Parse rows": [row],
        "Embed sentences": [sentence("Ho.")],
        "Write rows": [embedding("Hi.")],
        "Write journal": [ENTRY],
        "Write to topic": [embedding("Hu.")],
    }
    rows = dead_letters("Read records", "broken", path.encode(), {"origin": path})
    rows += dead_letters("Read records", "broken line", b"x", {"origin": f"{path}#17"})
    rows += dead_letters("Parse messages", "no", record.data, attributes_of(record))
    rows += dead_letters("Split sentences", "no", element_json(message("Ha.")), {"message_id": "m"})
    rows += dead_letters("Parse rows", "no", row.data, attributes_of(row))
    rows += dead_letters("Embed sentences", "NaN", element_json(sentence("Ho.")), {})
    rows += dead_letters("Write rows", "refused", element_json(embedding("Hi.")), {})
    rows += dead_letters("Write journal", "refused", element_json(ENTRY), {})
    rows += dead_letters("Write to topic", "refused", published(embedding("Hu.")), {})
    assert letters.choose(rows * 2) == letters.Chosen(played, {}, 0)
    assert set(played) == set(letters.ENTRIES)


def test_what_cannot_be_played_is_listed_and_the_rest_is_played() -> None:
    """By stage and reason, with the ids: another program's stage, a missing part or file, a broken element."""
    large = dead_letters("Parse messages", "no", b"\xff" * 9_000_000, {})
    unstored = element_json(sentence(""))
    rows = [
        *dead_letters("Embed sentences", "NaN", element_json(sentence("Ho.")), {}),
        *dead_letters("Take texts", "no text", b"{}", {}),
        *dead_letters("Mine", "no", b"{}", {}),
        *large[1:],
        *dead_letters("Read records", "broken", b"/not/here", {"origin": "/not/here"}),
        *dead_letters("Parse rows", "not stored", unstored, {"message_id": "m"}),
        *dead_letters("Write rows", "no", b"{}", {}),
        *dead_letters("Split sentences", "no", b"[", {}),
    ]
    chosen = letters.choose(rows)
    assert chosen.elements == {"Embed sentences": [sentence("Ho.")]}
    said = dict(chosen.left_out.keys())
    assert set(said) == {row.stage for row in rows} - {"Embed sentences"}
    assert [letter for ids in chosen.left_out.values() for letter in ids] == list(
        dict.fromkeys(row.id for row in rows[1:])
    )
    assert "expected parts" in said["Parse messages"]
    assert "/not/here" in said["Read records"]
    assert "was not stored" in said["Parse rows"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (letters.Choice(), ["a", "b", "c"]),
        (letters.Choice(stages=("Embed sentences",)), ["c"]),
        (letters.Choice(since=20), ["b", "c"]),
        (letters.Choice(until=20), ["a"]),
        (letters.Choice(since=10, until=30), ["a", "b"]),
        (letters.Choice(reason=re.compile("quota")), ["b", "c"]),
        (letters.Choice(stages=("Parse messages",), since=20, reason=re.compile("quota")), ["b"]),
    ],
)
def test_letters_are_chosen_by_stage_time_and_reason(choice: letters.Choice, expected: list[str]) -> None:
    """All that is asked must be true; the rest is counted."""
    rows = []
    for content, stage, time, reason in (
        ("a", "Parse messages", 10, "no text"),
        ("b", "Parse messages", 20, "quota exceeded"),
        ("c", "Embed sentences", 30, "quota exceeded"),
    ):
        payload = content.encode() if stage == "Parse messages" else element_json(sentence(content))
        rows += [row._replace(timestamp=time) for row in dead_letters(stage, reason, payload, {})]
    chosen = letters.choose(rows, choice)
    found = [getattr(one, "content", "") or one.data.decode() for ones in chosen.elements.values() for one in ones]
    assert found == expected
    assert chosen.passed_over == 3 - len(expected)


def test_parts_are_joined_though_only_one_is_in_the_range() -> None:
    """The parts of a letter are made one after the other."""
    parts = dead_letters("Parse messages", "no", b"\xff" * 9_000_000, {})
    rows = [part._replace(timestamp=part.part) for part in parts]
    (record,) = letters.choose(rows, letters.Choice(until=1)).elements["Parse messages"]
    assert record.data == b"\xff" * 9_000_000


def write_letters(path: pathlib.Path, rows: list[DeadLetter]) -> None:
    """Dead letters as the pipeline writes them as JSON Lines."""
    path.write_text("".join(json.dumps(DEAD_LETTERS.to_json(row)) + "\n" for row in rows))


def replay_arguments(folder: pathlib.Path, model: pathlib.Path, *more: str) -> list[str]:
    """Replay folder/letters.jsonl into folder/out."""
    given = [f"--letters={folder}/letters.jsonl", "--letters_format=jsonl", f"--output={folder}/out/rows"]
    return [*given, "--input_format=jsonl", "--output_format=parquet", f"--model={model}", *more]


def contents(folder: pathlib.Path) -> list[str]:
    """The sentences of the rows in folder/out."""
    return sorted(
        row["content"] for path in (folder / "out").glob("*.parquet") for row in pq.read_table(path).to_pylist()
    )


@pytest.mark.parametrize("input_format", ["jsonl", "rows"])
def test_letters_of_all_stages_are_played_in_one_run(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str], input_format: str
) -> None:
    """Each from its stage, as far as the input format has it; what is left out makes the exit code 1."""
    if input_format == "jsonl":
        (tmp_path / "in").write_text('{"text": "From a file."}\n')
    else:
        pq.write_table(pa.Table.from_pylist([json.loads(published(embedding("From a file.")))]), tmp_path / "in")
    row = Record(published(embedding("From a row.")), "rows#1", "", {}, None)
    rows = dead_letters("Read records", "broken", b"x", {"origin": f"{tmp_path}/in#0"})
    rows += dead_letters("Parse messages", "no", b'{"text": "A record."}', {})
    rows += dead_letters("Split sentences", "no", element_json(message("A message.")), {})
    rows += dead_letters("Parse rows", "no", row.data, attributes_of(row))
    rows += dead_letters("Embed sentences", "no", element_json(sentence("A sentence.", 1)), {})
    rows += dead_letters("Write rows", "no", element_json(embedding("A row.")), {})
    rows += dead_letters("Write to topic", "no", published(embedding("A published row.")), {})
    write_letters(tmp_path / "letters.jsonl", rows)
    whole = input_format == "jsonl"
    code = replay.main(replay_arguments(tmp_path, text_encoder, f"--input_format={input_format}"))
    assert code == (0 if whole else 1)
    later = ["A published row.", "A row.", "A sentence.", "From a file.", "From a row."]
    assert contents(tmp_path) == sorted([*later, "A message.", "A record."] if whole else later)
    left = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out 1 of ")]
    assert len(left) == (0 if whole else 2)


@pytest.mark.parametrize("input_format", ["json", "bigquery"])
def test_a_format_that_no_file_has_reads_none_again(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str], input_format: str
) -> None:
    """The letters of messages or of a table's rows are played, those of files are left out."""
    (tmp_path / "in").touch()
    row = Record(published(embedding("A row.")), "p:d.t", "", {}, None)
    rows = dead_letters("Read records", "broken", b"x", {"origin": f"{tmp_path}/in#0"})
    rows += dead_letters("Parse messages", "no", b'{"text": "A message."}', {})
    rows += dead_letters("Parse rows", "no", row.data, attributes_of(row))
    write_letters(tmp_path / "letters.jsonl", rows)
    assert replay.main(replay_arguments(tmp_path, text_encoder, f"--input_format={input_format}")) == 1
    assert contents(tmp_path) == ["A message.", "A row."][input_format == "bigquery" :]
    assert "left out 1 of Read records: expected --input_format of files, got" in capsys.readouterr().err


def test_letters_that_the_run_does_not_want_are_not_played(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The options on the command line choose, and the count of the others is told."""
    rows = dead_letters("Embed sentences", "quota", element_json(sentence("First.")), {})
    rows += dead_letters("Embed sentences", "NaN", element_json(sentence("Second.")), {})
    rows += dead_letters("Parse messages", "quota", b'{"text": "Third."}', {})
    write_letters(tmp_path / "letters.jsonl", rows)
    chosen = ["--stages=Embed sentences", "--reason=^quota$", "--since=2020-01-01", "--until=2999-01-01T00:00:00Z"]
    assert replay.main(replay_arguments(tmp_path, text_encoder, *chosen)) == 0
    assert contents(tmp_path) == ["First."]
    assert "not asked for: 2 of 3 dead letters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--stages=Embed sentence", "expected --stages of "),
        ("--stages=Take texts", "expected --stages of "),
        ("--since=yesterday", "expected --since=TIME in RFC 3339, got 'yesterday'"),
        ("--until=yesterday", "expected --until=TIME in RFC 3339, got 'yesterday'"),
        ("--reason=(", "expected --reason to be a regular expression, got '('"),
        ("--reason=no such reason", "expected dead letters that can be played, got none of 1"),
        ("--letters=PLACE/other.jsonl", "expected dead letters in PLACE/other.jsonl"),
        ("--letters=PLACE/empty.jsonl", "expected dead letters that can be played, got none of 0"),
    ],
)
def test_a_wrong_choice_is_one_line(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str], option: str, said: str
) -> None:
    """Before any work."""
    write_letters(tmp_path / "letters.jsonl", dead_letters("Parse messages", "no", b'{"text": "A."}', {}))
    (tmp_path / "other.jsonl").write_text('{"text": "no dead letter"}\n')
    (tmp_path / "empty.jsonl").touch()
    option, said = (text.replace("PLACE", str(tmp_path)) for text in (option, said))
    assert replay.main(replay_arguments(tmp_path, text_encoder, option)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"python -m pipeline.replay: {said}")


def test_rows_that_are_written_already_are_left_out(tmp_path: pathlib.Path, text_encoder: pathlib.Path) -> None:
    """A file is read again whole, and most of it may have its rows."""
    (tmp_path / "in.jsonl").write_text('{"text": "One."}\n')
    run_pipeline(tmp_path, text_encoder)
    (tmp_path / "in.jsonl").write_text('{"text": "One."}\n{"text": "Two."}\n')
    (tmp_path / "out").rename(tmp_path / "before")
    letter = dead_letters("Read records", "broken", b"x", {"origin": f"{tmp_path}/in.jsonl#20"})
    write_letters(tmp_path / "letters.jsonl", letter)
    written = f"--already_written={tmp_path}/before/*.parquet"
    assert replay.main(replay_arguments(tmp_path, text_encoder, written)) == 0
    assert contents(tmp_path) == ["Two."]


def test_letters_are_found_as_files_to_read_are(tmp_path: pathlib.Path) -> None:
    """A path that exists is no pattern, and a folder stands for the files below it."""
    for name in ("out [1]/a.jsonl", "out [1]/_SUCCESS", "out 1/b.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for place in ("out [1]", "out [1]/*", "out [1]/a.jsonl"):
        assert letters._files(f"{tmp_path}/{place}") == [f"{tmp_path}/out [1]/a.jsonl"]


def test_no_letters_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A glob that matches nothing is a mistake."""
    assert replay.main(["--letters=/nothing/*", "--letters_format=parquet"]) == 2
    assert capsys.readouterr().err.startswith("python -m pipeline.replay: expected --letters to match files")


def test_a_topic_that_refuses_every_message_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one with a schema does; no message is at fault."""

    def refuse(topic: str, messages: object) -> None:
        raise InvalidArgument("the message does not match the schema")

    monkeypatch.setattr(pubsub, "publish", refuse)
    monkeypatch.setattr(replay, "_PUBLISH_SECONDS", 0.2)
    assert replay._publish([record("a"), record("b")], "projects/p/topics/top") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected Pub/Sub topic projects/p/topics/top to take rows within 0.2 s of retries" in line
