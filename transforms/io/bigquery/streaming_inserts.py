"""Writes JSON rows to a table through BigQuery's tabledata.insertAll."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import orjson

from transforms.counters import Counters
from transforms.io.bigquery.tables import TableName
from transforms.io.errors import TRANSIENT_REASONS, Refused
from transforms.io.google_clients import bigquery_client
from transforms.io.retries import Answer

# insertAll accepts rows and requests of up to 10 MB.
MAX_REQUEST_BYTES = 9_000_000
RESPONSE_SECONDS = 120.0

T = TypeVar("T")


class JsonInserter(Generic[T]):
    """Inserts rows into a table.

    Args:
        table: the table.
        to_json: converts a row to JSON types; raises if it cannot be converted.
        insert_id: the id by which BigQuery drops, on a best-effort basis, a row repeated within about a minute.
    """

    def __init__(
        self, table: TableName, to_json: Callable[[T], Mapping[str, Any]], insert_id: Callable[[T], str]
    ) -> None:
        self._project, dataset, name = table
        self._path = f"/projects/{self._project}/datasets/{dataset}/tables/{name}/insertAll"
        self._to_json = to_json
        self._insert_id = insert_id
        self._counters = Counters()

    def __call__(self, rows: Sequence[T]) -> Answer:
        """Inserts `rows` in one request; for `retries.deliver`."""
        try:
            body = orjson.dumps(
                {
                    "skipInvalidRows": True,
                    "rows": [{"insertId": self._insert_id(row), "json": self._to_json(row)} for row in rows],
                }
            )
        except (ValueError, TypeError, OverflowError) as error:
            raise Refused(f"expected a row of JSON's types, got {type(error).__name__}: {error}") from error
        if len(body) > MAX_REQUEST_BYTES:
            raise Refused(f"expected a row of at most {MAX_REQUEST_BYTES} bytes, got {len(body)}")
        # insert_rows_json would escape non-ASCII text, up to tripling its size, and the size could not be checked.
        response = bigquery_client(self._project)._connection.api_request(
            method="POST", path=self._path, data=body, content_type="application/json", timeout=RESPONSE_SECONDS
        )
        refused: dict[int, str] = {}
        unwritten: list[int] = []
        for failed in response.get("insertErrors", ()):
            if {item.get("reason", "") for item in failed["errors"]} <= TRANSIENT_REASONS:
                unwritten.append(int(failed["index"]))
            else:
                refused[int(failed["index"])] = "; ".join(_text(item) for item in failed["errors"])
        if not refused and not unwritten:
            self._counters.count("bytes_written", len(body))
        return Answer(refused, unwritten)


def _text(error: Mapping[str, Any]) -> str:
    return f"{error.get('reason', 'refused')} at {error.get('location', '')!r}: {error.get('message', '')}"
