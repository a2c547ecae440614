"""`python -m pipeline.search`: the sentences of a run that are nearest to a query."""

import os

if __name__ == "__main__":
    # For one query, more threads of NumPy's matrix products wait for each other longer than they compute.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import datetime
import sys
from collections.abc import Iterator, Sequence

from pipeline import console, stopping
from pipeline.arguments import MODEL_OPTIONS, VECTORS, Parser, add_options, check_values, dashed, made
from pipeline.current import add_current_options, left_out
from pipeline.search.parquet import ParquetRows
from pipeline.search.places import Filters
from pipeline.search.searching import Search
from transforms.encoder.options import EncoderOptions

# The options of a run that change its vectors, as a query must be encoded as the rows were, and how they are had.
_HOW = (*MODEL_OPTIONS, *(option for option in VECTORS if option.name == "cleanup"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns 2 if it was refused."""
    arguments = _parser().parse_args(argv)
    console.prepare()
    try:
        chosen = _filters(arguments)
        check_values(arguments, _HOW)
        if arguments.limit < 1:
            raise ValueError(f"expected --limit of at least 1, got {arguments.limit}")
        if bool(arguments.query) == arguments.interactive:
            raise ValueError("expected a query, or --interactive to be asked for queries; give one of them")
        encoder = made(EncoderOptions, arguments)
        how = chosen, arguments.journal, arguments.all_versions
        if arguments.bigquery:
            # Google's clients take seconds to import.
            from pipeline.search.bigquery import BigQueryRows

        files = None if arguments.bigquery else ParquetRows(arguments.embeddings, *how)
        search = Search(
            files or BigQueryRows(arguments.bigquery, *how), encoder, arguments.cleanup, arguments.query_prompt
        )
        for query in _asked() if arguments.interactive else [arguments.query]:
            for found in search(query, arguments.limit, arguments.hybrid):
                fields = "".join(f"  {key}={value}" for key, value in sorted(found.metadata.items()))
                print(f"{found.score:.3f}  {' '.join(found.content.split())}  [{found.message_id}]{fields}", flush=True)
        if files and files.left_out:
            print(left_out(files.left_out), file=sys.stderr)
    except ValueError as error:
        print(f"python -m pipeline.search: {dashed(str(error), VECTORS)}", file=sys.stderr)
        return 2
    return 0


def _asked() -> Iterator[str]:
    """The lines that somebody types, until the end of the file or a blank line."""
    while True:
        print("query: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline().strip()
        if not line:
            return
        yield line


def _parser() -> Parser:
    parser = Parser(
        "pipeline.search",
        "Print the embedded sentences nearest to a query, by the cosine of the two.",
    )
    parser.add_argument("query", nargs="?", default="", help="What to look for.")
    parser.add_argument(
        "--interactive", action="store_true", help="Read queries from standard input, until a blank line."
    )
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
        "--hybrid",
        action="store_true",
        help="Look for the query's words, too, and print the sum of the reciprocal ranks by either.",
    )
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="Search only rows with this metadata. May be repeated.",
    )
    parser.add_argument(
        "--since", default="", metavar="TIME", help="Search only rows of this event time, as ISO 8601, or later."
    )
    parser.add_argument("--until", default="", metavar="TIME", help="Search only rows of an earlier event time.")
    add_current_options(parser)
    add_options(parser, _HOW)
    return parser


def _filters(arguments: argparse.Namespace) -> Filters:
    """What rows the options choose.

    Raises:
        ValueError: if one is not of the form that is expected.
    """
    for option in arguments.filter:
        if "=" not in option:
            raise ValueError(f"expected --filter as KEY=VALUE, got {option!r}; as in --filter=genre=reviews")
    metadata = {key: value for key, _, value in (option.partition("=") for option in arguments.filter)}
    return Filters(metadata, _time("since", arguments.since), _time("until", arguments.until))


def _time(option: str, given: str) -> datetime.datetime | None:
    """An ISO 8601 time, in UTC if it names no zone; None for ""."""
    if not given:
        return None
    try:
        time = datetime.datetime.fromisoformat(given)
    except ValueError as error:
        raise ValueError(f"expected --{option} as ISO 8601, such as 2024-05-01, got {given!r}") from error
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)


if __name__ == "__main__":
    stopping.leave("python -m pipeline.search", main)
