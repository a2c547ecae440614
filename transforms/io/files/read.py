"""ReadFiles: reads files as records with their origin; a bad line or file does not affect the other records."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io import fileio, range_trackers
from apache_beam.io.filesystem import CompressionTypes

from transforms.counters import Counters
from transforms.dead_letters import TAG, DeadLetterTransform, WithDeadLetters, dead_letters, split_dead_letters
from transforms.io.files.lines import read_document, read_lines, read_multiline, read_separated_lines
from transforms.io.files.pieces import FileRange, Piece, Pieces
from transforms.io.files.rows import read_avro, read_parquet
from transforms.types import Record

STAGE = "Read records"


class _Reader(NamedTuple):
    read: Callable[[FileRange], Pieces]
    splittable: bool


_READERS = {
    "text": _Reader(read_lines, True),
    "jsonl": _Reader(read_lines, True),
    "csv": _Reader(read_separated_lines, True),
    "tsv": _Reader(read_separated_lines, True),
    "document": _Reader(read_document, False),
    "parquet": _Reader(read_parquet, False),
    "avro": _Reader(read_avro, False),
}
_MULTILINE_READERS = {
    "csv": _Reader(read_multiline(","), False),
    "tsv": _Reader(read_multiline("\t"), False),
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
            self._reader = self._reader._replace(read=functools.partial(read_parquet, columns=list(columns)))
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
        records = 0
        if not piece.start:
            self._counters.count("files")
        try:
            for found in self._reader.read(piece):
                records += 1
                if isinstance(found, Piece):
                    yield Record(found.data, f"{name}#{found.position}", "", found.attributes, None)
                else:
                    self._counters.count("records_unreadable")
                    yield from self._refused(found.error, found.data, f"{name}#{found.position}")
        # The exception depends on the decoder of the file: OSError, EOFError, zlib.error, ArrowInvalid, ...
        except Exception as error:
            self._counters.count("files_unreadable")
            yield from self._refused(error, name.encode(), name)
        self._counters.count("records", records)

    def _refused(self, error: Exception, data: bytes, origin: str) -> Iterator[Any]:
        self._counters.count("dead_letters_read")
        for letter in dead_letters(STAGE, error, data, {"origin": origin}):
            yield beam.pvalue.TaggedOutput(TAG, letter)
