"""Dead letters played again."""

import json
import pathlib

import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import InvalidArgument

from pipeline import replay
from pipeline.__main__ import main
from tests.conftest import record, sentence
from transforms import parsing
from transforms.dead_letters import dead_letters, element_json
from transforms.types import SentenceEmbedding


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


def test_elements_of_later_stages_come_back_as_they_were() -> None:
    """A refused row, vector and all, is written again without being embedded again."""
    row = SentenceEmbedding(*sentence("Hi."), b"\x00\x00\x80?", "m", "v", "float32", 3, False)
    letters = dead_letters("Write rows", "refused", element_json(row), {})
    letters += dead_letters("Embed sentences", "NaN", element_json(sentence("Ho.")), {})
    assert replay.elements_of(letters * 2) == {"Write rows": [row], "Embed sentences": [sentence("Ho.")]}


def test_a_file_that_could_not_be_read_is_not_played_again() -> None:
    """Its letter holds a name, not what was in it."""
    with pytest.raises(ValueError, match="got .* of 'Read records'; fix what it names"):
        replay.elements_of(dead_letters("Read records", "broken", b"/a/file", {}))


def test_letters_are_found_as_files_to_read_are(tmp_path: pathlib.Path) -> None:
    """A path that exists is no pattern, and a folder stands for the files below it."""
    for name in ("out [1]/a.jsonl", "out [1]/_SUCCESS", "out 1/b.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for place in ("out [1]", "out [1]/*", "out [1]/a.jsonl"):
        assert replay._files(f"{tmp_path}/{place}") == [f"{tmp_path}/out [1]/a.jsonl"]


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

    monkeypatch.setattr(replay, "publish", refuse)
    monkeypatch.setattr(replay, "_PUBLISH_SECONDS", 0.2)
    assert replay._publish({parsing.STAGE: [record("a"), record("b")]}, "projects/p/topics/top") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected Pub/Sub topic projects/p/topics/top to take rows within 0.2 s of retries" in line
