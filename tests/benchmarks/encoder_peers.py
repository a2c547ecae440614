"""Other ways to compute a model's vectors, with one interface: a list of texts in, an array of vectors out.

python -m tests.benchmarks.encoder_peers [--sbd DIR] [--count=2000] [--timed=256] [--rounds=3]
    KIND[=CHECKPOINT] ...

It exports a checkpoint of each kind, encodes texts in 16 languages with it and with sentence-transformers, and prints
how far the vectors differ, how many sentences each encodes in a second, how many times the peer's speed ours is, and
what share of a bare matmul's, in float32 and in bfloat16. Speeds are medians of rounds in which one follows the other.
Without CHECKPOINT, it makes one of random weights, as large as all-MiniLM-L6-v2. Most texts are of the development sets
in DIR; some of them are timed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline import console, export_encoder
from transforms.encoder.catalogue import find_model

Encode = Callable[[list[str]], Any]
_OURS = ("TF_NUM_INTRAOP_THREADS", "TF_ENABLE_ONEDNN_OPTS")
# In tokens; TextEncoder's default.
_MAX_SEQ_LENGTH = 128


def beams_own(model: str) -> Encode:
    """Beam's MLTransform with TensorflowHubTextEmbeddings on the same SavedModels."""
    find_model(model)
    # TensorFlow is configured for this project's program, which would leave this peer one core.
    ours = {name: os.environ.pop(name) for name in _OURS if name in os.environ}
    pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    pool.submit(os.getpid).result()
    os.environ |= ours
    return lambda texts: pool.submit(_beams_own, model, texts).result()


def _beams_own(model: str, texts: list[str]) -> Any:
    import apache_beam as beam
    from apache_beam.ml.transforms.base import MLTransform
    from apache_beam.ml.transforms.embeddings.tensorflow_hub import TensorflowHubTextEmbeddings

    entry = find_model(model)
    with tempfile.TemporaryDirectory() as artifacts, beam.Pipeline(runner="FnApiRunner") as pipeline:
        handler = TensorflowHubTextEmbeddings(
            columns=["text"], hub_url=entry.encoder, preprocessing_url=entry.preprocessor
        )
        rows = pipeline | beam.Create([{"text": text} for text in texts])
        _ = rows | MLTransform(write_artifact_location=artifacts).with_transform(handler)
    # It gives only pooled_output, which there is nothing to compare with, so its vectors are left out: zeros.
    return np.zeros((len(texts), entry.dimension), np.float32)


def sentence_transformers(checkpoint: str, backend: str, **model_options: Any) -> Encode:
    """sentence-transformers on one of its backends."""
    from sentence_transformers import SentenceTransformer

    found = SentenceTransformer(_needed(checkpoint), backend=backend, device="cpu", model_kwargs=model_options)
    found.max_seq_length = _MAX_SEQ_LENGTH
    return lambda texts: found.encode(texts, batch_size=32, show_progress_bar=False)


def _pytorch(checkpoint: str, precision: str) -> Encode:
    # A checkpoint may be stored in another precision.
    return sentence_transformers(checkpoint, "torch", dtype=precision)


def _openvino(checkpoint: str, hint: str) -> Encode:
    return sentence_transformers(checkpoint, "openvino", ov_config={"INFERENCE_PRECISION_HINT": hint}, export=True)


# What sentence-transformers calls its file for each kind of processor.
_QUANTISED = {"avx512_vnni": "onnx/model_qint8_avx512_vnni.onnx", "avx2": "onnx/model_quint8_avx2.onnx"}


def _onnx_int8(checkpoint: str) -> Encode:
    """ONNX Runtime on weights that sentence-transformers quantized for this processor."""
    from sentence_transformers import SentenceTransformer, export_dynamic_quantized_onnx_model

    kind = "avx512_vnni" if "avx512_vnni" in pathlib.Path("/proc/cpuinfo").read_text() else "avx2"
    folder = tempfile.mkdtemp()
    whole = SentenceTransformer(_needed(checkpoint), backend="onnx", device="cpu", model_kwargs={"export": True})
    whole.save_pretrained(folder)
    export_dynamic_quantized_onnx_model(whole, kind, folder)
    return sentence_transformers(folder, "onnx", file_name=_QUANTISED[kind])


def _needed(checkpoint: str) -> str:
    if not checkpoint:
        raise ValueError("no --checkpoint")
    return checkpoint


# The function that makes each peer, given the model's name and its weights in Hugging Face layout.
PEERS: dict[str, Callable[[str, str], Encode]] = {
    "Beam's MLTransform, float32": lambda model, _: beams_own(model),
    "sentence-transformers on PyTorch, float32": lambda _, checkpoint: _pytorch(checkpoint, "float32"),
    "sentence-transformers on PyTorch, bfloat16": lambda _, checkpoint: _pytorch(checkpoint, "bfloat16"),
    "sentence-transformers on OpenVINO, float32": lambda _, checkpoint: _openvino(checkpoint, "f32"),
    "sentence-transformers on OpenVINO, bfloat16": lambda _, checkpoint: _openvino(checkpoint, "bf16"),
    "sentence-transformers on ONNX Runtime, float32": lambda _, checkpoint: sentence_transformers(
        checkpoint, "onnx", export=True
    ),
    "sentence-transformers on ONNX Runtime, int8": lambda _, checkpoint: _onnx_int8(checkpoint),
}


_COLUMNS = ("ours, float32", "peer, float32", "ours, bfloat16", "peer, bfloat16")


def main() -> None:
    """Print a Markdown table with a line for each kind."""
    # PyTorch ends the process if it is imported after TensorFlow: both bring LLVM.
    import sentence_transformers  # noqa: F401

    from tests.benchmarks import random_checkpoints
    from tests.texts import SETS, own_texts, texts_of_sets

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="+", metavar="KIND[=CHECKPOINT]")
    parser.add_argument("--sbd", type=pathlib.Path, default=SETS, help="directory of the development sets")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--timed", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    console.prepare()
    sets, texts = texts_of_sets(arguments.sbd), own_texts()
    texts += [text for found in zip(*sets.values(), strict=False) for text in found][: arguments.count - len(texts)]
    differences = ("least cosine", "in bfloat16", "largest difference")
    heads = ("kind", "checkpoint", *differences, *_COLUMNS, "times the peer", "of the peak")
    print(f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|", sep="\n")
    for kind, _, given in (each.partition("=") for each in arguments.kinds):
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = pathlib.Path(given or f"{folder}/{kind}")
            if not given:
                trainable = [text for found in texts_of_sets(arguments.sbd, trainable=True).values() for text in found]
                random_checkpoints.write(kind, checkpoint, random_checkpoints.SMALL, trainable)
            if export_encoder.main([f"--from={checkpoint}", f"--to={folder}/pair"]):
                raise SystemExit(f"cannot export {checkpoint}")
            found, rates, pairs = _compared(f"{folder}/pair", str(checkpoint), texts, arguments.timed, arguments.rounds)
        original = found["peer, float32"]
        cosines = [f"{_cosine(found[name], original[-len(found[name]) :]).min():.7f}" for name in _COLUMNS[::2]]
        furthest = f"{np.abs(found['ours, float32'] - original).max():.1e}"
        name = checkpoint.resolve().name if given else "random weights"
        cells = (kind, name, *cosines, furthest, *(f"{rates[column]:,.0f}" for column in _COLUMNS), *pairs)
        print(f"| {' | '.join(cells)} |", flush=True)


def _compared(
    pair: str, checkpoint: str, texts: list[str], timed: int, rounds: int
) -> tuple[dict[str, Any], dict[str, float], list[str]]:
    """What each of _COLUMNS gives: in float32 the vectors of `texts`, in bfloat16 those of the texts that are timed.

    With them come medians of rounds: its sentences a second; and, in either precision, how many times the peer's speed
    ours is, and what share of the matmul peak.
    """
    from tests.benchmarks.throughput import PRECISIONS, bare, flops_of, matmul_peak
    from transforms.encoder.text_encoder import TextEncoder

    encoders = {precision: TextEncoder(pair, precision=precision) for precision in PRECISIONS}
    tokens = encoders["float32"].encode_with_counts(texts[-timed:]).tokens
    gflops = flops_of(encoders["float32"], pair, tokens) / 1e9
    ways = {f"ours, {precision}": bare(encoder) for precision, encoder in encoders.items()} | {
        f"peer, {precision}": _pytorch(checkpoint, precision) for precision in PRECISIONS
    }
    some = texts[-timed:]
    found = {
        name: np.asarray(encode(texts if "float32" in name else some), np.float32) for name, encode in ways.items()
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    peaks: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for _ in range(rounds):
        for name in _COLUMNS:
            start = time.perf_counter()
            ways[name](some)
            rates[name].append(len(some) / (time.perf_counter() - start))
            if name.startswith("ours"):
                precision = name.removeprefix("ours, ")
                peaks[precision].append(matmul_peak(precision))
    medians = {name: statistics.median(each) for name, each in rates.items()}

    def ratio(ours: list[float], others: list[float]) -> float:
        return statistics.median(mine / other for mine, other in zip(ours, others, strict=True))

    times = [ratio(rates[f"ours, {precision}"], rates[f"peer, {precision}"]) for precision in PRECISIONS]
    shares = [ratio(rates[f"ours, {precision}"], peaks[precision]) * gflops for precision in PRECISIONS]
    return (
        found,
        medians,
        [", ".join(f"{each:.{places}f}" for each in row) for row, places in ((times, 1), (shares, 2))],
    )


def _cosine(found: Any, expected: Any) -> Any:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return (found * expected).sum(axis=1) / lengths


if __name__ == "__main__":
    main()
