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
