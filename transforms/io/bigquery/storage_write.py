"""Writes Arrow record batches to a table's default stream, through BigQuery's Storage Write API.

The default stream is at-least-once: if the acknowledgement of an append is lost, the append is sent again, and its rows
are in the table twice.
"""

import collections
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

import pyarrow as pa
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types

from transforms.counters import Counters
from transforms.io.bigquery.tables import TableName
from transforms.io.errors import REFUSING_CODES, Refused, RefusedBySink, Transient, is_refusal
from transforms.io.google_clients import bigquery_write_client, once_per_process
from transforms.io.retries import WRITTEN, Answer

# BigQuery accepts rows and requests of less than 10 MB; the difference leaves room for the envelope.
MAX_BATCH_BYTES = 9_000_000
# What a process has sent to one table without an answer yet. BigQuery takes about 10 MB a second over a connection.
MAX_BYTES_IN_FLIGHT = 64_000_000
ACKNOWLEDGE_SECONDS = 120.0

T = TypeVar("T")


class ArrowAppender(Generic[T]):
    """Appends rows to a table, and returns when BigQuery has acknowledged them.

    Threads append over one connection of the process without waiting for each other.

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
        stream = _default_stream(bigquery_write_client(), self._stream, table.schema.serialize().to_pybytes())
        response = stream.append(batch)
        if response.row_errors:
            refused = {error.index: error.message for error in response.row_errors}
            return Answer(refused, [index for index in range(len(rows)) if index not in refused])
        if response.error.code in REFUSING_CODES:
            raise RefusedBySink(response.error.message)
        if response.error.code:
            raise Transient(f"code {response.error.code}: {response.error.message}")
        self._counters.count("bytes_written", len(batch))
        return WRITTEN


class _Doubtful(Exception):
    """An append failed behind, or together with, another one, whose fault it may have been."""


class _Connection:
    """An AppendRows call. Requests go out one behind the other, and BigQuery answers them in their order.

    It takes no more requests after one has failed, because it is not documented whether the service then keeps the
    schema, which only the first request carries. Those that are under way still get their answers.
    """

    def __init__(self, client: BigQueryWriteClient, name: str, schema: bytes, lock: threading.Condition) -> None:
        self.takes_more = True
        self._name = name
        self._schema = schema
        self._lock = lock
        self._requests: queue.SimpleQueue[types.AppendRowsRequest | None] = queue.SimpleQueue()
        self._waiting: collections.deque[Future[types.AppendRowsResponse]] = collections.deque()
        # The client's append_rows method would block until the first response arrives.
        self._call = client.transport.append_rows(
            iter(self._requests.get, None), metadata=(("x-goog-request-params", f"write_stream={name}"),)
        )
        threading.Thread(target=self._receive, name="bigquery-appends", daemon=True).start()

    def send(self, batch: bytes) -> "Future[types.AppendRowsResponse]":
        """Sends a serialized record batch; the caller holds the lock, under which the connection takes more."""
        rows = types.ArrowRecordBatch(serialized_record_batch=batch)
        arrow = types.AppendRowsRequest.ArrowData(rows=rows)
        if self._schema:
            arrow.writer_schema = types.ArrowSchema(serialized_schema=self._schema)
            self._schema = b""
        answer: Future[types.AppendRowsResponse] = Future()
        self._waiting.append(answer)
        self._requests.put(types.AppendRowsRequest(write_stream=self._name, arrow_rows=arrow))
        return answer

    def wait_for(self, answer: "Future[types.AppendRowsResponse]") -> types.AppendRowsResponse:
        """The answer to a request.

        Raises:
            grpc.RpcError, Transient: if the call failed, was closed, or did not answer in time.
            _Doubtful: if the request failed, but perhaps by the fault of another one.
        """
        try:
            return answer.result(ACKNOWLEDGE_SECONDS)
        except TimeoutError:
            self.close()
            self._call.cancel()
            raise Transient(f"no answer within {ACKNOWLEDGE_SECONDS:g} s") from None

    def close(self) -> None:
        """Takes no more requests, and ends the call when those under way are answered."""
        with self._lock:
            if self.takes_more:
                self.takes_more = False
                self._requests.put(None)
            if not self._waiting:
                self._call.cancel()

    def _receive(self) -> None:
        ended: Exception = Transient("the stream was closed")
        try:
            for response in self._call:
                self._hand_out(response)
        except Exception as error:
            ended = error
        with self._lock:
            waiting, self._waiting = self._waiting, collections.deque()
            self.close()
        doubtful = len(waiting) > 1 and is_refusal(ended)
        for answer in waiting:
            answer.set_exception(_Doubtful() if doubtful else ended)

    def _hand_out(self, response: types.AppendRowsResponse) -> None:
        failed = bool(response.row_errors or response.error.code)
        with self._lock:
            answer = self._waiting.popleft()
            doubtful = failed and not self.takes_more
            if failed or not self.takes_more:
                self.close()
        if doubtful:
            answer.set_exception(_Doubtful())
        else:
            answer.set_result(response)


class _DefaultStream:
    """The appends of this process to one table, over a connection that is opened on demand."""

    def __init__(self, client: BigQueryWriteClient, name: str, schema: bytes) -> None:
        self._client = client
        self._name = name
        self._schema = schema
        self._changed = threading.Condition()
        self._bytes_in_flight = 0
        self._shared: _Connection | None = None

    def append(self, batch: bytes) -> types.AppendRowsResponse:
        """Sends a serialized record batch, and returns its response.

        Raises:
            grpc.RpcError, Transient: if the call failed or was closed; the next append opens another call.
        """
        with self._room_for(len(batch)):
            with self._changed:
                if self._shared is None or not self._shared.takes_more:
                    self._shared = self._connect()
                connection = self._shared
                answer = connection.send(batch)
            try:
                return connection.wait_for(answer)
            except _Doubtful:
                return self._append_alone(batch)

    def _append_alone(self, batch: bytes) -> types.AppendRowsResponse:
        """What BigQuery says to an append that has a connection of its own."""
        with self._changed:
            connection = self._connect()
            answer = connection.send(batch)
        try:
            return connection.wait_for(answer)
        finally:
            connection.close()

    def _connect(self) -> _Connection:
        return _Connection(self._client, self._name, self._schema, self._changed)

    @contextlib.contextmanager
    def _room_for(self, size: int) -> Iterator[None]:
        def has_room() -> bool:
            return not self._bytes_in_flight or self._bytes_in_flight + size <= MAX_BYTES_IN_FLIGHT

        with self._changed:
            self._changed.wait_for(has_room)
            self._bytes_in_flight += size
        try:
            yield
        finally:
            with self._changed:
                self._bytes_in_flight -= size
                self._changed.notify_all()


@once_per_process
def _default_stream(client: BigQueryWriteClient, name: str, schema: bytes) -> _DefaultStream:
    return _DefaultStream(client, name, schema)
