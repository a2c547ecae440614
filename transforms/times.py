"""Times as text or numbers, parsed to microseconds since the Unix epoch."""

import datetime
import decimal
import re
import sys
from typing import Any

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# BigQuery's range of a TIMESTAMP: the years 1 to 9999.
_LEAST_MICROS, _MOST_MICROS = -62_135_596_800_000_000, 253_402_300_799_999_999
_LEAP_SECOND = re.compile(r"(?<=\d\d:59):60")
_UTC = re.compile(r"\s*(?:UTC|Z)\Z", re.I)


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
            micros = iso_micros(text)
        except ValueError:
            raise ValueError(expected) from None
    if not _LEAST_MICROS <= micros <= _MOST_MICROS:
        raise ValueError(expected)
    return micros


def iso_micros(text: str) -> int:
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
