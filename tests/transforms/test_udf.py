import pathlib
import pickle
import re
import subprocess
import sys
import textwrap
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given
from hypothesis import strategies as st

from pipeline.summary import counters_of, distributions_of
from tests.beam import run
from tests.conftest import ROOT, record
from transforms.dead_letters import WithDeadLetters
from transforms.fields import Number, as_text
from transforms.parsing import ParseMessages, record_of
from transforms.types import CSV_HEADER, Message, Record
from transforms.udf import Udf, read_udf

IDENTITY = Udf("udf.py", "f", "def f(message): return message")


@pytest.fixture
def made(tmp_path: pathlib.Path) -> Any:
    """Makes a file whose function f has the given body."""

    def make(body: str) -> str:
        path = tmp_path / "udf.py"
        path.write_text("def f(message):\n" + textwrap.indent(textwrap.dedent(body), "    "))
        return str(path)

    return make


def parsed(udf: str, *records: Record, input_format: str = "jsonl", **options: Any) -> "WithDeadLetters[Message]":
    """The messages and dead letters of records, of which the first is at f#0."""
    parse = ParseMessages(input_format, udf=udf, udf_function="f", **options).with_dead_letters()
    result: WithDeadLetters[Message] = run(list(records), parse, Record)
    return result


def test_a_function_renames_redacts_and_builds_the_text(made: Any) -> None:
    """Before any option names a field."""
    udf = made("""
        return {"key": message["id"], "text": f"{message['title']}: {message['body']}", "phone": "..."}
    """)
    line = '{"id": 7, "title": "Soup", "body": "Cold.", "phone": "123"}'
    (message,) = parsed(udf, record(line), id_field="key").output
    assert (message.id, message.text, message.metadata) == ("7", "Soup: Cold.", {"phone": "..."})


@pytest.mark.parametrize("left_out", ["None", "[]"])
def test_a_function_filters(made: Any, left_out: str) -> None:
    """What is left out is neither a message nor a dead letter."""
    udf = made(f"return message if message['stars'] > 3 else {left_out}")
    result = parsed(udf, record('{"text": "Good.", "stars": 5}'), record('{"text": "Bad.", "stars": 1}'))
    assert [message.text for message in result.output] == ["Good."]
    assert result.dead_letters == []


def test_a_function_makes_several_messages_numbered_by_their_place(made: Any) -> None:
    """Even if there is only one in the list, so that its id is the same when there are more."""
    udf = made("return [{**message, 'text': text} for text in message['text'].split('|')]")
    lines = [record('{"id": "a", "text": "One.|Two."}'), record('{"id": "b", "text": "One."}')]
    result = parsed(udf, *lines, id_field="id")
    assert [(each.id, each.text) for each in result.output] == [("a#0", "One."), ("a#1", "Two."), ("b#0", "One.")]
    (first, second) = parsed(udf, lines[0]).output
    assert first.id.removesuffix("#0") == second.id.removesuffix("#1") != "a"


def test_an_id_that_the_function_gives_stays(made: Any) -> None:
    """Where it differs from the one that the record came with."""
    udf = made("return [{'id': f'{message[\"id\"]}-{n}', 'text': n} for n in 'xy'] + [{'text': 'z'}]")
    result = parsed(udf, record('{"id": 7, "text": ""}'), id_field="id")
    assert [each.id for each in result.output][:2] == ["7-x", "7-y"]
    assert result.output[2].id.endswith("#2")


def test_two_messages_of_one_id_are_a_dead_letter(made: Any) -> None:
    """One would hide the other."""
    result = parsed(made("return [{'id': 'x', 'text': n} for n in 'ab']"), record('{"id": 7}'), id_field="id")
    assert result.output == []
    assert result.dead_letters[0].error_message == (
        "ValueError: expected udf_function to give each message another id, got 'x' 2 times"
    )


def test_a_failure_is_a_dead_letter_of_the_whole_record_with_the_line(made: Any) -> None:
    """Which a second run, with a mended function, can take; nothing of the record is written before."""
    udf = made("""
        parts = [{**message, "text": text} for text in ("One.", "Two.")]
        parts[1]["n"] = 1 / message["n"]
        return parts
    """)
    line = record('{"text": "x", "n": 0}', "f#9", id="17", attributes={"a": "b"})
    result = parsed(udf, line)
    assert result.output == []
    (letter,) = result.dead_letters
    assert (
        letter.error_message
        == f"ValueError: udf_function f failed at line 4 of {udf}: ZeroDivisionError: division by zero"
    )
    assert 'parts[1]["n"] = 1 / message["n"]' in letter.stacktrace
    assert record_of((letter.payload_string or "").encode(), letter.attributes) == line


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return 'x'", "got str; return a dict, a list of them, or None"),
        ("return True", "got bool; return a dict"),
        ("return ['x']", "got str; return a dict"),
        ("return [message, None]", "got NoneType; return a dict"),
        ("return (each for each in [message])", "got generator; return a dict"),
        ("return {1: 'x'}", "got 1 as the name of a field"),
        ("return {'a': {None: 'x'}}", "got None as the name of a field"),
        ("return {'a': b'x'}", "got bytes in the field 'a'"),
        ("return {'a': [{'b': object()}]}", "got object in the field 'a'"),
        ("return {'text': '\\ud800'}", "got a lone surrogate in the field 'text'"),
        ("return {'\\ud800': 'x'}", "got a lone surrogate in the name of a field"),
        ("return {'n': 1}", "expected a field 'text', got ['n']"),
        ("return {'text': 5}", "expected text in the field 'text', got a number"),
        ("return {}", "expected a field 'text', got []"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("return f(message)", "RecursionError: maximum recursion depth exceeded"),
        ("loop = []; loop.append(loop); return {'text': loop}", "maximum recursion depth exceeded"),
        ("raise ValueError('a\\nb')", "ValueError: a b"),
        ("raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})", "E: its text cannot be shown"),
    ],
)
def test_what_is_no_message_is_a_dead_letter(made: Any, body: str, reason: str) -> None:
    """Whatever a function does, the others go on."""
    good = record('{"text": "Hi."}', "f#1")
    udf = made(f"if message['text'] == 'Hi.': return message\n{body}")
    result = parsed(udf, record('{"text": "x"}'), good)
    (letter,) = result.dead_letters
    assert letter.payload_string == '{"text": "x"}'
    assert reason in letter.error_message
    assert [message.text for message in result.output] == ["Hi."]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.text(max_size=3)
    | st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True).map(Number)
    | st.sampled_from(["NaN", "Infinity", "-Infinity", "9" * 5000]).map(Number),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_what_a_function_passes_on_stays_as_it_was_written(fields: dict[str, Any]) -> None:
    """Every number with its literal."""
    passed = IDENTITY(fields)
    assert isinstance(passed, dict)
    assert as_text(passed) == as_text(fields)


def test_numbers_can_be_reckoned_with(made: Any) -> None:
    """They are int and float to the function."""
    udf = made("return {'text': f\"{message['i'] + 1} {message['f'] * 2} {isinstance(message['i'], int)}\", 'n': 1.5}")
    (message,) = parsed(udf, record('{"i": 41, "f": 1.10}')).output
    assert (message.text, message.metadata) == ("42 2.2 True", {"n": "1.5"})


def test_attributes_go_in_and_out(made: Any) -> None:
    """Beside the fields; those that options name stay attributes, and may be made by the function."""
    udf = made("""
        assert message.pop("secret") == "x"
        return {**message, "key": message["key"] + "!", "at": 5, "more": 1}
    """)
    line = record('{"text": "Hi."}', attributes={"key": "7", "secret": "x", "a": "b"})
    options = {"id_attribute": "key", "timestamp_attribute": "at", "input_format": "json"}
    (message,) = parsed(udf, line, **options).output
    assert (message.id, message.event_time, message.metadata) == ("7!", 5000, {"a": "b", "more": "1"})


def test_an_attribute_and_a_field_of_one_name_need_one_value(made: Any) -> None:
    """The function could see only one of two."""
    lines = [record(f'{{"text": "Hi.", "n": {n}}}', attributes={"n": "1"}) for n in ("1", "2", "null")]
    result = parsed(made("return message"), *lines, input_format="json")
    assert [message.metadata for message in result.output] == [{"n": "1"}, {"n": "1"}]
    assert "expected one value for 'n', got '2' as a field and '1' beside it" in result.dead_letters[0].error_message


@pytest.mark.parametrize(
    ("input_format", "data", "attributes"),
    [
        ("text", "Hi.", {}),
        ("document", "Hi.", {}),
        ("json", '{"text": "Hi."}', {}),
        ("csv", "1,Hi.", {CSV_HEADER: "id,text"}),
        ("tsv", "1\tHi.", {CSV_HEADER: "id\ttext"}),
        ("parquet", '{"text": "Hi."}', {}),
        ("avro", '{"text": "Hi."}', {}),
    ],
)
def test_every_format_goes_through_the_function(
    made: Any, input_format: str, data: str, attributes: dict[str, str]
) -> None:
    """As a dict of its fields."""
    udf = made("return {**message, 'text': message['text'].upper()}")
    (message,) = parsed(udf, record(data, attributes=attributes), input_format=input_format).output
    assert message.text == "HI."


def test_a_deletion_goes_through_the_function(made: Any) -> None:
    """It may make one, too."""
    udf = made("return {**message, 'gone': message['state'] == 'closed'}")
    options = {"id_field": "id", "delete_field": "gone"}
    lines = [record(f'{{"id": {n}, "text": "x", "state": "{state}"}}') for n, state in enumerate(["open", "closed"])]
    assert [message.id for message in parsed(udf, *lines, **options).output] == ["0"]


def test_what_the_function_did_is_counted_and_timed(made: Any) -> None:
    """Each call, also of one that failed."""
    udf = made("return [message] * 3 if message['n'] == 0 else [][message['n'] - 2:] if message['n'] < 3 else 1 / 0")
    pipeline = beam.Pipeline(FnApiRunner(), options=PipelineOptions([]))
    lines = [record(f'{{"text": "x", "n": {n}}}', f"f#{n}") for n in range(5)]
    parse = ParseMessages("jsonl", udf=udf, udf_function="f").with_dead_letters()
    pipeline | beam.Create(lines).with_output_types(Record) | parse
    result = pipeline.run()
    counters = counters_of(result)
    names = ("messages", "messages_made", "messages_filtered", "dead_letters_parse")
    assert [counters[name] for name in names] == [3, 2, 2, 2]
    assert distributions_of(result)["udf_us"].count == 5


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def f(message:\n    pass", "expected udf to be a Python file that runs, failed at line 1 of {path}: Syntax"),
        ("\nimport no_such_module", "failed at line 2 of {path}: ModuleNotFoundError: No module named 'no_su"),
        ("import sys\nsys.exit()", "failed at line 2 of {path}: SystemExit"),
        ("def g(message): pass\nf = 5", "expected udf_function to be a function of {path}, got 'f'; it has g"),
        ("", "got 'f'; it has none"),
        ("#" * 1_000_001, "expected udf to be a file of at most 1,000,000 bytes, got more in {path}"),
        (b"\xff", "expected udf to be a Python file in UTF-8, could not read {path}: UnicodeDecodeError"),
        (None, "expected udf to be a Python file in UTF-8, could not read {path}: "),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: pathlib.Path, source: str | bytes | None, reason: str
) -> None:
    """Where the pipeline is built."""
    path = tmp_path / "udf.py"
    if source is not None:
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
    with pytest.raises(ValueError, match=re.escape(reason.format(path=path))) as error:
        ParseMessages("jsonl", udf=str(path), udf_function="f")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [{"udf": "udf.py"}, {"udf_function": "f"}])
def test_the_file_and_the_function_are_given_together(options: dict[str, str]) -> None:
    """A file may have several."""
    with pytest.raises(
        ValueError, match="^expected udf=PATH and udf_function=NAME, got one of them; give both, or none"
    ):
        ParseMessages("jsonl", **options)


def test_a_file_runs_once_for_all_bundles_and_threads(tmp_path: pathlib.Path) -> None:
    """It may load what is costly; a dataclass and a guarded main are no trouble."""
    path = tmp_path / "udf.py"
    path.write_text(
        "from __future__ import annotations\n"
        "import dataclasses, pathlib\n"
        "with pathlib.Path(__file__).with_suffix('.log').open('a') as log: log.write('x')\n"
        "@dataclasses.dataclass\nclass A:\n    b: int = 1\n"
        "def f(message): return {**message, 'b': A().b}\n"
        "if __name__ == '__main__': raise SystemExit\n"
    )
    for _ in range(2):
        assert [m.metadata for m in parsed(str(path), record('{"text": "x"}')).output] == [{"b": "1"}]
    assert (tmp_path / "udf.log").read_text() == "x"


@pytest.mark.subprocess
def test_a_worker_needs_no_file(made: Any) -> None:
    """The source is in the pickled function."""
    path = made("return {**message, 'text': 'x'}")
    pickled = pickle.dumps(read_udf(path, "f"))
    pathlib.Path(path).unlink()
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read())({'a': 1}))"
    done = subprocess.run([sys.executable, "-c", code], input=pickled, capture_output=True, cwd=ROOT, check=True)
    assert done.stdout.decode().strip() == "{'a': 1, 'text': 'x'}"
