"""ReadFiles: reads files as records with their origin; a bad line or file does not affect the other records."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.counters import Counters
from transforms.dead_letters import DeadLetterTransform, WithDeadLetters, refused, split_dead_letters
from transforms.io.files.avro import read_avro
from transforms.io.files.encodings import UTF8, known_encoding
from transforms.io.files.lines import Table, read_document, read_lines, read_multiline, read_separated_lines
from transforms.io.files.match import File, absolute, match, partitions, printable
from transforms.io.files.parquet import read_parquet
from transforms.io.files.pieces import FileRange, Piece, Pieces
from transforms.separated import SEPARATED
from transforms.types import Record

STAGE = "Read records"


class _Reader(NamedTuple):
    """How a format is read.

    Attributes:
        read: reads a range of a file.
        splittable: whether a file can have more than one range.
        options: the keyword arguments that `read` takes.
    """

    read: Callable[..., Pieces]
    splittable: bool
    options: tuple[str, ...] = ()


_READERS = {
    "text": _Reader(read_lines, True, ("encoding",)),
    "jsonl": _Reader(read_lines, True, ("encoding",)),
    "csv": _Reader(read_separated_lines, True, ("encoding", "table")),
    "tsv": _Reader(read_separated_lines, True, ("encoding", "table")),
    "document": _Reader(read_document, False, ("encoding",)),
    "parquet": _Reader(read_parquet, False, ("columns",)),
    "avro": _Reader(read_avro, False),
}
_MULTILINE_READER = _Reader(read_multiline, False, ("encoding", "table"))
FILE_FORMATS = tuple(_READERS)


class ReadFiles(DeadLetterTransform):
    """Reads files as PCollection[Record], with one record per line, row or file.

    The origin of a record is "path#position", where the position is the byte offset of a line (in the uncompressed
    data, as UTF-8) or the number of a row; for a whole file it is 0. A path that is not UTF-8 is percent-escaped there.
    Folders named key=value on the path of a file are attributes of its records. A file that cannot be read to its end
    becomes a dead letter that names it; the records that were read before the error are kept.

    Which files a path, a folder or a pattern stands for is said in `transforms.io.files.match`. They are counted
    ("files"), and so are those that are left out ("files_left_out").

    Args:
        patterns: local or GCS paths, folders or globs; a file is decompressed if its name ends as Beam expects it to.
        input_format: one of FILE_FORMATS.
        csv_multiline: whether separated records may span lines; each file is then read whole, by one worker.
        names: the name to use for a path in the origin of its records, for paths that should have another name.
        columns: the columns of a Parquet file to read; by default all of them. Other formats are always read whole.
        encoding: the encoding of text files, one of Python's text encodings; a file that begins with a mark of UTF-8,
            UTF-16 or UTF-32 is read by its mark. A file that is not UTF-8 is read by one worker.
        is_quoted: whether double quotes enclose the fields of separated records; by default they do in CSV, not in TSV.
        text_column: a column that the header of separated records must have; a file without it is a dead letter.

    Raises:
        ValueError: if the encoding is not one of Python's text encodings.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        input_format: str = "text",
        csv_multiline: bool = False,
        names: Mapping[str, str] | None = None,
        columns: Sequence[str] = (),
        encoding: str = UTF8,
        is_quoted: bool | None = None,
        text_column: str = "",
    ) -> None:
        super().__init__()
        # Beam's coder of text refuses the surrogates of a path that is not UTF-8; _Match takes this back.
        self._patterns = [os.fsencode(pattern).decode("latin-1") for pattern in patterns]
        table = None
        if fields := SEPARATED.get(input_format):
            quoted = fields.is_quoted or csv_multiline if is_quoted is None else is_quoted
            table = Table(fields._replace(is_quoted=quoted), text_column)
        reader = _MULTILINE_READER if csv_multiline and table else _READERS[input_format]
        options = {"encoding": known_encoding(encoding), "columns": list(columns) or None, "table": table}
        self._read = functools.partial(reader.read, **{name: options[name] for name in reader.options})
        self._splittable = reader.splittable and options["encoding"] == UTF8
        self._names = dict(names or {})

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Record]:
        """The records, and as dead letters the files that could not be read."""
        ranges = (
            pcoll
            | "List patterns" >> beam.Create(self._patterns)
            | "Match files" >> beam.ParDo(_Match()).with_output_types(File)
            | "Cut into ranges" >> beam.FlatMap(_ranges, self._splittable).with_output_types(FileRange)
            # Distributes the ranges over all workers; the records stay on the worker that reads them.
            | "Share out ranges" >> beam.Reshuffle()
        )
        return split_dead_letters(ranges, STAGE, _Read(self._read, self._names), Record)


class _Match(beam.DoFn):
    def __init__(self) -> None:
        self._counters = Counters()

    def process(self, pattern: str) -> Iterator[File]:
        matched = match(os.fsdecode(pattern.encode("latin-1")))
        self._counters.count("files", len(matched.files))
        self._counters.count("files_left_out", len(matched.left_out))
        yield from matched.files


def _ranges(file: File, splittable: bool) -> Iterator[FileRange]:
    size = file.size or 0
    compression = CompressionTypes.detect_compression_type(file.path)
    if not splittable or compression != CompressionTypes.UNCOMPRESSED:
        # Readers of whole files do not ask where their range ends.
        yield FileRange(file.path, 0, size, file.modified)
        return
    step = min(max(size // 64, 32 * 1024), 32 * 1024 * 1024)
    for start in range(0, size, step):
        yield FileRange(file.path, start, min(start + step, size), file.modified)


class _Read(beam.DoFn):
    def __init__(self, read: Callable[[FileRange], Pieces], names: Mapping[str, str]) -> None:
        self._read = read
        self._names = names
        self._counters = Counters()

    def process(self, piece: FileRange) -> Iterator[Any]:
        name = printable(self._names.get(piece.path, piece.path))
        # A pipe that was copied into a file has no time of its own.
        modified = None if piece.path in self._names else piece.modified
        # Once for the file, and not for a pipe.
        if piece.start == 0 and piece.path not in self._names:
            FileSystems.report_source_lineage(name)
        records = 0
        try:
            folders = partitions(name if piece.path in self._names else absolute(name))
        except ValueError as error:
            # Once for the file, not for each of its ranges.
            if piece.start == 0:
                yield from self._unreadable(error, name)
            return
        try:
            for found in self._read(piece):
                records += 1
                if isinstance(found, Piece):
                    attributes = {**found.attributes, **folders} if folders else found.attributes
                    yield Record(found.data, f"{name}#{found.position}", "", attributes, None, modified)
                else:
                    self._counters.count("records_unreadable")
                    yield from _refused(found.error, found.data, f"{name}#{found.position}")
        # The exception depends on the decoder of the file: OSError, EOFError, zlib.error, ArrowInvalid, ...
        except Exception as error:
            yield from self._unreadable(error, name)
        self._counters.count("records", records)

    def _unreadable(self, error: Exception, name: str) -> Iterator[Any]:
        self._counters.count("files_unreadable")
        yield from _refused(error, name.encode(), name)


def _refused(error: Exception, data: bytes, origin: str) -> Iterator[Any]:
    return refused("dead_letters_read", STAGE, error, data, {"origin": origin})
