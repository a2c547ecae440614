"""Cleanup modes for the text that the encoder reads, which are those of Spark NLP's DocumentAssembler.

A mode never changes a sentence's content or offsets, which always refer to the original text.
"""

import hashlib
import re
from typing import NamedTuple


class _Mode(NamedTuple):
    strip: bool
    pattern: str
    replacement: str


# Source: DocumentAssembler in Spark NLP. The "full" modes also replace a literal backslash-n, -r-n or -t; "delete_full"
# deletes these only. White space is Java's: in a pattern, six ASCII characters; at the ends, all up to U+0020.
_ENDS = "".join(map(chr, range(0x21)))
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
    "delete_full": _Mode(True, _ESCAPED, ""),
}


def clean(text: str, mode: str) -> str:
    """`text` cleaned up by `mode`, a key of CLEANUP_MODES."""
    rule = CLEANUP_MODES[mode]
    if rule is None:
        return text
    return re.sub(rule.pattern, rule.replacement, text.strip(_ENDS) if rule.strip else text, flags=re.ASCII)


def version_with(version: str, mode: str) -> str:
    """The version of the vectors that an encoder of `version` makes of texts cleaned up by `mode`."""
    rule = CLEANUP_MODES[mode]
    if rule is None:
        return version
    return hashlib.sha256(f"{version} cleanup={mode} {tuple(rule)}".encode()).hexdigest()[:12]
