"""ParseMessages: parses the records that a source read into messages; those that fail become dead letters."""

import csv
import dataclasses
import datetime
import decimal
import functools
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Optional

import apache_beam as beam
from apache_beam.utils.timestamp import Timestamp

from transforms.counters import Counters
from transforms.dead_letters import TAG, DeadLetterTransform, WithDeadLetters, dead_letters, split_dead_letters
from transforms.ids import stable_id
from transforms.options import takes
from transforms.types import CSV_HEADER, Message, Record

STAGE = "Parse messages"
# Prefix of the attributes in which a dead letter keeps its record's source, apart from the record's own attributes.
SOURCE_PREFIX = "source."

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# BigQuery's range of a TIMESTAMP.
_YEARS = (datetime.datetime.min.replace(tzinfo=datetime.UTC), datetime.datetime.max.replace(tzinfo=datetime.UTC))
_LEAP_SECOND = re.compile(r"(?<=\d\d:59):60")
_UTC = re.compile(r"\s*(?:UTC|Z)\Z", re.I)


def _text_fields(record: Record, text: str, text_field: str) -> dict[str, Any]:
    return {text_field: text}


def _json_fields(record: Record, text: str, text_field: str) -> dict[str, Any]:
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError(f"expected a JSON object, got {_kind(fields)}")
    if "\\u" in text:
        try:
            # A lone surrogate, as in "\\ud800", is not valid text: no encoder and no sink accepts it.
            json.dumps(fields, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("expected Unicode text, got a lone surrogate") from None
    return fields


def _separated_fields(delimiter: str) -> Callable[[Record, str, str], dict[str, Any]]:
    @functools.lru_cache(maxsize=64)
    def names(header: str) -> list[str]:
        return next(csv.reader([header], delimiter=delimiter), [])

    def fields(record: Record, text: str, text_field: str) -> dict[str, Any]:
        # The csv module has a process-wide limit that is far below the size of the largest message.
        csv.field_size_limit(sys.maxsize)
        header = names(record.attributes[CSV_HEADER])
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
        if len(rows) != 1 or len(rows[0]) != len(header):
            got = f"{len(rows[0])} fields" if len(rows) == 1 else f"{len(rows)} lines"
            raise ValueError(f"expected one line of {len(header)} fields, got {got}")
        return dict(zip(header, rows[0], strict=True))

    return fields


# How the payload of each input format is decoded to fields. Rows of Parquet and Avro arrive as JSON.
_DECODERS: dict[str, Callable[[Record, str, str], dict[str, Any]]] = {
    "text": _text_fields,
    "document": _text_fields,
    "json": _json_fields,
    "jsonl": _json_fields,
    "csv": _separated_fields(","),
    "tsv": _separated_fields("\t"),
    "parquet": _json_fields,
    "avro": _json_fields,
}
FORMATS = tuple(_DECODERS)


@dataclasses.dataclass(frozen=True)
class ParserOptions:
    """What a record holds, and in which fields; ParseMessages takes these options as arguments.

    Attributes:
        input_format: the format of the records, one of FORMATS.
        text_field: the field or column that holds the text, if the format has fields.
        id_field: the field that holds the message's id; without an id, the message gets the id that Pub/Sub assigned
            to it, or a hash of its content and its position in the input.
        timestamp_field: the field that holds the event time, as RFC 3339 or milliseconds since the Unix epoch.
        id_attribute: the Pub/Sub attribute that holds the message's id, which takes precedence over a field; by default
            the id that Pub/Sub assigned to the message.
        timestamp_attribute: the Pub/Sub attribute that holds the event time, which takes precedence over a field; by
            default the time when the message was published.
        max_message_bytes: maximum size of a message in bytes; larger ones become dead letters.

    Raises:
        ValueError: if an option has an invalid value.
    """

    input_format: str = dataclasses.field(default="text", metadata={"choices": FORMATS})
    text_field: str = "text"
    id_field: str = ""
    timestamp_field: str = ""
    id_attribute: str = ""
    timestamp_attribute: str = ""
    max_message_bytes: int = dataclasses.field(default=8 * 1024 * 1024, metadata={"minimum": 1})

    def __post_init__(self) -> None:
        """Checks the options."""
        if self.input_format not in FORMATS:
            raise ValueError(f"expected input_format to be one of {', '.join(FORMATS)}, got {self.input_format!r}")
        if self.max_message_bytes < 1:
            raise ValueError(f"expected max_message_bytes to be at least 1, got {self.max_message_bytes}")


class MessageParser(ParserOptions):
    """The parser behind ParseMessages, without Beam."""

    def parse(self, record: Record) -> Optional[Message]:
        """Parses a record; returns None if its text is null or blank.

        Raises:
            ValueError: if the record is not a valid message.
            csv.Error: if a separated record is malformed.
            RecursionError: if its JSON is nested too deeply.
        """
        if len(record.data) > self.max_message_bytes:
            raise ValueError(
                f"expected a message of at most {self.max_message_bytes} bytes, got {len(record.data)}; "
                "raise max_message_bytes"
            )
        text = record.data.decode("utf-8")
        if not text.strip():
            return None
        fields = _DECODERS[self.input_format](record, text, self.text_field)
        beside = {key: value for key, value in record.attributes.items() if key != CSV_HEADER}
        given_ids = (beside.pop(self.id_attribute, None), fields.pop(self.id_field, None), record.id)
        given_times = (
            (self.timestamp_attribute, beside.pop(self.timestamp_attribute, None)),
            (self.timestamp_field, fields.pop(self.timestamp_field, None)),
        )
        if self.text_field not in fields:
            raise ValueError(f"expected a field {self.text_field!r}, got {sorted(fields)}")
        content = fields.pop(self.text_field)
        if content is None:
            return None
        if not isinstance(content, str):
            raise ValueError(f"expected text in the field {self.text_field!r}, got {_kind(content)}")
        if not content.strip():
            return None
        return Message(
            id=next((as_text(given) for given in given_ids if given not in (None, "")), "")
            or stable_id(record.origin, record.data),
            text=content,
            # A field of the payload takes precedence over an attribute of the same name.
            metadata=beside | {key: as_text(value) for key, value in fields.items()},
            event_time=next(
                (parse_time(time, name) for name, time in given_times if time not in (None, "")), record.event_time
            ),
        )


class ParseMessages(DeadLetterTransform):
    """Parses PCollection[Record] to PCollection[Message], with each message's event time as its timestamp.

    A record becomes a dead letter if it is not UTF-8, does not match the format, lacks the text field, has an invalid
    time, or is larger than `max_message_bytes`. Null and blank texts are counted ("messages_blank") and left out.

    The arguments are the fields of ParserOptions.
    """

    @takes(ParserOptions)
    def __init__(self, *fields: Any, **options: Any) -> None:
        super().__init__()
        self._parser = MessageParser(*fields, **options)

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Message]:
        """The messages, and as dead letters the records that could not be parsed."""
        return split_dead_letters(pcoll, STAGE, _Parse(self._parser), Message)


class _Parse(beam.DoFn):
    def __init__(self, parser: MessageParser) -> None:
        self._parser = parser
        self._counters = Counters()

    def process(self, record: Record) -> Iterator[Any]:
        try:
            message = self._parser.parse(record)
        except (ValueError, RecursionError, csv.Error) as error:
            self._counters.count("dead_letters_parse")
            for letter in dead_letters(STAGE, error, record.data, dict(record.attributes) | source_attributes(record)):
                yield beam.pvalue.TaggedOutput(TAG, letter)
            return
        if message is None:
            self._counters.count("messages_blank")
            return
        self._counters.count("messages")
        if message.event_time is None:
            yield message
        else:
            yield beam.window.TimestampedValue(message, Timestamp(micros=message.event_time))


def source_attributes(record: Record) -> dict[str, str]:
    """The origin, id and event time of a record as attributes of its dead letter, with SOURCE_PREFIX."""
    known = {"origin": record.origin, "id": record.id, "event_time": record.event_time}
    return {SOURCE_PREFIX + key: str(value) for key, value in known.items() if value not in ("", None)}


def record_of(payload: bytes, attributes: Mapping[str, str]) -> Record:
    """The record from which a dead letter of this stage was made."""
    source = {key.removeprefix(SOURCE_PREFIX): value for key, value in attributes.items() if _is_source(key)}
    time = source.get("event_time")
    return Record(
        data=payload,
        origin=source.get("origin", ""),
        id=source.get("id", ""),
        attributes={key: value for key, value in attributes.items() if not _is_source(key)},
        event_time=int(time) if time else None,
    )


def _is_source(key: str) -> bool:
    return key.startswith(SOURCE_PREFIX)


def parse_time(value: Any, field: str) -> int:
    """Parses RFC 3339 or milliseconds since the Unix epoch, as Beam's sources do, to microseconds since the epoch.

    A time without a time zone is taken as UTC. "UTC" may stand for "Z", as in BigQuery's exports. A leap second, which
    only ends a month in UTC, is taken as the next second.

    Raises:
        ValueError: if `value` is neither, or is outside the years 1 to 9999.
    """
    expected = f"expected RFC 3339 or milliseconds since 1970 in the field {field!r}, got {str(value)[:60]!r}"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(expected)
    text = str(value).strip()
    try:
        # A float would not hold the microseconds of distant years.
        millis = decimal.Decimal(text)
        micros = round(millis * 1000) if millis.is_finite() and -(10**15) < millis < 10**15 else sys.maxsize
    except decimal.InvalidOperation:
        try:
            micros = _iso_micros(text)
        except ValueError:
            raise ValueError(expected) from None
    if not _micros(_YEARS[0]) <= micros <= _micros(_YEARS[1]):
        raise ValueError(expected)
    return micros


def _iso_micros(text: str) -> int:
    """Microseconds since the epoch of a time in ISO 8601.

    Raises:
        ValueError: if it is none.
    """
    before, leaps = _LEAP_SECOND.subn(":59", text, count=1)
    time = datetime.datetime.fromisoformat(_UTC.sub("+00:00", before))
    micros = _micros(time if time.tzinfo else time.replace(tzinfo=datetime.UTC)) + leaps * 1_000_000
    if leaps and micros <= _micros(_YEARS[1]):
        following = _EPOCH + datetime.timedelta(microseconds=micros)
        if (following.day, following.hour, following.minute, following.second) != (1, 0, 0, 0):
            raise ValueError("expected a leap second at the end of a month")
    return micros


def _micros(time: datetime.datetime) -> int:
    return (time - _EPOCH) // datetime.timedelta(microseconds=1)


def as_text(value: Any) -> str:
    """A string unchanged, or any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _kind(value: Any) -> str:
    names: Mapping[type, str] = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
