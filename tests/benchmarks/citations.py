"""Compare how often splitters cut American citations, those that reporters-db and courts-db list.

python -m tests.benchmarks.citations
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from tests.benchmarks.peers import PEERS, AbsentError, SpansOf
from transforms import SentenceSplitter

_BEFORE, _AFTER = "The court agreed.", "It was right."


def main() -> None:
    """Print the share of texts of each kind that are not split into three sentences, as Markdown."""
    texts: dict[str, list[str]] = {}
    for kind, citation in _citations():
        texts.setdefault(kind, []).append(f"{_BEFORE} See {citation}. {_AFTER}")
    print("| splitter | " + " | ".join(f"{kind} ({len(of_kind)})" for kind, of_kind in texts.items()) + " |")
    print("|---|" + "---|" * len(texts))
    for name, make in {"**SentenceSplitter**": lambda language: SentenceSplitter(language).spans, **PEERS}.items():
        try:
            spans_of = make("en")
        except AbsentError:
            continue
        shares = (sum(_is_cut(text, spans_of) for text in of_kind) / len(of_kind) for of_kind in texts.values())
        print(f"| {name} | " + " | ".join(f"{share:.3f}".lstrip("0") for share in shares) + " |", flush=True)


def _citations() -> Iterator[tuple[str, str]]:
    """Kinds of citations, and citations of each."""
    data = importlib.import_module("reporters_db")
    for reporters in data.REPORTERS.values():
        for reporter in reporters:
            for edition in reporter["editions"]:
                yield "reporters", f"Doe v. Roe, 12 {edition} 345, 350 (1990)"
            for variation in reporter["variations"]:
                yield "their variants", f"Doe v. Roe, 12 {variation} 345, 350 (1990)"
    for journal in data.JOURNALS:
        yield "journals", f"John Doe, Law, 12 {journal} 345 (1990)"
    for laws in data.LAWS.values():
        for law in laws:
            for example in law["examples"]:
                yield "laws", example
    for name in data.CASE_NAME_ABBREVIATIONS:
        yield "names", f"Doe v. First {name} Bank, 5 U.S. 345 (1990)"
    for court in importlib.import_module("courts_db").courts:
        if court["citation_string"]:
            yield "courts", f"Doe v. Roe, 12 F.3d 345 ({court['citation_string']} 1990)"


def _is_cut(text: str, spans_of: SpansOf) -> bool:
    sentences = [text[begin:end].strip() for begin, end in spans_of(text)]
    return len(sentences) != 3 or (sentences[0], sentences[2]) != (_BEFORE, _AFTER)


if __name__ == "__main__":
    main()
