"""Values of Python rows as text: which are null, and how a time is written."""

import datetime
from typing import Any

import numpy as np


def is_null(value: Any) -> bool:
    """Whether `value` is None, or one of pandas' nulls: NaN, NaT and NA."""
    # NaN is not equal to itself, and a comparison with NA has no truth value.
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (np.isscalar(value) and value != value)


def time_text(value: Any) -> str | None:
    """A datetime, pandas Timestamp, numpy.datetime64 or Beam Timestamp as RFC 3339, a date as it is in ISO 8601.

    A time without a time zone is taken as UTC. None if `value` is no time.
    """
    if isinstance(value, datetime.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=datetime.UTC)).isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, np.datetime64):
        return str(np.datetime_as_string(value, timezone="UTC"))
    return str(value.to_rfc3339()) if hasattr(value, "to_rfc3339") else None
