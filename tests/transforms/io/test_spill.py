"""Dead letters that their own sink refused."""

import json
import pathlib

import pytest
from google.api_core.exceptions import InvalidArgument

from pipeline.letters import read_letters
from tests.beam import run
from transforms.dead_letters import dead_letters
from transforms.io.pubsub import write as pubsub
from transforms.io.spill import LetterRefused, Spill
from transforms.kinds import DEAD_LETTERS

(LETTER,) = dead_letters("Parse messages", "ValueError: no", b"\xff whole", {"source.origin": "f#1"})
ROW = DEAD_LETTERS.to_json(LETTER)


def spilled(folder: pathlib.Path) -> list[object]:
    """The letters in a folder, as a replay reads them."""
    return list(read_letters("jsonl", f"{folder}/*.jsonl"))


def test_a_letter_is_a_file_that_a_replay_reads(tmp_path: pathlib.Path) -> None:
    """One, however often its bundle is retried."""
    for _ in range(2):
        Spill(str(tmp_path / "spill")).keep(ROW, "topic", "it has a schema")
    assert spilled(tmp_path / "spill") == [LETTER]
    assert len(list((tmp_path / "spill").iterdir())) == 1


def test_without_a_folder_the_bundle_fails() -> None:
    """In one line that says what to do."""
    with pytest.raises(LetterRefused, match=r"^topic refused the dead letter \w+ of Parse messages: why; .*spill_dir$"):
        Spill("").keep(ROW, "topic", "why")


@pytest.mark.parametrize("with_folder", [True, False])
def test_a_topic_that_refuses_letters_loses_none(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, with_folder: bool
) -> None:
    """As one with a schema refuses all; without a folder it is waited for, and then the bundle fails."""

    def refuse(topic: str, messages: object) -> None:
        raise InvalidArgument("the message does not match the schema of the topic")

    monkeypatch.setattr(pubsub, "publish", refuse)
    write = pubsub.WriteDeadLettersToTopic(
        "projects/p/topics/dead", spill_dir=str(tmp_path) if with_folder else "", retry_for_seconds=0.5
    )
    line = json.dumps(ROW).encode()
    if with_folder:
        run([line], write, bytes)
        assert spilled(tmp_path) == [LETTER]
    else:
        with pytest.raises(
            Exception, match="expected Pub/Sub topic .* to take rows within 0.5 s .* it rejects every row"
        ):
            run([line], write, bytes)
