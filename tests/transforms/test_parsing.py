import contextlib
import datetime
import gzip
import json
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given
from hypothesis import strategies as st

from pipeline.summary import counters_of, texts_of
from tests.beam import run
from tests.conftest import record
from transforms.parsing import MessageParser, ParseMessages, attributes_of, record_of
from transforms.times import parse_time
from transforms.types import CSV_HEADER, Message, Record

# The ends of BigQuery's range of times, in microseconds since the epoch.
FIRST, LAST = -62135596800_000_000, 253402300799_999_999


def test_plain_text_is_the_message() -> None:
    """A line is a text, with an id from its content and origin."""
    message = MessageParser().parse(record("Hello.", "f#0"))
    assert message is not None
    assert (message.text, message.metadata, message.event_time) == ("Hello.", {}, None)
    assert len(message.id) == 32


def test_two_identical_lines_stay_two() -> None:
    """The origin tells identical lines apart, and the same line always gets the same id."""
    ids = [MessageParser().parse(record("Hi.", origin)).id for origin in ("f#0", "f#4", "f#0")]  # type: ignore[union-attr]
    assert ids[0] == ids[2] != ids[1]


def test_json_fields_become_id_time_and_metadata() -> None:
    """Every other field that is not null is metadata, a string as it is and anything else as JSON."""
    line = {"body": "Hi.", "key": 7, "at": "2024-01-02T03:04:05.5+01:00", "s": "x", "n": None, "l": [1, "é"]}
    message = MessageParser("jsonl", "body", "key", "at").parse(record(json.dumps(line)))
    assert message is not None
    assert message.id == "7"
    assert message.event_time == 1704161045_500000
    assert message.metadata == {"s": "x", "l": '[1, "é"]'}


def test_attributes_are_metadata_too() -> None:
    """What came beside the payload is kept, and can give the id."""
    parser = MessageParser("json", id_attribute="k", timestamp_attribute="t")
    message = parser.parse(record('{"text": "Hi.", "c": "c"}', attributes={"k": "1", "t": "5", "a": "b", "d": "e"}))
    assert message is not None
    assert (message.id, message.event_time, message.metadata) == ("1", 5000, {"a": "b", "c": "c", "d": "e"})


def test_the_source_gives_the_id_where_no_field_does() -> None:
    """A Pub/Sub message id is used before a hash."""
    message = MessageParser("json", id_field="k").parse(record('{"text": "Hi."}', id="17", event_time=3))
    assert message is not None
    assert (message.id, message.event_time) == ("17", 3)


@pytest.mark.parametrize("input_format", ["text", "json", "csv", "document"])
def test_a_mark_in_front_of_a_message_is_no_part_of_it(input_format: str) -> None:
    """Joined files have one where each begins, and some clients of Pub/Sub write one."""
    data = {"json": '{"id": "7", "text": "Hi."}', "csv": "7,Hi."}.get(input_format, "Hi.")
    parser = MessageParser(input_format, id_field="id")
    marked, plain = (
        parser.parse(record(mark + data, id="7", attributes={CSV_HEADER: "id,text"} if input_format == "csv" else {}))
        for mark in ("\ufeff", "")
    )
    assert marked == plain
    assert parser.parse(record("\ufeff")) is None


@pytest.mark.parametrize("input_format", ["text", "json"])
def test_a_message_in_the_binary_encoding_of_a_schema_is_a_dead_letter(input_format: str) -> None:
    """Its bytes may well be UTF-8: in Avro and Protocol Buffers, a text has its length in front."""
    attributes = {"googclient_schemaencoding": "BINARY", "googclient_schemarevisionid": "1"}
    with pytest.raises(ValueError, match="got the binary encoding of the topic's schema; publish it as JSON"):
        MessageParser(input_format).parse(record(b"\x0aHello", attributes=attributes))
    text = {"json": '{"text": "Hi."}'}.get(input_format, "Hi.")
    assert MessageParser(input_format).parse(record(text, attributes={"googclient_schemaencoding": "JSON"}))


def test_a_single_column_may_hold_its_name() -> None:
    """Only a record that names every one of several columns is their header."""
    message = MessageParser("csv").parse(record("text", attributes={CSV_HEADER: "text"}))
    assert message is not None
    assert message.text == "text"


def test_a_csv_line_is_read_by_its_header() -> None:
    """Columns have the header's names."""
    line = record('1,"Hi, you.",x', attributes={CSV_HEADER: "id,text,more"})
    message = MessageParser("csv", id_field="id").parse(line)
    assert message is not None
    assert (message.id, message.text, message.metadata) == ("1", "Hi, you.", {"more": "x"})


@pytest.mark.parametrize("data", ["", "  ", '{"text": null}', '{"text": " \\n"}'])
def test_a_blank_text_is_left_out(data: str) -> None:
    """Nothing to embed is no error."""
    assert MessageParser("jsonl").parse(record(data)) is None


@pytest.mark.parametrize(
    ("input_format", "data", "reason"),
    [
        ("text", b"\xff\xfe", "codec can't decode"),
        ("jsonl", b'{"text": "x"', "Expecting"),
        ("jsonl", b'["text"]', "expected a JSON object, got an array"),
        ("jsonl", b'{"other": 1}', "expected a field 'text', got \\['other'\\]"),
        ("jsonl", b'{"text": 5}', "expected text in the field 'text', got a number"),
        ("jsonl", b'{"text": "\\ud800"}', "lone surrogate"),
        ("jsonl", b'{"text": "a\x00"}', "Invalid control character"),
        ("jsonl", b"[" * 200_000, "recursion"),
        ("jsonl", b'{"text": "x", "at": "yesterday"}', "expected RFC 3339"),
        ("jsonl", b'{"text": "' + b"x" * 1000 + b'"}', "at most 900 bytes, got 1012"),
        ("csv", b"1,x,y", "expected 2 fields, as in the header, got 3"),
        ("csv", b'1,"x', "unexpected end of data"),
        ("csv", b"1,a\r2,b", "new-line character"),
        ("text", "Hi.".encode("utf-16-le"), "NUL character at 1"),
        ("jsonl", b'{"text": "a", "text": "b"}', "expected each field once, got 'text' 2 times"),
        ("jsonl", b'{"text": "a", "n": {"k": 1, "k": 2}}', "expected each field once, got 'k' 2 times"),
        ("csv", b"id,text", "got the header again; join files without their headers"),
        ("csv", b"\xef\xbb\xbfid,text", "got the header again"),
        ("json", gzip.compress(b"{}", mtime=0), "got what begins like a gzip file; unpack it"),
    ],
)
def test_what_is_no_message_is_a_dead_letter_with_the_whole_input(input_format: str, data: bytes, reason: str) -> None:
    """A bad record says why, and can be played again."""
    max_bytes = 900 if b"xxx" in data else 1_000_000
    parse = ParseMessages(input_format, timestamp_field="at", max_message_bytes=max_bytes).with_dead_letters()
    result = run([record(data, "f#9", attributes={CSV_HEADER: "id,text"})], parse, Record)
    assert result.output == []
    (letter,) = result.dead_letters
    assert letter.stage == "Parse messages"
    assert letter.attributes["source.origin"] == "f#9"
    whole = letter.payload_bytes if letter.payload_string is None else letter.payload_string.encode()
    assert whole == data
    with pytest.raises((ValueError, RecursionError), match=reason):
        raise ValueError(letter.error_message)


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        (1500, 1_500_000),
        ("1500.5", 1_500_500),
        (253402300799999, 253402300799999000),
        ("-62135596800000", FIRST),
        ("253402300799999.999", LAST),
        ("0001-01-01T00:00:00Z", FIRST),
        ("0001-01-01T14:00:00+14:00", FIRST),
        ("9999-12-31T23:59:59.999999Z", LAST),
        ("9999-12-31T23:59:59.999999999Z", LAST),
        ("9999-12-31T09:59:59.999999-14:00", LAST),
        ("1970-01-01t00:00:01z", 1_000_000),
        ("1970-01-01 00:00:01 UTC", 1_000_000),
        ("1970-01-01 00:00:01.000002 UTC", 1_000_002),
        ("1970-01-01 00:00:01utc", 1_000_000),
        ("2016-12-31T23:59:60Z", 1483228800_000_000),
        ("2016-12-31t23:59:60.5z", 1483228800_500_000),
        ("2016-12-31 23:59:60.000001 UTC", 1483228800_000_001),
        ("2016-12-31T18:59:60-05:00", 1483228800_000_000),
        ("2017-01-01T05:59:60+06:00", 1483228800_000_000),
        ("2012-06-30 23:59:60", 1341100800_000_000),
    ],
)
def test_times_are_rfc_3339_or_milliseconds(value: object, micros: int) -> None:
    """As Beam's own timestamp attributes, UTC unless it says otherwise."""
    assert parse_time(value, "at") == micros


@pytest.mark.parametrize(
    "value",
    [
        *("", "soon", True, [], 1e30, float("nan"), "10000-01-01", "inf", "snan", "1e999999999"),
        *("0001-01-01T00:00:00+00:01", "0001-01-01T00:00:00.000000+14:00", "9999-12-31T23:59:59.999999-00:01"),
        *("9999-12-31T23:59:60Z", "9999-12-31T23:59:60-14:00", "-62135596800000.001", 253402300800000),
        *("2016-12-31T23:59:61Z", "2016-12-31T23:58:60Z", "2016-12-30T23:59:60Z", "2016-12-31T23:59:60-05:00"),
        *("2024-01-02 03:04:05 UTC+1", "2024-01-02 03:04:05 PST", "24:00", "2024-02-30T00:00:00Z"),
    ],
)
def test_other_times_are_refused(value: object) -> None:
    """A time outside the years 1 to 9999 fits no sink, and a leap second ends a month in UTC."""
    with pytest.raises(ValueError, match="expected RFC 3339"):
        parse_time(value, "at")


@given(
    st.datetimes(timezones=st.timezones() | st.none() | st.just(datetime.UTC)), st.sampled_from("Tt _"), st.booleans()
)
def test_any_time_in_iso_8601_is_read_or_refused_by_its_range(
    time: datetime.datetime, separator: str, lower: bool
) -> None:
    """With any offset, up to the very ends of BigQuery's range."""
    offset = time.utcoffset() or datetime.timedelta()
    since = time.replace(tzinfo=None) - datetime.datetime(1970, 1, 1) - offset
    expected = since // datetime.timedelta(microseconds=1)
    text = time.isoformat(separator)
    text = text.replace("+00:00", "z" if lower else "Z") if time.tzinfo is datetime.UTC else text
    if FIRST <= expected <= LAST:
        assert parse_time(text, "at") == expected
    else:
        with pytest.raises(ValueError, match="expected RFC 3339"):
            parse_time(text, "at")


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_the_ends_of_the_range_are_event_times(time: str) -> None:
    """Beam carries them as timestamps of elements, through a window too, and the message keeps them exactly."""
    data = json.dumps({"text": "Hi.", "at": time})
    assert run([record(data)], _Windowed(), Record) == [(0, [parse_time(time, "at")])]


class _Windowed(beam.PTransform):
    """The event times of messages grouped by hour, keyed by their distance to Beam's timestamps in microseconds."""

    def expand(self, pcoll: Any) -> Any:
        """Parse, window and group."""
        messages = pcoll | ParseMessages("jsonl", timestamp_field="at")
        times = messages | beam.Map(
            lambda message, at=beam.DoFn.TimestampParam: (message.event_time - at.micros, message.event_time)
        )
        grouped = times | beam.WindowInto(beam.window.FixedWindows(3600)) | beam.GroupByKey()
        return grouped | beam.MapTuple(lambda distance, found: (distance, list(found)))


@given(st.binary(max_size=200), st.sampled_from(["text", "jsonl", "csv", "tsv", "document", "parquet"]))
def test_any_bytes_are_a_message_blank_or_refused(data: bytes, input_format: str) -> None:
    """No payload raises anything but what ParseMessages makes a dead letter of."""
    with contextlib.suppress(ValueError, RecursionError):
        MessageParser(input_format).parse(record(data, attributes={CSV_HEADER: "text,a"}))


def test_a_dead_letter_gives_its_record_back() -> None:
    """Payload, attributes, origin, id and time, whatever the attributes are called."""
    before = record(b"\xff", "f#9", id="7", event_time=5, attributes={"origin": "mine", "id": "mine too"})
    result = run([before], ParseMessages().with_dead_letters(), Record)
    (letter,) = result.dead_letters
    assert record_of(letter.payload_bytes, letter.attributes) == before


def version_of(parser: MessageParser, payload: str, **more: Any) -> Message | None:
    """The message of a payload, blank ones and deletions included."""
    parts = parser.parts(found := record(payload, **more))
    return None if parts is None else parser.message(found, parts)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7),
        ('"7"', 7),
        ('" -7 "', -7),
        ('"2024-01-02T03:04:05.000001Z"', 1704164645000001),
        ("9223372036854775807", (1 << 63) - 1),
    ],
)
def test_a_version_is_an_integer_or_a_time(value: str, expected: int) -> None:
    """It stays in the metadata, and its field may be that of the event time too."""
    parser = MessageParser("json", version_field="at", timestamp_field="" if "T" not in value else "at")
    message = version_of(parser, f'{{"text": "Hi.", "at": {value}}}')
    assert message is not None
    assert message.version == expected
    assert message.event_time == (expected if "T" in value else None)
    assert ("at" in message.metadata) == ("T" not in value)


@pytest.mark.parametrize("value", ["1.5", "true", '"next"', "9223372036854775808", "[1]", "1e3", '"1_0"', "{}"])
def test_any_other_version_is_refused(value: str) -> None:
    """With the field and what it holds."""
    with pytest.raises(ValueError, match=r"expected an integer or RFC 3339 in the field 'v', got"):
        version_of(MessageParser("json", version_field="v"), f'{{"text": "Hi.", "v": {value}}}')


def test_a_version_is_by_default_the_time_of_the_message_or_of_its_file() -> None:
    """Null says nothing; an attribute goes before a field."""
    parser = MessageParser("json", version_field="v", timestamp_field="at", version_attribute="a")
    given = {"text": "Hi.", "v": None}
    for more, attributes, expected in (
        ({}, {}, 3),
        ({"at": 2}, {}, 2000),
        ({"v": 5, "at": 2}, {}, 5),
        ({"v": 5}, {"a": "6"}, 6),
    ):
        found = record(json.dumps(given | more), attributes=attributes)._replace(modified=3)
        message = parser.parse(found)
        assert message is not None
        assert message.version == expected


@pytest.mark.parametrize(
    ("condition", "fields", "expected"),
    [
        ("gone", {"gone": True}, True),
        ("gone", {"gone": "yes"}, True),
        ("gone", {"gone": 1}, True),
        ("gone", {"gone": "2024-01-01"}, True),
        *(("gone", {"gone": value}, False) for value in (False, None, 0, "", "false", "False", "null", "0")),
        ("gone", {}, False),
        ("op=delete", {"op": "delete"}, True),
        ("op=delete", {"op": "update"}, False),
        ("op=", {"op": None}, True),
    ],
)
def test_what_deletes_a_message(condition: str, fields: dict[str, Any], expected: bool) -> None:
    """It needs no text, and its text is none."""
    parser = MessageParser("json", id_field="id", delete_field=condition)
    message = version_of(parser, json.dumps({"id": "a", "text": "Hi."} | fields))
    assert message is not None
    assert (message.id, message.deleted, message.text) == ("a", expected, "" if expected else "Hi.")
    if expected:
        assert version_of(parser, json.dumps({"id": "a"} | fields)) == message


def test_an_attribute_deletes_a_message_of_the_id_beside_it() -> None:
    """Without any data."""
    parser = MessageParser("text", id_attribute="id", delete_attribute="op=delete")
    message = version_of(parser, "", origin="", attributes={"id": "a", "op": "delete"}, event_time=5)
    assert message is not None
    assert (message.id, message.deleted, message.version) == ("a", True, 5)


def test_a_deletion_without_an_id_is_refused() -> None:
    """The id that Pub/Sub assigned is that of no other message."""
    parser = MessageParser("json", id_field="id", delete_field="gone")
    with pytest.raises(ValueError, match="expected an id in a message that deletes the one of its id, got none"):
        version_of(parser, '{"gone": true}', id="17")
    with pytest.raises(ValueError, match="expected id_field or id_attribute with delete_field"):
        MessageParser("json", delete_field="gone")


def test_a_blank_message_is_a_version_if_it_can_be_told_which() -> None:
    """By an id of its own or of Pub/Sub, or by the path of a document; a blank line is no message."""
    parser = MessageParser("jsonl", id_field="id")
    blank = version_of(parser, '{"id": "a", "text": " "}')
    assert blank is not None
    assert (blank.id, blank.text) == ("a", "")
    assert version_of(parser, '{"text": null}') is None
    assert version_of(parser, " ", origin="f#0") is None
    assert version_of(MessageParser("text"), "", origin="", id="17") is not None
    document = MessageParser("document")
    before, after = (version_of(document, text, origin="f#0", modified=5) for text in ("Hi.", ""))
    assert before is not None
    assert after is not None
    assert (after.text, after.id) == ("", before.id)


def test_a_document_of_a_pipe_is_told_by_its_text() -> None:
    """It has no path of its own: of two that came through standard input, neither is a version of the other."""
    parser = MessageParser("document")
    first, second = (version_of(parser, text, origin="-#0") for text in ("One.", "Two."))
    assert first is not None
    assert second is not None
    assert first.id != second.id
    assert version_of(parser, " ", origin="-#0") is None


def test_a_separated_record_without_a_header_is_a_dead_letter() -> None:
    """A letter of another format is one, when it is played again as CSV."""
    result = run([record("1,Hi.")], ParseMessages("csv").with_dead_letters(), Record)
    (letter,) = result.dead_letters
    assert (result.output, letter.payload_string) == ([], "1,Hi.")
    assert "expected a header in the attribute 'csv_header', got none" in letter.error_message


def parsed(parser: MessageParser, payload: str, **attributes: str) -> Message:
    """The message of a payload that has one."""
    message = parser.parse(record(payload, "f#0", attributes=attributes))
    assert message is not None
    return message


@pytest.mark.parametrize("options", [{}, {"id_field": "id"}, {"timestamp_field": "at"}])
@pytest.mark.parametrize(
    ("input_format", "payload", "header"),
    [
        ("csv", "0,7,2024-01-01,Hi.", ",id,at,text"),
        ("jsonl", '{"": 0, "id": 7, "at": "2024-01-01", "text": "Hi."}', ""),
    ],
)
def test_an_option_that_is_not_given_names_no_field(
    options: dict[str, Any], input_format: str, payload: str, header: str
) -> None:
    """A field without a name is metadata, whichever options are given."""
    message = parsed(MessageParser(input_format, **options), payload, **{CSV_HEADER: header} if header else {})
    assert message.metadata[""] == "0"
    assert message.id != "0"
    assert message.event_time != 0


def test_an_attribute_without_a_name_is_metadata() -> None:
    """As a field without a name is."""
    parser = MessageParser("json", id_field="id", timestamp_field="at")
    message = parser.parse(record('{"text": "Hi.", "id": 1}', attributes={"": "5"}))
    assert message is not None
    assert (message.id, message.event_time, message.metadata) == ("1", None, {"": "5"})


@pytest.mark.parametrize(
    "names",
    [{"text_field": ""}, {"text_field": "a", "id_field": "a"}, {"id_attribute": "k", "timestamp_attribute": "k"}],
)
def test_options_name_different_fields(names: dict[str, Any]) -> None:
    """One field cannot be two parts of a message."""
    with pytest.raises(ValueError, match="expected .* to name"):
        MessageParser("jsonl", **names)


def test_the_folders_of_a_file_can_give_its_id_and_time() -> None:
    """Which Spark leaves out of the file itself; a column of the file comes first."""
    parser = MessageParser("jsonl", id_field="id", timestamp_field="date")
    folders = {"id": "7", "date": "2024-01-02"}
    message = parser.parse(record('{"text": "Hi."}', attributes=folders))
    assert message is not None
    assert (message.id, message.event_time, message.metadata) == ("7", 1704153600_000000, {})


def test_what_an_attribute_leaves_unused_is_metadata() -> None:
    """Where both an attribute and a field could be the id, the field is kept."""
    parser = MessageParser("json", id_field="id", id_attribute="k")
    message = parser.parse(record('{"text": "Hi.", "id": "field"}', attributes={"k": "attribute"}))
    assert message is not None
    assert (message.id, message.metadata) == ("attribute", {"id": "field"})


def test_two_values_for_one_name_are_a_dead_letter() -> None:
    """An attribute and a field of one name fit into no one place, unless they are equal."""
    same = MessageParser("json").parse(record('{"text": "Hi.", "a": 1}', attributes={"a": "1"}))
    assert same is not None
    assert same.metadata == {"a": "1"}
    with pytest.raises(ValueError, match="expected one value for 'a', got '2' as a field and '1' beside it"):
        MessageParser("json").parse(record('{"text": "Hi.", "a": 2}', attributes={"a": "1"}))


@pytest.mark.parametrize("input_format", ["csv", "tsv"])
@pytest.mark.parametrize("header", ["id,tag,tag,text", "id,x,text,text", "id,,,text"])
def test_a_column_whose_name_is_taken_is_a_dead_letter(input_format: str, header: str) -> None:
    """Neither of the two is dropped."""
    separator = {"csv": ",", "tsv": "\t"}[input_format]
    with pytest.raises(ValueError, match="expected each field once, got '(tag|text|)' 2 times"):
        parsed(
            MessageParser(input_format),
            separator.join(["1", "red", "blue", "One."]),
            **{CSV_HEADER: header.replace(",", separator)},
        )


def test_empty_columns_without_a_name_are_nothing() -> None:
    """Spreadsheets export them."""
    message = parsed(MessageParser("csv", id_field="id"), "1,One.,,", **{CSV_HEADER: "id,text,,"})
    assert (message.id, message.text, message.metadata) == ("1", "One.", {})


@pytest.mark.parametrize(
    "literal",
    [
        *("123456789.123456789123", "1.10", "1e400", "1E5", "-0", "12345678901234567.1", "0.1e-7", "NaN", "9" * 5000),
        *("[1.10, -0, 1E5]", '{"a": 1.0, "b": [0.10, "x", true, null]}'),
    ],
)
def test_numbers_keep_their_literal(literal: str) -> None:
    """As metadata, at any depth, and as ids."""
    message = parsed(MessageParser("jsonl", id_field="id"), f'{{"text": "Hi.", "id": {literal}, "n": {literal}}}')
    assert (message.id, message.metadata) == (literal, {"n": literal})


def test_a_large_number_can_be_a_time() -> None:
    """Milliseconds, with a fraction."""
    message = parsed(MessageParser("jsonl", timestamp_field="at"), '{"text": "Hi.", "at": 1704161045123.5}')
    assert message.event_time == 1704161045_123500


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_every_number_keeps_its_literal(literal: str) -> None:
    """Whatever JSON's grammar allows."""
    assert parsed(MessageParser("jsonl"), f'{{"text": "Hi.", "n": {literal}}}').metadata == {"n": literal}


def test_tsv_has_no_quoting() -> None:
    """As registered with IANA: quotes are text."""
    for text in ('"Great food" they said.', '"klm"', 'The 5" pipe', '"'):
        message = parsed(MessageParser("tsv", id_field="id"), f"2\t{text}", **{CSV_HEADER: "id\ttext"})
        assert (message.id, message.text) == ("2", text)


@pytest.mark.parametrize(("input_format", "separator"), [("csv", ","), ("tsv", "\t")])
def test_quoting_decides_for_both_formats(input_format: str, separator: str) -> None:
    """Quoted TSV and unquoted CSV exist."""
    payload, header = f'1{separator}"Hi."', {CSV_HEADER: f"id{separator}text"}
    assert parsed(MessageParser(input_format, quoting="csv"), payload, **header).text == "Hi."
    assert parsed(MessageParser(input_format, quoting="none"), payload, **header).text == '"Hi."'


def test_an_attribute_may_be_called_as_a_header_is() -> None:
    """Only a file of separated fields has a header."""
    assert parsed(MessageParser("json"), '{"text": "Hi."}', **{CSV_HEADER: "mine"}).metadata == {CSV_HEADER: "mine"}


NAMES = st.sampled_from(["origin", "id", "event_time", "csv_header", "", "a"]).flatmap(
    lambda name: st.integers(0, 3).map(lambda times: "source." * times + name)
)


@given(st.dictionaries(NAMES, st.text(max_size=5)), st.sampled_from([None, 5]), st.sampled_from(["", "f#1"]))
def test_a_dead_letter_keeps_every_attribute(attributes: dict[str, str], time: int | None, origin: str) -> None:
    """Those that begin as its own do, too."""
    before = record("x", origin, id=origin, event_time=time, attributes=attributes)
    assert record_of(before.data, attributes_of(before)) == before


def test_a_letter_of_a_user_s_attribute_with_one_prefix_can_be_replayed() -> None:
    """As letters were before the prefix was doubled."""
    assert record_of(b"x", {"source.kind": "a", "source.origin": "f#1"}).attributes == {"source.kind": "a"}


def test_names_that_no_message_has_are_known_after_a_run() -> None:
    """Each option that named something is counted, and the names of the others' messages are kept for a hint."""
    records = [record(f'{{"text": "Hi.", "id": {number}, "time": 5}}', f"f#{number}") for number in range(3)]
    with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([])) as pipeline:
        created = pipeline | beam.Create(records).with_output_types(Record)
        created | ParseMessages("jsonl", id_field="id", timestamp_field="tiem")
    counters = counters_of(pipeline.result)
    assert counters["found_id_field"] > 0
    assert "found_timestamp_field" not in counters
    assert texts_of(pipeline.result, "names") == {"text", "id", "time"}


def test_a_path_leads_to_what_every_option_names() -> None:
    """What is taken is no metadata; what is beside it is."""
    options: dict[str, Any] = {
        "text_field": "m.parts[1].text",
        "id_field": "m.id",
        "timestamp_field": "m.at",
        "version_field": "m.v",
        "delete_field": "m.gone=yes",
    }
    line = '{"m": {"parts": [{"text": "a"}, {"text": "Hi."}], "id": 7, "at": 5, "v": 3}, "more": 1}'
    message = MessageParser("jsonl", **options).parse(record(line))
    assert message is not None
    assert (message.id, message.text, message.event_time, message.version) == ("7", "Hi.", 5000, 3)
    assert message.metadata == {"m": '{"parts": [{"text": "a"}, null], "v": 3}', "more": "1"}
    deletion = version_of(MessageParser("jsonl", **options), '{"m": {"id": 7, "gone": "yes"}}')
    assert deletion is not None
    assert deletion.deleted


def test_a_template_makes_the_text_and_takes_its_fields() -> None:
    """Also the one that gives the id, which it does first."""
    parser = MessageParser("jsonl", text_template="{id}: {a.title}. {body}", id_field="id")
    message = parser.parse(record('{"id": 7, "a": {"title": "Soup", "by": "me"}, "body": null, "genre": "food"}'))
    assert message is not None
    assert (message.id, message.text, message.metadata) == ("7", "7: Soup. ", {"a": '{"by": "me"}', "genre": "food"})


@pytest.mark.parametrize(
    ("line", "expected"),
    [('{"a": null, "b": " "}', None), ('{"a": null}', None), ("", None), ('{"c": "x"}', "expected a field of")],
)
def test_a_template_without_values_is_blank_and_without_fields_a_dead_letter(line: str, expected: str | None) -> None:
    """As a single field of the text is, so that a wrong name does not look like blank texts."""
    parser = MessageParser("json", text_template="{a}. {b}")
    if expected is None:
        assert parser.parse(record(line)) is None
    else:
        with pytest.raises(ValueError, match=expected):
            parser.parse(record(line))


def test_a_column_may_be_part_of_a_template() -> None:
    """In CSV too."""
    parser = MessageParser("csv", text_template="{title}: {body}")
    message = parser.parse(record("1,Soup,Cold.", attributes={CSV_HEADER: "id,title,body"}))
    assert message is not None
    assert (message.text, message.metadata) == ("Soup: Cold.", {"id": "1"})


def test_a_template_takes_the_place_of_the_field_of_the_text() -> None:
    """Both together are refused."""
    with pytest.raises(ValueError, match="^expected text_field or text_template, got both; leave one out"):
        MessageParser("json", "body", text_template="{a}")


def test_a_path_and_the_fields_of_a_template_are_found_or_not() -> None:
    """As other names are."""
    pipeline = beam.Pipeline(FnApiRunner(), options=PipelineOptions([]))
    lines = [record('{"a": {"id": 1}, "title": "One."}', "f#0")]
    parse = ParseMessages("jsonl", id_field="a.id", timestamp_field="a.at", text_template="{title} {a.body}")
    pipeline | beam.Create(lines).with_output_types(Record) | parse
    result = pipeline.run()
    found = {name for name in counters_of(result) if name.startswith("found_")}
    assert found == {"found_id_field", "found_text_template.title"}
