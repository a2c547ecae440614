"""Appends of several threads over one connection, seen by a server of the test's own."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.cloud.bigquery_storage_v1 import types
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.counters import process_counts
from transforms.io.bigquery import storage_write
from transforms.io.bigquery.storage_write import ArrowAppender
from transforms.io.bigquery.tables import TableName
from transforms.io.google_clients import REST_EMULATOR, STORAGE_EMULATOR, bigquery_write_client
from transforms.io.retries import Evidence, Refusal, deliver

INVALID = grpc.StatusCode.INVALID_ARGUMENT
SCHEMA = pa.schema([("content", pa.string())])


class End(Exception):
    """The server ends the call with this code."""


class Server(grpc.GenericRpcHandler):
    """Answers appends as each of their rows says; all else about a call is strict.

    A row "row" is refused by its number, "batch" with its whole batch, "later" with a transient code, "end" ends the
    call and refuses, "break" ends it once, "silent" gets no answer once. The first answers are held back until there
    are `reply_at` of them. As the worst case of what is not documented, a schema that comes with a
    request that fails is forgotten, and a request without a known schema is refused.
    """

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.calls = 0
        self.reply_at = 1
        self.happened: set[str] = set()
        self._lock = threading.Lock()

    def service(self, call: Any) -> Any:
        """Every call is AppendRows."""
        return grpc.stream_stream_rpc_method_handler(
            self._append_rows, types.AppendRowsRequest.deserialize, types.AppendRowsResponse.serialize
        )

    def _append_rows(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        self.calls += 1
        schema = b""
        held: list[Any] = []
        for request in requests:
            batch = request.arrow_rows.rows.serialized_record_batch
            schema = request.arrow_rows.writer_schema.serialized_schema or schema
            try:
                response = self._response(schema, batch)
            except End as end:
                self.reply_at = 1
                context.abort(end.args[0], "the call ends")
            if response is None:
                while context.is_active():
                    time.sleep(0.01)
                return
            if response.error.code or response.row_errors:
                schema = b""
            held.append(response)
            if len(held) >= self.reply_at:
                self.reply_at = 1
                yield from held
                held.clear()

    def _response(self, schema: bytes, batch: bytes) -> Any:
        if not schema:
            return _error(INVALID, "no schema")
        rows = pa.ipc.open_stream(schema + batch).read_all()["content"].to_pylist()
        for row in rows:
            with self._lock:
                first = row not in self.happened
                self.happened.add(row)
            if row.startswith("silent") and first:
                return None
            if row.startswith("break") and first:
                raise End(grpc.StatusCode.UNAVAILABLE)
            if row.startswith("end"):
                raise End(INVALID)
            if row.startswith("later") and first:
                return _error(grpc.StatusCode.RESOURCE_EXHAUSTED, "later")
            if row.startswith("batch"):
                return _error(INVALID, "a bad batch")
        bad = [number for number, row in enumerate(rows) if row.startswith("row")]
        if not bad:
            with self._lock:
                self.stored += rows
            return types.AppendRowsResponse()
        return types.AppendRowsResponse(
            row_errors=[types.RowError(index=number, message="a bad row") for number in bad]
        )


def _error(code: grpc.StatusCode, message: str) -> Any:
    return types.AppendRowsResponse(error={"code": code.value[0], "message": message})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A running server, which appenders are told is BigQuery."""
    handler = Server()
    monkeypatch.setattr(storage_write, "ACKNOWLEDGE_SECONDS", 10)
    with serving(handler) as address:
        monkeypatch.setenv(REST_EMULATOR, address)
        monkeypatch.setenv(STORAGE_EMULATOR, address)
        yield handler


@contextlib.contextmanager
def serving(handler: Server) -> Iterator[str]:
    """Serves `handler` for as long as the block runs, at the address that it gives."""
    running = grpc.server(ThreadPoolExecutor(64), [handler])
    address = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    running.start()
    try:
        yield address
    finally:
        running.stop(0).wait()


def append(rows: Sequence[str], table: str = "rows") -> list[Refusal]:
    """Delivers one bundle, by a writer that has written the row "before"; the refused rows."""
    send = ArrowAppender[str](TableName("p", "d", table), lambda some: pa.table({"content": list(some)}, SCHEMA))
    return list(deliver(send, rows, 30, "the table", Evidence(accepted="before")))


def append_together(bundles: Sequence[Sequence[str]], table: str = "rows") -> list[list[Refusal]]:
    """Delivers the bundles, each in a thread of its own, all at the same time."""
    ready = threading.Barrier(len(bundles))

    def one(rows: Sequence[str]) -> list[Refusal]:
        ready.wait()
        return append(rows, table)

    with ThreadPoolExecutor(len(bundles)) as pool:
        return list(pool.map(one, bundles))


def test_appends_do_not_wait_for_each_other(server: Server) -> None:
    """The server answers none before it has all."""
    server.reply_at = 8
    assert append_together([[f"ok {number}"] for number in range(8)]) == [[]] * 8
    assert sorted(server.stored) == [f"ok {number}" for number in range(8)]
    assert server.calls == 1


ROWS = st.sampled_from(["ok", "ok", "ok", "row", "batch", "later", "end", "break"])
BUNDLES = st.lists(st.lists(ROWS, min_size=1, max_size=3), min_size=2, max_size=8)


@pytest.mark.slow
@settings(max_examples=50)
@given(BUNDLES, st.integers(0, 10**9), st.data())
def test_each_bundle_gets_its_own_answer(kinds: list[list[str]], table: int, data: st.DataObject) -> None:
    """Whatever becomes of the others, good rows are stored, and bad ones, and only they, are refused."""
    bundles = [[f"{kind} {bundle} {row}" for row, kind in enumerate(some)] for bundle, some in enumerate(kinds)]
    server = Server()
    server.reply_at = data.draw(st.integers(1, len(bundles)))
    with serving(server) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv(REST_EMULATOR, address)
        patch.setenv(STORAGE_EMULATOR, address)
        answers = append_together(bundles, f"t{table}")
    bad = [[row for row, kind in enumerate(some) if kind in ("row", "batch", "end")] for some in kinds]
    assert [sorted(refusal.position for refusal in refused) for refused in answers] == bad
    good = {row for bundle in bundles for row in bundle if not row.startswith(("row", "batch", "end"))}
    assert set(server.stored) - {"before"} == good


@pytest.mark.parametrize("kind", ["batch", "row", "later", "end"])
def test_an_error_is_not_blamed_on_what_is_under_way_behind_it(server: Server, kind: str) -> None:
    """Those appends are told what they would be told alone, even if the service has forgotten the schema."""
    server.reply_at = 2
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(append, [kind])
        while kind not in server.happened:
            time.sleep(0.01)
        second = pool.submit(append, ["ok"])
        assert second.result() == []
        assert len(first.result()) == (kind != "later")


def test_what_is_under_way_when_the_call_breaks_is_sent_again(server: Server, counted: Callable[[str], int]) -> None:
    """Each bundle does so for itself, and ends."""
    server.reply_at = 5
    bundles = [[f"ok {number}"] for number in range(4)]
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(append_together, bundles)
        while len(server.stored) < 4:
            time.sleep(0.01)
        assert append(["break"]) == []
        assert done.result() == [[]] * 4
    assert sorted(server.stored) == sorted([f"ok {number}" for number in range(4)] * 2 + ["break"])
    assert counted("write_retries") == 5


def test_an_append_without_an_answer_holds_nobody_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time it and those behind it go over another connection."""
    monkeypatch.setattr(storage_write, "ACKNOWLEDGE_SECONDS", 0.5)
    assert append_together([["silent"], ["ok 1"], ["ok 2"]]) == [[]] * 3
    assert {"silent", "ok 1", "ok 2"} == set(server.stored)


def test_what_is_in_flight_is_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes: the third append is not sent before the first two have an answer; one larger than that goes alone."""
    monkeypatch.setattr(storage_write, "MAX_BYTES_IN_FLIGHT", 5_000)
    monkeypatch.setattr(storage_write, "ACKNOWLEDGE_SECONDS", 1)
    server.reply_at = 3
    bundles = [[f"{number} {'x' * 2_000}"] for number in range(3)]
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(append_together, bundles)
        time.sleep(0.5)
        assert len(server.stored) == 2
        server.reply_at = 1
        assert done.result(30) == [[]] * 3
    assert append(["y" * 9_000]) == []


def test_tables_of_other_columns_have_connections_of_their_own(server: Server) -> None:
    """A schema goes with the first request of a connection only."""
    other = ArrowAppender[str](
        TableName("p", "d", "rows"), lambda some: pa.table({"text": list(some), "content": list(some)})
    )
    assert append(["ok"]) == []
    assert list(deliver(other, ["other"], 5, "the table")) == []
    assert server.calls == 2


def test_threads_that_start_together_share_a_client(server: Server) -> None:
    """However many DoFns a runner sets up at a time."""
    ready = threading.Barrier(16)

    def client(_: int) -> Any:
        ready.wait()
        return bigquery_write_client()

    with ThreadPoolExecutor(16) as pool:
        assert len(set(map(id, pool.map(client, range(16))))) == 1


@pytest.fixture
def counted() -> Callable[[str], int]:
    """Tells by how much a counter has grown since the test began."""
    before = process_counts()
    return lambda name: process_counts().get(name, 0) - before.get(name, 0)
