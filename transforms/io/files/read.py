"""ReadFiles: reads files as records with their origin; a bad line or file does not affect the other records."""

import csv
import functools
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.io import fileio, range_trackers
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.textio import _TextSource

from transforms.counters import Counters
from transforms.dead_letters import TAG, DeadLetterTransform, WithDeadLetters, dead_letters, split_dead_letters
from transforms.io.json_rows import as_json
from transforms.types import CSV_HEADER, Record

STAGE = "Read records"
_BOM = b"\xef\xbb\xbf"
_BUFFER_BYTES = 1 << 20
_ROWS_A_BATCH = 1024


class FileRange(NamedTuple):
    """A range of a file that one worker reads: the records that start in [start, stop), in bytes."""

    path: str
    start: int
    stop: int


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

    def read_records(self, file_name: str, range_tracker: Any) -> Iterator[tuple[int, bytes, Mapping[str, str]]]:
        claims = _Claims(range_tracker)
        for line in super().read_records(file_name, claims):
            yield claims.position, line if claims.position else line.removeprefix(_BOM), self._attributes
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


def _read_lines(piece: FileRange, has_header: bool = False) -> Iterator[tuple[int, bytes, Mapping[str, str]]]:
    tracker: Any = range_trackers.OffsetRangeTracker(piece.start, piece.stop)
    if piece.stop == range_trackers.OffsetRangeTracker.OFFSET_INFINITY:
        tracker = range_trackers.UnsplittableRangeTracker(tracker)
    yield from _LineSource(piece.path, has_header).read_records(piece.path, tracker)


def _read_separated_lines(piece: FileRange) -> Iterator[tuple[int, bytes, Mapping[str, str]]]:
    return _read_lines(piece, has_header=True)


def _read_document(piece: FileRange) -> Iterator[tuple[int, bytes, Mapping[str, str]]]:
    yield 0, _read_whole(piece.path).removeprefix(_BOM), {}


def _read_multiline(delimiter: str) -> Callable[[FileRange], Iterator[tuple[int, bytes, Mapping[str, str]]]]:
    """A reader of separated records that may span lines; a record ends at a line end outside quotes."""

    def read(piece: FileRange) -> Iterator[tuple[int, bytes, Mapping[str, str]]]:
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
                yield row, record.encode("utf-8", "surrogateescape"), attributes

    return read


def _read_parquet(
    piece: FileRange, columns: Sequence[str] | None = None
) -> Iterator[tuple[int, bytes, Mapping[str, str]]]:
    import pyarrow.parquet as pq

    with FileSystems.open(piece.path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        batches = pq.ParquetFile(file).iter_batches(batch_size=_ROWS_A_BATCH, columns=columns)
        for number, row in enumerate(row for batch in batches for row in batch.to_pylist()):
            yield number, as_json(row), {}


def _read_avro(piece: FileRange) -> Iterator[tuple[int, bytes, Mapping[str, str]]]:
    import fastavro

    with FileSystems.open(piece.path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        for number, row in enumerate(fastavro.reader(file)):
            yield number, as_json(row), {}


class _Reader(NamedTuple):
    read: Callable[[FileRange], Iterator[tuple[int, bytes, Mapping[str, str]]]]
    splittable: bool


_READERS = {
    "text": _Reader(_read_lines, True),
    "jsonl": _Reader(_read_lines, True),
    "csv": _Reader(_read_separated_lines, True),
    "tsv": _Reader(_read_separated_lines, True),
    "document": _Reader(_read_document, False),
    "parquet": _Reader(_read_parquet, False),
    "avro": _Reader(_read_avro, False),
}
_MULTILINE_READERS = {
    "csv": _Reader(_read_multiline(","), False),
    "tsv": _Reader(_read_multiline("\t"), False),
}
FILE_FORMATS = tuple(_READERS)


class ReadFiles(DeadLetterTransform):
    """Reads files as PCollection[Record], with one record per line, row or file.

    The origin of a record is "path#position", where the position is the byte offset of a line (in the uncompressed
    data) or the number of a row; for a whole file it is 0. A file that cannot be read to its end becomes a dead letter
    that names it; the records that were read before the error are kept.

    Args:
        patterns: local or GCS paths or globs; Beam's file matching and decompression apply.
        input_format: one of FILE_FORMATS.
        csv_multiline: whether separated records may span lines; each file is then read whole, by one worker.
        names: the name to use for a path in the origin of its records, for paths that should have another name.
        columns: the columns of a Parquet file to read; by default all of them. Other formats are always read whole.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        input_format: str = "text",
        csv_multiline: bool = False,
        names: Mapping[str, str] | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._patterns = list(patterns)
        self._reader = (_READERS | (_MULTILINE_READERS if csv_multiline else {}))[input_format]
        if columns and input_format == "parquet":
            self._reader = self._reader._replace(read=functools.partial(_read_parquet, columns=list(columns)))
        self._names = dict(names or {})

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Record]:
        """The records, and as dead letters the files that could not be read."""
        ranges = (
            pcoll
            | "List patterns" >> beam.Create(self._patterns)
            | "Match files" >> fileio.MatchAll(fileio.EmptyMatchTreatment.ALLOW)
            | "Cut into ranges" >> beam.FlatMap(_ranges, self._reader.splittable).with_output_types(FileRange)
            # Distributes the ranges over all workers; the records stay on the worker that reads them.
            | "Share out ranges" >> beam.Reshuffle()
        )
        return split_dead_letters(ranges, STAGE, _Read(self._reader, self._names), Record)


def _ranges(metadata: Any, splittable: bool) -> Iterator[FileRange]:
    compression = CompressionTypes.detect_compression_type(metadata.path)
    if not splittable or compression != CompressionTypes.UNCOMPRESSED:
        yield FileRange(metadata.path, 0, range_trackers.OffsetRangeTracker.OFFSET_INFINITY)
        return
    size = metadata.size_in_bytes
    step = min(max(size // 64, 32 * 1024), 32 * 1024 * 1024)
    for start in range(0, size, step):
        yield FileRange(metadata.path, start, min(start + step, size))


class _Read(beam.DoFn):
    def __init__(self, reader: _Reader, names: Mapping[str, str]) -> None:
        self._reader = reader
        self._names = names
        self._counters = Counters()

    def process(self, piece: FileRange) -> Iterator[Any]:
        name = self._names.get(piece.path, piece.path)
        try:
            for position, data, attributes in self._reader.read(piece):
                yield Record(data, f"{name}#{position}", "", attributes, None)
        # The exception depends on the decoder of the file: OSError, EOFError, zlib.error, ArrowInvalid, ...
        except Exception as error:
            self._counters.count("dead_letters_read")
            for letter in dead_letters(STAGE, error, name.encode(), {"origin": name}):
                yield beam.pvalue.TaggedOutput(TAG, letter)
