"""`python -m pipeline.evaluate`: how good a model's vectors are, on a user's own data."""

import os

if __name__ == "__main__":
    # As in pipeline.search: for one query, more threads wait for each other longer than they compute.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import csv
import importlib.util
import json
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline import console, retrieval, stopping
from pipeline.arguments import MODEL_OPTIONS, Parser, add_options, check_values, dashed, made
from pipeline.search.parquet import ParquetRows
from pipeline.search.searching import Search
from transforms.dataframe import embed
from transforms.encoder.options import EncoderOptions

Array = np.ndarray[Any, Any]

_NEEDED = ("ir_measures", "pandas", "sklearn", "tqdm")
_FOLDS = 5
_RETRIEVAL = "{:31} {:9} {:>7}  {:>22}  {:>22}  {:>22}  {:>5}"
_ROW = "{:28} {:9} {:>7}  {:>8}  {:>16}  {:>8}  {:>11}"


class Quality(NamedTuple):
    """A score with its 95% confidence interval.

    Attributes:
        score: Spearman's correlation, or accuracy.
        low: the lower end of the interval.
        high: the upper end of the interval.
        baseline: the score of a model that knows nothing.
    """

    score: float
    low: float
    high: float
    baseline: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns 2 if it was refused."""
    arguments = _parser().parse_args(argv)
    console.prepare()
    try:
        check_values(arguments, MODEL_OPTIONS)
        # Without --model, rows name theirs.
        models = arguments.model or ([""] * len(arguments.embeddings) if arguments.embeddings else ["minilm"])
        encoders = [made(EncoderOptions, arguments, model=model) for model in models]
        if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
            raise ImportError(f"evaluation needs {', '.join(missing)}; install this package with [evaluate]")
        if arguments.embeddings:
            return _retrieval(arguments, encoders)
        if not (arguments.similarity or arguments.labelled):
            raise ValueError("expected --similarity=FILE, --labelled=FILE or --embeddings=GLOB, got none of them")
        if not arguments.format:
            raise ValueError("expected --format=jsonl, csv or tsv, that of the files, got none")
        pairs = read_pairs(arguments) if arguments.similarity else None
        labelled = read_labelled(arguments) if arguments.labelled else None
        console.import_tensorflow()
        print(_ROW.format("model", "measure", "items", "score", "95% interval", "baseline", "items/s"))
        for encoder in encoders:
            if pairs:
                _measure(encoder, "spearman", arguments.document_vector, *pairs)
            if labelled:
                _measure(encoder, "accuracy", arguments.document_vector, *labelled)
    except (ImportError, OSError, ValueError) as error:
        print(f"python -m pipeline.evaluate: {dashed(str(error), MODEL_OPTIONS)}", file=sys.stderr)
        return 2
    return 0


def _parser() -> Parser:
    parser = Parser(
        "pipeline.evaluate",
        "Score models on pairs of texts with a similarity or on texts with labels, and searches of rows.",
    )
    parser.add_argument(
        "--model",
        action="append",
        help="A model, as in python -m pipeline; may be repeated. [minilm, or with --embeddings what the rows name]",
    )
    parser.add_argument("--similarity", metavar="FILE", help="File of text pairs with a similarity, in any unit.")
    parser.add_argument("--labelled", metavar="FILE", help="File of texts, each with a label.")
    parser.add_argument("--format", choices=("jsonl", "csv", "tsv"), help="Format of the files.")
    parser.add_argument("--first_field", default="sentence1", help="Field of the first text of a pair. [sentence1]")
    parser.add_argument("--second_field", default="sentence2", help="Field of the second text of a pair. [sentence2]")
    parser.add_argument("--score_field", default="score", help="Field of a pair's similarity score. [score]")
    parser.add_argument("--text_field", default="text", help="Field of a labelled text. [text]")
    parser.add_argument("--label_field", default="label", help="Field of a text's label. [label]")
    parser.add_argument(
        "--embeddings",
        metavar="GLOB",
        action="append",
        help="Score the search of these Parquet rows; repeat it to compare the rows of several models.",
    )
    parser.add_argument("--queries", metavar="FILE", help="File of queries, with the fields id and text.")
    parser.add_argument(
        "--judgements",
        metavar="FILE",
        help="File of what queries should find, with the fields query, message (its id) and relevance (0 is none).",
    )
    parser.add_argument(
        "--known_items",
        metavar="KEY",
        nargs="?",
        const="",
        help="Without judgements: look for messages by their first sentence, or by what their metadata has for KEY, "
        "such as title, and see whether their other sentences are found.",
    )
    parser.add_argument("--limit", type=int, default=200, help="The most messages to make queries of. [200]")
    parser.add_argument(
        "--document_vector",
        default="mean",
        choices=("mean", "whole"),
        help="How to embed a labelled text: as the mean of its sentences' vectors, or as one input. [mean]",
    )
    add_options(parser, MODEL_OPTIONS)
    return parser


def _retrieval(arguments: argparse.Namespace, encoders: Sequence[EncoderOptions]) -> int:
    """Print how well each of the embeddings is searched, beside the first way to search them."""
    if len(encoders) != len(arguments.embeddings):
        raise ValueError(
            f"expected one --model for each of {len(arguments.embeddings)} --embeddings, or none, got {len(encoders)}"
        )
    if bool(arguments.queries) == (arguments.known_items is not None):
        raise ValueError("expected --queries=FILE with --judgements=FILE, or --known_items, with --embeddings")
    given = read_judged(arguments) if arguments.queries else None
    first = None
    print(_RETRIEVAL.format("model", "search by", "queries", *retrieval.MEASURES, "p"))
    for place, encoder in zip(arguments.embeddings, encoders, strict=True):
        rows = ParquetRows(place)
        search = Search(rows, encoder)
        if given is None:
            key = arguments.known_items
            given = retrieval.known_items(rows.known_items(search.version, arguments.limit, key), not key)
        questions, judgements = given
        if len(questions) < 2:
            raise ValueError(f"expected at least 2 queries for {place!r}, got {len(questions)}; bring more messages")
        for way, ranked in retrieval.rankings(search, questions).items():
            found = retrieval.scores(ranked, judgements)
            cells = []
            for values in found.values():
                low, high = retrieval.interval(values)
                cells.append(f"{values.mean():.3f} ({low:.3f} to {high:.3f})")
            # Two searches differ by chance if one is not better on more of the queries.
            against = "" if first is None else f"{retrieval.p_value(first, found['nDCG@10']):.3f}"
            first = found["nDCG@10"] if first is None else first
            print(
                _RETRIEVAL.format(f"{search.name} {search.version}", way, f"{len(judgements):,}", *cells, against),
                flush=True,
            )
    return 0


def read_judged(arguments: argparse.Namespace) -> tuple[list[retrieval.Question], retrieval.Judgements]:
    """The queries that have a judgement, and the judgements."""
    if not (arguments.judgements and arguments.format):
        raise ValueError("expected --judgements=FILE and --format with --queries; see --help")
    texts = dict(read_fields(arguments.queries, arguments.format, ("id", "text")))
    judgements: dict[str, dict[str, int]] = {}
    for query, message, relevance in read_fields(
        arguments.judgements, arguments.format, ("query", "message", "relevance")
    ):
        if query not in texts or not re.fullmatch(r"\d+", relevance):
            raise ValueError(
                f"expected a query of {arguments.queries} and a relevance of 0 or more in {arguments.judgements}, got "
                f"query {query!r} and relevance {relevance!r}"
            )
        judgements.setdefault(query, {})[message] = int(relevance)
    # What has no right answer tells nothing of a search.
    judged = {query: messages for query, messages in judgements.items() if any(messages.values())}
    return [retrieval.Question(query, texts[query]) for query in judged], judged


def read_fields(path: str, kind: str, fields: Sequence[str]) -> list[list[str]]:
    """`fields` of each record of a file of JSON lines, CSV or TSV, as text.

    Raises:
        ValueError: if a record cannot be read, or lacks a field.
    """
    with open(path, encoding="utf-8", newline="") as file:
        if kind == "jsonl":
            records: Any = (json.loads(line) for line in file if line.strip())
        else:
            records = csv.DictReader(file, delimiter={"csv": ",", "tsv": "\t"}[kind])
        found = []
        try:
            for number, record in enumerate(records, 1):
                if not isinstance(record, dict) or any(record.get(field) is None for field in fields):
                    got = sorted(map(str, record)) if isinstance(record, dict) else type(record).__name__
                    raise ValueError(f"expected the fields {list(fields)} in record {number} of {path}, got {got}")
                found.append([str(record[field]) for field in fields])
        except (json.JSONDecodeError, csv.Error) as error:
            raise ValueError(f"expected {kind} in {path}: {error}") from error
    return found


def read_pairs(arguments: argparse.Namespace) -> tuple[list[str], list[str], Array]:
    """First texts, second texts, and similarities."""
    names = (arguments.first_field, arguments.second_field, arguments.score_field)
    records = read_fields(arguments.similarity, arguments.format, names)
    try:
        scores = np.array([float(score) for *_, score in records])
    except ValueError as error:
        raise ValueError(f"expected numbers in the field {arguments.score_field!r}: {error}") from error
    if len(records) < 4 or np.unique(scores).size < 2:
        raise ValueError(f"expected at least 4 pairs of different scores in {arguments.similarity}, got {len(records)}")
    return [first for first, *_ in records], [second for _, second, _ in records], scores


def read_labelled(arguments: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Texts and labels."""
    names = (arguments.text_field, arguments.label_field)
    records = [record for record in read_fields(arguments.labelled, arguments.format, names) if record[0].strip()]
    labels = [label for _, label in records]
    counts = {label: labels.count(label) for label in set(labels)}
    if len(counts) < 2 or min(counts.values()) < _FOLDS:
        raise ValueError(f"expected at least two labels of {_FOLDS} texts each in {arguments.labelled}, got {counts}")
    return [text for text, _ in records], labels


def _measure(encoder: EncoderOptions, measure: str, document_vector: Any, *data: Any) -> None:
    embed("Loads the model.", **vars(encoder))
    started = time.monotonic()
    if measure == "spearman":
        first, second, scores = data
        # A pair's texts are compared as they are, not sentence by sentence.
        vectors = _vectors([*first, *second], encoder, "whole")
        seconds = time.monotonic() - started
        quality = spearman(vectors[: len(first)], vectors[len(first) :], scores)
        items = len(scores)
    else:
        texts, labels = data
        vectors = _vectors(texts, encoder, document_vector)
        seconds = time.monotonic() - started
        quality = probe(vectors, labels)
        items = len(labels)
    interval = f"{quality.low:.3f} to {quality.high:.3f}"
    numbers = (f"{quality.score:.3f}", interval, f"{quality.baseline:.3f}", f"{items / max(seconds, 1e-9):,.0f}")
    print(_ROW.format(encoder.model, measure, f"{items:,}", *numbers), flush=True)


def _vectors(texts: Sequence[str], encoder: EncoderOptions, document_vector: Any) -> Array:
    rows = embed(texts, output_level="document", document_vector=document_vector, **vars(encoder)).embedding
    dimension = next(len(vector) for vector in rows if vector is not None)
    return np.stack([np.zeros(dimension, np.float32) if vector is None else vector for vector in rows])


def spearman(first: Array, second: Array, scores: Array) -> Quality:
    """Spearman's correlation of the pairs' cosines with `scores`; the interval is Fieller's (1957)."""
    from scipy.stats import spearmanr

    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(axis=1) / np.maximum(norms, 1e-12)
    found = float(spearmanr(cosines, scores).statistic)
    middle, half = np.arctanh(np.clip(found, -0.999999, 0.999999)), 1.96 * np.sqrt(1.06 / max(len(scores) - 3, 1))
    return Quality(found, float(np.tanh(middle - half)), float(np.tanh(middle + half)), 0.0)


def probe(vectors: Array, labels: Sequence[str]) -> Quality:
    """Accuracy of a logistic regression on texts that it was not trained on, in 5 folds stratified by label.

    The baseline is the share of the most frequent label; the interval is Wilson's (1927).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    truth = np.asarray(labels)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    found = cross_val_predict(classifier, vectors, truth, cv=StratifiedKFold(_FOLDS, shuffle=True, random_state=0))
    share, count, z = float(np.mean(found == truth)), len(truth), 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * float(np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)))
    return Quality(share, middle - half, middle + half, float(np.unique(truth, return_counts=True)[1].max()) / count)


if __name__ == "__main__":
    stopping.leave("python -m pipeline.evaluate", main)
