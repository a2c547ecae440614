"""ReadTable: reads the rows of a BigQuery table as records, through the Storage Read API."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics.metric import Lineage
from google.cloud.bigquery_storage_v1 import types

from transforms.io.bigquery.tables import TableName, parse_table
from transforms.io.google_clients import bigquery_read_client
from transforms.io.json_rows import as_json
from transforms.io.lineage import add_table
from transforms.schema import Column
from transforms.types import Record

# Each stream is read by one worker, so many are requested; BigQuery returns fewer for a small table.
_MOST_STREAMS = 1000


class ReadTable(beam.PTransform):
    """Reads a table as PCollection[Record], with one record per row, as JSON.

    The read session is a snapshot of the table, so rows that the pipeline itself writes to it are not read. A table
    that cannot be read fails the pipeline. Unlike Beam's ReadFromBigQuery, this transform can read from an emulator.

    Args:
        table: the table, as project:dataset.table.
        columns: the columns to read; BigQuery charges only for these. A NULLABLE one that the table lacks is left out.
        restriction: a condition on the rows to read, as in a SQL WHERE clause; by default all rows are read.
    """

    def __init__(self, table: str, columns: Sequence[Column], restriction: str = "") -> None:
        super().__init__()
        self._table = parse_table(table)
        self._columns = {column.name: column.mode == "NULLABLE" for column in columns}
        self._restriction = restriction

    def expand(self, begin: Any) -> Any:
        """Opens the session and reads its streams."""
        streams = (
            begin
            | "Name table" >> beam.Create([str(self._table)])
            | "Open session" >> beam.FlatMap(_streams, self._columns, self._restriction).with_output_types(str)
            # Distributes the streams over all workers, and keeps the session if a stream is retried.
            | "Share out streams" >> beam.Reshuffle()
        )
        return streams | "Read streams" >> beam.FlatMap(_records, str(self._table)).with_output_types(Record)


def _streams(table: str, columns: Mapping[str, bool], restriction: str) -> list[str]:
    """The streams of a session that reads `columns`, each with whether the table may lack it."""
    add_table(Lineage.sources(), *parse_table(table))
    if any(columns.values()):
        # What may be read of a table need not be what may be known of it otherwise.
        schema = pa.ipc.read_schema(pa.py_buffer(_session(table).arrow_schema.serialized_schema))
        columns = {name: False for name, optional in columns.items() if name in schema.names or not optional}
    return [stream.name for stream in _session(table, list(columns), restriction, _MOST_STREAMS).streams]


def _session(table: str, columns: Sequence[str] = (), restriction: str = "", streams: int = 1) -> types.ReadSession:
    name: TableName = parse_table(table)
    return bigquery_read_client().create_read_session(
        parent=f"projects/{name.project}",
        read_session=types.ReadSession(
            table=f"projects/{name.project}/datasets/{name.dataset}/tables/{name.table}",
            data_format=types.DataFormat.ARROW,
            read_options=types.ReadSession.TableReadOptions(selected_fields=list(columns), row_restriction=restriction),
        ),
        max_stream_count=streams,
    )


def _records(stream: str, table: str) -> Iterator[Record]:
    schema = None
    # The client resumes the stream if the connection is lost.
    for response in bigquery_read_client().read_rows(stream):
        # Only the first response contains the schema.
        schema = schema or pa.ipc.read_schema(pa.py_buffer(response.arrow_schema.serialized_schema))
        data = pa.py_buffer(response.arrow_record_batch.serialized_record_batch)
        for row in pa.ipc.read_record_batch(data, schema).to_pylist():
            yield Record(as_json(row), table, "", {}, None)
