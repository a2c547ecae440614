"""Search of rows in a BigQuery table, with VECTOR_SEARCH and SEARCH."""

import contextlib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.search.fusion import LEAST_SHARE
from pipeline.search.places import EVERYTHING, Filters, Found, Vector
from transforms.encoder.reasons import reason_of
from transforms.io.bigquery.tables import newest_entries, parse_table
from transforms.io.google_clients import bigquery_client

# How many times the limit is fetched: equal contents are printed once, and rows that are not current not at all. If
# that leaves too few, as many times more are fetched, up to _MOST.
_SPARE = 10
_MOST = 10_000
# By what the journal knows rows, with their message.
_KEY = ("model", "model_version", "revision")


class BigQueryRows:
    """The rows of a table that the pipeline wrote.

    Args:
        table: project:dataset.table.
        filters: which of the rows are searched.
        journal: the table of the journal, by which rows are current; "" for the one beside the table, if there is one.
        all_versions: whether rows of earlier versions of messages are searched, too.
        client: a google.cloud.bigquery.Client; by default, one of the table's project.

    Raises:
        ValueError: if `table` or `journal` is not the name of a table.
    """

    def __init__(
        self,
        table: str,
        filters: Filters = EVERYTHING,
        journal: str = "",
        all_versions: bool = False,
        client: Any = None,
    ) -> None:
        try:
            self._table = parse_table(table)
        except ValueError as error:
            raise ValueError(f"--bigquery: {error}") from error
        try:
            self._journal = parse_table(journal) if journal else None
        except ValueError as error:
            raise ValueError(f"--journal: {error}") from error
        self._filters = filters
        self._all_versions = all_versions
        self._client = client

    def models(self) -> list[tuple[str, str]]:
        """Name and version of each model that made a row."""
        return [(row["model"], row["model_version"]) for row in self._query(models_sql(str(self._table)), {})]

    def nearest(self, query: Vector, version: str, limit: int) -> list[Found]:
        """The rows of a version nearest to a vector by cosine, best first, each content once."""
        journal, top_k = self._journal_in_use(), _SPARE * limit
        rows: list[Found] = []
        while len(rows) < limit:
            sql = search_sql(str(self._table), self._filters, limit, top_k, journal)
            rows = self._found(sql, version, {"query": query.astype(float).tolist()})
            if not journal or top_k >= _MOST:
                break
            top_k = min(_SPARE * top_k, _MOST)
        return rows

    def with_words(self, words: Sequence[str], version: str, limit: int) -> list[Found]:
        """The rows of a version that have the most and the rarest of the words, best first, each content once."""
        if not words:
            return []
        sql = words_sql(str(self._table), self._filters, len(words), limit, self._journal_in_use())
        # Between backticks, a word is no operator of SEARCH's.
        return self._found(sql, version, {f"word{i}": f"`{word}`" for i, word in enumerate(words)})

    def _found(self, sql: str, version: str, parameters: Mapping[str, Any]) -> list[Found]:
        given = {"model_version": version, **parameters, "since": self._filters.since, "until": self._filters.until}
        for i, (key, value) in enumerate(self._filters.metadata.items()):
            given |= {f"key{i}": key, f"value{i}": value}
        return [
            Found(
                row["score"],
                row["content"],
                row["message_id"],
                {pair["key"]: pair["value"] for pair in row["metadata"]},
            )
            for row in self._query(sql, {name: value for name, value in given.items() if value is not None})
        ]

    def _journal_in_use(self) -> str:
        return "" if self._all_versions else self._journal_of_table()

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
            else bigquery.ScalarQueryParameter(name, "STRING" if isinstance(value, str) else "TIMESTAMP", value)
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


def search_sql(table: str, filters: Filters, limit: int, top_k: int, journal: str = "") -> str:
    """The statement that finds the `limit` rows of `table` nearest to @query, each content once.

    It takes @query, ARRAY<FLOAT64>, @model_version, and the parameters of `_conditions`. The rows are filtered before
    the search by columns that the vector index stores, and without a subquery, as BigQuery requires. Those that are not
    current by `journal` ("" for none) are left out of the `top_k` rows that it has found.
    """
    columns = ["content", "message_id", "metadata", "embedding"]
    if journal:
        columns += _KEY
    return f"""
SELECT base.content, base.message_id, base.metadata, 1 - distance AS score
FROM VECTOR_SEARCH(
  (SELECT {", ".join(columns)} FROM `{table}` WHERE {_conditions(filters)}),
  'embedding',
  (SELECT @query AS embedding),
  top_k => {top_k},
  distance_type => 'COSINE'
)
{_only_current(journal)}WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY base.content ORDER BY distance) = 1
ORDER BY distance
LIMIT {limit}
"""


def words_sql(table: str, filters: Filters, words: int, limit: int, journal: str = "") -> str:
    """The statement that finds the `limit` rows of `table` with the most and rarest words, each content once.

    It takes @word0, @word1, ..., @model_version, and the parameters of `_conditions`. A word counts by how few rows
    have it, as in BM25; a search index on `content` serves it.
    """
    has = [f"SEARCH(content, @word{i})" for i in range(words)]
    weights = [f"LOG(1 + (counts.n - counts.n{i} + 0.5) / (counts.n{i} + 0.5))" for i in range(words)]
    score = " + ".join(f"IF({each}, {weight}, 0)" for each, weight in zip(has, weights, strict=True))
    where, columns = _conditions(filters), ["id", "content", "message_id", "metadata"]
    if journal:
        columns += _KEY
    return f"""
WITH counts AS (
  SELECT COUNT(*) AS n, {", ".join(f"COUNTIF({each}) AS n{i}" for i, each in enumerate(has))}
  FROM `{table}` WHERE {where}
),
base AS (
  SELECT {", ".join(columns)}, {score} AS score
  FROM `{table}` CROSS JOIN counts
  WHERE {where} AND ({" OR ".join(has)}) AND {score} >= {LEAST_SHARE} * ({" + ".join(weights)})
)
SELECT base.content, base.message_id, base.metadata, base.score
FROM base
{_only_current(journal)}WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY base.content ORDER BY base.id) = 1
ORDER BY base.score DESC, base.id
LIMIT {limit}
"""


def _conditions(filters: Filters) -> str:
    """What rows are searched, by @model_version, @key0, @value0, ... for the metadata, @since and @until."""
    conditions = ["model_version = @model_version"]
    for i in range(len(filters.metadata)):
        conditions.append(f"STRUCT(@key{i} AS key, @value{i} AS value) IN UNNEST(metadata)")
    if filters.since:
        conditions.append("event_time >= @since")
    if filters.until:
        conditions.append("event_time < @until")
    return " AND ".join(conditions)


def _only_current(journal: str) -> str:
    """The join that leaves out of `base` what is not current by `journal`; "" for none."""
    if not journal:
        return ""
    return f"""JOIN (
{textwrap.indent(newest_entries(journal, "model_version = @model_version"), "  ")}
) AS newest
ON newest.message_id = base.message_id
  AND newest.model = base.model
  AND newest.model_version = base.model_version
  AND newest.revision = base.revision
"""
