import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.beam import run
from tests.conftest import message
from transforms.splitter import SentenceSplitter
from transforms.splitting import SplitSentences, sentences
from transforms.types import Message


def test_a_message_becomes_its_sentences() -> None:
    """Sentences come in order, with offsets into the text and the message's fields."""
    text = "Hello there. How are you?"
    found = run([message(text, id="m1", metadata={"a": "b"}, event_time=3)], SplitSentences(), Message)
    assert [s.content for s in found] == ["Hello there.", "How are you?"]
    assert [text[s.begin : s.end] for s in found] == ["Hello there.", "How are you?"]
    assert [s.sentence_index for s in found] == [0, 1]
    assert {(s.message_id, s.metadata["a"], s.event_time) for s in found} == {("m1", "b", 3)}


def test_a_repeated_sentence_has_its_own_offsets_and_id() -> None:
    """Repeated text is found where it stands, not where it stood first."""
    found, _ = sentences(message("Yes. Yes."), SentenceSplitter())
    assert [(s.begin, s.end) for s in found] == [(0, 4), (5, 9)]
    assert found[0].id != found[1].id


@given(st.text())
def test_ids_are_the_same_at_every_run(text: str) -> None:
    """A retry makes no new id, and no two sentences of a message share one."""
    once, again = (sentences(message(text), SentenceSplitter())[0] for _ in range(2))
    assert once == again
    assert len({s.id for s in once}) == len(once)


def test_a_message_can_name_its_language() -> None:
    """The field of one message does not change the next."""
    text = "Er kam am 3. Oktober an."
    messages = [message(text, id="de", metadata={"lang": "de"}), message(text, id="none")]
    found = run(messages, SplitSentences("en", language_field="lang"), Message)
    assert [s.content for s in found if s.message_id == "de"] == [text]
    assert len([s for s in found if s.message_id == "none"]) == 2


def test_the_splitters_options_are_the_transforms() -> None:
    """What a length option drops leaves no gap in the indexes."""
    found = run([message("No. This is a longer one. Yes, it is.")], SplitSentences(min_length=5), Message)
    assert [(s.sentence_index, s.content) for s in found] == [(0, "This is a longer one."), (1, "Yes, it is.")]


def test_a_field_without_a_name_is_no_language() -> None:
    """Unless the option names a field, all messages have the same language."""
    found = run([message("It is. Yes.", metadata={"": "nonsense"})], SplitSentences(), Message)
    assert len(found) == 2


def test_metadata_that_is_not_kept_is_left_out_before_the_split() -> None:
    """The language may come from a field that sentences do not keep."""
    split = SplitSentences(language_field="lang", metadata_fields=["user"])
    found = run(
        [message("Er kam am 3. Oktober an.", metadata={"lang": "de", "user": "u", "more": "x"})], split, Message
    )
    assert [row.metadata for row in found] == [{"user": "u"}]


def test_own_columns_are_taken_before_metadata_is_left_out() -> None:
    """Every sentence of a message has them, and the others have none."""
    split = SplitSentences(metadata_fields=["user"], columns=["tenant:STRING=org.id", "size:INT64"])
    found = run(
        [message("One. Two.", metadata={"org": '{"id": "acme"}', "size": "3", "user": "u"}), message("Three.")],
        split,
        Message,
    )
    own = {"user": "u", "columns.tenant": "acme", "columns.size": "3"}
    assert {row.content: row.metadata for row in found} == {"One.": own, "Two.": own, "Three.": {}}


def test_a_value_of_another_type_makes_the_whole_message_a_dead_letter() -> None:
    """Before the split, as the message came, to be played again with another type."""
    bad = message("One. Two.", metadata={"size": "large", "other": "x"})
    result = run([bad], SplitSentences(metadata_fields=[], columns=["size:INT64"]).with_dead_letters(), Message)
    (letter,) = result.dead_letters
    assert "expected INT64 in the field 'size', for the column 'size', got 'large'" in letter.error_message
    assert json.loads(letter.payload_string) == bad._asdict()
    assert result.output == []


def test_a_deletion_is_carried_out_whatever_its_fields_hold() -> None:
    """It has no rows, and without it those of an earlier version would stay."""
    gone = message("", metadata={"size": "large"})._replace(deleted=True)
    (end,) = run([gone], SplitSentences(columns=["size:INT64"]).with_versions(), Message)
    assert end.revision == "0-deleted"


def test_another_value_of_an_own_column_is_another_version() -> None:
    """Even of a field that is not kept, as what is written of the message differs."""
    split = SplitSentences(metadata_fields=[], columns=["size:INT64"]).with_versions()
    found = run([message("One.", metadata={"size": size}) for size in ("1", "2", "02")], split, Message)
    assert len({row.revision for row in found}) == 2


@pytest.mark.parametrize("wrong", ["size:INT64", ["size:INT"], ["id:STRING"]])
def test_wrong_own_columns_are_refused(wrong: object) -> None:
    """Where they are given, under the argument's name."""
    with pytest.raises(ValueError, match="^expected columns "):
        SplitSentences(columns=wrong)


def test_a_message_whose_sentences_would_carry_too_much_is_a_dead_letter() -> None:
    """A few kilobytes must not become gigabytes; with fewer fields it is split."""
    large = message("Yes. " * 2_000, metadata={"raw": "x" * 50_000, "user": "u"})
    result = run([large], SplitSentences().with_dead_letters(), Message)
    (letter,) = result.dead_letters
    assert "got 50,008 in each of 2,000; keep fewer fields with metadata_fields" in letter.error_message
    assert json.loads(letter.payload_string) == large._asdict()
    assert len(run([large], SplitSentences(metadata_fields=["user"]), Message)) == 2_000


@pytest.mark.parametrize("language", ["English", "x" * 100_000, "", "klingon", "tlh", "e\nn"])
def test_a_language_that_is_not_known_is_split_by_generic_rules(
    language: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a line in the log for each; any string may come with a message."""
    found = run([message("It is. Yes.", metadata={"lang": language})], SplitSentences(language_field="lang"), Message)
    assert [row.content for row in found] == ["It is.", "Yes."]
    assert "expected one of the languages" not in caplog.text
