"""Writes Arrow record batches to a table's default stream, through BigQuery's Storage Write API.

The default stream is at-least-once: if the acknowledgement of an append is lost, the append is sent again, and its rows
are in the table twice.
"""

import functools
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import pyarrow as pa
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types

from transforms.counters import Counters
from transforms.io.bigquery.tables import TableName
from transforms.io.google_clients import bigquery_write_client
from transforms.io.retries import REFUSING_CODES, WRITTEN, Answer, Refused, Transient

# BigQuery accepts rows and requests of less than 10 MB; the difference leaves room for the envelope.
MAX_BATCH_BYTES = 9_000_000
ACKNOWLEDGE_SECONDS = 120.0

T = TypeVar("T")


class ArrowAppender(Generic[T]):
    """Appends rows to a table, and returns when BigQuery has acknowledged them.

    Args:
        table: the table.
        to_arrow: converts rows to an Arrow table, always with the same schema; raises if a row cannot be converted.
    """

    def __init__(self, table: TableName, to_arrow: Callable[[Sequence[T]], pa.Table]) -> None:
        project, dataset, name = table
        self._stream = f"projects/{project}/datasets/{dataset}/tables/{name}/streams/_default"
        self._to_arrow = to_arrow
        self._counters = Counters()

    def __call__(self, rows: Sequence[T]) -> Answer:
        """Appends `rows` in one request; for `retries.deliver`."""
        try:
            table = self._to_arrow(rows)
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise Refused(f"expected a row of the table's types, got {type(error).__name__}: {error}") from error
        batch = table.combine_chunks().to_batches()[0].serialize().to_pybytes()
        if len(batch) > MAX_BATCH_BYTES:
            raise Refused(f"expected a row of at most {MAX_BATCH_BYTES} bytes, got {len(batch)}")
        stream = _default_stream(bigquery_write_client(), self._stream)
        response = stream.append(table.schema.serialize().to_pybytes(), batch)
        if response.row_errors or response.error.code:
            # It is not documented whether the service keeps a schema that was sent with a failed request.
            stream.close()
        if response.row_errors:
            refused = {error.index: error.message for error in response.row_errors}
            return Answer(refused, [index for index in range(len(rows)) if index not in refused])
        if response.error.code in REFUSING_CODES:
            raise Refused(response.error.message)
        if response.error.code:
            raise Transient(f"code {response.error.code}: {response.error.message}")
        self._counters.count("bytes_written", len(batch))
        return WRITTEN


class _DefaultStream:
    """An AppendRows call that is opened on demand and has at most one request in flight."""

    def __init__(self, client: BigQueryWriteClient, name: str) -> None:
        self._client = client
        self._name = name
        self._lock = threading.Lock()
        self._call: Any = None
        self._requests: queue.SimpleQueue[types.AppendRowsRequest | None] = queue.SimpleQueue()

    def append(self, schema: bytes, batch: bytes) -> types.AppendRowsResponse:
        """Sends a serialized record batch with its serialized schema, and returns the response.

        Raises:
            grpc.RpcError, Transient: if the call failed or was closed; the next append opens another call.
        """
        with self._lock:
            arrow = types.AppendRowsRequest.ArrowData(rows=types.ArrowRecordBatch(serialized_record_batch=batch))
            if self._call is None:
                self._open()
                arrow.writer_schema = types.ArrowSchema(serialized_schema=schema)
            self._requests.put(types.AppendRowsRequest(write_stream=self._name, arrow_rows=arrow))
            overdue = threading.Timer(ACKNOWLEDGE_SECONDS, self._call.cancel)
            overdue.daemon = True
            overdue.start()
            try:
                return next(self._call)
            except StopIteration:
                self._shut()
                raise Transient("the stream was closed") from None
            except BaseException:
                self._shut()
                raise
            finally:
                overdue.cancel()

    def close(self) -> None:
        """Ends the call, if there is one."""
        with self._lock:
            self._shut()

    def _open(self) -> None:
        requests: queue.SimpleQueue[types.AppendRowsRequest | None] = queue.SimpleQueue()
        # The client's append_rows method would block until the first response arrives.
        self._call = self._client.transport.append_rows(
            iter(requests.get, None), metadata=(("x-goog-request-params", f"write_stream={self._name}"),)
        )
        self._requests = requests

    def _shut(self) -> None:
        if self._call is not None:
            self._requests.put(None)
            self._call.cancel()
            self._call = None


_lock = threading.Lock()


def _default_stream(client: BigQueryWriteClient, name: str) -> _DefaultStream:
    with _lock:
        return _make_default_stream(client, name)


@functools.cache
def _make_default_stream(client: BigQueryWriteClient, name: str) -> _DefaultStream:
    return _DefaultStream(client, name)
