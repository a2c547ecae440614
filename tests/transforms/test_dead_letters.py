import json

import apache_beam as beam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.beam import run
from tests.conftest import message, record
from transforms.dead_letters import MAX_PAYLOAD_BYTES, dead_letters, element_json, payload_of
from transforms.parsing import ParseMessages
from transforms.types import Message, Record


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_a_payload_comes_back_byte_for_byte(payload: bytes) -> None:
    """A dead letter holds its input whole, whatever the input is."""
    assert payload_of(dead_letters("stage", "reason", payload, {})) == payload


@pytest.mark.parametrize(
    "payload", [b"\xff" * 9_000_000, b"x" * 9_000_000, b"\x00" * 2_000_000], ids=["no UTF-8", "letters", "NULs"]
)
def test_a_large_payload_comes_in_parts_that_a_sink_takes(payload: bytes) -> None:
    """No part is past the bound when written as JSON, and together they are the input."""
    letters = dead_letters("stage", "reason", payload, {})
    assert len(letters) > 1
    assert all(letter.parts == len(letters) for letter in letters)
    for letter in letters:
        if letter.payload_string is not None:
            assert len(json.dumps(letter.payload_string)) <= MAX_PAYLOAD_BYTES
        else:
            assert len(letter.payload_bytes or b"") * 4 / 3 <= MAX_PAYLOAD_BYTES + 4
    assert payload_of(letters[::-1]) == payload


def test_a_missing_part_is_refused() -> None:
    """Half a payload is never taken for the whole."""
    letters = dead_letters("stage", "reason", b"\xff" * 9_000_000, {})
    with pytest.raises(ValueError, match="expected parts 0 to"):
        payload_of(letters[1:])


def test_utf8_is_a_string_and_nothing_else_is() -> None:
    """Exactly one of the payload's two columns is set."""
    assert dead_letters("s", "r", "é".encode(), {})[0].payload_bytes is None
    assert dead_letters("s", "r", b"\xe9", {})[0].payload_string is None


def test_an_exception_gives_its_message_and_trace() -> None:
    """The reason names the exception, and the trace says where."""
    try:
        raise KeyError("x")
    except KeyError as error:
        letter = dead_letters("s", error, b"", {})[0]
    assert letter.error_message == "KeyError: 'x'"
    assert "test_dead_letters.py" in letter.stacktrace


def test_a_reason_with_a_lone_surrogate_can_be_written() -> None:
    """What a library puts into its message never stops the dead letter."""
    assert dead_letters("s", "bad \ud800", b"", {})[0].error_message == "bad \\ud800"


def test_an_element_as_json_is_its_fields() -> None:
    """A later stage's dead letter can be read back into its element."""
    fields = json.loads(element_json(message("Hi.", metadata={"a": "b"})))
    assert Message(**fields) == message("Hi.", metadata={"a": "b"})


def test_without_dead_letters_a_bad_input_fails_the_pipeline() -> None:
    """Nothing is dropped where nobody takes the dead letters."""
    with pytest.raises(Exception, match="could not use an input"):
        run([record(b"\xff")], ParseMessages(), Record)


def test_dead_letters_come_beside_the_output() -> None:
    """Good inputs pass, bad ones are the second output."""
    result = run([record(b"\xff", "a"), record("Hi.", "b")], ParseMessages().with_dead_letters(), Record)
    assert [m.text for m in result.output] == ["Hi."]
    assert [letter.attributes for letter in result.dead_letters] == [{"source.origin": "a"}]


def test_a_dead_letter_survives_its_coder() -> None:
    """The Row coder takes every field that a dead letter may have."""
    letters = dead_letters("s", "r", b"\xff", {"k": "v"}) + dead_letters("s", "r", b"x", {})
    coder = beam.coders.registry.get_coder(type(letters[0]))
    assert [coder.decode(coder.encode(letter)) for letter in letters] == letters
