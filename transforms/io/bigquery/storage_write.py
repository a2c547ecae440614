"""Arrow record batches to a table's default stream, through BigQuery's Storage Write API.

The default stream is at-least-once: an append whose acknowledgement is lost is sent again, and its rows are there
twice.
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

# BigQuery takes rows and requests below 10 MB; the rest is for the envelope.
MAX_BATCH_BYTES = 9_000_000
ACKNOWLEDGE_SECONDS = 120.0

T = TypeVar("T")


class ArrowAppender(Generic[T]):
    """Appends rows to a table, and returns when BigQuery has acknowledged them.

    Args:
        table: the table.
        to_arrow: rows as an Arrow table, which always has the same schema; raises on a row that has no such form.
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
            # Whether the service still knows a schema that came with a failed request, nobody says.
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
    """One AppendRows call, opened when it is needed; one request is under way at a time."""

    def __init__(self, client: BigQueryWriteClient, name: str) -> None:
        self._client = client
        self._name = name
        self._lock = threading.Lock()
        self._call: Any = None
        self._requests: queue.SimpleQueue[types.AppendRowsRequest | None] = queue.SimpleQueue()

    def append(self, schema: bytes, batch: bytes) -> types.AppendRowsResponse:
        """The response to a serialized record batch of a serialized schema.

        Raises:
            grpc.RpcError, Transient: if the call broke; the next append opens another.
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
        # The client's own append_rows would block on the first response before it hands out the call.
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
