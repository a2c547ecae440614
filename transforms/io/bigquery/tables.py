"""BigQuery tables: parses their names, creates them, and checks whether an existing table has our columns."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from requests import RequestException

from transforms.io.google_clients import bigquery_client, missing_rights
from transforms.schema import NEWEST_FIRST, Column, Partitioning, bigquery_schema

# Old projects may have a domain as a prefix. The expression uses only syntax that Python, Java and RE2 share.
TABLE_REGEX = r"(([a-z0-9-]+([.][a-z0-9-]+)+:)?[a-z0-9-]+)[:.]([A-Za-z0-9_]+)[.]([\w-]+)"
_LOOK_SECONDS = 30.0
_UNANSWERED = (GoogleAPICallError, GoogleAuthError, RequestException, ConnectionError)
# The permissions that reading a table's rows and writing to it need there.
READ = "bigquery.tables.getData"
WRITE = "bigquery.tables.updateData"
# The REST API still returns the type names of legacy SQL.
_STANDARD_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "STRUCT": "RECORD"}


class TableName(NamedTuple):
    """The full name of a table."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"


def parse_table(text: str) -> TableName:
    """The table that `text` names, as "project:dataset.table" or "project.dataset.table".

    Raises:
        ValueError: if `text` does not have one of these forms.
    """
    match = re.fullmatch(TABLE_REGEX, text)
    if match is None:
        raise ValueError(f"expected a table as project:dataset.table, got {text!r}; name all three parts")
    return TableName(*match.group(1, 4, 5))


def create_table(table: str, columns: Sequence[Column], layout: Partitioning) -> None:
    """Creates `table` if it does not exist, and checks that rows with `columns` can be written to it.

    The table is the one that templates/sql creates, but this needs no permission to run queries.

    Raises:
        ValueError: if the table exists and its columns do not accept such rows.
    """
    name = parse_table(table)
    client = bigquery_client(name.project)
    wanted = bigquery.Table(
        str(name), [bigquery.SchemaField.from_api_repr(field) for field in bigquery_schema(columns)["fields"]]
    )
    wanted.time_partitioning = bigquery.TimePartitioning(field=layout.partition)
    wanted.clustering_fields = list(layout.cluster)
    try:
        found = client.get_table(str(name))
    except NotFound:
        found = client.create_table(wanted, exists_ok=True)
    if misfits := _misfits_of(found, columns):
        remedy = _remedy(found, columns, len(misfits))
        raise ValueError(f"expected table {name} to take our rows, got {'; '.join(misfits)}; {remedy}")


def _remedy(table: bigquery.Table, columns: Sequence[Column], misfits: int) -> str:
    """What makes `table` take rows with `columns`: statements, if none of the misfits needs anything else."""
    types = {field.name.lower(): _type(field.to_api_repr()) for field in table.schema}
    lacking = [column for column in columns if types.get(column.name.lower()) != column.type]
    if len(lacking) < misfits or any(column.mode != "NULLABLE" for column in lacking):
        return "alter the table or name another one"
    # A column of another type is kept, as its values need not be of ours.
    in_the_way = [column.name for column in lacking if column.name.lower() in types]
    renamed = [f"RENAME COLUMN `{column}` TO `{column}_before`" for column in in_the_way]
    added = [f"ADD COLUMN `{column.name}` {column.type}" for column in lacking]
    # BigQuery refuses both in one statement.
    return "run " + "; ".join(f"ALTER TABLE `{table.reference}` {', '.join(some)}" for some in (renamed, added) if some)


def exists(table: str) -> bool:
    """Whether there is such a table."""
    name = parse_table(table)
    try:
        bigquery_client(name.project).get_table(str(name))
    except NotFound:
        return False
    return True


def fault_of(table: TableName, columns: Sequence[Column]) -> str | None:
    """Why `table` rejects every row with `columns`; "" if its schema takes them, None if it cannot be looked at."""
    try:
        found = bigquery_client(table.project).get_table(str(table), retry=None, timeout=_LOOK_SECONDS)
    except NotFound:
        return "there is no such table"
    except _UNANSWERED:
        return None
    return "; ".join(_misfits_of(found, columns))


def check_right(table: str, right: str) -> None:
    """Checks that this process's account has the permission `right`, such as WRITE, on `table`.

    The check passes if BigQuery cannot be asked.

    Raises:
        ValueError: if it does not.
    """
    name = parse_table(table)
    try:
        answer = bigquery_client(name.project).test_iam_permissions(
            str(name), [right], retry=None, timeout=_LOOK_SECONDS
        )
    # Emulators do not know permissions, and an outage is none of this check's business.
    except _UNANSWERED:
        return
    if right not in answer.get("permissions", ()):
        raise missing_rights(str(name), [right])


def check_readable(table: str, columns: Sequence[Column]) -> None:
    """Checks that `columns` can be read from `table` through the Storage Read API; it may lack those that are NULLABLE.

    Raises:
        ValueError: if the table does not exist, is not a plain table (but a view, say), or lacks a column.
    """
    name = parse_table(table)
    try:
        found = bigquery_client(name.project).get_table(str(name))
    except NotFound:
        raise ValueError(f"expected a table that exists, {name} does not; check its name") from None
    if found.table_type not in (None, "TABLE"):
        raise ValueError(
            f"expected a table, {name} is a {found.table_type.lower()}; name the table behind it, duplicates do no harm"
        )
    needed = {column.name for column in columns if column.mode != "NULLABLE"}
    missing = needed - {field.name for field in found.schema}
    if missing:
        listed = ", ".join(map(repr, sorted(missing)))
        raise ValueError(f"expected a table that this program wrote, {name} has no column {listed}")


def newest_entries(journal: str, condition: str = "TRUE") -> str:
    """The SQL query for the newest entry of each message, model and model_version among those with `condition`."""
    return (
        "SELECT message_id, model, model_version, revision\n"
        f"FROM `{journal}`\n"
        f"WHERE {condition}\n"
        "QUALIFY ROW_NUMBER() OVER (\n"
        "  PARTITION BY message_id, model, model_version\n"
        f"  ORDER BY {NEWEST_FIRST}\n"
        ") = 1"
    )


def _misfits_of(table: bigquery.Table, columns: Sequence[Column]) -> list[str]:
    return _misfits(bigquery_schema(columns)["fields"], [field.to_api_repr() for field in table.schema])


def _misfits(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], parent: str = "") -> list[str]:
    """Why a table with the columns `theirs` rejects rows with the columns `ours`; both as in the REST API."""
    found = {field["name"].lower(): field for field in theirs}
    misfits = []
    for field in ours:
        name = parent + field["name"]
        other = found.pop(field["name"].lower(), None)
        if other is None:
            misfits.append(f"no column {name!r} ({field['type']} {field['mode']})")
        elif _type(other) != _type(field) or not _takes(_mode(other), _mode(field)):
            misfits.append(f"column {name!r} of {_type(other)} {_mode(other)} for {field['type']} {field['mode']}")
        else:
            misfits += _misfits(field.get("fields", ()), other.get("fields", ()), f"{name}.")
    misfits += [f"column {parent + field['name']!r} that we do not fill" for field in found.values() if _strict(field)]
    return misfits


def _type(field: Mapping[str, Any]) -> str:
    return _STANDARD_TYPES.get(field["type"], str(field["type"]))


def _mode(field: Mapping[str, Any]) -> str:
    return str(field.get("mode", "NULLABLE"))


def _takes(theirs: str, ours: str) -> bool:
    return theirs == ours or (theirs, ours) == ("NULLABLE", "REQUIRED")


def _strict(field: Mapping[str, Any]) -> bool:
    return _mode(field) == "REQUIRED" and "defaultValueExpression" not in field
