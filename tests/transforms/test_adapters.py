"""Other programs' elements in and out of the stages."""

import pathlib
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.ml.rag.types import Content, EmbeddableItem

from tests.beam import run
from tests.conftest import message, sentence
from transforms import AsEmbeddableItems, AsMessages, AsSentences, EmbedSentences, SplitSentences
from transforms.adapters import message_of
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
    assert tuple(row)[:8] == tuple(sentence("abc", 3))


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
    assert run([row], AsMessages("body", "key", "at")) == [
        Message("3", "Hi.", {"tags": '["a"]', "none": "null"}, 1_000_000)
    ]
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
