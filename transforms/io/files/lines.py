"""Readers of lines and of whole files."""

import codecs
import collections
import contextlib
import csv
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.io.files.decompress import decompressed
from transforms.io.files.encodings import MARK_BYTES, UTF8, as_utf8, marked_encoding, original
from transforms.io.files.pieces import FileRange, Piece, Pieces, Unreadable
from transforms.packed import HEAD_BYTES, packed_as
from transforms.separated import Separated, allow_large_fields, quoted_records
from transforms.types import CSV_HEADER

_HEAD_BYTES = max(MARK_BYTES, HEAD_BYTES)
# A quoted field that has not ended after so many lines was hardly meant as one.
_MOST_LINES = 1000
_READ_AGAIN = "read it again when nobody cuts or replaces it"

# A line and its position.
_Line = tuple[int, bytes]


class Table(NamedTuple):
    """A separated file.

    Attributes:
        fields: how the fields of its records are written.
        column: a column that the header must have, "" for none.
    """

    fields: Separated
    column: str = ""


class _Data:
    """The data of an open file in chunks: uncompressed, and as UTF-8. Each iteration begins at its beginning.

    It raises if the file is no text, or has been cut since it was listed, or replaced when only a part of it is read.

    Attributes:
        codec: what the file is encoded in; of a compressed file it is known once there is a chunk.
        behind: what stands behind compressed data; it is known at the end.
        is_plain: whether offsets in the data are offsets in the file, so that ranges of it can be read.
    """

    def __init__(self, file: Any, piece: FileRange, encoding: str) -> None:
        if piece.inode and piece.stop - piece.start < piece.size and _is_another(os.fstat(file.fileno()), piece):
            raise ValueError(f"expected the file that was listed, got another one in its place; {_READ_AGAIN}")
        self._file = file
        self._size = piece.size
        self._compression = CompressionTypes.detect_compression_type(piece.path)
        self._encoding = encoding
        self.behind: list[Unreadable] = []
        self.codec = ""
        self.is_plain = False
        if self._compression == CompressionTypes.UNCOMPRESSED:
            head = file.read(_HEAD_BYTES)
            self.codec = marked_encoding(head)[0] or encoding
            self.is_plain = self.codec == UTF8 and not packed_as(head)

    def since(self, offset: int) -> Iterator[bytes]:
        """What is behind an offset in the file, decompressed."""
        self._file.seek(offset)
        yield from decompressed(self._file, self._compression, self.behind)
        if self._compression == CompressionTypes.UNCOMPRESSED and self._file.tell() < self._size:
            raise EOFError(f"expected {self._size:,} bytes, as when the file was listed, got fewer; {_READ_AGAIN}")

    def __iter__(self) -> Iterator[bytes]:
        self.behind.clear()
        chunks = self.since(0)
        head = b""
        for chunk in chunks:
            head += chunk
            if len(head) >= _HEAD_BYTES:
                break
        if packed := packed_as(head):
            what, remedy = packed
            if self._compression != CompressionTypes.UNCOMPRESSED:
                what, remedy = f"{what} in {self._compression}", "unpack it"
            raise ValueError(f"expected a text file, got one whose first bytes are those of {what}; {remedy}")
        marked, size = marked_encoding(head)
        self.codec = marked or self._encoding
        if head == codecs.BOM_UTF8:
            return
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


def _is_another(found: os.stat_result, piece: FileRange) -> bool:
    """Whether a file was put in the place of the one that was listed, which one that only grew was not."""
    # Some file systems number inodes anew whenever they look at them, and on each machine in another way.
    return found.st_ino != piece.inode and found.st_mtime_ns // 1000 != piece.modified


@contextlib.contextmanager
def _opened(piece: FileRange, encoding: str) -> Iterator[_Data]:
    with FileSystems.open(piece.path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        yield _Data(file, piece, encoding)


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
            # What writes CR LF as a line end of text files makes CR CR LF of it on Windows.
            yield position, line.rstrip(b"\r")
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
    with _opened(piece, encoding) as data:
        for position, line in _lines(data, piece.start, piece.stop):
            yield data.piece(position, line, {})
        yield from data.behind


def read_separated_lines(piece: FileRange, table: Table, encoding: str = UTF8) -> Pieces:
    """The lines that start in a range of a file, without the header of the file, which is an attribute of each.

    Lines that are joined by a quoted field are one part that cannot be read, because a range may begin between them.

    Args:
        piece: as in read_lines.
        table: how the lines are made of fields.
        encoding: as in read_lines.

    Raises:
        ValueError: if the header cannot be used; only in the range that starts at 0, lest each range of the file say
            so.
    """
    with _opened(piece, encoding) as data:
        lines = _lines(data, piece.start, piece.stop)
        first = next(lines, None)
        if first is not None:
            try:
                attributes = _header(_first_line(piece, encoding) if piece.start else first[1], table)
            except ValueError:
                if piece.start:
                    return
                raise
            if piece.start:
                lines = itertools.chain([first], lines)
            for position, line, count in _records(lines, table):
                if count > 1:
                    error = f"expected a record on one line, got a quoted field over {count} lines; set csv_multiline"
                    yield Unreadable(position, line, ValueError(error))
                else:
                    yield data.piece(position, line, attributes)
        yield from data.behind


def _records(lines: Iterator[_Line], table: Table) -> Iterator[tuple[int, bytes, int]]:
    """Lines, and lines that a quoted field joins as one, with their positions and numbers of lines."""
    waiting: collections.deque[_Line] = collections.deque()
    while (coming := _next(waiting, lines)) is not None:
        position, line = coming
        if not table.fields.is_quoted or line.count(b'"') % 2 == 0 or _state(line, table) != "open":
            yield position, line, 1
            continue
        begun, state = line, "open"
        ahead: list[_Line] = []
        while len(ahead) < _MOST_LINES and (following := _next(waiting, lines)) is not None:
            ahead.append(following)
            begun += b"\n" + following[1]
            state = _state(begun, table) if b'"' in following[1] else "open"
            if state != "open":
                break
        if state == "whole":
            yield position, begun, len(ahead) + 1
        else:
            # The quote is never closed, or not at the end of a field, so that this line alone is wrong.
            yield position, line, 1
            waiting.extendleft(reversed(ahead))


def _next(waiting: "collections.deque[_Line]", lines: Iterator[_Line]) -> _Line | None:
    return waiting.popleft() if waiting else next(lines, None)


def _state(lines: bytes, table: Table) -> str:
    """Whether the lines of a record are "whole", "broken", or "open": a quoted field goes on behind them."""
    try:
        quoted_records(lines.decode("latin-1"), table.fields.delimiter)
    except csv.Error as error:
        return "open" if "unexpected end of data" in str(error) else "broken"
    return "whole"


def _first_line(piece: FileRange, encoding: str) -> bytes:
    with _opened(piece, encoding) as data:
        return next(_split(data, b"\n"))[1]


def _header(line: bytes, table: Table) -> dict[str, str]:
    """The attributes of the records under a header."""
    try:
        header = line.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"expected a header in the file's encoding, got {line[:200]!r}; name its encoding, as in encoding=latin-1"
        ) from error
    if table.column:
        rows = (
            csv.reader([header], delimiter=table.fields.delimiter)
            if table.fields.is_quoted
            else [header.split(table.fields.delimiter)]
        )
        try:
            names = next(iter(rows), [])
        except csv.Error as error:
            raise ValueError(f"expected a header of one line, got {header[:200]!r}: {error}") from error
        if table.column not in names:
            got = f"{[name[:40] for name in names[:20]]}{' and more' if len(names) > 20 else ''}"
            raise ValueError(
                f"expected a column {table.column!r} in the header, the first line, got {got}; name the column of the "
                "texts with text_field, or add a header"
            )
    return {CSV_HEADER: header}


def read_document(piece: FileRange, encoding: str = UTF8) -> Pieces:
    """A whole file as one record."""
    with _opened(piece, encoding) as data:
        text = b"".join(data)
        yield data.piece(0, text, {})
        yield from data.behind


def read_multiline(piece: FileRange, table: Table, encoding: str = UTF8) -> Pieces:
    """The records of a file, which may span lines; one ends at a line end outside quotes."""
    allow_large_fields()
    lines: list[bytes] = []

    def remembered() -> Iterator[str]:
        mark = codecs.BOM_UTF8
        for line in _lines_with_ends(data):
            lines.append(line)
            yield line.removeprefix(mark).decode(UTF8, "surrogateescape")
            mark = b""

    with _opened(piece, encoding) as data:
        attributes: dict[str, str] = {}
        for row, _ in enumerate(csv.reader(remembered(), delimiter=table.fields.delimiter)):
            record = b"".join(lines).rstrip(b"\r\n")
            lines.clear()
            if row:
                yield data.piece(row, record, attributes)
            else:
                attributes = _header(record, table)
        yield from data.behind


def _lines_with_ends(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines as they are; each CR, LF or CR LF ends one."""
    begun = b""
    for chunk in chunks:
        # The last is joined with the next chunk, which may begin with the LF of its CR LF.
        *whole, begun = (begun + chunk).splitlines(keepends=True) or [b""]
        yield from whole
    if begun:
        yield begun
