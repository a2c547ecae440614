"""`python -m pipeline.search`: the sentences of a run that are nearest to a query."""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from pipeline import console
from pipeline.command_line import add_options, check_values, in_command_line
from pipeline.current import add_current_options, left_out
from pipeline.options import OPTIONS
from pipeline.search.bigquery import BigQueryRows
from pipeline.search.parquet import ParquetRows
from pipeline.settings import made
from transforms.encoder.cleanup import clean, version_with
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import TextEncoder, load_encoder

# The options of a run that change its vectors, as a query must be encoded as the rows were, and how they are had.
_NAMES = (
    "preprocessor",
    "pooling",
    "normalize",
    "max_seq_length",
    "prompt",
    "truncate_dim",
    "cleanup",
    "allow_http",
)
_HOW = [option for option in OPTIONS if option.name in _NAMES]


_log = logging.getLogger(__name__)


class ModelVersion(NamedTuple):
    """A model whose vectors are among the rows."""

    name: str
    version: str


class Found(NamedTuple):
    """A sentence near the query; `score` is the cosine of the two."""

    score: float
    content: str
    message_id: str
    metadata: Mapping[str, str]


class Rows(Protocol):
    """A place where rows can be searched."""

    def models(self) -> list[tuple[str, str]]:
        """Name and version of each model that made a row."""

    def nearest(
        self, query: "np.ndarray[tuple[int], np.dtype[np.float32]]", version: str, limit: int
    ) -> list[tuple[float, str, str, Mapping[str, str]]]:
        """Score, content, message id and metadata of the best rows of that version, best first, each content once."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns 2 if it was refused."""
    arguments = _parser().parse_args(argv)
    console.prepare()
    try:
        where = filters(arguments.filter)
        check_values(arguments, _HOW)
        if arguments.limit < 1:
            raise ValueError(f"expected --limit of at least 1, got {arguments.limit}")
        encoder = made(EncoderOptions, arguments)
        how = where, arguments.journal, arguments.all_versions
        files = None if arguments.bigquery else ParquetRows(arguments.embeddings, *how)
        rows: Rows = files or BigQueryRows(arguments.bigquery, *how)
        chosen = arguments.cleanup, arguments.limit, arguments.query_prompt
        for found in search(rows, arguments.query, encoder, *chosen):
            fields = "".join(f"  {key}={value}" for key, value in sorted(found.metadata.items()))
            print(f"{found.score:.3f}  {' '.join(found.content.split())}  [{found.message_id}]{fields}")
        if files and files.left_out:
            print(left_out(files.left_out), file=sys.stderr)
    except ValueError as error:
        print(f"python -m pipeline.search: {in_command_line(str(error))}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.search", description="Print the embedded sentences nearest to a query, by cosine."
    )
    parser.add_argument("query", help="What to look for.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--embeddings", metavar="GLOB", help="Parquet files that the pipeline wrote.")
    source.add_argument("--bigquery", metavar="PROJECT:DATASET.TABLE", help="A table that the pipeline wrote.")
    parser.add_argument(
        "--model",
        default="",
        help="Model of the query; needed for rows of several models, or if it is not where its name says.",
    )
    parser.add_argument(
        "--query_prompt",
        default="",
        metavar="NAME|TEXT|none",
        help="What the encoder reads before the query; by default, the model's prompt for queries.",
    )
    parser.add_argument("--limit", type=int, default=5, help="How many sentences to print. [5]")
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="Search only rows with this metadata. May be repeated.",
    )
    add_current_options(parser)
    add_options(parser, _HOW)
    return parser


def filters(given: Sequence[str]) -> dict[str, str]:
    """KEY=VALUE options as a mapping.

    Raises:
        ValueError: if one is not of that form.
    """
    for option in given:
        if "=" not in option:
            raise ValueError(f"expected --filter as KEY=VALUE, got {option!r}; as in --filter=genre=reviews")
    return {key: value for key, _, value in (option.partition("=") for option in given)}


def search(
    rows: Rows,
    query: str,
    options: EncoderOptions,
    cleanup: str = "disabled",
    limit: int = 5,
    query_prompt: str = "",
) -> list[Found]:
    """The `limit` sentences nearest to `query`, best first, each content once.

    Args:
        rows: where to search.
        query: the text to look for.
        options: those of the rows' encoder; the model "" stands for the one whose name the rows carry.
        cleanup: that of the rows.
        limit: how many sentences to find.
        query_prompt: as in TextEncoder.encode_query.

    Raises:
        ValueError: if `options` and `cleanup` did not make the rows, there are none, or the prompt has no such name.
    """
    encoder, version = encoder_of([ModelVersion(*found) for found in rows.models()], options, cleanup)
    if encoder.similarity not in ("", "cosine") and not encoder.normalize:
        _log.warning(
            "%s was trained for the similarity %r, rows are ranked by cosine", encoder.name, encoder.similarity
        )
    (vector,) = encoder.encode_query([clean(query, cleanup)], query_prompt)
    return [Found(*found) for found in rows.nearest(vector, version, limit)]


def encoder_of(models: Sequence[ModelVersion], options: EncoderOptions, cleanup: str) -> tuple[TextEncoder, str]:
    """The encoder that made rows of `models`, and the version that these carry.

    Raises:
        ValueError: if it did not make the rows: vectors of different models cannot be compared.
    """
    listed = ", ".join(sorted(f"{found.name} version {found.version}" for found in models))
    if not models:
        raise ValueError("expected rows to search, found none; look at the pipeline's summary")
    if len(models) > 1 and not options.model:
        raise ValueError(f"expected rows of one model, got {listed}; choose one with --model")
    console.import_tensorflow()
    encoder = load_encoder(dataclasses.replace(options, model=options.model or models[0].name))
    version = version_with(encoder.version, cleanup)
    if version not in {found.version for found in models}:
        raise ValueError(
            f"expected the model of the rows, {listed}, got {encoder.name} version {version}; pass its directory with "
            "--model, and the --pooling, --normalize, --max_seq_length, --prompt, --truncate_dim and --cleanup of that "
            "run"
        )
    return encoder, version


if __name__ == "__main__":
    sys.exit(main())
