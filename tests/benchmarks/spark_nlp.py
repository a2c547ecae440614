"""`python -m tests.benchmarks.spark_nlp`: the sentences, vectors and speed of this project, and of Spark NLP beside it.

Both read one export: Spark NLP by loadSavedModel, and this project after pipeline.export_encoder has converted it.
Spark NLP runs if SPARKNLP_JARS names a directory with its jars and those that it needs, and SPARKNLP_PYTHON the Python
of an environment with pyspark and spark-nlp of the same versions.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline import export_encoder
from tests.conftest import ROOT
from tests.spark_nlp import write_saved_model
from transforms import SentenceSplitter, TextEncoder

_ROW = "{:12} {:>10} {:>20} {:>24}"


def main() -> None:
    """Print a row for each system, and how much they have in common."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--checkpoint", required=True, help="A BERT in Hugging Face layout, such as all-MiniLM-L6-v2's."
    )
    parser.add_argument("--input", default=str(ROOT / "examples" / "messages.jsonl"), help="JSON lines with text.")
    arguments = parser.parse_args()
    lines = pathlib.Path(arguments.input).read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    with tempfile.TemporaryDirectory() as folder:
        export, pair = pathlib.Path(folder, "export"), pathlib.Path(folder, "pair")
        write_saved_model(pathlib.Path(arguments.checkpoint), export)
        if export_encoder.main([f"--from={export}", f"--to={pair}"]):
            raise SystemExit(2)
        ours, sentences = _ours(str(pair), texts)
        theirs = _theirs(export, texts, sentences)
    characters = sum(map(len, texts))
    print(_ROW.format("", "sentences", "characters a second", "vectors a second (warm)"))
    for name, each in (("this project", ours), ("Spark NLP", theirs)):
        if each:
            split, embedded = characters / each["split_seconds"], len(sentences) / each["embed_seconds"]
            print(_ROW.format(name, len(each["sentences"]), f"{split:,.0f}", f"{embedded:,.0f}"))
    if not theirs:
        print("SPARKNLP_JARS and SPARKNLP_PYTHON are not set: Spark NLP did not run")
        return
    same = (collections.Counter(ours["sentences"]) & collections.Counter(theirs["sentences"])).total()
    a, b = np.array(ours["vectors"]), np.array(theirs["vectors"])
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    print(f"{same} sentences in common; load average {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores")
    print(f"cosine of both vectors of a sentence: mean {cosines.mean():.5f}, worst {cosines.min():.5f}")
    print(f"below .9999: {(cosines < 0.9999).sum()} of {len(cosines)}; worst: {sentences[cosines.argmin()]!r}")


def _ours(pair: str, texts: list[str]) -> tuple[dict[str, Any], list[str]]:
    """What this project gives for the texts, and the sentences, each once, of which the vectors are compared."""
    splitter, encoder = SentenceSplitter("en"), TextEncoder(pair)

    def split() -> list[str]:
        return [text[begin:end] for text in texts for begin, end in splitter.spans(text)]

    split()
    sentences, split_seconds = _timed(split)
    unique = list(dict.fromkeys(sentences))
    # The encoder keeps the vectors of texts, so what warms it up must be other texts.
    encoder.encode([f"{sentence} again" for sentence in unique])
    vectors, embed_seconds = _timed(lambda: encoder.encode(unique))
    found = {"sentences": sentences, "vectors": vectors}
    return found | {"split_seconds": split_seconds, "embed_seconds": embed_seconds}, unique


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return run(), time.perf_counter() - start


def _theirs(export: pathlib.Path, texts: list[str], sentences: list[str]) -> dict[str, Any]:
    """The same of Spark NLP; nothing if it is not here."""
    jars, python = os.environ.get("SPARKNLP_JARS"), os.environ.get("SPARKNLP_PYTHON")
    if not jars or not python:
        return {}
    script, to = pathlib.Path(__file__).with_name("spark_nlp_peer.py"), export / "found.json"
    given = {"export": str(export), "texts": texts, "sentences": sentences, "jars": jars, "to": str(to)}
    task = json.dumps(given | {"cores": len(os.sched_getaffinity(0))})
    # Spark prints to the standard streams, so what was found is in a file.
    subprocess.run([python, str(script)], input=task, text=True, check=True, stderr=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(to.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    main()
