"""Texts in many languages: our own, and real ones from the development sets beside the clone."""

import json
import pathlib

from tests.conftest import DATA, ROOT

SETS = ROOT.parent / "shared" / "sbd"
# Their license lets nobody train on them.
_NOT_TO_TRAIN_ON = ("it_isdt_dev.jsonl", "pl_pdb_dev.jsonl")


def own_texts() -> list[str]:
    """Our own texts in 16 languages: each alone, and all of them as one that is longer than any encoder reads."""
    texts = json.loads((DATA / "kinds" / "texts.json").read_text(encoding="utf-8"))
    return [*texts, " ".join(texts), "", " \t two  spaces\n"]


def texts_of_sets(directory: pathlib.Path, trainable: bool = False) -> dict[str, list[str]]:
    """The sentences of each of 13 languages; with `trainable`, only of the sets that one may train on."""
    found: dict[str, list[str]] = {}
    for path in sorted(directory.glob("*.jsonl")):
        for document in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            for begin, end in zip([0, *document["ends"]], document["ends"], strict=False):
                if not trainable or path.name not in _NOT_TO_TRAIN_ON:
                    found.setdefault(document["lang"], []).append(document["text"][begin:end].strip())
    return found
