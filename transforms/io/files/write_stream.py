"""WriteBundleFiles: writes the rows of a stream to files, one file per bundle, complete when the bundle ends."""

import datetime
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils.windowed_value import WindowedValue

from transforms.io.disk import whole_file
from transforms.io.files.write import WRITERS
from transforms.io.lag import ROWS_LAG, observe_lag
from transforms.kinds import Kind
from transforms.types import SentenceEmbedding, is_end


class WriteBundleFiles(beam.PTransform):
    """Writes elements of `kind` to PREFIX-TIME-UNIQUE.FORMAT, one file per bundle.

    A file is written under a temporary name and renamed at the end of its bundle, so that a reader of PREFIX* sees only
    complete files. A retried bundle may write its rows again, with the same ids.

    Args:
        prefix: the path of the files, up to their time.
        file_format: one of write.FILE_FORMATS.
        kind: the kind of the elements.
    """

    def __init__(self, prefix: str, file_format: str, kind: Kind) -> None:
        super().__init__()
        self._write = _Write(prefix, file_format, kind)

    def expand(self, pcoll: Any) -> Any:
        """Writes the elements, and returns them once their file is there; the ends of versions are returned only."""
        return pcoll | "Write a file a bundle" >> beam.ParDo(self._write).with_output_types(self._write.element)


class _Write(beam.DoFn):
    def __init__(self, prefix: str, file_format: str, kind: Kind) -> None:
        self._prefix = prefix
        self._format = file_format
        self._kind = kind
        self.element = kind.element

    def start_bundle(self) -> None:
        self._arrived: list[WindowedValue] = []

    def process(
        self, element: Any, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> None:
        self._arrived.append(WindowedValue(element, timestamp, (window,)))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if rows := [arrived.value for arrived in self._arrived if not is_end(arrived.value)]:
            self._write(rows)
            # All files, of which a stream writes one a bundle, by one name.
            FileSystems.report_sink_lineage(f"{self._prefix}*.{self._format}")
            if self.element is SentenceEmbedding:
                observe_lag(ROWS_LAG, rows)
        yield from self._arrived
        self._arrived = []

    def _write(self, elements: Sequence[Any]) -> None:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
        folder, name = FileSystems.split(self._prefix)
        # The messages of the bundle are acknowledged next, so its rows must survive the end of the machine.
        with whole_file(folder, f"{name}-{now}-{uuid.uuid4().hex[:12]}.{self._format}") as part:
            writer = WRITERS[self._format](FileSystems.create(part, compression_type="uncompressed"), self._kind)
            writer.write(elements)
            writer.close()
