"""ParseMessages: parses the records that a source read into messages; those that fail become dead letters."""

import csv
import dataclasses
import datetime
import decimal
import functools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Optional

import apache_beam as beam
from apache_beam.utils.timestamp import Timestamp

from transforms.counters import Counters, NamesFound
from transforms.dead_letters import TAG, DeadLetterTransform, WithDeadLetters, dead_letters, split_dead_letters
from transforms.encoder.options import check_fields
from transforms.ids import stable_id
from transforms.options import takes
from transforms.separated import SEPARATED, quoted_records
from transforms.types import CSV_HEADER, Message, Record

STAGE = "Parse messages"
# Prefix of the attributes in which a dead letter keeps its record's source, apart from the record's own attributes.
SOURCE_PREFIX = "source."

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# BigQuery's range of a TIMESTAMP: the years 1 to 9999.
_LEAST_MICROS, _MOST_MICROS = -62_135_596_800_000_000, 253_402_300_799_999_999
_LEAP_SECOND = re.compile(r"(?<=\d\d:59):60")
_UTC = re.compile(r"\s*(?:UTC|Z)\Z", re.I)


class Number(NamedTuple):
    """A number of a JSON text, as it was written: a float would change `1.10`, `1e400` or an id of 20 digits."""

    literal: str


Fields = dict[str, Any]


def _text_fields(record: Record, text: str, options: "ParserOptions") -> Fields:
    return {options.text_field: text}


def _distinct(pairs: Iterable[tuple[str, Any]]) -> Fields:
    """Named values as a dict.

    Raises:
        ValueError: if two of them have one name.
    """
    pairs = list(pairs)
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"expected each field once, got {twice!r} {names.count(twice)} times; rename it")
    return fields


_decode_json = json.JSONDecoder(
    object_pairs_hook=_distinct, parse_float=Number, parse_int=Number, parse_constant=Number
).decode


def _json_fields(record: Record, text: str, options: "ParserOptions") -> Fields:
    fields = _decode_json(text)
    if not isinstance(fields, dict):
        raise ValueError(f"expected a JSON object, got {_kind(fields)}")
    if "\\u" in text:
        try:
            # A lone surrogate, as in "\\ud800", is not valid text: no encoder and no sink accepts it.
            as_text(fields).encode()
        except UnicodeEncodeError:
            raise ValueError("expected Unicode text, got a lone surrogate") from None
    return fields


def _quoted(line: str, delimiter: str) -> list[str]:
    """The fields of a separated record, in which quotes may enclose delimiters, quotes and line ends."""
    if '"' not in line and "\r" not in line and "\n" not in line:
        return line.split(delimiter)
    try:
        rows = quoted_records(line, delimiter)
    except csv.Error as error:
        raise ValueError(
            f"expected quotes around whole fields, or none: {error}; set quoting or csv_multiline"
        ) from error
    if len(rows) > 1:
        raise ValueError(f"expected one record, got {len(rows)} lines; set csv_multiline if quoted fields span lines")
    return rows[0] if rows else []


def _separated_fields(delimiter: str) -> Callable[[Record, str, "ParserOptions"], Fields]:
    def cut(line: str, is_quoted: bool) -> list[str]:
        return _quoted(line, delimiter) if is_quoted else line.split(delimiter)

    cut_header = functools.lru_cache(maxsize=64)(cut)

    def fields(record: Record, text: str, options: "ParserOptions") -> Fields:
        header = cut_header(record.attributes[CSV_HEADER], options.is_quoted)
        row = cut(text, options.is_quoted)
        if len(row) != len(header):
            raise ValueError(f"expected {len(header)} fields, as in the header, got {len(row)}")
        named = dict(zip(header, row, strict=True))
        if len(named) < len(header) or "" in named:
            # Spreadsheets export empty columns without a name: there is nothing in them to keep.
            return _distinct(pair for pair in zip(header, row, strict=True) if pair != ("", ""))
        return named

    return fields


# How the payload of each input format is decoded to fields. Rows of Parquet and Avro arrive as JSON.
_DECODERS: dict[str, Callable[[Record, str, "ParserOptions"], Fields]] = {
    "text": _text_fields,
    "document": _text_fields,
    "json": _json_fields,
    "jsonl": _json_fields,
    **{name: _separated_fields(kind.delimiter) for name, kind in SEPARATED.items()},
    "parquet": _json_fields,
    "avro": _json_fields,
}
FORMATS = tuple(_DECODERS)
QUOTINGS = ("csv", "none")
# The options that name a field or attribute of a message.
NAMING_OPTIONS = ("id_field", "timestamp_field", "id_attribute", "timestamp_attribute")


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
        quoting: how CSV or TSV quotes fields: "csv" with double quotes (RFC 4180), "none" if quotes are text; by
            default "csv" for CSV and "none" for TSV (as IANA registered it).
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
    quoting: str = dataclasses.field(default="", metadata={"choices": QUOTINGS})
    max_message_bytes: int = dataclasses.field(default=8 * 1024 * 1024, metadata={"minimum": 1})

    def __post_init__(self) -> None:
        """Checks the options."""
        check_fields(self)
        check_names(text_field=self.text_field, id_field=self.id_field, timestamp_field=self.timestamp_field)
        check_names(id_attribute=self.id_attribute, timestamp_attribute=self.timestamp_attribute)

    @property
    def is_quoted(self) -> bool:
        """Whether double quotes enclose fields, rather than being text."""
        if self.quoting:
            return self.quoting == "csv"
        return self.input_format in SEPARATED and SEPARATED[self.input_format].is_quoted


class Parts(NamedTuple):
    """The named values of a record: its attributes, and the fields of its payload."""

    attributes: dict[str, str]
    fields: Fields


class MessageParser(ParserOptions):
    """The parser behind ParseMessages, without Beam."""

    def parse(self, record: Record) -> Optional[Message]:
        """Parses a record; returns None if its text is null or blank.

        Raises:
            ValueError: if the record is not a valid message.
            RecursionError: if its JSON is nested too deeply.
        """
        parts = self.parts(record)
        return None if parts is None else self.message(record, parts)

    def parts(self, record: Record) -> Optional[Parts]:
        """The first half of `parse`: decodes the payload; None if it is blank."""
        if len(record.data) > self.max_message_bytes:
            raise ValueError(
                f"expected a message of at most {self.max_message_bytes} bytes, got {len(record.data)}; "
                "raise max_message_bytes"
            )
        text = record.data.decode("utf-8")
        if not text.strip():
            return None
        fields = _DECODERS[self.input_format](record, text, self)
        attributes = dict(record.attributes)
        if self.input_format in SEPARATED:
            del attributes[CSV_HEADER]
        return Parts(attributes, fields)

    def message(self, record: Record, parts: Parts) -> Optional[Message]:
        """The second half of `parse`: makes the message, and takes what it uses out of `parts`."""
        attributes, fields = parts
        if self.text_field not in fields:
            raise ValueError(f"expected a field {self.text_field!r}, got {sorted(fields)}")
        content = fields.pop(self.text_field)
        # What a folder named key=value says of a file is an attribute, but a column to those who made the folder.
        id = take_first((attributes, self.id_attribute), (fields, self.id_field), (attributes, self.id_field))
        time = take_first(
            (attributes, self.timestamp_attribute),
            (fields, self.timestamp_field),
            (attributes, self.timestamp_field),
        )
        if content is None:
            return None
        if not isinstance(content, str):
            raise ValueError(f"expected text in the field {self.text_field!r}, got {_kind(content)}")
        if not content.strip():
            return None
        if "\0" in content:
            raise ValueError(
                f"expected text in the field {self.text_field!r}, got a NUL character at {content.index(chr(0))}; "
                "a file in UTF-16 without a byte order mark needs its encoding"
            )
        return Message(
            id=as_text(id.value) if id else record.id or stable_id(record.origin, record.data),
            text=content,
            metadata=_joined(
                attributes,
                {
                    name: value if isinstance(value, str) else as_text(value)
                    for name, value in fields.items()
                    if value is not None
                },
            ),
            event_time=parse_time(as_plain(time.value), time.name) if time else record.event_time,
        )


def check_names(**names: str) -> None:
    """Checks that options name fields that can be told apart, and that there is a text.

    Raises:
        ValueError: if `text_field` is "", or two options have the same name.
    """
    if names.get("text_field") == "":
        raise ValueError("expected text_field to name a field, got ''")
    for name in names.values():
        same = [other for other in names if name and names[other] == name]
        if len(same) > 1:
            raise ValueError(f"expected {' and '.join(same)} to name different fields, got {name!r} for both")


class Taken(NamedTuple):
    """A value, and the name that it had."""

    name: str
    value: Any


def take_first(*places: tuple[dict[str, Any], str]) -> Optional[Taken]:
    """Removes and returns the first value that is neither null nor "", given dicts and the name to take from each.

    A name of "" takes nothing, because an option that was not given names no field, and a field may be called "". What
    is null or "" is removed too; a value behind the first stays.
    """
    for values, name in places:
        if name and name in values and (value := values.pop(name)) not in (None, ""):
            return Taken(name, value)
    return None


def _joined(attributes: dict[str, str], fields: dict[str, str]) -> dict[str, str]:
    both = attributes.keys() & fields.keys() if attributes else ()
    if both and (differing := sorted(name for name in both if attributes[name] != fields[name])):
        name = differing[0]
        raise ValueError(
            f"expected one value for {name!r}, got {fields[name]!r} as a field and {attributes[name]!r} beside it; "
            "rename one"
        )
    return attributes | fields


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
        named = {option: getattr(parser, option) for option in NAMING_OPTIONS}
        self._attribute_names = NamesFound(
            {option: named.pop(option) for option in ("id_attribute", "timestamp_attribute")}
        )
        self._names = NamesFound(named)

    def start_bundle(self) -> None:
        self._names.start_bundle()
        self._attribute_names.start_bundle()

    def finish_bundle(self) -> None:
        self._names.finish_bundle()
        self._attribute_names.finish_bundle()

    def process(self, record: Record) -> Iterator[Any]:
        try:
            parts = self._parser.parts(record)
            if parts is not None:
                self._names.see(parts.attributes, parts.fields)
                self._attribute_names.see(parts.attributes)
            message = None if parts is None else self._parser.message(record, parts)
        except (ValueError, RecursionError) as error:
            self._counters.count("dead_letters_parse")
            for letter in dead_letters(STAGE, error, record.data, attributes_of(record)):
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


def attributes_of(record: Record) -> dict[str, str]:
    """The attributes of a record's dead letter: its own, and with SOURCE_PREFIX its origin, id and event time.

    Where a record's own attribute has the prefix, it gets the prefix once more.
    """
    own = {SOURCE_PREFIX * _is_source(key) + key: value for key, value in record.attributes.items()}
    known = {"origin": record.origin, "id": record.id, "event_time": record.event_time}
    return own | {SOURCE_PREFIX + key: str(value) for key, value in known.items() if value not in ("", None)}


def record_of(payload: bytes, attributes: Mapping[str, str]) -> Record:
    """The record from which a dead letter of this stage was made."""
    time = attributes.get(SOURCE_PREFIX + "event_time")
    added = {SOURCE_PREFIX + name for name in ("origin", "id", "event_time")}
    return Record(
        data=payload,
        origin=attributes.get(SOURCE_PREFIX + "origin", ""),
        id=attributes.get(SOURCE_PREFIX + "id", ""),
        attributes={
            key.removeprefix(SOURCE_PREFIX) if key.startswith(2 * SOURCE_PREFIX) else key: value
            for key, value in attributes.items()
            if key not in added
        },
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
        # A float would not hold the microseconds of distant years, and Python's numbers may have underscores.
        millis = decimal.Decimal(text.replace("_", "?"))
        micros = round(millis * 1000) if millis.is_finite() and -(10**15) < millis < 10**15 else sys.maxsize
    except decimal.InvalidOperation:
        try:
            micros = _iso_micros(text)
        except ValueError:
            raise ValueError(expected) from None
    if not _LEAST_MICROS <= micros <= _MOST_MICROS:
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
    if leaps and micros <= _MOST_MICROS:
        following = _EPOCH + datetime.timedelta(microseconds=micros)
        if (following.day, following.hour, following.minute, following.second) != (1, 0, 0, 0):
            raise ValueError("expected a leap second at the end of a month")
    return micros


def _micros(time: datetime.datetime) -> int:
    return (time - _EPOCH) // datetime.timedelta(microseconds=1)


def as_text(value: Any) -> str:
    """A string unchanged, a number as it was written, or any other value as JSON."""
    return value if isinstance(value, str) else _as_json(value)


def _as_json(value: Any) -> str:
    if isinstance(value, Number):
        return value.literal
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_as_json(key)}: {_as_json(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def as_plain(value: Any) -> Any:
    """A number as its literal, and any other value unchanged."""
    return value.literal if isinstance(value, Number) else value


def _kind(value: Any) -> str:
    names: Mapping[type, str] = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
