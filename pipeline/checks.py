"""What is wrong with a run before it starts: looks at files, models and places to write, and says one line."""

import argparse
import contextlib
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from google.api_core.exceptions import Forbidden, GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from requests import RequestException

from transforms.encoder.catalogue import find_model
from transforms.encoder.text_encoder import check_model_options
from transforms.io.bigquery.tables import check_readable, create_table
from transforms.io.files.read import FILE_FORMATS
from transforms.io.pubsub.resources import check_subscription, check_topic, temporary_subscription
from transforms.reembedding import KEY_COLUMNS, ROW_FORMATS, SENTENCE_COLUMNS
from transforms.schema import DEAD_LETTER_COLUMNS, DEAD_LETTER_LAYOUT, EMBEDDING_COLUMNS, EMBEDDING_LAYOUT

MESSAGE_FORMATS = ("text", "json")
LOCAL_RUNNERS = ("", "DirectRunner", "FnApiRunner", "SwitchingDirectRunner")
_REFUSED_RUNNERS = {
    "DaskRunner": "it drops what a bundle's end gives, and so loses rows",
    "BundleBasedDirectRunner": "it acknowledges messages before their rows are written, and so loses rows",
}


class Inputs(NamedTuple):
    """Where messages come from, found and checked.

    Attributes:
        patterns: files to read.
        names: what to call a path where that is not the path.
        subscription: the Pub/Sub subscription that our own source reads.
        native: whether Beam's native source reads Pub/Sub.
    """

    patterns: Sequence[str] = ()
    names: Mapping[str, str] = {}
    subscription: str = ""
    native: bool = False

    @property
    def is_stream(self) -> bool:
        """Whether messages come without end."""
        return self.native or bool(self.subscription)


def runner_of(beam_options: PipelineOptions) -> str:
    """The name of the chosen runner, "" for the local one.

    Raises:
        ValueError: if it is one that is known to lose data.
    """
    name = (beam_options.view_as(StandardOptions).runner or "").rsplit(".", 1)[-1]
    if name in _REFUSED_RUNNERS:
        raise ValueError(f"expected a runner that keeps its data, got --runner={name}: {_REFUSED_RUNNERS[name]}")
    return name


@contextlib.contextmanager
def inputs(options: argparse.Namespace, runner: str) -> Iterator[Inputs]:
    """The source of a run, after a look that it is there; what was made for the run goes with the block.

    Raises:
        ValueError: if it is not there, or cannot be read by the runner.
    """
    formats = (*FILE_FORMATS, *ROW_FORMATS) if options.input else MESSAGE_FORMATS
    if options.input_format not in formats:
        kind = "files" if options.input else "messages"
        raise ValueError(f"expected --input_format of {kind}, {', '.join(formats)}, got {options.input_format!r}")
    if options.input_format == "bigquery":
        with _looking_at("input", options.input):
            check_readable(options.input, SENTENCE_COLUMNS)
        yield Inputs()
        return
    if options.input:
        found = _find_files(options, runner in LOCAL_RUNNERS)
        try:
            yield found
        finally:
            for spool in found.names:
                os.unlink(spool)
        return
    native = options.source == "native" or (not options.source and runner == "DataflowRunner")
    if native and runner in LOCAL_RUNNERS:
        raise ValueError(
            "expected --source=splittable on a local runner, got native, which acknowledges messages before their "
            "rows are written; leave --source out"
        )
    if native or options.input_subscription:
        for name, check in (("input_subscription", check_subscription), ("input_topic", check_topic)):
            if getattr(options, name):
                check(getattr(options, name))
        yield Inputs(subscription="" if native else options.input_subscription, native=native)
        return
    if runner not in LOCAL_RUNNERS:
        raise ValueError("expected --input_subscription with --source=splittable on a remote runner, got --input_topic")
    with temporary_subscription(options.input_topic) as subscription:
        yield Inputs(subscription=subscription)


def _find_files(options: argparse.Namespace, local: bool) -> Inputs:
    pattern = options.input
    if pattern == "-":
        if not local:
            raise ValueError("expected --input=GLOB on a remote runner, got -; standard input is read locally only")
        with tempfile.NamedTemporaryFile(prefix="sentence-embeddings-", delete=False) as spool:
            shutil.copyfileobj(sys.stdin.buffer, spool)
        return Inputs([spool.name], {spool.name: "-"})
    return Inputs([_matching("input", pattern)], {})


def _matching(option: str, pattern: str) -> str:
    """The pattern of the files that `pattern`, a glob or a directory, stands for; refuses one that matches none."""
    given = pattern
    if os.path.isdir(pattern) or pattern.endswith("/"):
        pattern = pattern.rstrip("/") + "/**"
    try:
        found = FileSystems.match([pattern], [1])[0].metadata_list
    except (BeamIOError, ValueError, OSError) as error:
        raise ValueError(f"expected --{option} to name files, could not look at {given!r}: {error}") from error
    if not found:
        raise ValueError(f"expected --{option} to match a file, {given!r} matches none; check the path")
    return pattern


def check_outputs(options: argparse.Namespace, found: Inputs) -> None:
    """Fill in where dead letters go, and look that both places can be written.

    Raises:
        ValueError: if a table's name is none, or a directory cannot be made or written.
    """
    if options.output_format == "bigquery":
        if found.is_stream and options.bigquery_write_method == "FILE_LOADS":
            raise ValueError(
                "expected another --bigquery_write_method for a stream than FILE_LOADS, whose load jobs wait for an "
                "end; leave it out"
            )
        options.dead_letters = options.dead_letters or f"{options.output}_error_records"
        _check_tables(options)
        return
    if options.output_format == "pubsub":
        if not options.dead_letters:
            raise ValueError("expected --dead_letters=projects/P/topics/T with --output_format=pubsub, got none")
        for topic in (options.output, options.dead_letters):
            check_topic(topic)
        return
    if not options.dead_letters:
        folder, _, name = options.output.rpartition("/")
        options.dead_letters = f"{folder}/dead_letters/{name}" if folder else f"dead_letters/{name}"
    for option in ("output", "dead_letters"):
        prefix = getattr(options, option)
        if not os.path.basename(prefix):
            raise ValueError(f"expected --{option} to be a path prefix such as {prefix}rows, got {prefix!r}")
        if "://" not in prefix:
            _check_writable(option, pathlib.Path(prefix).parent)
    if not found.is_stream:
        _refuse_replaced("input", found.patterns, options)


def check_already_written(options: argparse.Namespace, found: Inputs) -> None:
    """Look that the rows written earlier are there, once the outputs are.

    Raises:
        ValueError: if they are not, or none can be there.
    """
    if not options.already_written:
        return
    if found.is_stream:
        raise ValueError("expected --already_written with --input, which has an end, got a stream; leave it out")
    if options.output_format == "pubsub":
        raise ValueError("expected --already_written with files or a table as output, got pubsub; leave it out")
    if options.output_format == "bigquery":
        with _looking_at("already_written", options.already_written):
            check_readable(options.already_written, KEY_COLUMNS)
        return
    options.already_written = _matching("already_written", options.already_written)
    _refuse_replaced("already_written", [options.already_written], options)


def _refuse_replaced(option: str, patterns: Sequence[str], options: argparse.Namespace) -> None:
    """A run replaces the files of an earlier one with its prefix, so it must not live on them."""
    replaced = _paths([_shards(options.output, f".{options.output_format}")])
    if replaced and (both := replaced & _paths(patterns)):
        raise ValueError(
            f"expected --{option} apart from the files under --output, which are replaced, got {min(both)} in both; "
            "choose another --output"
        )


def _paths(patterns: Sequence[str]) -> set[str]:
    return {os.path.realpath(file.path) for match in FileSystems.match(patterns) for file in match.metadata_list}


def _shards(prefix: str, suffix: str) -> str:
    return f"{prefix}-?????-of-?????{suffix}"


def _check_tables(options: argparse.Namespace) -> None:
    """Make the tables that are not there, and look that those that are fit."""
    tables = (
        ("output", EMBEDDING_COLUMNS, EMBEDDING_LAYOUT),
        ("dead_letters", DEAD_LETTER_COLUMNS, DEAD_LETTER_LAYOUT),
    )
    for option, columns, layout in tables:
        name = getattr(options, option)
        with _looking_at(option, name):
            create_table(name, columns, layout)


@contextlib.contextmanager
def _looking_at(option: str, table: str) -> Iterator[None]:
    """What BigQuery says of the table that `option` names, as one line."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"--{option}: {error}") from error
    except Forbidden:
        # Who may read or write rows need not be allowed to look at the table.
        return
    except (GoogleAPICallError, GoogleAuthError, RequestException) as error:
        raise ValueError(f"expected --{option} in BigQuery, could not look at {table}: {error}") from error


def _check_writable(option: str, folder: pathlib.Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"expected --{option} in a directory that can be written, {folder}: {error.strerror}"
        ) from error


def check_model(options: argparse.Namespace) -> None:
    """Look that the model is there and can do what is asked, as far as that can be told without loading it.

    Raises:
        ValueError: if it is not, or cannot.
    """
    check_model_options(find_model(options.model, options.preprocessor), options.pooling, options.max_seq_length)


def remove_stale(prefix: str, suffix: str, started: float) -> None:
    """Delete an earlier run's files under `prefix` that this run, begun at `started`, did not replace."""
    for match in FileSystems.match([_shards(prefix, suffix)]):
        stale = [found.path for found in match.metadata_list if found.last_updated_in_seconds < started]
        if stale:
            FileSystems.delete(stale)
