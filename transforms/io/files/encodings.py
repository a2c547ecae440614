"""Encodings of text files: marks, names, and text of any encoding as UTF-8."""

import codecs
from collections.abc import Iterable, Iterator

UTF8 = "utf-8"

# UTF-32's little-endian mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: UTF8,
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
MARK_BYTES = max(map(len, _MARKS))
# Codecs that would look for a mark themselves, by what they are without one.
_WITHOUT_MARK = {"utf-8-sig": UTF8, "utf-16": "utf-16-le", "utf-32": "utf-32-le"}


def known_encoding(encoding: str) -> str:
    """The name of the codec for `encoding`, a text encoding that Python knows.

    Raises:
        ValueError: if it knows none of that name, or one that is not of text.
    """
    try:
        name = codecs.lookup(encoding).name
        # Only this refuses the codecs that are not of text, such as base64.
        "a".encode(encoding)
        codecs.getincrementaldecoder(encoding)
    except (LookupError, ValueError) as error:
        raise ValueError(
            f"expected encoding to be one of Python's text encodings, such as latin-1 or utf-16, got {encoding!r}"
        ) from error
    return _WITHOUT_MARK.get(name, name)


def marked_encoding(head: bytes) -> tuple[str, int]:
    """The encoding that a file's first MARK_BYTES bytes show, and the length of its mark; "" and 0 without a mark."""
    for mark, codec in _MARKS.items():
        if head.startswith(mark):
            return codec, len(mark)
    return "", 0


def as_utf8(chunks: Iterable[bytes], codec: str) -> Iterator[bytes]:
    """Text in `codec` as UTF-8. Bytes that are invalid become surrogates, which UTF-8 forbids: see `original`.

    Raises:
        UnicodeDecodeError: if `codec` cannot go on behind invalid bytes, or at a character that is cut short.
    """
    decoder = codecs.getincrementaldecoder(codec)(_errors(codec))
    for chunk in chunks:
        yield decoder.decode(chunk).encode(UTF8, "surrogatepass")
    yield decoder.decode(b"", final=True).encode(UTF8, "surrogatepass")


def original(data: bytes, codec: str) -> bytes:
    """The bytes in `codec` of which `as_utf8` made `data`."""
    return data.decode(UTF8, "surrogatepass").encode(codec, _errors(codec))


def _errors(codec: str) -> str:
    """The way to decode invalid bytes that gives them back when it is encoded."""
    return "surrogatepass" if codec.startswith(("utf-16", "utf-32")) else "surrogateescape"
