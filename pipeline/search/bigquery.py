"""Search of rows in a BigQuery table, with VECTOR_SEARCH."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from transforms.encoder.reasons import reason_of
from transforms.io.bigquery.tables import parse_table
from transforms.io.google_clients import bigquery_client

# How many times the limit is asked for, because equal contents are printed once.
_SPARE = 10


class BigQueryRows:
    """The rows of a table that the pipeline wrote, if their metadata has every pair of `where`.

    Args:
        table: project:dataset.table.
        where: keys and values of the metadata.
        client: a google.cloud.bigquery.Client; by default, one of the table's project.

    Raises:
        ValueError: if `table` is not the name of a table.
    """

    def __init__(self, table: str, where: Mapping[str, str], client: Any = None) -> None:
        try:
            self._table = parse_table(table)
        except ValueError as error:
            raise ValueError(f"--bigquery: {error}") from error
        self._where = where
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
        return [
            (
                row["score"],
                row["content"],
                row["message_id"],
                {pair["key"]: pair["value"] for pair in row["metadata"]},
            )
            for row in self._query(search_sql(str(self._table), len(self._where), limit), parameters)
        ]

    def _query(self, sql: str, parameters: Mapping[str, Any]) -> Any:
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import bigquery

        made = [
            bigquery.ArrayQueryParameter(name, "FLOAT64", value)
            if isinstance(value, list)
            else bigquery.ScalarQueryParameter(name, "STRING", value)
            for name, value in parameters.items()
        ]
        try:
            client = self._client or bigquery_client(self._table.project)
            return client.query(sql, job_config=bigquery.QueryJobConfig(query_parameters=made)).result()
        except (GoogleAPIError, GoogleAuthError, OSError) as error:
            reason = reason_of(error)
            raise ValueError(f"expected to search --bigquery={self._table}: {reason}") from error


def models_sql(table: str) -> str:
    """The statement that lists the models in `table`, "project.dataset.table"."""
    return f"SELECT DISTINCT model, model_version FROM `{table}`"


def search_sql(table: str, pairs: int, limit: int) -> str:
    """The statement that finds the `limit` rows of `table` nearest to @query, each content once.

    It takes @query, ARRAY<FLOAT64>, @model_version, and @key0, @value0, ... for `pairs` pairs of metadata. The rows
    are filtered before the search, so that it finds `limit` of them if there are so many: by columns that the vector
    index stores, and without a subquery, as BigQuery requires.
    """
    conditions = ["model_version = @model_version"] + [
        f"STRUCT(@key{i} AS key, @value{i} AS value) IN UNNEST(metadata)" for i in range(pairs)
    ]
    return f"""
SELECT base.content, base.message_id, base.metadata, 1 - distance AS score
FROM VECTOR_SEARCH(
  (SELECT content, message_id, metadata, embedding FROM `{table}` WHERE {" AND ".join(conditions)}),
  'embedding',
  (SELECT @query AS embedding),
  top_k => {_SPARE * limit},
  distance_type => 'COSINE'
)
QUALIFY ROW_NUMBER() OVER (PARTITION BY base.content ORDER BY distance) = 1
ORDER BY distance
LIMIT {limit}
"""
