"""Compare the splitter with its peers: F1 on each set, golden rules, and megabytes per second on one core.

python -m tests.benchmarks.splitting [--sbd DIR] [--without_numbers] [--one_block]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import itertools
import pathlib
import re
import statistics
import time
import types
from collections.abc import Callable, Iterable, Iterator

from tests.benchmarks.peers import PEERS, AbsentError, Spans, SpansOf, behind_policy
from transforms import SentenceSplitter

_BESIDE_CLONE = pathlib.Path(__file__).resolve().parents[3] / "shared" / "sbd"
# The marker of an item, at the end of a text: "2.", "§ 3", "(iv)", "4º", "b) -".
_NUMBER = re.compile(
    r"(?:^|[\s(\"“«])(?:§ )?(?:\d{1,3}(?:\.\d{1,3})*|[A-Za-z]|[ivxIVX]{1,5})[.)\]º°ª]{0,3}\s*[)–—-]?\s*\Z"
)
_RUNS = 5
_LONGEST_RUN = 2.0


def main() -> None:
    """Print the table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--sbd", type=pathlib.Path, default=_BESIDE_CLONE, help="directory of the development sets")
    parser.add_argument("--without_numbers", action="store_true", help="count no boundary behind the marker of an item")
    parser.add_argument("--one_block", action="store_true", help="make a space of each line break")
    arguments = parser.parse_args()
    directory = arguments.sbd
    if not (directory / "score.py").is_file():
        parser.error(f"expected score.py and the sets in --sbd, got {directory}; pass their directory")
    score = _scorer(directory / "score.py")
    sets = {path.stem: score.load(path.stem) for path in sorted(directory.glob("*_dev.jsonl"))}
    for doc in itertools.chain.from_iterable(sets.values()):
        if arguments.without_numbers:
            doc["ends"] = _without_numbers(doc["text"], doc["ends"])
        if arguments.one_block:
            doc["text"] = re.sub(r"[\r\n]", " ", doc["text"])
    english = "\n\n".join(doc["text"] for doc in sets["en_ewt_dev"])

    names = (name.removesuffix("_dev").replace("_", " ") for name in sets)
    print("| splitter | " + " | ".join(names) + " | golden rules | MB/s |")
    print("|---|" + "---|" * (len(sets) + 2))
    absent = []
    for name, make in {"**SentenceSplitter**": _ours, **PEERS}.items():
        try:
            make("en")
        except AbsentError as reason:
            absent.append(f"{name} ({reason})")
            continue
        for label, policy in ((name, False), (f"{name}, newline policy", True)):
            if not (policy and make is _ours):
                row = _row(score, sets, make, policy, english, arguments.without_numbers)
                print(f"| {label} | " + " | ".join(row) + " |", flush=True)
    print("\nF1 of the boundaries inside a text. MB/s: English, UTF-8, one core, median of process time.")
    print("Versions: " + ", ".join(_versions()))
    if absent:
        print("Absent here: " + "; ".join(absent))


def _ours(language: str) -> SpansOf:
    return SentenceSplitter(language).spans


def _row(
    score: types.ModuleType,
    sets: dict[str, list[dict[str, object]]],
    make: Callable[[str], SpansOf],
    policy: bool,
    english: str,
    without_numbers: bool,
) -> Iterator[str]:
    """The cells of one splitter."""
    for name, docs in sets.items():
        try:
            spans_of = make(name[:2])
        except AbsentError:
            yield "-"
            continue
        spans_of = behind_policy(spans_of, name[:2]) if policy else spans_of
        spans_of = _joined(spans_of) if without_numbers else spans_of
        yield f"{score.evaluate(spans_of, docs, [])[2]:.4f}".lstrip("0")
    spans_of = behind_policy(make("en"), "en") if policy else make("en")
    total, failed = score.golden(spans_of)
    yield f"{total - len(failed)}/{total}"
    yield f"{_speed(spans_of, english):.1f}"


def _without_numbers(text: str, ends: Iterable[int]) -> list[int]:
    """The ends of sentences that are not right behind the marker of an item."""
    return [end for end in ends if not _NUMBER.search(text[max(0, end - 24) : end])]


def _joined(spans_of: SpansOf) -> SpansOf:
    """Keeps a marker that a splitter makes a sentence of in the sentence behind it."""

    def spans(text: str) -> Spans:
        ends = _without_numbers(text, (end for _, end in spans_of(text)))
        return list(itertools.pairwise([0, *ends]))

    return spans


def _speed(spans_of: SpansOf, text: str) -> float:
    """Megabytes per second: the median of several runs, or one run of a slow splitter."""
    sample = text[:20_000]
    begin = time.process_time()
    spans_of(sample)
    if (time.process_time() - begin) / len(sample) * len(text) * 4 < _LONGEST_RUN:
        sample = text * 4
    runs = []
    for _ in range(_RUNS):
        begin = time.process_time()
        spans_of(sample)
        runs.append(time.process_time() - begin)
        if sum(runs) > 2 * _LONGEST_RUN:
            break
    return len(sample.encode()) / 1e6 / statistics.median(runs)


def _versions() -> Iterator[str]:
    for package in ("pysbd", "nupunkt", "nltk", "sentencex", "simplemma", "blingfire", "razdel", "spacy"):
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def _scorer(path: pathlib.Path) -> types.ModuleType:
    """The sets' own scorer."""
    spec = importlib.util.spec_from_file_location("score", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"expected a Python file, got {path}; pass --sbd")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
