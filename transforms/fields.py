"""Fields by name or path, and templates that join several of them to a text."""

import functools
import json
import re
import string
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

_PATH = re.compile(r"[^.\[\]]+(?:\.[^.\[\]]+|\[\d{1,9}\])*", re.ASCII)
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)", re.ASCII)

Fields = dict[str, Any]


class Number(NamedTuple):
    """A number of a JSON text, as it was written: a float would change `1.10`, `1e400` or an id of 20 digits."""

    literal: str


_decode = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=Number).decode


class Taken(NamedTuple):
    """A value, and the name that it had."""

    name: str
    value: Any


class _Absent:
    """The type of ABSENT."""


# What `value_of` returns for a field that there is not; None is a value.
ABSENT = _Absent()


def value_of(fields: Mapping[str, Any], name: str) -> Any:
    """The value of the field `name`, or at the path `name`, such as `a.b[0].c`; ABSENT if there is none.

    A field that is called as the path is written comes before what the path leads to.
    """
    if name in fields:
        return fields[name]
    value: Any = fields
    try:
        for step in _steps(name):
            value = _inside(value)[step]
    except (LookupError, TypeError):
        return ABSENT
    return value


def has(fields: Mapping[str, Any], name: str) -> bool:
    """Whether there is a value, null too, of the field `name` or at the path `name`."""
    return value_of(fields, name) is not ABSENT


def remove(fields: Fields, name: str) -> None:
    """Removes the field `name`, or what the path `name` leads to, if it is there; inner values are copied before.

    The other items of an array keep their places. An object or array that holds nothing but nulls any more goes too.
    """
    if name in fields:
        del fields[name]
    elif has(fields, name):
        first, *rest = _steps(name)
        fields[str(first)] = _without(fields[str(first)], rest)
        if fields[str(first)] is None:
            del fields[str(first)]


def take_first(*places: tuple[Fields, str]) -> Optional[Taken]:
    """Removes and returns the first value that is neither null nor "", given dicts and the name or path of each.

    A name of "" takes nothing, because an option that was not given names no field, and a field may be called "". What
    is null or "" is removed too; a value behind the first stays.
    """
    for values, name in places:
        if name and (value := value_of(values, name)) is not ABSENT:
            remove(values, name)
            if value not in (None, ""):
                return Taken(name, value)
    return None


def find_first(*places: tuple[Mapping[str, Any], str]) -> Optional[Taken]:
    """As take_first, but leaves the value where it is."""
    for values, name in places:
        if name and (value := value_of(values, name)) is not ABSENT and value not in (None, ""):
            return Taken(name, value)
    return None


def text_in(metadata: Mapping[str, str], name: str) -> Optional[str]:
    """As value_of, in a message's metadata, whose objects and arrays are JSON; None for null and for nothing."""
    if name in metadata:
        return metadata[name]
    first = str(_steps(name)[0])
    if first == name or first not in metadata:
        return None
    try:
        root = _decode(metadata[first])
    except (ValueError, RecursionError):
        return None
    value = value_of({first: root}, name)
    return None if value in (ABSENT, None) else as_text(value)


@functools.lru_cache(maxsize=256)
def _steps(name: str) -> tuple[str | int, ...]:
    if not _PATH.fullmatch(name):
        return (name,)
    return tuple(int(item) if item else field for item, field in _STEP.findall(name))


def _inside(value: Any) -> Any:
    """A dict or list that a path can go into, of a row too; None for any other value."""
    if isinstance(value, Mapping | list):
        return value
    return value._asdict() if hasattr(value, "_asdict") and not isinstance(value, Number) else None


def _without(value: Any, steps: list[str | int]) -> Any:
    """A copy of `value` without what `steps` lead to; None if nothing is left."""
    if not steps:
        return None
    inside = _inside(value)
    step, *rest = steps
    left = _without(inside[step], rest)
    if isinstance(inside, list):
        items = [left if index == step else item for index, item in enumerate(inside)]
        return items if any(item is not None for item in items) else None
    named = {name: left if name == step else item for name, item in inside.items() if name != step or left is not None}
    return named or None


class Template:
    """A text with fields in braces, such as `{title}. {author.name}: {body}`; `{{` and `}}` stand for braces.

    Attributes:
        names: the names or paths of the fields.

    Raises:
        ValueError: if the text is no template, names no field, or has a conversion (`!`) or a format (`:`).
    """

    def __init__(self, text: str) -> None:
        expected = f"expected text_template with fields in braces, such as '{{title}}. {{body}}', got {text!r}"
        try:
            parts = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"{expected}: {error}") from error
        fields = [part for part in parts if part[1] is not None]
        if not fields or any(not name or spec or conversion for _, name, spec, conversion in fields):
            raise ValueError(f"{expected}; leave out empty braces, conversions (!) and formats (:)")
        self._parts = [(literal, name) for literal, name, _, _ in parts]
        self.names = list(dict.fromkeys(str(name) for _, name, _, _ in fields))

    def text_of(self, fields: Mapping[str, Any]) -> str:
        """The text with the fields' values, where "" stands for what is null or not there; "" if all are blank.

        Raises:
            ValueError: if none of the fields is there.
        """
        values = {name: value_of(fields, name) for name in self.names}
        if all(value is ABSENT for value in values.values()):
            raise ValueError(f"expected a field of {self.names}, got {sorted(fields)}")
        texts = {name: "" if value in (ABSENT, None) else as_text(value) for name, value in values.items()}
        if not "".join(texts.values()).strip():
            return ""
        return "".join(literal + (texts[name] if name is not None else "") for literal, name in self._parts)


template_of = functools.lru_cache(maxsize=16)(Template)


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
