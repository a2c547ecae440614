"""The data of compressed files, member by member."""

import bz2
import functools
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import zstandard
from apache_beam.io.filesystem import CompressionTypes

from transforms.io.files.pieces import Unreadable

_READ_BYTES = 64 * 1024
# The longest beginning that tells a member from other bytes.
_MAGIC_BYTES = 6
_MOST_KEPT = 64 * 1024 * 1024


class _Codec(NamedTuple):
    """A kind of compression.

    Attributes:
        member: makes what decompresses one member: an object with decompress(), eof and unused_data.
        magic: what a member behind the first begins with.
    """

    member: Callable[[], Any]
    magic: "re.Pattern[bytes]"


# Beam opens files of the same suffixes with the same decompressors; the window is as large as Beam's.
_CODECS = {
    CompressionTypes.GZIP: _Codec(functools.partial(zlib.decompressobj, 16 + zlib.MAX_WBITS), re.compile(rb"\x1f\x8b")),
    CompressionTypes.DEFLATE: _Codec(zlib.decompressobj, re.compile(rb"\x78[\x01\x5e\x9c\xda]")),
    CompressionTypes.BZIP2: _Codec(bz2.BZ2Decompressor, re.compile(rb"BZh")),
    CompressionTypes.LZMA: _Codec(lzma.LZMADecompressor, re.compile(rb"\xfd7zXZ\0|\x5d\0\0")),
    CompressionTypes.ZSTD: _Codec(
        lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj(),
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    ),
}


def decompressed(file: Any, compression: str, behind: list[Unreadable]) -> Iterator[bytes]:
    """The data of an open file in chunks, from where it stands; of all its members, if it is compressed.

    Zero padding between and behind members is left out. Anything else behind a member is added to `behind`, with its
    offset in the file, and ends the data.

    Raises:
        EOFError: at the end of a file whose last member is cut short.
        zlib.error, OSError, lzma.LZMAError, zstandard.ZstdError: if a member is damaged.
    """
    if compression == CompressionTypes.UNCOMPRESSED:
        yield from iter(functools.partial(file.read, _READ_BYTES), b"")
        return
    codec = _CODECS[compression]
    data, offset = file.read(_READ_BYTES), 0
    while True:
        member = codec.member()
        while not member.eof:
            if not data:
                raise EOFError("the compressed file ends before its end-of-stream marker")
            offset += len(data)
            if chunk := member.decompress(data):
                yield chunk
            data = member.unused_data if member.eof else file.read(_READ_BYTES)
        offset -= len(data)
        data, padding = _without_padding(file, data)
        offset += padding
        if not data:
            return
        if not codec.magic.match(data):
            rest = data + file.read(_MOST_KEPT)
            expected = f"expected the end of the file or of its {compression} data at byte {offset}, got something else"
            behind.append(Unreadable(offset, rest, ValueError(expected)))
            return


def _without_padding(file: Any, data: bytes) -> tuple[bytes, int]:
    """`data`, read on until it can hold a magic, without leading zeros, and their number."""
    padding = 0
    while True:
        stripped = data.lstrip(b"\0")
        padding += len(data) - len(stripped)
        more = file.read(_READ_BYTES) if len(stripped) < _MAGIC_BYTES else b""
        if not more:
            return stripped, padding
        data = stripped + more
