"""`python -m pipeline.status`: how far each model is with the messages that any model has seen, by the journal."""

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from pipeline import console, stopping
from pipeline.arguments import Parser
from pipeline.names import journal_beside
from pipeline.places import check_files, row_files
from pipeline.written import read_batches
from transforms.encoder.reasons import reason_of
from transforms.io.bigquery.tables import TABLE_REGEX, parse_table
from transforms.io.disk import is_local
from transforms.io.files.match import match
from transforms.io.google_clients import bigquery_client
from transforms.schema import JOURNAL_COLUMNS, NEWEST_FIRST

_LINE = "{:28} {:14} {:>10} {:>10} {:>9} {:>9} {:>13} {:>10} {:>9} {:>10} {:>10}"


class Status(NamedTuple):
    """How far one version of a model is.

    Attributes:
        model: its name.
        model_version: its version.
        messages: how many messages there are, those that are deleted left out.
        complete: of how many it has the newest version that any model has, with a row for each sentence.
        missing: of how many it has none.
        stale: of how many it has an older version, deletions that it has not seen included.
        dead_lettered: how many of its newest versions have dead letters.
        version_conflicts: how many versions have entries of different content, of which the latest counts.
        deleted: how many of its newest versions are deletions.
        freshness_p50: how long after their event time its newest versions were written, in seconds, at the median; None
            if none has a time.
        freshness_p99: the same for the 99th percentile.
    """

    model: str
    model_version: str
    messages: int
    complete: int
    missing: int
    stale: int
    dead_lettered: int
    version_conflicts: int
    deleted: int
    freshness_p50: float | None
    freshness_p99: float | None


class _Dialect(NamedTuple):
    """What differs in the SQL of BigQuery and DuckDB: how a name is quoted, and percentiles of how late entries are."""

    quote: str
    percentile: str


BIGQUERY = _Dialect(
    "`",
    "APPROX_QUANTILES(TIMESTAMP_DIFF(entries.written_at, entries.event_time, MILLISECOND), 100)[OFFSET({percent})]",
)
_DUCKDB = _Dialect(
    '"', "APPROX_QUANTILE(date_diff('millisecond', entries.event_time, entries.written_at), 0.{percent})"
)


def status_sql(journal: str, dialect: _Dialect = BIGQUERY) -> str:
    """The SQL statement that gives the fields of a Status for each version of a model in the table `journal`."""
    quote, percentile = dialect
    half, most = (f"{percentile.format(percent=percent)} / 1000" for percent in (50, 99))
    return f"""WITH
  entries AS (
    SELECT *
    FROM {quote}{journal}{quote}
    WHERE TRUE
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY message_id, model, model_version
      ORDER BY {NEWEST_FIRST}
    ) = 1
  ),
  messages AS (
    SELECT message_id, version, deleted
    FROM entries
    WHERE TRUE
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY message_id
      ORDER BY {NEWEST_FIRST}
    ) = 1
  ),
  models AS (
    SELECT model, model_version, COUNTIF(revisions > 1) AS version_conflicts
    FROM (
      SELECT model, model_version, message_id, version, COUNT(DISTINCT revision) AS revisions
      FROM {quote}{journal}{quote}
      GROUP BY model, model_version, message_id, version
    )
    GROUP BY model, model_version
  )
SELECT
  models.model,
  models.model_version,
  COUNTIF(NOT messages.deleted) AS messages,
  COUNTIF(
    NOT (messages.deleted OR entries.deleted)
    AND entries.version = messages.version
    AND entries.{quote}rows{quote} = entries.sentences
  ) AS complete,
  COUNTIF(NOT messages.deleted AND entries.message_id IS NULL) AS missing,
  COUNTIF(entries.version < messages.version AND NOT (messages.deleted AND entries.deleted)) AS stale,
  COUNTIF(entries.dead_letters > 0) AS dead_lettered,
  ANY_VALUE(models.version_conflicts) AS version_conflicts,
  COUNTIF(entries.deleted) AS deleted,
  {half}
    AS freshness_p50,
  {most}
    AS freshness_p99
FROM models
CROSS JOIN messages
LEFT JOIN entries
ON entries.message_id = messages.message_id
  AND entries.model = models.model
  AND entries.model_version = models.model_version
GROUP BY models.model, models.model_version
ORDER BY models.model, models.model_version;
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns 1 if more was expected to be complete, 2 if it was refused."""
    arguments = _parser().parse_args(argv)
    console.prepare()
    try:
        found = _chosen(status(arguments.rows, arguments.journal), arguments.model, arguments.model_version)
    except ValueError as error:
        print(f"python -m pipeline.status: {error}", file=sys.stderr)
        return 2
    print(_LINE.format(*(name.replace("_", " ").replace("freshness ", "late ") for name in Status._fields)))
    for each in found:
        print(_LINE.format(*map(_shown, each)))
    behind = [each for each in found if each.missing or each.stale]
    if not arguments.expect_complete or not behind:
        return 0
    which = " and ".join(
        f"{each.missing:,} missing and {each.stale:,} stale of {each.model} version {each.model_version}"
        for each in behind
    )
    print(f"python -m pipeline.status: expected all messages to be complete, got {which}", file=sys.stderr)
    return 1


def _parser() -> Parser:
    parser = Parser(
        "pipeline.status",
        "Print how far each model is with the messages that any model has seen, by the journal of rows.",
    )
    parser.add_argument(
        "--rows", required=True, metavar="GLOB|project:dataset.table", help="The rows, beside which their journal is."
    )
    parser.add_argument(
        "--journal", default="", metavar="GLOB|project:dataset.table", help="The journal, if the run named one."
    )
    parser.add_argument("--model", default="", help="Print this model only, by the name that rows carry.")
    parser.add_argument("--model_version", default="", help="Print this version of a model only.")
    parser.add_argument(
        "--expect_complete",
        action="store_true",
        help="Return 1 if a message is missing or stale in what is printed, for a schedule or a switch.",
    )
    return parser


def _chosen(found: Sequence[Status], model: str, version: str) -> list[Status]:
    chosen = [each for each in found if model in ("", each.model) and version in ("", each.model_version)]
    if not chosen:
        listed = ", ".join(f"{each.model} version {each.model_version}" for each in found) or "none"
        asked = f"--model={model}" if model else "entries in the journal"
        raise ValueError(f"expected {asked}{f' of --model_version={version}' if version else ''} in it, got {listed}")
    return chosen


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:,.1f} s" if isinstance(value, float) else f"{value:,}"


def status(rows: str, journal: str = "") -> list[Status]:
    """The status of each version of a model, by name and version.

    Args:
        rows: files, as a path, folder or pattern, or a table as project:dataset.table.
        journal: their journal, files or a table; "" for the one beside them.

    Raises:
        ValueError: if there is none, or it cannot be read.
    """
    if re.fullmatch(TABLE_REGEX, rows) and not match(rows).files:
        return _of_table(journal or journal_beside(rows, "bigquery"))
    if not is_local(rows) or not is_local(journal):
        raise ValueError(f"expected --rows of files on this machine or a table, got {rows!r}; copy the journal")
    check_files("rows", rows)
    if journal:
        check_files("journal", journal)
    places = [journal] if journal else row_files(rows).journal
    paths = sorted({file.path for place in places for file in match(place).files})
    if not paths:
        raise ValueError(f"expected a journal beside --rows, got {rows!r} without one; name it with --journal")
    return _of_files(paths)


def _of_files(paths: Sequence[str]) -> list[Status]:
    import duckdb
    import pyarrow as pa

    connection = duckdb.connect()
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("entries_read", read_batches(paths, JOURNAL_COLUMNS))
        # A stream of batches can be read once.
        connection.execute("CREATE TEMP TABLE journal AS FROM entries_read")
        return list(_statuses(connection.execute(status_sql("journal", _DUCKDB)).fetchall()))
    except (duckdb.Error, pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise ValueError(f"expected a journal of the pipeline in {paths[0]!r} and so on: {reason_of(error)}") from error


def _of_table(journal: str) -> list[Status]:
    name = parse_table(journal)
    try:
        answer = bigquery_client(name.project).query(status_sql(str(name))).result()
        return list(_statuses(row.values() for row in answer))
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise ValueError(f"expected a journal in {name}: {reason_of(error)}") from error


def _statuses(rows: Any) -> Iterator[Status]:
    for row in rows:
        *counts, half, most = row
        yield Status(*counts, *(None if seconds is None else float(seconds) for seconds in (half, most)))


if __name__ == "__main__":
    stopping.leave("python -m pipeline.status", main)
