"""Start bqemulator, in its own virtual environment, with three of its bugs fixed. It takes bqemulator's arguments."""

import threading
from typing import Any

from bqemulator.api.routes.tabledata import _build_arrow_schema, _fields_raw_from_schema
from bqemulator.cli import main
from bqemulator.grpc_api import write_servicer
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.versioning.snapshots import SnapshotManager

_thread = threading.local()
_shared_connection = DuckDBEngine.connection.fget
_flush = write_servicer.BigQueryWriteHandler._flush_to_target


def _connection(engine: Any) -> Any:
    return getattr(_thread, "cursor", None) or _shared_connection(engine)


def _flush_by_own_cursor(handler: Any, stream: Any, rows: Any) -> None:
    with _shared_connection(handler._ctx.engine).cursor() as cursor:
        _thread.cursor = cursor
        try:
            _flush(handler, stream, rows)
        finally:
            _thread.cursor = None


# An append and a query in two threads deadlock on the connection that they share.
DuckDBEngine.connection = property(_connection)
write_servicer.BigQueryWriteHandler._flush_to_target = _flush_by_own_cursor
# It copies the whole table after each append, for time travel, and keeps every copy in memory.
SnapshotManager.capture = lambda *arguments, **options: None
# It loses the fields of a RECORD when rows come as Arrow.
write_servicer._table_arrow_schema = lambda table: _build_arrow_schema(_fields_raw_from_schema(table.schema_.fields))

if __name__ == "__main__":
    main()
