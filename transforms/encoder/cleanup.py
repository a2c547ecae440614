"""Cleanup modes of what the encoder reads, as Spark NLP's DocumentAssembler has them.

A mode never touches a sentence's content or offsets: those speak of the text as it came.
"""

import re
from typing import NamedTuple


class _Mode(NamedTuple):
    strip: bool
    pattern: str
    replacement: str


# Source: DocumentAssembler.clean in Spark NLP; the "full" modes also take a written-out \n, \r\n or \t.
_ESCAPED = r"(?:\\r)?(?:\\n)|(?:\\t)"
_ESCAPED_RUN = r"(?:\\r)*(?:\\n)+|(?:\\t)+"
CLEANUP_MODES: dict[str, _Mode | None] = {
    "disabled": None,
    "inplace": _Mode(False, r"\s", " "),
    "inplace_full": _Mode(False, rf"\s|{_ESCAPED}", " "),
    "shrink": _Mode(True, r"\s+", " "),
    "shrink_full": _Mode(True, rf"\s+|{_ESCAPED_RUN}", " "),
    "each": _Mode(False, r"\s[\n\t]", " "),
    "each_full": _Mode(False, rf"\s(?:\n|\t|{_ESCAPED})", " "),
    "delete_full": _Mode(True, rf"\s+|{_ESCAPED_RUN}", ""),
}


def clean(text: str, mode: str) -> str:
    """`text` as `mode` leaves it; a key of CLEANUP_MODES."""
    rule = CLEANUP_MODES[mode]
    if rule is None:
        return text
    return re.sub(rule.pattern, rule.replacement, text.strip() if rule.strip else text)
