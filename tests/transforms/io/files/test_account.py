"""The account of a file balances, whatever is in it: each record is a message, blank, or a dead letter that holds it.

Each file is read a second time, by the standard library or pyarrow, and the values are compared as they were written.
"""

import bz2
import codecs
import csv
import datetime
import gzip
import json
import lzma
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from apache_beam.pvalue import TaggedOutput
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.dead_letters import payload_of
from transforms.io.files.match import File
from transforms.io.files.read import ReadFiles, _ranges, _Read
from transforms.parsing import MessageParser, _Parse

# How many files each test makes; a search of ten minutes takes some 100,000.
EXAMPLES = int(os.environ.get("EXAMPLES", "60"))
LINE_FORMATS = ("text", "jsonl", "csv", "tsv")


class Literal(str):
    """A number of a JSON text, as it is written."""


class Fate(NamedTuple):
    """What must become of a record.

    Attributes:
        kind: "message", "blank" or "dead".
        text: the message's text, or the dead letter's payload.
        id: the message's id, "" if it is made by the program.
        metadata: the message's metadata.
    """

    kind: str
    text: Any
    id: str = ""
    metadata: tuple[tuple[str, str], ...] = ()


def fate(pairs: list[tuple[str, Any]], whole: bytes) -> Fate:
    """What must become of a record with these named values."""
    names = [name for name, _ in pairs]
    fields = dict(pairs)
    if len(set(names)) < len(names) or "text" not in fields:
        return Fate("dead", whole)
    text, id, time = fields.pop("text"), fields.pop("id", None), fields.pop("at", None)
    if text is None or (type(text) is str and not text.strip()):
        # What has an id is a version of a message, which needs its time.
        return Fate("blank", b"") if id in (None, "") or is_time(time) else Fate("dead", whole)
    if type(text) is not str or "\0" in text or not is_time(time):
        return Fate("dead", whole)
    return Fate(
        "message",
        text,
        "" if id in (None, "") else plain(id),
        tuple(sorted(named(pair) for pair in fields.items() if pair[1] is not None)),
    )


def named(pair: tuple[str, Any]) -> tuple[str, str]:
    """A metadata entry."""
    return pair[0], plain(pair[1])


def plain(value: Any) -> str:
    """A value as text."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, datetime.date):
        return value.isoformat()
    return json.dumps(value)


def is_time(value: Any) -> bool:
    """Whether one of the few values that `scalars` gives is a time."""
    return (
        value in (None, "")
        or value in TIMES
        or (isinstance(value, Literal) and -62135596800000 <= float(value) < 253402300800000)
    )


TIMES = ("2024-01-02T03:04:05Z", "1999-12-31 23:59:60 UTC", "0001-01-01T00:00:00Z")
texts = st.sampled_from(["Hello there. Fine.", "", " ", "Café au lait.", 'He said "no".', "a\0b", "x" * 300, "\u2028"])
scalars = st.one_of(
    texts,
    st.sampled_from([None, True, False, *TIMES]),
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True).map(Literal),
)
names = st.sampled_from(["id", "text", "tag", "at", "", "csv_header"])


def json_literal(value: Any) -> str:
    """JSON text, with literals as they are."""
    return str(value) if isinstance(value, Literal) else json.dumps(value, ensure_ascii=False)


json_lines = st.lists(st.tuples(names, scalars), max_size=6).map(
    lambda pairs: "{" + ", ".join(f"{json.dumps(name)}: {json_literal(value)}" for name, value in pairs) + "}"
)
odd_lines = st.sampled_from(
    ["", "  ", "[]", '{"text": "cut', "null", '{"text": "\\ud800"}', '"', "{}", "\ufeff", "a\tb"]
)
undecodable = st.sampled_from([b"Caf\xe9", b'{"text": "\xff"}', b"1,\xe9,x"])


def separated(delimiter: str) -> Any:
    """Lines of a CSV or TSV file, its header first."""
    cells = texts.map(lambda text: text.replace("\t", " "))
    quoted = cells.map(lambda text: '"' + text.replace('"', '""') + '"' if delimiter in text or '"' in text else text)
    rows = st.lists(st.one_of(quoted, cells), max_size=4).map(delimiter.join)
    header = st.permutations(["id", "text", "tag", "at"]) | st.lists(names, min_size=1, max_size=4)
    return st.tuples(header.map(delimiter.join), st.lists(rows | odd_lines, max_size=6)).map(lambda p: [p[0], *p[1]])


LINES = {
    "text": st.lists(texts | odd_lines, max_size=8),
    "jsonl": st.lists(json_lines | odd_lines, max_size=8),
    "csv": separated(","),
    "tsv": separated("\t"),
}


class Pairs(list[tuple[str, Any]]):
    """A JSON object with the names that come twice."""


def has_doubles(value: Any) -> bool:
    """Whether a JSON object has a name twice."""
    if isinstance(value, Pairs):
        keys = [name for name, _ in value]
        return len(set(keys)) < len(keys) or any(has_doubles(each) for _, each in value)
    return isinstance(value, list) and any(map(has_doubles, value))


def unmarked(line: bytes) -> str:
    """A line without the mark that it may begin with, where files were joined."""
    return line.decode("utf-8-sig")


def json_fate(line: bytes) -> Fate:
    """By the standard library, with pairs and literals kept."""
    try:
        text = unmarked(line)
        if not text.strip():
            return Fate("blank", b"")
        found = json.loads(text, object_pairs_hook=Pairs, parse_int=Literal, parse_float=Literal)
        json.dumps(found, ensure_ascii=False).encode()
    except ValueError:
        return Fate("dead", line)
    return fate(found, line) if isinstance(found, Pairs) and not has_doubles(found) else Fate("dead", line)


def text_fate(line: bytes) -> Fate:
    """A line is its text."""
    try:
        return fate([("text", unmarked(line))], line)
    except ValueError:
        return Fate("dead", line)


def separated_fate(line: bytes, header: bytes, input_format: str) -> Fate:
    """By the csv module, or for TSV by tabs."""
    try:
        text, names = unmarked(line), header.decode()
    except ValueError:
        return Fate("dead", line)
    if not text.strip():
        return Fate("blank", b"")
    if input_format == "tsv":
        row, columns = text.split("\t"), names.split("\t")
    else:
        try:
            (row,), (columns,) = (list(csv.reader([each], strict=True)) for each in (text, names))
        except (csv.Error, ValueError):
            return Fate("dead", line)
    if len(row) != len(columns) or (row == columns and len(row) > 1):
        return Fate("dead", line)
    return fate([pair for pair in zip(columns, row, strict=True) if pair != ("", "")], line)


def joined(lines: list[bytes]) -> int:
    """How many lines a quoted field joins to the first record of a CSV file; 1 for a field that never ends."""
    for count in range(1, len(lines) + 1):
        try:
            list(csv.reader([b"\n".join(lines[:count]).decode("latin-1")], strict=True))
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                continue
            return 1
        return count
    return 1


def fates_of_lines(lines: list[bytes], input_format: str) -> Iterator[Fate]:
    """What must become of each line of a file."""
    if input_format in ("csv", "tsv"):
        rest = lines[1:]
        while rest:
            count = joined(rest) if input_format == "csv" else 1
            line, rest = b"\n".join(rest[:count]), rest[count:]
            yield Fate("dead", line) if count > 1 else separated_fate(line, lines[0], input_format)
        return
    for line in lines:
        yield {"text": text_fate, "jsonl": json_fate}[input_format](line)


ENCODINGS = {"utf-8": b"", "utf-8-sig": b"", "utf-16": b"", "utf-32": b"", "utf-16-be": codecs.BOM_UTF16_BE}
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}


def read_and_parse(path: pathlib.Path, input_format: str) -> tuple[list[Fate], list[bytes]]:
    """The messages of a file, and the payloads of its dead letters; without a runner, for the sake of many examples."""
    read = ReadFiles([], input_format, text_column="text")
    parse = _Parse(MessageParser(input_format, id_field="id", timestamp_field="at"))
    parse.start_bundle()
    messages, letters = [], []
    for piece in _ranges(File(str(path), path.stat().st_size), read._splittable):
        for found in _Read(read._read, {}).process(piece):
            outcomes = [found] if isinstance(found, TaggedOutput) else parse.process(found)
            for outcome in outcomes:
                if isinstance(outcome, TaggedOutput):
                    letters.append(payload_of([outcome.value]))
                    continue
                message = getattr(outcome, "value", outcome)
                messages.append(Fate("message", message.text, message.id, tuple(sorted(message.metadata.items()))))
    return messages, letters


def check(path: pathlib.Path, input_format: str, expected: list[Fate]) -> None:
    """Reads the file, and compares what becomes of its records with what must."""
    messages, letters = read_and_parse(path, input_format)
    assert sorted(map(without_made_id, messages)) == sorted(each for each in expected if each.kind == "message")
    assert sorted(letters) == sorted(each.text for each in expected if each.kind == "dead")


def without_made_id(found: Fate) -> Fate:
    """Without an id that the program made."""
    is_made = len(found.id) == 32 and set(found.id) <= set("0123456789abcdef")
    return found._replace(id="") if is_made else found


@pytest.mark.parametrize("input_format", LINE_FORMATS)
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=EXAMPLES, deadline=None)
def test_every_line_is_accounted_for(tmp_path: pathlib.Path, input_format: str, data: Any) -> None:
    """In any encoding with a mark, with any line end, in any number of compressed members."""
    lines = data.draw(LINES[input_format])
    encoding = data.draw(st.sampled_from(sorted(ENCODINGS)))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    body = ENCODINGS[encoding] + end.join(lines).encode(encoding, "surrogatepass")
    if encoding == "utf-8" and end == "\n" and data.draw(st.booleans()):
        body += b"\n" + data.draw(undecodable)
    suffix = data.draw(st.sampled_from(sorted(COMPRESSIONS)))
    compress = COMPRESSIONS[suffix]
    cut = data.draw(st.integers(0, len(body)))
    whole = compress(body[:cut]) + compress(body[cut:]) + b"\0" * data.draw(st.sampled_from([0, 512])) * bool(suffix)
    path = tmp_path / f"file{suffix}"
    path.write_bytes(whole)
    lines = read_lines_again(body)
    expected = list(fates_of_lines(lines, input_format))
    if input_format in ("csv", "tsv") and lines and not names_texts(lines[0], input_format):
        expected = [Fate("dead", str(path).encode())]
    check(path, input_format, expected)


def names_texts(header: bytes, input_format: str) -> bool:
    """Whether the first line of a file names the column of the texts."""
    names = header.decode().split("\t") if input_format == "tsv" else next(csv.reader([header.decode()]), [])
    return "text" in names


def read_lines_again(body: bytes) -> list[bytes]:
    """The lines of a decompressed file, as UTF-8."""
    marks = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    marks |= {codecs.BOM_UTF8: "utf-8-sig"}
    for mark, encoding in marks.items():
        if body.startswith(mark):
            if encoding == "utf-8-sig":
                body = body.removeprefix(mark)
            else:
                body = body.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
            break
    end = b"\n" if b"\n" in body or b"\r" not in body else b"\r"
    lines = body.split(end)
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix(b"\r") if end == b"\n" else line for line in lines]


COLUMNS: dict[str, tuple[pa.DataType, Any]] = {
    "string": (pa.string(), texts),
    "large_string": (pa.large_string(), texts),
    "binary": (pa.binary(), texts.map(str.encode)),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), texts),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "bool": (pa.bool_(), st.booleans()),
    "date32": (pa.date32(), st.dates()),
    "null": (pa.null(), st.none()),
}


def row_fate(row: dict[str, Any]) -> Fate:
    """What must become of a row of a typed file."""
    decoded = {name: plain(value) if isinstance(value, bytes | datetime.date) else value for name, value in row.items()}
    literal = {name: Literal(value) if type(value) is int else value for name, value in decoded.items()}
    return fate(list(literal.items()), b"")


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=EXAMPLES, deadline=None)
def test_every_row_is_accounted_for(tmp_path: pathlib.Path, data: Any) -> None:
    """Of Parquet files with columns of any type."""
    count = data.draw(st.integers(0, 6))
    columns = {}
    for name in data.draw(st.lists(st.sampled_from(["id", "text", "tag", "more", ""]), unique=True, min_size=1)):
        kind, values = COLUMNS[data.draw(st.sampled_from(sorted(COLUMNS)))]
        columns[name] = pa.array(data.draw(st.lists(values | st.none(), min_size=count, max_size=count)), kind)
    table = pa.table(columns)
    path = tmp_path / "file.parquet"
    pq.write_table(table, path)
    expected = list(map(row_fate, pq.read_table(path).to_pylist()))
    messages, letters = read_and_parse(path, "parquet")
    assert sorted(map(without_made_id, messages)) == sorted(each for each in expected if each.kind == "message")
    assert len(letters) == sum(each.kind == "dead" for each in expected)
