import subprocess
import sys
import uuid
from typing import Any

import pytest
from apache_beam import coders

from tests.conftest import message, record, sentence
from transforms import types
from transforms.integrations.beam_yaml import EmbeddedRow
from transforms.types import DeadLetter, Message, SentenceEmbedding

ELEMENTS = [
    record(b"\xff\x00", attributes={"a": "b"}, event_time=-1),
    message("Hi.\x00", metadata={"k": "é"}, event_time=1),
    message("Hi."),
    sentence("Hi."),
    SentenceEmbedding(*sentence("Hi."), b"\x00\x00\x80?", "m", "v", "float32", 3, True),
    DeadLetter("i", "s", 1, "e", "t", None, b"\xff", {}, 0, 1),
]


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda element: type(element).__name__)
def test_an_element_survives_its_row_coder(element: tuple[Any, ...]) -> None:
    """What is encoded comes back equal, field for field."""
    coder = coders.registry.get_coder(type(element))
    assert isinstance(coder, coders.RowCoder)
    assert tuple(coder.decode(coder.encode(element))) == tuple(element)


@pytest.mark.subprocess
def test_schema_ids_are_the_same_at_every_launch() -> None:
    """A streaming job is updated by its coders, so a launch must not draw new ids."""
    code = (
        "from apache_beam import coders; from transforms import types as t;"
        "print([coders.registry.get_coder(c).schema.id for c in (t.Record, t.Message, t.Sentence, t.DeadLetter)])"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = [coders.registry.get_coder(c).schema.id for c in (types.Record, types.Message, types.Sentence, DeadLetter)]
    assert other.stdout == f"{here}\n"


@pytest.mark.parametrize("element", [*dict.fromkeys(map(type, ELEMENTS)), EmbeddedRow])
def test_a_schema_id_is_a_uuid(element: type) -> None:
    """Java refuses any other."""
    id = coders.registry.get_coder(element).schema.id
    assert str(uuid.UUID(id)) == id


def test_schema_ids_differ() -> None:
    """Beam looks a type up by its id."""
    kinds = {type(element) for element in ELEMENTS} | {EmbeddedRow}
    assert len({coders.registry.get_coder(kind).schema.id for kind in kinds}) == len(kinds)


def test_a_schema_id_on_record_stays() -> None:
    """A running job knows its rows by it: change it with the fields, and have streams drained."""
    assert coders.registry.get_coder(Message).schema.id == "c63c7da9-43b9-5b23-8f4e-96b131808b70"
