"""WriteBundleFiles: writes the rows of a stream to files, one file per bundle, complete when the bundle ends."""

import datetime
import uuid
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from transforms.io.disk import is_local, sync
from transforms.io.files.write import WRITERS, Kind


class WriteBundleFiles(beam.PTransform):
    """Writes elements of `kind` to PREFIX-TIME-UNIQUE.FORMAT, one file per bundle.

    A file is written under a temporary name and renamed at the end of its bundle, so that a reader of PREFIX* sees only
    complete files. A retried bundle may write its rows again, with the same ids.

    Args:
        prefix: the path of the files, up to their time.
        file_format: one of write.FILE_FORMATS.
        kind: the type of the elements, write.ROWS or write.DEAD_LETTERS.
    """

    def __init__(self, prefix: str, file_format: str, kind: Kind) -> None:
        super().__init__()
        self._write = _Write(prefix, file_format, kind)

    def expand(self, pcoll: Any) -> Any:
        """Writes the elements and returns an empty PCollection."""
        return pcoll | "Write a file a bundle" >> beam.ParDo(self._write)


class _Write(beam.DoFn):
    def __init__(self, prefix: str, file_format: str, kind: Kind) -> None:
        self._prefix = prefix
        self._format = file_format
        self._kind = kind

    def start_bundle(self) -> None:
        self._elements: list[Any] = []

    def process(self, element: Any) -> None:
        self._elements.append(element)

    def finish_bundle(self) -> None:
        if not self._elements:
            return
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
        folder, name = FileSystems.split(self._prefix)
        final = FileSystems.join(folder, f"{name}-{now}-{uuid.uuid4().hex[:12]}.{self._format}")
        # The leading dot hides an unfinished file from readers that match PREFIX*.
        part = FileSystems.join(folder, f".{FileSystems.split(final)[1]}.part")
        writer = WRITERS[self._format](FileSystems.create(part, compression_type="uncompressed"), self._kind)
        writer.write(self._elements)
        writer.close()
        here = is_local(self._prefix)
        # The messages of the bundle are acknowledged next, so its rows must survive the end of the machine.
        if here:
            sync(part)
        FileSystems.rename([part], [final])
        if here:
            sync(folder)
        self._elements = []
