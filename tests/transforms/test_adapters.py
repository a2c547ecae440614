"""Other programs' elements in and out of the stages."""

import datetime
import decimal
import pathlib
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pandas as pd
import pytest
from apache_beam.ml.rag.types import Content, EmbeddableItem
from apache_beam.utils.timestamp import Timestamp

from tests.beam import run
from tests.conftest import message, sentence
from transforms import AsEmbeddableItems, AsMessages, AsSentences, EmbedSentences, SplitSentences
from transforms.adapters import message_of
from transforms.times import parse_time
from transforms.types import Message


class Review(NamedTuple):
    """A user's own row."""

    id: int
    text: str
    stars: int


ROWS = [
    "One. Two.",
    beam.Row(id="r", text="One. Two.", stars=5),
    Review(7, "One. Two.", 5),
    {"id": None, "text": "One. Two.", "stars": 5},
    EmbeddableItem.from_text("One. Two.", id="e", metadata={"stars": 5}),
    message("One. Two.", metadata={"stars": "5"}),
]


@pytest.mark.parametrize("element", ROWS, ids=lambda element: type(element).__name__)
def test_sentences_of_strings_rows_and_items(element: Any) -> None:
    """Fields that are not text or id become metadata."""
    rows = run([element], SplitSentences())
    assert [(row.content, row.begin, row.end) for row in rows] == [("One.", 0, 4), ("Two.", 5, 9)]
    assert all(dict(row.metadata) == ({} if isinstance(element, str) else {"stars": "5"}) for row in rows)
    expected = {beam.Row: "r", Review: "7", EmbeddableItem: "e", Message: "m"}.get(type(element))
    assert {row.message_id for row in rows} == {expected or message_of(element).id}


@pytest.mark.parametrize("kind", [dict, beam.Row])
def test_a_path_leads_into_rows(kind: Any) -> None:
    """What is beside it stays, and the row itself, which may be another transform's too, does not change."""
    element = kind(m=kind(id=7, parts=[{"text": "One."}], stars=5), at=1000)
    made = message_of(element, "m.parts[0].text", "m.id", "at")
    assert (made.id, made.text, made.event_time, dict(made.metadata)) == ("7", "One.", 1_000_000, {"m": '{"stars": 5}'})
    assert element == kind(m=kind(id=7, parts=[{"text": "One."}], stars=5), at=1000)
    with pytest.raises(ValueError, match=r"^expected the field 'm.parts\[1\].text' in a row, got \['at', 'm'\]"):
        message_of(element, "m.parts[1].text")


@pytest.mark.parametrize("element", ROWS, ids=lambda element: type(element).__name__)
def test_vectors_of_strings_rows_and_items(element: Any, text_encoder: pathlib.Path) -> None:
    """Without a splitter before it, a text is embedded whole."""
    (row,) = run([element], EmbedSentences(str(text_encoder)))
    assert (row.content, row.begin, row.end) == ("One. Two.", 0, 9)
    assert np.frombuffer(row.embedding, "<f4")[0] == 9


def test_elements_of_unknown_type_are_recognised(text_encoder: pathlib.Path) -> None:
    """A lambda's output has no type; messages and sentences then pass as they are."""
    untyped = beam.Map(lambda element: element).with_output_types(Any)
    whole = message("One. Two.", event_time=7)
    assert [row.event_time for row in run([whole], untyped | SplitSentences())] == [7, 7]
    (row,) = run([sentence("abc", 3)], untyped | EmbedSentences(str(text_encoder)))
    assert tuple(row)[:9] == tuple(sentence("abc", 3))


def test_an_item_comes_back_with_its_vector(text_encoder: pathlib.Path) -> None:
    """Its id, index and metadata are kept, so that Beam's own writers store what was there."""
    item = EmbeddableItem.from_text("One.", id="e", index=4, metadata={"source": "here"})
    (made,) = run([item], EmbedSentences(str(text_encoder)) | AsEmbeddableItems())
    assert (made.id, made.index, made.content_string) == ("e", 4, "One.")
    assert made.dense_embedding == [4, 8, 1, 1]
    assert made.metadata["source"] == "here"
    assert (made.metadata["message_id"], made.metadata["begin"], made.metadata["end"]) == ("e", "0", "4")


def test_names_of_fields_are_options() -> None:
    """Time becomes microseconds since 1970, and other values JSON."""
    row = {"key": 3, "body": "Hi.", "at": "1970-01-01T00:00:01Z", "tags": ["a"], "none": None}
    assert run([row], AsMessages("body", "key", "at")) == [Message("3", "Hi.", {"tags": '["a"]'}, 1_000_000)]
    (whole,) = run([row], AsSentences("body", "key", "at"))
    assert (whole.message_id, whole.content, whole.event_time) == ("3", "Hi.", 1_000_000)


def test_null_and_blank_texts_are_left_out() -> None:
    """As ParseMessages does."""
    texts: list[dict[str, str | None]] = [{"text": None}, {"text": " "}, {"text": "x"}]
    assert [row.text for row in run(texts, AsMessages())] == ["x"]


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ({"body": "x"}, r"expected the field 'text' in a row, got \['body'\]"),
        ({"text": 3}, "expected text in the field 'text', got int"),
        (EmbeddableItem(Content(image=b"png"), id="e"), "expected text in the EmbeddableItem e, got an image"),
    ],
)
def test_what_is_no_text_is_refused(element: Any, reason: str) -> None:
    """With what was expected."""
    with pytest.raises(ValueError, match=reason):
        message_of(element)


TIMES = [
    datetime.datetime(2004, 11, 17, 17, 27, 13, tzinfo=datetime.UTC),
    datetime.datetime(2004, 11, 17, 17, 27, 13),
    pd.Timestamp("2004-11-17 17:27:13", tz="UTC"),
    pd.Timestamp("2004-11-17 18:27:13", tz="Europe/Berlin"),
    np.datetime64("2004-11-17T17:27:13"),
    np.datetime64("2004-11-17T17:27:13.000000000"),
    Timestamp(1_100_712_433),
]


@pytest.mark.parametrize("time", TIMES, ids=lambda time: type(time).__name__)
def test_times_of_every_kind_are_taken(time: Any) -> None:
    """As event times, and in metadata as RFC 3339, without quotes."""
    message = message_of({"text": "Hi.", "at": time, "seen": time}, timestamp_field="at")
    assert message.event_time == 1_100_712_433_000_000
    assert parse_time(message.metadata["seen"], "seen") == message.event_time


@pytest.mark.parametrize("null", [None, float("nan"), pd.NA, pd.NaT, np.float32("nan"), np.datetime64("NaT")])
def test_null_is_absent(null: Any) -> None:
    """As id, as time and in metadata."""
    row = {"text": "Hi.", "id": null, "at": null, "more": null}
    message = message_of(row, timestamp_field="at")
    assert (message.event_time, message.metadata) == (None, {})
    assert len(message.id) == 32


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (decimal.Decimal("1.10"), "1.10"),
        (b"caf\xc3\xa9", "caf\xe9"),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (np.int64(7), "7"),
        (np.array([1, 2]), "[1, 2]"),
        ({"at": datetime.date(2024, 1, 2)}, '{"at": "2024-01-02"}'),
        (True, "true"),
        (1.5, "1.5"),
    ],
)
def test_metadata_is_text_without_quotes(value: Any, text: str) -> None:
    """A value that JSON lacks is its text."""
    assert message_of({"text": "Hi.", "v": value}).metadata == {"v": text}


BAD = [
    {"text": 7, "id": "number"},
    {"body": "no text", "id": "missing"},
    {"text": "Hi.", "at": "yesterday"},
    {"text": "Hi.", "at": "2024-01-01", "v": b"\xff"},
    {"text": "Hi.", "at": None, 1: "a", "1": "b"},
    5,
]


@pytest.mark.parametrize("adapter", [AsMessages, AsSentences])
def test_what_cannot_be_used_is_a_dead_letter(adapter: Any) -> None:
    """Whole, and the others are taken."""
    good = {"text": "Fine.", "at": None}
    result = run([good, *BAD], adapter(timestamp_field="at").with_dead_letters())
    assert len(result.output) == 1
    assert len(result.dead_letters) == len(BAD)
    letters = sorted(letter.payload_string for letter in result.dead_letters)
    assert letters[:2] == ["5", '{"body": "no text", "id": "missing"}']


@pytest.mark.parametrize("stage", ["split", "embed"])
def test_stages_give_such_dead_letters_too(stage: str, text_encoder: pathlib.Path) -> None:
    """As the adapters in front of them are part of them."""
    transform = SplitSentences() if stage == "split" else EmbedSentences(str(text_encoder))
    result = run(["Fine.", 5], transform.with_dead_letters())
    assert [row.content for row in result.output] == ["Fine."]
    assert [letter.payload_string for letter in result.dead_letters] == ["5"]


@pytest.mark.parametrize("transform", [AsMessages(), SplitSentences()])
def test_without_an_output_of_their_own_dead_letters_fail_the_pipeline(transform: Any) -> None:
    """With the reason, and with what to do."""
    with pytest.raises(Exception, match=r"Take texts could not use .* expected a string.*with_dead_letters"):
        run([5], transform)


def test_a_field_without_a_name_is_metadata() -> None:
    """Because an option that is not given names no field."""
    assert message_of({"": 0, "text": "Hi.", "id": 7}) == Message("7", "Hi.", {"": "0"}, None)
    assert message_of({"": 0, "text": "Hi."}, id_field="").metadata == {"": "0"}


@pytest.mark.parametrize("adapter", [AsMessages, AsSentences])
@pytest.mark.parametrize("names", [("",), ("a", "a"), ("text", "a", "a")])
def test_options_name_different_fields(adapter: Any, names: tuple[str, ...]) -> None:
    """One field cannot be two parts of a message."""
    with pytest.raises(ValueError, match="expected .* to name"):
        adapter(*names)


def test_names_that_are_equal_as_text_are_refused() -> None:
    """Metadata has text as keys, and neither value may be dropped."""
    with pytest.raises(ValueError, match="expected fields whose names differ as text"):
        message_of({"text": "Hi.", 1: "a", "1": "b"})
