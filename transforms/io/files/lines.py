"""Readers of lines and of whole files."""

import csv
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.coders import BytesCoder
from apache_beam.io import range_trackers
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.textio import _TextSource

from transforms.io.files.pieces import FileRange, Piece, Pieces
from transforms.types import CSV_HEADER

_BOM = b"\xef\xbb\xbf"
_BUFFER_BYTES = 1 << 20


class _Claims:
    """A range tracker that remembers the last claimed position, which is the offset of the current record."""

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker
        self.position = 0

    def try_claim(self, position: int) -> bool:
        self.position = position
        return bool(self._tracker.try_claim(position))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracker, name)


class _LineSource(_TextSource):
    """Beam's text source, extended to yield each line with its offset and the header line of its file, if any."""

    def __init__(self, path: str, has_header: bool) -> None:
        super().__init__(
            path,
            min_bundle_size=0,
            compression_type=CompressionTypes.AUTO,
            strip_trailing_newlines=True,
            coder=BytesCoder(),
            buffer_size=_BUFFER_BYTES,
            validate=False,
        )
        self._has_header = has_header
        self._attributes: dict[str, str] = {}

    def open_file(self, file_name: str) -> Any:
        self._file = super().open_file(file_name)
        return self._file

    def read_records(self, file_name: str, range_tracker: Any) -> Iterator[Piece]:
        claims = _Claims(range_tracker)
        for line in super().read_records(file_name, claims):
            yield Piece(claims.position, line if claims.position else line.removeprefix(_BOM), self._attributes)
        _check_complete(self._file)

    def _process_header(self, file_to_read: Any, read_buffer: Any) -> int:
        if not self._has_header:
            return 0
        line, size = self._read_record(file_to_read, read_buffer)
        self._attributes = {CSV_HEADER: line.decode("utf-8-sig", "replace")}
        return size if size > 0 else len(line)


def _read_whole(path: str) -> bytes:
    with FileSystems.open(path) as file:
        # The read() method of a compressed file returns at most one buffer at a time.
        data = b"".join(iter(lambda: file.read(_BUFFER_BYTES), b""))
        _check_complete(file)
        return data


def _check_complete(file: Any) -> None:
    """Raises EOFError for a truncated compressed file, which Beam would read without an error."""
    decompressor = getattr(file, "_decompressor", None)
    if decompressor is not None and not getattr(decompressor, "eof", True):
        raise EOFError("the compressed file ends before its end-of-stream marker")


def read_lines(piece: FileRange, has_header: bool = False) -> Pieces:
    """The lines that start in a range of a file."""
    tracker: Any = range_trackers.OffsetRangeTracker(piece.start, piece.stop)
    if piece.stop == range_trackers.OffsetRangeTracker.OFFSET_INFINITY:
        tracker = range_trackers.UnsplittableRangeTracker(tracker)
    yield from _LineSource(piece.path, has_header).read_records(piece.path, tracker)


def read_separated_lines(piece: FileRange) -> Pieces:
    """The lines that start in a range of a file, without the header of the file, which is an attribute of each."""
    return read_lines(piece, has_header=True)


def read_document(piece: FileRange) -> Pieces:
    """A whole file as one record."""
    yield Piece(0, _read_whole(piece.path).removeprefix(_BOM), {})


def read_multiline(delimiter: str) -> Callable[[FileRange], Pieces]:
    """A reader of separated records that may span lines; a record ends at a line end outside quotes."""

    def read(piece: FileRange) -> Pieces:
        text = _read_whole(piece.path).decode("utf-8-sig", "surrogateescape")
        lines: list[str] = []
        csv.field_size_limit(sys.maxsize)

        def remembered() -> Iterator[str]:
            for line in io.StringIO(text, newline=""):
                lines.append(line)
                yield line

        attributes: dict[str, str] = {}
        for row, _ in enumerate(csv.reader(remembered(), delimiter=delimiter)):
            record = "".join(lines).rstrip("\r\n")
            lines.clear()
            if not attributes:
                attributes = {CSV_HEADER: record}
            else:
                yield Piece(row, record.encode("utf-8", "surrogateescape"), attributes)

    return read
