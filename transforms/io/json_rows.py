"""Rows of typed sources as JSON, the form in which records hold them."""

import base64
import datetime
import decimal
import json
from typing import Any

_EPOCH = datetime.date(1970, 1, 1).toordinal() - 1
# The days of 400 years, after which the Gregorian calendar repeats itself.
_CYCLE = 146_097


def as_json(row: Any) -> bytes:
    """A row as JSON; times become ISO 8601 text, and other types that JSON lacks become text.

    Bytes become the text that they are in UTF-8.

    Raises:
        UnicodeEncodeError: if bytes, or a string that was decoded with "surrogateescape", are not UTF-8.
    """
    return _encode(row).encode()


def shown(value: Any) -> Any:
    """`value` with {"base64": ...} in place of each string and bytes in it for which `as_json` raises."""
    if isinstance(value, dict):
        return {key.encode("utf-8", "backslashreplace").decode(): shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(shown, value))
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if isinstance(raw, bytes) and not is_utf8(raw):
        return {"base64": base64.b64encode(raw).decode()}
    return value


def is_utf8(data: bytes) -> bool:
    """Whether `data` is text in UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


_encode = json.JSONEncoder(ensure_ascii=False, default=_plain).encode


def date_text(days: int) -> str:
    """A date, in days since 1970-01-01, as ISO 8601; years before 0 and after 9999 with their sign."""
    cycles, day = divmod(days + _EPOCH, _CYCLE)
    date = datetime.date.fromordinal(day + 1)
    year = date.year + 400 * cycles
    return f"{year:04}{date:-%m-%d}" if 0 <= year <= 9999 else f"{year:+05}{date:-%m-%d}"


def clock_text(ticks: int, a_second: int) -> str:
    """A time of day, in ticks since midnight, as ISO 8601; a fraction has 6 digits, or 9 if nanoseconds need them.

    Args:
        ticks: the number of ticks.
        a_second: the number of ticks in a second, up to 10**9.
    """
    seconds, fraction = divmod(ticks, a_second)
    nanos = fraction * (10**9 // a_second)
    digits = f".{nanos:09}" if nanos % 1000 else f".{nanos // 1000:06}" if nanos else ""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{digits}"


def timestamp_text(ticks: int, a_second: int, utc: bool) -> str:
    """A timestamp, in ticks since 1970, as `date_text` and `clock_text`, with "+00:00" if `utc`."""
    days, rest = divmod(ticks, 86_400 * a_second)
    return f"{date_text(days)}T{clock_text(rest, a_second)}{'+00:00' if utc else ''}"


def duration_text(ticks: int, a_second: int) -> str:
    """A duration as Python writes it ("1 day, 2:03:04"), with 9 digits if nanoseconds need them."""
    days, rest = divmod(ticks, 86_400 * a_second)
    time = clock_text(rest, a_second)
    counted = f"{days} day{'s' if abs(days) != 1 else ''}, " if days else ""
    return f"{counted}{time.removeprefix('0')}"
