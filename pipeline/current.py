"""The current rows of files: of each message and model, those of the newest version that its journal has to the end."""

import argparse
import functools
import glob
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import pyarrow as pa

from pipeline.names import BESIDE_ROWS, Place, journal_beside, place_of, written_under
from pipeline.written import own_columns_of, read_batches
from transforms.encoder.reasons import reason_of
from transforms.schema import EMBEDDING_COLUMNS, JOURNAL_COLUMNS, NEWEST_FIRST, Column, arrow_schema

Answer = TypeVar("Answer")

_ROWS_A_BATCH = 8192
# How often files may be replaced while they are read.
_TRIES = 10
_KEY = "message_id, model, model_version"
_NEWEST = f"""
CREATE TEMP TABLE newest AS
SELECT *, row_number() OVER () AS number FROM (
  FROM entries
  QUALIFY row_number() OVER (PARTITION BY {_KEY} ORDER BY {NEWEST_FIRST}) = 1
)
"""
# Which rows of files of a kind are current, by the newest entry of their message and model. Without one, rows are that
# have no journal; what has a revision is not without, if there is a folder for one, but its journal has not begun yet.
_IS_NEWEST = "newest.revision = r.revision"
_JOURNALED, _BEGINNING, _OTHERS = (
    _IS_NEWEST,
    f"{_IS_NEWEST} OR (newest.revision IS NULL AND coalesce(r.revision, '') = '')",
    f"{_IS_NEWEST} OR newest.revision IS NULL",
)
# Which rows may be current, or become it once their entry is there.
_KEPT = """newest.version IS NULL
OR TRY_CAST(regexp_extract(r.revision, '^(-?[0-9]+)-', 1) AS BIGINT) >= newest.version"""


class View:
    """Rows of files as they were at one time.

    Attributes:
        rows: the paths of the files, by what is read of them.
        journals: the paths of their journals.
    """

    def __init__(self, journals: Sequence[str]) -> None:
        import duckdb

        self.rows: Mapping[str, list[str]] = {}
        self.journals = journals
        self._shown = False
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.register("entries", read_batches(journals, JOURNAL_COLUMNS))
        self._connection.execute(_NEWEST)
        self._connection.unregister("entries")

    @functools.cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the rows, with all those that `own_columns_of` finds in their files, or refuses."""
        return (*EMBEDDING_COLUMNS, *own_columns_of(self.paths))

    @property
    def paths(self) -> list[str]:
        """The files of rows."""
        return [path for paths in self.rows.values() for path in paths]

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Ask DuckDB for Parquet's views `rows`, the current ones, and `all_rows`; some may come more than once."""
        if not self._shown:
            state = self._state({which: _parquet(paths) for which, paths in self.rows.items()})
            self._connection.execute(f"CREATE OR REPLACE TEMP VIEW rows AS {state}")
            self._connection.execute(f"CREATE OR REPLACE TEMP VIEW all_rows AS {_parquet(self.paths)}")
            self._shown = True
        return self._connection.sql(sql, params=parameters)

    def left_out(self) -> int:
        """How many rows of Parquet files are not current."""
        if not self.rows.keys() - {""}:
            return 0
        counts = "SELECT (SELECT count(*) FROM all_rows) - (SELECT count(*) FROM rows)"
        ((count,),) = self.query(counts).fetchall()
        return int(count)

    def batches(
        self, read: Callable[[int], object] = lambda rows: None, unfinished: bool = False
    ) -> Iterator[pa.Table]:
        """The current rows of files of any format, each once, a few thousand at a time.

        Args:
            read: is told how many rows were read.
            unfinished: whether rows are given, too, that become current if their entry is still to come.
        """
        sources = {}
        for number, (which, paths) in enumerate(self.rows.items()):
            self._connection.register(f"source{number}", read_batches(paths, self.columns, read))
            sources[_KEPT if unfinished else which] = f"FROM source{number}"
        schema = arrow_schema(self.columns)
        given: dict[int, int] = {}
        for batch in self._connection.sql(self._state(sources)).to_arrow_reader(_ROWS_A_BATCH):
            columns = (batch.column(name).to_pylist() for name in ("entry", "sentence_index"))
            kept = [place for place, row in enumerate(zip(*columns, strict=True)) if _is_first(given, *row)]
            yield pa.Table.from_batches([batch]).take(pa.array(kept, pa.int64())).select(schema.names).cast(schema)

    def entries(self) -> pa.Table:
        """The newest entry of each message and model, deletions included."""
        schema = arrow_schema(JOURNAL_COLUMNS)
        return self._connection.sql("FROM newest").to_arrow_table().select(schema.names).cast(schema)

    def _state(self, sources: Mapping[str, str]) -> str:
        """The statement of the rows in `sources`, each with the number of its entry, if it is the newest one."""
        return " UNION ALL BY NAME ".join(
            f"(SELECT r.*, CASE WHEN {_IS_NEWEST} THEN number END AS entry FROM ({source}) AS r "
            f"LEFT JOIN newest USING ({_KEY}) WHERE {which or 'true'})"
            for which, source in sources.items()
        )


def _is_first(given: dict[int, int], entry: int | None, index: int) -> bool:
    """Whether a row is the first one of its sentence: `given` has, by the number of the entry, a bit for each."""
    if entry is None:
        return True
    before, bit = given.get(entry, 0), 1 << index
    given[entry] = before | bit
    return not before & bit


class CurrentRows:
    """The current rows of the files that match a glob.

    Args:
        pattern: the files. What is in a folder of journals or dead letters is left out, unless the pattern ends in it.
        journal: the prefix of the journal that the run was given; "" for the default, beside the rows. Rows that have
            none are all current.
        all_versions: whether all rows are wanted, current or not.
        option: the option that names the pattern, for errors.

    Raises:
        ValueError: if no file matches, or there is no such journal.
    """

    def __init__(self, pattern: str, journal: str = "", all_versions: bool = False, option: str = "embeddings") -> None:
        self._pattern = pattern
        self._journal = "" if all_versions else journal
        self._all_versions = all_versions
        self._option = option
        self._view: View | None = None
        self._states: dict[str, Any] = {}
        self._places(self.matched())

    def read(self, ask: Callable[[View], Answer]) -> Answer:
        """What `ask` makes of the rows. It is asked again if files were replaced or removed meanwhile.

        Raises:
            ValueError: if the pipeline did not write the files, or they are replaced again and again.
        """
        import duckdb

        for _ in range(_TRIES):
            error: Exception | None = None
            try:
                self._view = self._view or self._opened()
                answer = ask(self._view)
            except (duckdb.Error, OSError, pa.ArrowException, ValueError) as failure:
                error = failure
            if all(_state(path) == state for path, state in self._states.items()):
                if not error:
                    return answer
                if type(error) is ValueError:
                    raise error
                reason = reason_of(error)
                raise ValueError(f"expected rows of the pipeline in {self._pattern!r}: {reason}") from error
            self._view, self._states = None, {}
        raise ValueError(f"expected --{self._option} of files that stay, {self._pattern!r} was replaced all the time")

    def remove(self) -> int:
        """Remove the files that were read last, those of journals first; how many there were."""
        # What took the place of one since then is not what was read.
        paths = [path for path, state in self._states.items() if _state(path) == state]
        for path in paths:
            pathlib.Path(path).unlink(missing_ok=True)
        return len(paths)

    def _opened(self) -> View:
        while True:
            places = self._places(self.matched())
            # Rows are looked for after the journal was read, as they are there before their entries.
            view = View(self._noted([path for _, journals in places.values() for path in journals]))
            paths = self.matched()
            if all(place_of(path) in places for path in paths):
                by_place = [(places[place_of(path)][0], path) for path in self._noted(paths)]
                view.rows = {which: [path for each, path in by_place if each == which] for which, _ in by_place}
                return view

    def matched(self) -> list[str]:
        """The files of rows that match now."""
        folder = os.path.basename(os.path.dirname(self._pattern))
        apart = {name for name in BESIDE_ROWS if name != folder}
        return sorted(path for path in glob.glob(self._pattern) if os.path.basename(os.path.dirname(path)) not in apart)

    def _places(self, paths: Sequence[str]) -> dict[Place, tuple[str, list[str]]]:
        """The places of files, with what is read of their rows, and the files of their journals.

        Raises:
            ValueError: if there are none.
        """
        if not paths:
            what = "Parquet files" if self._option == "embeddings" else "files of rows"
            raise ValueError(
                f"expected --{self._option} to match {what}, {self._pattern!r} matches none; check the path"
            )
        places: dict[Place, tuple[str, list[str]]] = {}
        for place in dict.fromkeys(map(place_of, paths)):
            places[place] = ("", []) if self._all_versions else self._journal_of(place)
        if self._journal and not any(journals for _, journals in places.values()):
            raise ValueError(
                f"expected --journal=PREFIX of the run that wrote the rows, {self._journal!r} has no files; "
                "check the path"
            )
        if not any(which for which, _ in places.values()):
            return places
        return {place: (which or _OTHERS, journals) for place, (which, journals) in places.items()}

    def _journal_of(self, place: Place) -> tuple[str, list[str]]:
        prefix = self._journal or journal_beside(place.prefix, place.format)
        if journals := written_under(prefix, place.format):
            return _JOURNALED, journals
        if place.numbered and os.path.isdir(os.path.dirname(prefix)):
            return _BEGINNING, []
        return "", []

    def _noted(self, paths: list[str]) -> list[str]:
        """The paths, whose files must stay as they are now while they are read."""
        paths = list(dict.fromkeys(paths))
        self._states |= {path: _state(path) for path in paths}
        return paths


def current_rows(pattern: str, journal: str = "") -> pa.Table:
    """The current rows of the files that match a glob, of one of FILE_FORMATS, with all of their columns.

    Args:
        pattern: the files.
        journal: the prefix of their journal; "" for the default, beside the rows.

    Raises:
        ValueError: if no file matches, or the pipeline did not write them.
    """

    def gathered(view: View) -> pa.Table:
        return pa.concat_tables([arrow_schema(view.columns).empty_table(), *view.batches()])

    return CurrentRows(pattern, journal, option="pattern").read(gathered)


def add_current_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a tool that shows current rows."""
    parser.add_argument(
        "--journal", default="", metavar="PLACE", help="The journal, if the run named one. [beside the rows]"
    )
    parser.add_argument("--all_versions", action="store_true", help="Show edited and deleted messages' old rows too.")


def left_out(count: int) -> str:
    """What a tool says of rows that it did not show."""
    return f"left out {count:,} rows that are not current; --all_versions shows them"


def _state(path: str) -> tuple[int, int, int] | None:
    """What changes if another file takes the place of this one; None if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _parquet(paths: Sequence[str]) -> str:
    """The statement that gives the rows of Parquet files, with a column `revision` if they are older than it."""
    listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return (
        "(SELECT NULL::VARCHAR AS revision WHERE false) UNION ALL BY NAME "
        f"(FROM read_parquet([{listed}], union_by_name = true, filename = true, file_row_number = true))"
    )
