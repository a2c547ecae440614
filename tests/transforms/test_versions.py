"""Versions of messages, and the journal of those that were carried to their end."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.beam import run
from tests.conftest import message, record
from transforms.counters import process_counts
from transforms.dead_letters import element_json
from transforms.parsing import MessageParser, attributes_of, record_of
from transforms.splitter import SentenceSplitter
from transforms.splitting import SplitSentences, sentences
from transforms.types import JournalEntry, Message, Sentence, SentenceEmbedding, is_end
from transforms.versions import KeepJournal, versioned

metadata = st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "1", "2"]), max_size=2)
messages = st.builds(
    Message,
    id=st.sampled_from(["m", "n"]),
    text=st.sampled_from(["", "One.", "One. Two.", "One.  Two.", "One: Two."]),
    metadata=metadata,
    event_time=st.sampled_from([None, 0, 5]),
    version=st.sampled_from([-1, 0, 7]),
)


def split(*given: Message, **options: Any) -> list[Sentence]:
    """The sentences and ends of messages."""
    splitter = SentenceSplitter(**options)
    return [each for one in given for each in versioned(one, sentences(one, splitter)[0])]


def embedded(sentence: Sentence, model_version: str = "v1") -> SentenceEmbedding:
    """The row, or the end, that an encoder makes of a sentence."""
    return SentenceEmbedding(
        *sentence, b"" if is_end(sentence) else b"1234", "model", model_version, "float32", 3, False
    )


def journal(*rows: SentenceEmbedding) -> list[JournalEntry]:
    """What is kept of a bundle of rows and ends."""
    keep = KeepJournal()
    keep.start_bundle()
    return [entry for row in rows for entry in keep.process(row)]


def test_an_end_follows_the_sentences_of_each_message_and_counts_them() -> None:
    """Of a blank message, it is all there is."""
    found = run([message("One. Two.", id="a"), message("", id="b")], SplitSentences().with_versions())
    assert [(each.message_id, each.sentence_index, each.content, is_end(each)) for each in found] == [
        ("a", 0, "One.", False),
        ("a", 1, "Two.", False),
        ("a", 2, "", True),
        ("b", 0, "", True),
    ]
    assert len({each.revision for each in found}) == 2


def test_without_versions_there_are_only_sentences() -> None:
    """Who does not ask for ends gets none."""
    assert [(each.content, each.revision) for each in run([message("One."), message("")], SplitSentences())] == [
        ("One.", "")
    ]


@given(messages, messages)
def test_what_is_of_one_revision_is_written_alike(one: Message, other: Message) -> None:
    """Rows of a message that have the same revision make one version, whoever wrote them, and however often."""
    first, second = split(one), split(other._replace(id=one.id))
    assert first[:-1] == second[:-1] or first[-1].revision != second[-1].revision


def test_another_way_of_splitting_is_another_revision() -> None:
    """Else its rows and those of the first would be mixed."""
    assert split(message("One. Two."))[-1].revision != split(message("One. Two."), split_length=2)[-1].revision


def test_the_entry_of_a_version_says_what_became_of_its_sentences() -> None:
    """Those that did not arrive are dead letters."""
    first, second, end = map(embedded, split(message("One. Two.", id="a")._replace(version=7, event_time=5)))
    (entry,) = journal(first, second, end)
    assert entry == JournalEntry("a", 7, end.revision, 5, "model", "v1", 2, 2, 0, False, entry.written_at)
    (entry,) = journal(second, end)
    assert (entry.sentences, entry.rows, entry.dead_letters) == (2, 1, 1)


def test_without_its_end_a_version_has_no_entry() -> None:
    """Nor has a row that is of no version."""
    first, _, end = map(embedded, split(message("One. Two.")))
    assert journal(first, first._replace(revision="")) == []
    assert journal(first, end._replace(revision="")) == []


def test_a_bundle_that_failed_counts_for_nothing() -> None:
    """Its rows come again."""
    first, end = map(embedded, split(message("One.")))
    keep = KeepJournal()
    for _ in range(2):
        keep.start_bundle()
        assert list(keep.process(first)) == []
    (entry,) = keep.process(end)
    assert entry.rows == 1


def test_a_version_with_vectors_of_two_models_has_no_entry() -> None:
    """A newer model was taken up between its sentences; readers stay with the version before."""
    before = process_counts().get("versions_mixed", 0)
    first, second, end = split(message("One. Two."))
    assert journal(embedded(first, "v1"), embedded(second, "v2"), embedded(end, "v2")) == []
    assert process_counts()["versions_mixed"] == before + 1


@given(st.sampled_from([None, 0, 5]), st.sampled_from([None, 7]), st.booleans(), messages)
def test_what_is_played_again_has_the_version_that_it_had(
    event_time: int | None, modified: int | None, deleted: bool, one: Message
) -> None:
    """A dead letter keeps the times of its record, and all fields of a message or a sentence."""
    before = record(json.dumps({"id": "m", "text": "Hi."}), event_time=event_time)._replace(modified=modified)
    again = record_of(before.data, attributes_of(before))
    parser = MessageParser("jsonl", id_field="id")
    assert parser.parse(again) == parser.parse(before)
    for each in (one._replace(deleted=deleted), *split(one)):
        assert type(each)(**json.loads(element_json(each))) == each


def test_a_deletion_is_an_entry_without_sentences() -> None:
    """Of its own revision, which no row has."""
    (end,) = split(message("", id="a")._replace(version=7, deleted=True))
    (entry,) = journal(embedded(end))
    assert (entry.deleted, entry.version, entry.sentences, entry.rows) == (True, 7, 0, 0)


@pytest.mark.parametrize("version", [-(1 << 63) + 1, -1, 0, (1 << 63) - 1])
def test_any_version_of_64_bits_comes_through(version: int) -> None:
    """Negative ones too."""
    (_, end) = split(message("One.")._replace(version=version))
    assert journal(embedded(end))[0].version == version
