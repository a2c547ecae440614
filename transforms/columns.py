"""Own columns: fields of a message that stand in typed columns of its rows, beside the metadata.

Between the split and the sink a value travels in the metadata, as text under CARRIED and the column's name; it is
checked where it is put there, so that a sink can always convert it.
"""

import datetime
import decimal
import math
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from transforms.counters import NamesFound
from transforms.fields import as_text, text_in
from transforms.schema import CARRIED, EMBEDDING_COLUMNS, Column, rfc3339
from transforms.times import parse_time

_SPECIFICATION = re.compile(r"([^:=]*):([^:=]*)(?:=(.+))?", re.DOTALL)
# What BigQuery takes as the name of a column in every way of writing, and how no name may begin.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}", re.ASCII)
_RESERVED = ("_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER", "_CHANGE_")
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,9})?", re.ASCII | re.I)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# 38 digits, 9 of them behind the point; what they cannot hold is not rounded.
_NUMERIC = decimal.Context(prec=38, traps=[decimal.Inexact, decimal.InvalidOperation])
_LAST_DIGIT = decimal.Decimal("1e-9")


class OwnColumn(NamedTuple):
    """A column of the user's own.

    Attributes:
        column: the column.
        field: the field of the metadata that it is filled from, by its name or path.
    """

    column: Column
    field: str


def own_columns(specifications: Sequence[str]) -> tuple[OwnColumn, ...]:
    """The columns that NAME:TYPE or NAME:TYPE=FIELD stand for; without FIELD, it is the field called NAME.

    >>> [(own.column.name, own.column.type, own.field) for own in own_columns(["tenant:STRING=user.tenant"])]
    [('tenant', 'STRING', 'user.tenant')]

    Raises:
        ValueError: if one has another form, a type of none of TYPES, or a name that BigQuery refuses or that another
            column has.
    """
    taken = {column.name for column in EMBEDDING_COLUMNS}
    found = []
    for specification in specifications:
        match = _SPECIFICATION.fullmatch(specification)
        if match is None:
            raise ValueError(f"expected columns as NAME:TYPE=FIELD, got {specification!r}; as in tenant:STRING=user.id")
        name, kind, field = match[1].strip(), match[2].strip().upper(), (match[3] or "").strip()
        if kind not in TYPES:
            raise ValueError(f"expected columns of a type of {', '.join(TYPES)}, got {specification!r}")
        if not _NAME.fullmatch(name) or name.upper().startswith(_RESERVED):
            raise ValueError(
                f"expected columns of names that BigQuery takes, got {name!r}; use letters, digits and underscores, "
                f"at most 300, with no digit first, and none of {', '.join(_RESERVED)} in front"
            )
        if name.lower() in taken:
            raise ValueError(f"expected columns of names that differ, got {name!r}, which a row has already; rename it")
        taken.add(name.lower())
        field = field or name
        found.append(OwnColumn(Column(name, kind, "NULLABLE", f"the message's field {field!r}"), field))
    return tuple(found)


class OwnColumns:
    """Takes the values of own columns, and which of their fields there were.

    Args:
        specifications: as in `own_columns`.
    """

    def __init__(self, specifications: Sequence[str]) -> None:
        self._own = own_columns(specifications)
        self.found = NamesFound({f"columns.{column.name}": field for column, field in self._own}, _has)

    def of(self, metadata: Mapping[str, str], row: Mapping[str, Any] = MappingProxyType({})) -> dict[str, str]:
        """The values in a message's metadata, as they travel in that of its sentences; null is left out.

        What a `row` of the message, as JSON, has in a column comes before what the metadata has.

        Raises:
            ValueError: if a value is not of its column's type, or a field of the message is called as a value travels.
        """
        if not self._own:
            return {}
        if clash := [name for name in metadata if name.startswith(CARRIED)]:
            raise ValueError(f"expected no field whose name begins with {CARRIED!r}, got {clash[0]!r}; rename it")
        self.found.see(metadata)
        values = {}
        for column, field in self._own:
            written = row.get(column.name)
            text = text_in(metadata, field) if written is None else as_text(written)
            if (value := _taken(column, field, text)) is not None:
                values[CARRIED + column.name] = value
        return values


def _has(metadata: Mapping[str, str], field: str) -> bool:
    return text_in(metadata, field) is not None


def _taken(column: Column, field: str, text: str | None) -> str | None:
    """The text of a field in the form that `schema.own_value` reads; None for null, or a blank one if not a STRING.

    Raises:
        ValueError: if it is not of the column's type.
    """
    if text is None or (column.type != "STRING" and not text.strip()):
        return None
    try:
        return TYPES[column.type](text)
    except (ValueError, ArithmeticError):
        raise ValueError(
            f"expected {column.type} in the field {field!r}, for the column {column.name!r}, got {text[:60]!r}"
        ) from None


def _integer(text: str) -> str:
    if not _INTEGER.fullmatch(text.strip()) or not -(1 << 63) <= int(text) < 1 << 63:
        raise ValueError(text)
    return str(int(text))


def _number(text: str) -> str:
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(text)
    return text.strip()


def _float(text: str) -> str:
    value = float(_number(text))
    if not math.isfinite(value):
        raise ValueError(text)
    return repr(value)


def _numeric(text: str) -> str:
    value = decimal.Decimal(_number(text)).quantize(_LAST_DIGIT, context=_NUMERIC)
    return f"{value:f}".rstrip("0").rstrip(".") if value else "0"


def _boolean(text: str) -> str:
    said = text.strip().lower()
    if said not in ("true", "false"):
        raise ValueError(text)
    return said


def _timestamp(text: str) -> str:
    return str(rfc3339(parse_time(text, "")))


def _date(text: str) -> str:
    if not _DATE.fullmatch(text.strip()):
        raise ValueError(text)
    return datetime.date.fromisoformat(text.strip()).isoformat()


# The types of own columns, in BigQuery's terms, and how the text of a field becomes that of a value.
TYPES: Mapping[str, Callable[[str], str]] = {
    "STRING": str,
    "INT64": _integer,
    "FLOAT64": _float,
    "NUMERIC": _numeric,
    "BOOL": _boolean,
    "TIMESTAMP": _timestamp,
    "DATE": _date,
}
