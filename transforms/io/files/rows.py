"""Readers of the rows of typed files, as JSON."""

from collections.abc import Sequence

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.io.files.pieces import FileRange, Piece, Pieces
from transforms.io.json_rows import as_json

_ROWS_A_BATCH = 1024


def read_parquet(piece: FileRange, columns: Sequence[str] | None = None) -> Pieces:
    """The rows of a Parquet file; of all its columns, or of `columns`."""
    import pyarrow.parquet as pq

    with FileSystems.open(piece.path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        batches = pq.ParquetFile(file).iter_batches(batch_size=_ROWS_A_BATCH, columns=columns)
        for number, row in enumerate(row for batch in batches for row in batch.to_pylist()):
            yield Piece(number, as_json(row), {})


def read_avro(piece: FileRange) -> Pieces:
    """The rows of an Avro file."""
    import fastavro

    with FileSystems.open(piece.path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        for number, row in enumerate(fastavro.reader(file)):
            yield Piece(number, as_json(row), {})
