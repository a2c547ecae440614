"""Search of rows in a BigQuery table, with VECTOR_SEARCH."""

import contextlib
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from transforms.encoder.reasons import reason_of
from transforms.io.bigquery.tables import newest_entries, parse_table
from transforms.io.google_clients import bigquery_client

# How many times the limit is fetched: equal contents are printed once, and rows that are not current not at all. If
# that leaves too few, as many times more are fetched, up to _MOST.
_SPARE = 10
_MOST = 10_000


class BigQueryRows:
    """The rows of a table that the pipeline wrote, if their metadata has every pair of `where`.

    Args:
        table: project:dataset.table.
        where: keys and values of the metadata.
        journal: the table of the journal, by which rows are current; "" for the one beside the table, if there is one.
        all_versions: whether rows of earlier versions of messages are searched, too.
        client: a google.cloud.bigquery.Client; by default, one of the table's project.

    Raises:
        ValueError: if `table` or `journal` is not the name of a table.
    """

    def __init__(
        self, table: str, where: Mapping[str, str], journal: str = "", all_versions: bool = False, client: Any = None
    ) -> None:
        try:
            self._table = parse_table(table)
        except ValueError as error:
            raise ValueError(f"--bigquery: {error}") from error
        try:
            self._journal = parse_table(journal) if journal else None
        except ValueError as error:
            raise ValueError(f"--journal: {error}") from error
        self._where = where
        self._all_versions = all_versions
        self._client = client

    def models(self) -> list[tuple[str, str]]:
        """Name and version of each model that made a row."""
        return [(row["model"], row["model_version"]) for row in self._query(models_sql(str(self._table)), {})]

    def nearest(
        self, query: "np.ndarray[tuple[int], np.dtype[np.float32]]", version: str, limit: int
    ) -> list[tuple[float, str, str, Mapping[str, str]]]:
        """Score, content, message id and metadata of the best rows of that version, best first, each content once."""
        pairs = {
            name: value
            for i, pair in enumerate(self._where.items())
            for name, value in zip((f"key{i}", f"value{i}"), pair, strict=True)
        }
        parameters = {"query": query.astype(float).tolist(), "model_version": version, **pairs}
        journal = "" if self._all_versions else self._journal_of_table()
        rows: list[Any] = []
        top_k = _SPARE * limit
        while len(rows) < limit:
            sql = search_sql(str(self._table), len(self._where), limit, top_k, journal)
            rows = list(self._query(sql, parameters))
            if not journal or top_k >= _MOST:
                break
            top_k = min(_SPARE * top_k, _MOST)
        return [
            (
                row["score"],
                row["content"],
                row["message_id"],
                {pair["key"]: pair["value"] for pair in row["metadata"]},
            )
            for row in rows
        ]

    def _journal_of_table(self) -> str:
        """The table of the journal, "" if there is none."""
        from google.api_core.exceptions import NotFound

        name = str(self._journal or f"{self._table}_journal")
        with self._asking() as client:
            try:
                client.get_table(name)
            except NotFound:
                if self._journal:
                    raise
                return ""
        return name

    def _query(self, sql: str, parameters: Mapping[str, Any]) -> Any:
        from google.cloud import bigquery

        made = [
            bigquery.ArrayQueryParameter(name, "FLOAT64", value)
            if isinstance(value, list)
            else bigquery.ScalarQueryParameter(name, "STRING", value)
            for name, value in parameters.items()
        ]
        with self._asking() as client:
            return client.query(sql, job_config=bigquery.QueryJobConfig(query_parameters=made)).result()

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Any]:
        """The client, whose errors are one line."""
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError

        try:
            yield self._client or bigquery_client(self._table.project)
        except (GoogleAPIError, GoogleAuthError, OSError) as error:
            reason = reason_of(error)
            raise ValueError(f"expected to search --bigquery={self._table}: {reason}") from error


def models_sql(table: str) -> str:
    """The statement that lists the models in `table`, "project.dataset.table"."""
    return f"SELECT DISTINCT model, model_version FROM `{table}`"


def search_sql(table: str, pairs: int, limit: int, top_k: int, journal: str = "") -> str:
    """The statement that finds the `limit` rows of `table` nearest to @query, each content once.

    It takes @query, ARRAY<FLOAT64>, @model_version, and @key0, @value0, ... for `pairs` pairs of metadata. The rows
    are filtered before the search by columns that the vector index stores, and without a subquery, as BigQuery
    requires. Those that are not current by `journal` ("" for none) are left out of the `top_k` rows that it has found.
    """
    conditions = ["model_version = @model_version"] + [
        f"STRUCT(@key{i} AS key, @value{i} AS value) IN UNNEST(metadata)" for i in range(pairs)
    ]
    columns = ["content", "message_id", "metadata", "embedding"]
    only_current = ""
    if journal:
        columns += ["model", "model_version", "revision"]
        only_current = f"""JOIN (
{textwrap.indent(newest_entries(journal, "model_version = @model_version"), "  ")}
) AS newest
ON newest.message_id = base.message_id
  AND newest.model = base.model
  AND newest.model_version = base.model_version
  AND newest.revision = base.revision
"""
    return f"""
SELECT base.content, base.message_id, base.metadata, 1 - distance AS score
FROM VECTOR_SEARCH(
  (SELECT {", ".join(columns)} FROM `{table}` WHERE {" AND ".join(conditions)}),
  'embedding',
  (SELECT @query AS embedding),
  top_k => {top_k},
  distance_type => 'COSINE'
)
{only_current}WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY base.content ORDER BY distance) = 1
ORDER BY distance
LIMIT {limit}
"""
