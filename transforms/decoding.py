"""Decoding: the fields of a record's payload, by its format."""

import csv
import functools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from transforms.fields import Fields, Number, as_text
from transforms.separated import SEPARATED, quoted_records
from transforms.types import CSV_HEADER, Record


def _text_fields(record: Record, text: str, text_field: str, is_quoted: bool) -> Fields:
    return {text_field: text}


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


def _json_fields(record: Record, text: str, text_field: str, is_quoted: bool) -> Fields:
    fields = _decode_json(text)
    if not isinstance(fields, dict):
        raise ValueError(f"expected a JSON object, got {kind_of(fields)}")
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


def _separated_fields(delimiter: str) -> Callable[[Record, str, str, bool], Fields]:
    def cut(line: str, is_quoted: bool) -> list[str]:
        return _quoted(line, delimiter) if is_quoted else line.split(delimiter)

    cut_header = functools.lru_cache(maxsize=64)(cut)

    def fields(record: Record, text: str, text_field: str, is_quoted: bool) -> Fields:
        header = cut_header(record.attributes[CSV_HEADER], is_quoted)
        row = cut(text, is_quoted)
        if len(row) != len(header):
            raise ValueError(f"expected {len(header)} fields, as in the header, got {len(row)}")
        named = dict(zip(header, row, strict=True))
        if len(named) < len(header) or "" in named:
            # Spreadsheets export empty columns without a name: there is nothing in them to keep.
            return _distinct(pair for pair in zip(header, row, strict=True) if pair != ("", ""))
        return named

    return fields


# How the payload of each input format is decoded to fields, given the name of the text's field, if the format has none,
# and whether quotes enclose fields. Rows of Parquet and Avro arrive as JSON.
DECODERS: dict[str, Callable[[Record, str, str, bool], Fields]] = {
    "text": _text_fields,
    "document": _text_fields,
    "json": _json_fields,
    "jsonl": _json_fields,
    **{name: _separated_fields(kind.delimiter) for name, kind in SEPARATED.items()},
    "parquet": _json_fields,
    "avro": _json_fields,
}
FORMATS = tuple(DECODERS)


def kind_of(value: Any) -> str:
    """What JSON calls the type of a value."""
    names: Mapping[type, str] = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
