"""ParseMessages: parses the records that a source read into messages; those that fail become dead letters."""

import collections
import dataclasses
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Optional

import apache_beam as beam
from apache_beam.utils.timestamp import Timestamp

from transforms.counters import Counters, NamesFound, NotesNames
from transforms.dead_letters import WithDeadLetters, refused, split_dead_letters
from transforms.decoding import DECODERS, FORMATS, kind_of, text_of
from transforms.encoder.options import check_fields
from transforms.fields import (
    ABSENT,
    Fields,
    as_plain,
    as_text,
    find_first,
    has,
    remove,
    take_first,
    template_of,
    value_of,
)
from transforms.ids import stable_id
from transforms.options import takes
from transforms.separated import SEPARATED
from transforms.times import iso_micros, parse_time
from transforms.types import CSV_HEADER, Message, Record
from transforms.udf import Udf, read_udf
from transforms.versions import VersionedTransform

STAGE = "Parse messages"
# Prefix of the attributes in which a dead letter keeps its record's source, apart from the record's own attributes.
SOURCE_PREFIX = "source."
_SOURCE = ("origin", "id", "event_time", "modified")

_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
# The seconds of the years 1970 to 2054, taken for milliseconds, are of January 1970.
_JANUARY_MICROS = 31 * 24 * 3600 * 1_000_000
# What a value says that does not delete a message.
_NO = ("", "false", "null", "0")


_DOCUMENT = "document"
QUOTINGS = ("csv", "none")
# The options that name a field or attribute of a message.
NAMING_OPTIONS = (
    "id_field",
    "timestamp_field",
    "version_field",
    "id_attribute",
    "timestamp_attribute",
    "version_attribute",
)


@dataclasses.dataclass(frozen=True)
class ParserOptions:
    """What a record holds, and in which fields; ParseMessages takes these options as arguments.

    Attributes:
        input_format: the format of the records, one of FORMATS.
        text_field: the field or column that holds the text, if the format has fields; like the other fields, by its
            name or by a path to it, such as a.b[0].c.
        id_field: the field that holds the message's id; without an id, the message gets the id that Pub/Sub assigned
            to it, or a hash of its content and its position in the input.
        timestamp_field: the field that holds the event time, as RFC 3339 or milliseconds since the Unix epoch.
        id_attribute: the Pub/Sub attribute that holds the message's id, which takes precedence over a field; by default
            the id that Pub/Sub assigned to the message.
        timestamp_attribute: the Pub/Sub attribute that holds the event time, which takes precedence over a field; by
            default the time when the message was published.
        version_field: the field that tells which of several messages with one id is the newest, as an integer or RFC
            3339; it stays in the metadata. By default it is the event time, and for files without one the time when
            they were modified.
        delete_field: the field of a message that deletes the one with its id, as NAME for any value but false, null, 0
            and "", or as NAME=VALUE.
        version_attribute: as version_field, for a Pub/Sub attribute, which takes precedence.
        delete_attribute: as delete_field, for a Pub/Sub attribute.
        quoting: how CSV or TSV quotes fields: "csv" with double quotes (RFC 4180), "none" if quotes are text; by
            default "csv" for CSV and "none" for TSV (as IANA registered it).
        max_message_bytes: maximum size of a message in bytes; larger ones become dead letters.
        text_template: the text from several fields, in place of text_field, with their names or paths in braces, as in
            "{title}. {body}"; a field that is null or not there gives nothing.
        udf: a Python file with a function of your own, which the fields and attributes of every message go through
            before any other option names one of them; local or on gs://, it is read where the pipeline is built.
        udf_function: the function of udf; it takes a dict, and returns a dict, a list of them, or None to leave the
            message out.

    Raises:
        ValueError: if an option has an invalid value.
    """

    input_format: str = dataclasses.field(default="text", metadata={"choices": FORMATS})
    text_field: str = "text"
    id_field: str = ""
    timestamp_field: str = ""
    id_attribute: str = ""
    timestamp_attribute: str = ""
    version_field: str = ""
    delete_field: str = ""
    version_attribute: str = ""
    delete_attribute: str = ""
    quoting: str = dataclasses.field(default="", metadata={"choices": QUOTINGS})
    max_message_bytes: int = dataclasses.field(default=8 * 1024 * 1024, metadata={"minimum": 1})
    text_template: str = ""
    udf: str = ""
    udf_function: str = ""

    def __post_init__(self) -> None:
        """Checks the options."""
        check_fields(self)
        check_names(text_field=self.text_field, id_field=self.id_field, timestamp_field=self.timestamp_field)
        check_names(id_attribute=self.id_attribute, timestamp_attribute=self.timestamp_attribute)
        if (self.delete_field or self.delete_attribute) and not (self.id_field or self.id_attribute):
            raise ValueError("expected id_field or id_attribute with delete_field or delete_attribute, got neither")
        if self.text_template and self.text_field != "text":
            raise ValueError("expected text_field or text_template, got both; leave one out")
        if self.text_template:
            template_of(self.text_template)
        if bool(self.udf) != bool(self.udf_function):
            raise ValueError("expected udf=PATH and udf_function=NAME, got one of them; give both, or none")

    @property
    def text_names(self) -> list[str]:
        """The names or paths of the fields that make the text."""
        return template_of(self.text_template).names if self.text_template else [self.text_field]

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
        """Parses a record; returns None if its text is null or blank, or it deletes a message.

        Raises:
            ValueError: if the record is not a valid message.
            RecursionError: if its JSON is nested too deeply.
        """
        parts = self.parts(record)
        message = None if parts is None else self.message(record, parts)
        return message if message and message.text else None

    def parts(self, record: Record) -> Optional[Parts]:
        """The first half of `parse`: decodes the payload; None if it is a blank line."""
        if len(record.data) > self.max_message_bytes:
            raise ValueError(
                f"expected a message of at most {self.max_message_bytes} bytes, got {len(record.data)}; "
                "raise max_message_bytes"
            )
        text = text_of(record)
        if text.strip():
            fields = DECODERS[self.input_format](record, text, self.text_field, self.is_quoted)
        elif record.origin and self.input_format != _DOCUMENT:
            return None
        else:
            fields = dict.fromkeys(self.text_names)
        attributes = dict(record.attributes)
        if self.input_format in SEPARATED:
            attributes.pop(CSV_HEADER, None)
        return Parts(attributes, fields)

    def id_of(self, parts: Parts) -> Optional[str]:
        """The id that a field or attribute gives."""
        id = find_first(*self._places_of_id(parts))
        return as_text(id.value) if id else None

    def _places_of_id(self, parts: Parts) -> list[tuple[Fields, str]]:
        attributes, fields = parts
        # What a folder named key=value says of a file is an attribute, but a column to those who made the folder.
        return [(attributes, self.id_attribute), (fields, self.id_field), (attributes, self.id_field)]

    def message(self, record: Record, parts: Parts) -> Optional[Message]:
        """The second half of `parse`: makes the message, and takes what it uses out of `parts`.

        The text of a message that has none, or deletes another, is ""; None if nothing but its text could identify it.
        """
        attributes, fields = parts
        is_deletion = _says(attributes, self.delete_attribute) or _says(fields, self.delete_field)
        version = find_first((attributes, self.version_attribute), (fields, self.version_field))
        content = "" if is_deletion else self._content(fields)
        id = take_first(*self._places_of_id(parts))
        time = take_first(
            (attributes, self.timestamp_attribute),
            (fields, self.timestamp_field),
            (attributes, self.timestamp_field),
        )
        if is_deletion and not id:
            raise ValueError("expected an id in a message that deletes the one of its id, got none")
        for name in self.text_names:
            remove(fields, name)
        # A document in a file is told by its path, so that an edited one is another version of it; a pipe has no path.
        is_file = self.input_format == _DOCUMENT and record.modified is not None
        if not content.strip():
            content = ""
            if not (id or record.id or is_file):
                return None
        if "\0" in content:
            raise ValueError(
                f"expected text in {self.text_names}, got a NUL character at {content.index(chr(0))}; "
                "a file in UTF-16 without a byte order mark needs its encoding"
            )
        event_time = parse_time(as_plain(time.value), time.name) if time else record.event_time
        by_default = record.modified or 0 if event_time is None else event_time
        of_origin = (record.origin,) if is_file else (record.origin, record.data)
        return Message(
            id=as_text(id.value) if id else record.id or stable_id(*of_origin),
            text=content,
            metadata=_joined(
                attributes,
                {
                    name: value if isinstance(value, str) else as_text(value)
                    for name, value in fields.items()
                    if value is not None
                },
            ),
            event_time=event_time,
            version=_version(as_plain(version.value), version.name) if version else by_default,
            deleted=is_deletion,
        )

    def _content(self, fields: Fields) -> str:
        """The text of a message, "" for null."""
        if self.text_template:
            return template_of(self.text_template).text_of(fields)
        content = value_of(fields, self.text_field)
        if content is ABSENT:
            raise ValueError(f"expected a field {self.text_field!r}, got {sorted(fields)}")
        if content is not None and not isinstance(content, str):
            raise ValueError(f"expected text in the field {self.text_field!r}, got {kind_of(content)}")
        return content or ""

    def parted(self, fields: Fields, before: Parts) -> Parts:
        """The attributes and fields among the `fields` that a function made of those of `before`."""
        deletes, _, _ = self.delete_attribute.partition("=")
        named = {self.id_attribute, self.timestamp_attribute, self.version_attribute, deletes} - {""}
        named |= before.attributes.keys() - before.fields.keys()
        attributes = {name: as_text(value) for name, value in fields.items() if name in named and value is not None}
        return Parts(attributes, {name: value for name, value in fields.items() if name not in named})


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


def _says(values: Mapping[str, Any], condition: str) -> bool:
    """Whether `values` hold what `condition` says, as NAME or NAME=VALUE."""
    name, equals, wanted = condition.partition("=")
    value = value_of(values, name) if name else ABSENT
    if value is ABSENT:
        return False
    text = "" if value is None else as_text(value)
    return text == wanted if equals else text.strip().lower() not in _NO


def _version(value: Any, name: str) -> int:
    """The number of a version, given as an integer or a time, in microseconds since the Unix epoch.

    Raises:
        ValueError: if `value` is neither, or does not fit into 64 bits.
    """
    try:
        text = "" if isinstance(value, bool) else str(value).strip()
        number = int(text) if _INTEGER.fullmatch(text) else iso_micros(text)
        if abs(number) < 1 << 63:
            return number
    except ValueError:
        pass
    raise ValueError(f"expected an integer or RFC 3339 in the field {name!r}, got {str(value)[:60]!r}")


def _joined(attributes: dict[str, str], fields: Fields) -> Fields:
    """The attributes and fields together.

    Raises:
        ValueError: if they have different values for one name; a field that is null has none.
    """
    if not attributes:
        return fields
    for name in sorted(attributes.keys() & fields.keys()):
        value = fields[name]
        if value is not None and as_text(value) != attributes[name]:
            raise ValueError(
                f"expected one value for {name!r}, got {as_text(value)!r} as a field and {attributes[name]!r} beside "
                "it; rename one"
            )
    return attributes | {name: value for name, value in fields.items() if value is not None or name not in attributes}


class ParseMessages(VersionedTransform):
    """Parses PCollection[Record] to PCollection[Message], with each message's event time as its timestamp.

    A record becomes a dead letter if it is not UTF-8, does not match the format, lacks the text field, has an invalid
    time or version, deletes a message without naming its id, or is larger than `max_message_bytes`. Messages with a
    null or blank text are counted ("messages_blank") and left out, and so are those that delete one
    ("messages_deleted"). With versions they are returned too, as those that have no sentences.

    With `udf`, a record is what its function returns for it. One that it leaves out is counted ("messages_filtered"),
    and so are the messages that it makes beyond the first of a record ("messages_made"); its time is the distribution
    "udf_us", in microseconds. A record on which it fails, or of which any message is refused, is a dead letter.

    The arguments are the fields of ParserOptions.

    Raises:
        ValueError: if an option has an invalid value, or `udf` cannot be read, does not run, or lacks `udf_function`.
    """

    @takes(ParserOptions)
    def __init__(self, *fields: Any, **options: Any) -> None:
        super().__init__()
        self._parser = parser = MessageParser(*fields, **options)
        self._udf = read_udf(parser.udf, parser.udf_function) if parser.udf else None

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Message]:
        """The messages, and as dead letters the records that could not be parsed."""
        return split_dead_letters(pcoll, STAGE, _Parse(self._parser, self._with_versions, self._udf), Message)


class _Parse(NotesNames):
    def __init__(self, parser: MessageParser, with_versions: bool = False, udf: Optional[Udf] = None) -> None:
        self._parser = parser
        self._udf = udf
        self._with_versions = with_versions
        self._counters = Counters()
        named = {option: getattr(parser, option) for option in NAMING_OPTIONS}
        self._attribute_names = NamesFound(
            {option: named.pop(option) for option in list(named) if option.endswith("_attribute")}
        )
        if parser.text_template:
            named |= {f"text_template.{name}": name for name in parser.text_names}
        self._names = NamesFound(named, has)
        self.notes = self._names, self._attribute_names

    def setup(self) -> None:
        if self._udf:
            # A worker that lacks what the file imports is not the fault of any message.
            self._udf.load()

    def process(self, record: Record) -> Iterator[Any]:
        try:
            messages = self._messages(record)
        except (ValueError, RecursionError) as error:
            yield from refused("dead_letters_parse", STAGE, error, record.data, attributes_of(record))
            return
        for message in messages:
            if message is None or not message.text:
                self._counters.count("messages_deleted" if message and message.deleted else "messages_blank")
                if message is None or not self._with_versions:
                    continue
            else:
                self._counters.count("messages")
            if message.event_time is None:
                yield message
                continue
            if 0 <= message.event_time < _JANUARY_MICROS:
                self._counters.count("messages_of_january_1970")
            yield beam.window.TimestampedValue(message, Timestamp(micros=message.event_time))

    def _messages(self, record: Record) -> list[Optional[Message]]:
        """The messages of a record: one, or any number with a function of the user's own; None for a blank one."""
        parts = self._parser.parts(record)
        if parts is None:
            return [None]
        return self._made(record, parts, self._udf) if self._udf else [self._message(record, parts)]

    def _message(self, record: Record, parts: Parts) -> Optional[Message]:
        self._names.see(parts.attributes, parts.fields)
        self._attribute_names.see(parts.attributes)
        return self._parser.message(record, parts)

    def _made(self, record: Record, parts: Parts, udf: Udf) -> list[Optional[Message]]:
        """The messages that `udf` makes of a record. In a list, those without an id of their own are numbered."""
        given = _joined(*parts)
        start = time.perf_counter_ns()
        try:
            made = udf(given)
        finally:
            self._counters.observe("udf_us", (time.perf_counter_ns() - start) // 1000)
        if made in (None, []):
            self._counters.count("messages_filtered")
            return []
        id, messages = self._parser.id_of(parts), []
        for index, fields in enumerate(made if isinstance(made, list) else [made]):
            own = self._parser.parted(fields, parts)
            is_numbered = isinstance(made, list) and self._parser.id_of(own) in (None, id)
            message = self._message(record, own)
            messages.append(message._replace(id=f"{message.id}#{index}") if message and is_numbered else message)
        counts = collections.Counter(message.id for message in messages if message)
        if counts and (most := counts.most_common(1)[0])[1] > 1:
            raise ValueError(f"expected udf_function to give each message another id, got {most[0]!r} {most[1]} times")
        if len(messages) > 1:
            self._counters.count("messages_made", len(messages) - 1)
        return messages


def attributes_of(record: Record) -> dict[str, str]:
    """The attributes of a record's dead letter: its own, and with SOURCE_PREFIX its origin, id and times.

    Where a record's own attribute has the prefix, it gets the prefix once more.
    """
    own = {SOURCE_PREFIX * _is_source(key) + key: value for key, value in record.attributes.items()}
    known = {name: getattr(record, name) for name in _SOURCE}
    return own | {SOURCE_PREFIX + key: str(value) for key, value in known.items() if value not in ("", None)}


def record_of(payload: bytes, attributes: Mapping[str, str]) -> Record:
    """The record from which a dead letter of this stage was made."""
    times = {name: attributes.get(SOURCE_PREFIX + name) for name in ("event_time", "modified")}
    added = {SOURCE_PREFIX + name for name in _SOURCE}
    return Record(
        data=payload,
        origin=attributes.get(SOURCE_PREFIX + "origin", ""),
        id=attributes.get(SOURCE_PREFIX + "id", ""),
        attributes={
            key.removeprefix(SOURCE_PREFIX) if key.startswith(2 * SOURCE_PREFIX) else key: value
            for key, value in attributes.items()
            if key not in added
        },
        **{name: int(time) if time else None for name, time in times.items()},
    )


def _is_source(key: str) -> bool:
    return key.startswith(SOURCE_PREFIX)
