"""WriteFiles: writes rows, dead letters and the journal to files, as Parquet, JSON Lines or Avro."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io import filebasedsink, iobase
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.kinds import Kind
from transforms.schema import arrow_schema, avro_schema

_ROWS_A_BATCH = 4096


class _ParquetWriter:
    def __init__(self, file: Any, kind: Kind) -> None:
        import pyarrow.parquet as pq

        self._file = file
        self._kind = kind
        # Vectors do not repeat, so a dictionary encoding of them would cost time and save no space.
        repeating = [column.name for column in kind.columns if column.type != "FLOAT64" and not column.fields]
        self._writer = pq.ParquetWriter(file, arrow_schema(kind.columns), use_dictionary=repeating)

    def write(self, batch: Sequence[Any]) -> None:
        self._writer.write_table(self._kind.to_arrow(batch))

    def close(self) -> None:
        self._writer.close()
        self._file.close()


class _JsonWriter:
    def __init__(self, file: Any, kind: Kind) -> None:
        self._file = file
        self._kind = kind

    def write(self, batch: Sequence[Any]) -> None:
        for element in batch:
            self._file.write(json.dumps(self._kind.to_json(element), ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        self._file.close()


class _AvroWriter:
    def __init__(self, file: Any, kind: Kind) -> None:
        from fastavro.write import Writer

        self._file = file
        self._kind = kind
        self._writer = Writer(file, avro_schema(kind.columns, kind.element.__name__), codec="deflate")

    def write(self, batch: Sequence[Any]) -> None:
        for element in batch:
            self._writer.write(self._kind.to_dict(element))

    def close(self) -> None:
        self._writer.flush()
        self._file.close()


# The writer of each format, created from an open file and a Kind, with the methods write(batch) and close().
WRITERS: dict[str, Callable[[Any, Kind], Any]] = {
    "parquet": _ParquetWriter,
    "jsonl": _JsonWriter,
    "avro": _AvroWriter,
}
FILE_FORMATS = tuple(WRITERS)


class _Sink(filebasedsink.FileBasedSink):
    """Beam's file sink for batches of elements; each bundle writes one file, and all are renamed at the end."""

    def __init__(self, prefix: str, file_format: str, kind: Kind) -> None:
        super().__init__(
            prefix,
            coder=beam.coders.FastPrimitivesCoder(),
            file_name_suffix=f".{file_format}",
            mime_type="application/octet-stream",
            compression_type=CompressionTypes.UNCOMPRESSED,
            skip_if_empty=True,
        )
        self._format = file_format
        self._kind = kind

    def open(self, temp_path: str) -> Any:
        return WRITERS[self._format](super().open(temp_path), self._kind)

    def write_record(self, file_handle: Any, value: Sequence[Any]) -> None:
        file_handle.write(value)

    def close(self, file_handle: Any) -> None:
        file_handle.close()


class _WaitingSink(_Sink):
    """A sink whose files stay in `folder`, under names of their own, for the program to rename."""

    def __init__(self, prefix: str, file_format: str, kind: Kind, folder: str) -> None:
        super().__init__(prefix, file_format, kind)
        self._folder = folder
        self._pattern = f"{prefix}*.{file_format}"

    def initialize_write(self) -> str:
        return self._folder

    def pre_finalize(self, init_result: Any, writer_results: Any) -> None:
        pass

    def finalize_write(self, init_result: Any, writer_results: Any, pre_finalize_results: Any) -> None:
        if list(writer_results):
            FileSystems.report_sink_lineage(self._pattern)


class WriteFiles(beam.PTransform):
    """Writes elements of `kind` to PREFIX-SSSSS-of-NNNNN.FORMAT; no file is written if there are no elements.

    Args:
        prefix: the path of the files, up to their shard number.
        file_format: one of FILE_FORMATS.
        kind: the kind of the elements.
        folder: where the files stay, under other names, for the caller to rename when the pipeline has ended well; ""
            to have the pipeline rename them. A pipeline that retries bundles may leave files there that do not count.
    """

    def __init__(self, prefix: str, file_format: str, kind: Kind, folder: str = "") -> None:
        super().__init__()
        self._sink = _WaitingSink(prefix, file_format, kind, folder) if folder else _Sink(prefix, file_format, kind)

    def expand(self, pcoll: Any) -> Any:
        """Batches the elements and writes them."""
        return (
            pcoll
            | "Batch rows" >> beam.BatchElements(min_batch_size=_ROWS_A_BATCH, max_batch_size=_ROWS_A_BATCH)
            | "Write files" >> iobase.Write(self._sink)
        )
