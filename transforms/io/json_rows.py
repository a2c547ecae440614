"""Rows of typed sources as JSON, the form in which records hold them."""

import json
from typing import Any


def as_json(row: Any) -> bytes:
    """A row as JSON; times become ISO 8601 strings, and other types that JSON lacks become text."""
    return json.dumps(row, ensure_ascii=False, default=_plain).encode()


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
