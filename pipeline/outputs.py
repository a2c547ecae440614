"""Outputs: tables and directories that are made before a run, and files of an earlier run that are removed after it."""

import pathlib
import tempfile

from apache_beam.io.filesystems import FileSystems

from pipeline.checks import looking_at
from pipeline.places import shards
from pipeline.settings import Settings
from transforms.io.bigquery.tables import create_table
from transforms.schema import DEAD_LETTER_COLUMNS, DEAD_LETTER_LAYOUT, EMBEDDING_COLUMNS, EMBEDDING_LAYOUT


def make_outputs(settings: Settings) -> None:
    """Make the tables or the directories of rows and dead letters that do not exist yet.

    Raises:
        ValueError: if one cannot be made or written to, or an existing table has other columns.
    """
    if settings.output_format == "bigquery":
        tables = (
            ("output", settings.output, EMBEDDING_COLUMNS, EMBEDDING_LAYOUT),
            ("dead_letters", settings.dead_letters, DEAD_LETTER_COLUMNS, DEAD_LETTER_LAYOUT),
        )
        for option, name, columns, layout in tables:
            with looking_at(option, name):
                create_table(name, columns, layout)
    elif settings.output_format != "pubsub":
        for option, prefix in (("output", settings.output), ("dead_letters", settings.dead_letters)):
            if "://" not in prefix:
                _make_directory(option, pathlib.Path(prefix).parent)


def _make_directory(option: str, folder: pathlib.Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"expected --{option} in a directory that can be written, {folder}: {error.strerror}"
        ) from error


def remove_stale(settings: Settings, started: float) -> None:
    """Delete an earlier run's files that this run, begun at `started`, did not replace."""
    for prefix in (settings.output, settings.dead_letters):
        for match in FileSystems.match([shards(prefix, settings.output_format)]):
            stale = [found.path for found in match.metadata_list if found.last_updated_in_seconds < started]
            if stale:
                FileSystems.delete(stale)
