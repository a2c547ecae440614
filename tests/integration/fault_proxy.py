"""A proxy before the BigQuery emulator that fails as BigQuery does: outages, quotas, cut connections, refused rows.

Only writes fail (AppendRows and insertAll); all else passes. It can also be as far away as BigQuery is.
"""

import contextlib
import http.client
import http.server
import json
import queue
import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types

from pipeline.emulators.bigquery import Emulator
from tests.integration.tcp_forwarder import TcpForwarder

_APPEND_ROWS = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"
_CREATE_READ_SESSION = "/google.cloud.bigquery.storage.v1.BigQueryRead/CreateReadSession"
_READ_ROWS = "/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows"


class Fault(NamedTuple):
    """A way to fail: over HTTP a status and reason, over gRPC a code, as the call's end or within a response."""

    status: int
    reason: str
    code: grpc.StatusCode
    in_response: bool = False


FAULTS = {
    "unavailable": Fault(503, "backendError", grpc.StatusCode.UNAVAILABLE),
    "rate": Fault(429, "rateLimitExceeded", grpc.StatusCode.RESOURCE_EXHAUSTED),
    "quota": Fault(403, "quotaExceeded", grpc.StatusCode.RESOURCE_EXHAUSTED, in_response=True),
    "internal": Fault(500, "internalError", grpc.StatusCode.INTERNAL),
    "aborted": Fault(502, "badGateway", grpc.StatusCode.ABORTED, in_response=True),
    "no login": Fault(401, "authError", grpc.StatusCode.UNAUTHENTICATED),
    "no right": Fault(403, "accessDenied", grpc.StatusCode.PERMISSION_DENIED),
    "no table": Fault(404, "notFound", grpc.StatusCode.NOT_FOUND),
}


class FaultProxy:
    """The proxy; `rest` and `storage` are its addresses, host:port.

    It tells what it saw: how many `writes`, how many of them it `failed`, how many bytes the `largest` had, and how
    many gRPC `streams` were opened. `granted` are the permissions that the account has; None leaves that to the
    emulator, which knows none.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._fault: Fault | None = None
        self._failing = 0
        self._refused_text = ""
        self._refusal = "row"
        self._renamed = ""
        self._cut_after_write = False
        self._ignored = 0.0
        self._closed = threading.Event()
        self.granted: list[str] | None = None
        self.writes = 0
        self.failed = 0
        self.largest = 0
        self.streams = 0
        self.rest = ""
        self.storage = ""

    def fail_next(self, writes: int, fault: str) -> None:
        """So many writes from now on fail with a key of FAULTS."""
        self._failing = writes
        self._fault = FAULTS[fault]

    def refuse(self, text: str, as_a: str = "row") -> None:
        """From now on rows whose content has `text` are refused: by their number ("row"), or with all the "batch"."""
        self._refused_text = text
        self._refusal = as_a

    def rename(self, column: str) -> None:
        """From now on the tables' `column` has another name, and writes that name it are refused; "" for none."""
        self._renamed = column

    def cut_after_next_write(self) -> None:
        """The next write reaches the emulator, but its acknowledgement is lost with every connection."""
        self._cut_after_write = True

    def ignore_next_write(self, seconds: float) -> None:
        """The next write is kept waiting for `seconds` and never answered; it does not reach the emulator."""
        self._ignored = seconds

    def delay(self, seconds: float) -> None:
        """From now on an answer takes `seconds` longer, half of them on either way."""
        self._rest_forwarder.latency = self._storage_forwarder.latency = seconds / 2

    def cut(self) -> int:
        """Resets every connection; how many there were."""
        return self._rest_forwarder.cut() + self._storage_forwarder.cut()

    @contextlib.contextmanager
    def running(self) -> Iterator["FaultProxy"]:
        """The proxy at work."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._closed.set)
            rest = _serve_rest(self, self._emulator.rest, stack)
            storage = _serve_storage(self, self._emulator.storage, stack)
            self._rest_forwarder = stack.enter_context(TcpForwarder(rest))
            self._storage_forwarder = stack.enter_context(TcpForwarder(storage))
            self.rest, self.storage = self._rest_forwarder.address, self._storage_forwarder.address
            yield self

    def fault_now(self, size: int) -> Fault | None:
        """What the write of `size` bytes that has just come fails with."""
        self.writes += 1
        self.largest = max(self.largest, size)
        if not self._failing:
            return None
        self._failing -= 1
        self.failed += 1
        return self._fault

    def refused(self, contents: list[str]) -> list[int]:
        """The numbers of the rows to refuse."""
        return [row for row, text in enumerate(contents) if self._refused_text and self._refused_text in text]

    def unknown(self, columns: Collection[str]) -> str:
        """The one of `columns` that the tables have under another name; "" if there is none."""
        return self._renamed if self._renamed in columns else ""

    def shown(self, table: bytes) -> bytes:
        """What BigQuery says of a table, as JSON, with its column renamed."""
        if not (self._renamed and table):
            return table
        described = json.loads(table)
        for field in described.get("schema", {}).get("fields", []):
            field["name"] += "_renamed" if field["name"] == self._renamed else ""
        return json.dumps(described).encode()

    @property
    def refuses_batches(self) -> bool:
        """Whether a refused row takes its batch with it, without its number."""
        return self._refusal == "batch"

    def ignored_now(self) -> bool:
        """Keeps a write waiting if that is due."""
        seconds, self._ignored = self._ignored, 0.0
        self._closed.wait(seconds)
        return seconds > 0

    def cut_now(self) -> bool:
        """Cuts the connections if that is due."""
        if not self._cut_after_write:
            return False
        self._cut_after_write = False
        self.cut()
        return True


def _serve_rest(proxy: FaultProxy, target: str, stack: contextlib.ExitStack) -> str:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if proxy.granted is not None and self.path.split("?")[0].endswith(":testIamPermissions"):
                asked = json.loads(body)["permissions"]
                granted = [one for one in asked if one in proxy.granted]
                # BigQuery leaves the list out where it would be empty.
                self.answer(200, json.dumps({"permissions": granted} if granted else {}).encode())
                return
            if not self.path.split("?")[0].endswith("/insertAll"):
                status, answer = _pass_on(target, self.command, self.path, body)
                self.answer(status, proxy.shown(answer) if "/tables/" in self.path else answer)
                return
            fault = proxy.fault_now(len(body))
            if proxy.ignored_now():
                return
            if fault:
                self.answer(fault.status, _error_body(fault.status, fault.reason))
                return
            given = json.loads(body)
            if column := proxy.unknown({name for row in given["rows"] for name in row["json"]}):
                self.answer(200, _no_such_field(column, len(given["rows"])))
                return
            bad = proxy.refused([row["json"].get("content", "") for row in given["rows"]])
            if bad and proxy.refuses_batches:
                self.answer(400, _error_body(400, "invalid"))
                return
            good = [row for number, row in enumerate(given["rows"]) if number not in bad]
            body = json.dumps(given | {"rows": good}).encode()
            status, answer = _pass_on(target, self.command, self.path, body)
            if proxy.cut_now():
                return
            if bad and status == 200:
                errors = [{"reason": "invalid", "location": "content", "message": "no such field"}]
                refused = [{"index": number, "errors": errors} for number in bad]
                answer = json.dumps(json.loads(answer) | {"insertErrors": refused}).encode()
            self.answer(status, answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Says nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Says nothing of a connection that was cut."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return f"127.0.0.1:{server.server_port}"


def _pass_on(target: str, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(target, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()


def _error_body(status: int, reason: str) -> bytes:
    errors = [{"reason": reason, "message": f"injected {reason}", "domain": "global"}]
    return json.dumps({"error": {"code": status, "message": f"injected {reason}", "errors": errors}}).encode()


def _no_such_field(column: str, rows: int) -> bytes:
    errors = [{"reason": "invalid", "location": column, "message": f"no such field: {column}."}]
    return json.dumps({"insertErrors": [{"index": row, "errors": errors} for row in range(rows)]}).encode()


def _serve_storage(proxy: FaultProxy, target: str, stack: contextlib.ExitStack) -> str:
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    channel = stack.enter_context(grpc.insecure_channel(target, options))

    def append_rows(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        proxy.streams += 1
        passed: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        responses = channel.stream_stream(_APPEND_ROWS)(iter(passed.get, None))
        context.add_callback(lambda: passed.put(None))
        schema = b""
        for raw in requests:
            request = types.AppendRowsRequest.deserialize(raw)
            arrow = request.arrow_rows
            schema = arrow.writer_schema.serialized_schema or schema
            fault = proxy.fault_now(len(raw))
            if proxy.ignored_now():
                return
            if fault and fault.in_response:
                yield _error_response(fault.code, f"injected {fault.reason}", [])
                continue
            if fault:
                context.abort(fault.code, f"injected {fault.reason}")
            table = pa.ipc.open_stream(schema + arrow.rows.serialized_record_batch).read_all()
            if column := proxy.unknown(table.column_names):
                said = f"Input schema has more fields than BigQuery schema, extra fields: '{column}'"
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, said)
            contents = table["content"].to_pylist() if "content" in table.column_names else []
            if bad := proxy.refused(contents):
                rows = [] if proxy.refuses_batches else bad
                yield _error_response(grpc.StatusCode.INVALID_ARGUMENT, "injected refusal", rows)
                continue
            passed.put(raw)
            response = next(responses)
            if proxy.cut_now():
                return
            yield response

    handlers = {
        _APPEND_ROWS: grpc.stream_stream_rpc_method_handler(append_rows),
        _CREATE_READ_SESSION: grpc.unary_unary_rpc_method_handler(
            lambda request, context: channel.unary_unary(_CREATE_READ_SESSION)(request)
        ),
        _READ_ROWS: grpc.unary_stream_rpc_method_handler(
            lambda request, context: channel.unary_stream(_READ_ROWS)(request)
        ),
    }
    server = grpc.server(ThreadPoolExecutor(16), [_Handlers(handlers)], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stack.callback(server.stop, None)
    return f"127.0.0.1:{port}"


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        self._handlers = handlers

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._handlers.get(details.method)


def _error_response(code: grpc.StatusCode, message: str, rows: list[int]) -> bytes:
    response = types.AppendRowsResponse(
        error={"code": code.value[0], "message": message},
        row_errors=[types.RowError(index=row, message=f"{message} of row {row}") for row in rows],
    )
    data: bytes = types.AppendRowsResponse.serialize(response)
    return data
