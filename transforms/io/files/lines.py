"""Readers of lines and of whole files."""

import codecs
import contextlib
import csv
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.io.files.decompress import decompressed
from transforms.io.files.encodings import MARK_BYTES, UTF8, as_utf8, marked_encoding, original
from transforms.io.files.pieces import FileRange, Piece, Pieces, Unreadable
from transforms.types import CSV_HEADER


class _Data:
    """The data of an open file in chunks: uncompressed, and as UTF-8. Each iteration begins at its beginning.

    Attributes:
        codec: what the file is encoded in; of a compressed file it is known once there is a chunk.
        behind: what stands behind compressed data; it is known at the end.
    """

    def __init__(self, file: Any, path: str, encoding: str) -> None:
        self._file = file
        self._compression = CompressionTypes.detect_compression_type(path)
        self._encoding = encoding
        self.behind: list[Unreadable] = []
        self.codec = ""
        if self._compression == CompressionTypes.UNCOMPRESSED:
            self.codec = marked_encoding(file.read(MARK_BYTES))[0] or encoding

    @property
    def is_plain(self) -> bool:
        """Whether offsets in the data are offsets in the file, so that ranges of it can be read."""
        return self._compression == CompressionTypes.UNCOMPRESSED and self.codec == UTF8

    def since(self, offset: int) -> Iterator[bytes]:
        """The rest of plain data."""
        self._file.seek(offset)
        return decompressed(self._file, CompressionTypes.UNCOMPRESSED, [])

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        self.behind.clear()
        chunks = decompressed(self._file, self._compression, self.behind)
        head = b""
        for chunk in chunks:
            head += chunk
            if len(head) >= MARK_BYTES:
                break
        marked, size = marked_encoding(head)
        self.codec = marked or self._encoding
        if self.codec == UTF8:
            # The mark of UTF-8 stays, because it counts in positions.
            yield from itertools.chain([head], chunks)
        else:
            yield from as_utf8(itertools.chain([head[size:]], chunks), self.codec)

    def piece(self, position: int, data: bytes, attributes: Mapping[str, str]) -> Piece | Unreadable:
        """A record of the data. One that was made of bytes invalid in its encoding is given as these bytes."""
        if self.codec == UTF8:
            return Piece(position, data if position else data.removeprefix(codecs.BOM_UTF8), attributes)
        try:
            data.decode()
        except UnicodeDecodeError:
            error = ValueError(f"expected text in the encoding {self.codec}, got bytes that it does not allow")
            return Unreadable(position, original(data, self.codec), error)
        return Piece(position, data, attributes)


@contextlib.contextmanager
def _opened(path: str, encoding: str) -> Iterator[_Data]:
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        yield _Data(file, path, encoding)


def _split(chunks: Iterable[bytes], end: bytes, position: int = 0) -> Iterator[tuple[int, bytes]]:
    """Lines with their positions, without their ends.

    The text behind the last end is a line if there is any. If `chunks` raises, it is not: nobody knows how it ends.
    """
    begun: list[bytes] = []
    for chunk in chunks:
        lines = chunk.split(end)
        begun.append(lines[0])
        if len(lines) == 1:
            continue
        lines[0] = b"".join(begun)
        begun = [lines.pop()]
        for line in lines:
            yield position, line[:-1] if line.endswith(b"\r") else line
            position += len(line) + 1
    if last := b"".join(begun):
        yield position, last


def _lines(data: _Data, start: int, stop: float) -> Iterator[tuple[int, bytes]]:
    """The lines that start in a range. If a file cannot be read in ranges, all of it belongs to the first."""
    if start:
        lines = _lines_behind(data, start, stop)
    else:
        chunks = iter(data)
        first = next(chunks, b"")
        if b"\n" in first or _has_line_feed(chunks):
            lines = _split(itertools.chain([first], chunks) if b"\n" in first else data, b"\n")
            stop = stop if data.is_plain else math.inf
        else:
            lines, stop = _split(data, b"\r"), math.inf
    for position, line in lines:
        if position >= stop:
            return
        yield position, line


def _lines_behind(data: _Data, start: int, stop: float) -> Iterator[tuple[int, bytes]]:
    """The lines behind the first LF in [start - 1, stop); what stands before that LF began in another range."""
    if not data.is_plain:
        return
    chunks, position = data.since(start - 1), start - 1
    for chunk in chunks:
        if end := chunk.find(b"\n") + 1:
            yield from _split(itertools.chain([chunk[end:]], chunks), b"\n", position + end)
        position += len(chunk)
        if position >= stop:
            return


def _has_line_feed(chunks: Iterator[bytes]) -> bool:
    # What is raised here will be raised again, behind the lines that can be read.
    with contextlib.suppress(Exception):
        return any(b"\n" in chunk for chunk in chunks)
    return False


def read_lines(piece: FileRange, encoding: str = UTF8) -> Pieces:
    """The lines that start in a range of a file.

    A line ends with LF or CR LF; in a file without any LF, with CR. The lines of a file that is compressed, is not in
    UTF-8 or ends its lines with CR all belong to the range that starts at 0.

    Args:
        piece: the range.
        encoding: the encoding of the file, as named by `known_encoding`, unless a mark at its beginning shows another.
    """
    with _opened(piece.path, encoding) as data:
        for position, line in _lines(data, piece.start, piece.stop):
            yield data.piece(position, line, {})
        yield from data.behind


def read_separated_lines(piece: FileRange, encoding: str = UTF8) -> Pieces:
    """The lines that start in a range of a file, without the header of the file, which is an attribute of each.

    Args:
        piece: as in read_lines.
        encoding: as in read_lines.

    Raises:
        ValueError: if the header is not in the file's encoding; only in the range that starts at 0, lest each range of
            the file say so.
    """
    with _opened(piece.path, encoding) as data:
        lines = _lines(data, piece.start, piece.stop)
        first = next(lines, None)
        if first is not None:
            try:
                attributes = _header(_first_line(piece.path, encoding) if piece.start else first[1])
            except ValueError:
                if piece.start:
                    return
                raise
            if piece.start:
                lines = itertools.chain([first], lines)
            for position, line in lines:
                yield data.piece(position, line, attributes)
        yield from data.behind


def _first_line(path: str, encoding: str) -> bytes:
    with _opened(path, encoding) as data:
        return next(_split(data, b"\n"))[1]


def _header(line: bytes) -> dict[str, str]:
    """The attributes of the records under a header."""
    try:
        return {CSV_HEADER: line.removeprefix(codecs.BOM_UTF8).decode()}
    except UnicodeDecodeError as error:
        raise ValueError(
            f"expected a header in the file's encoding, got {line[:200]!r}; name its encoding, as in encoding=latin-1"
        ) from error


def read_document(piece: FileRange, encoding: str = UTF8) -> Pieces:
    """A whole file as one record."""
    with _opened(piece.path, encoding) as data:
        text = b"".join(data)
        yield data.piece(0, text, {})
        yield from data.behind


def read_multiline(delimiter: str) -> Callable[..., Pieces]:
    """A reader of separated records that may span lines; a record ends at a line end outside quotes."""

    def read(piece: FileRange, encoding: str = UTF8) -> Pieces:
        csv.field_size_limit(sys.maxsize)
        lines: list[bytes] = []

        def remembered() -> Iterator[str]:
            for line in _lines_with_ends(data):
                lines.append(line)
                yield line.decode(UTF8, "surrogateescape")

        with _opened(piece.path, encoding) as data:
            attributes: dict[str, str] = {}
            for row, _ in enumerate(csv.reader(remembered(), delimiter=delimiter)):
                record = b"".join(lines).rstrip(b"\r\n")
                lines.clear()
                if row:
                    yield data.piece(row, record, attributes)
                else:
                    attributes = _header(record)
            yield from data.behind

    return read


def _lines_with_ends(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines as they are; each CR, LF or CR LF ends one."""
    begun = b""
    for chunk in chunks:
        # The last is joined with the next chunk, which may begin with the LF of its CR LF.
        *whole, begun = (begun + chunk).splitlines(keepends=True) or [b""]
        yield from whole
    if begun:
        yield begun
