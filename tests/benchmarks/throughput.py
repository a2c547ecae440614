"""Compares the pipeline, its stages, its engines and its peers on the same sentences, in interleaved rounds.

python -m tests.benchmarks.throughput --sentences=FILE [--model=minilm] [--checkpoint=DIR] [--count=20000] [--to=PREFIX]

FILE holds a sentence a line; it is repeated, each time with other numbers after it, up to --count. A peer that is not
installed is named as absent. A slow one runs on as many of the same sentences as fit a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from transforms import SentenceSplitter
from transforms.encoder import TextEncoder
from transforms.engines import streams
from transforms.models import find_model

Encode = Callable[[list[str]], Any]
_SLOW_SECONDS = 60


def main() -> None:
    """Prints a Markdown table and writes PREFIX.json and, with matplotlib, PREFIX.svg."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--sentences", type=pathlib.Path, required=True)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--checkpoint", default="", help="the same weights in Hugging Face layout, for the peers")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("out/throughput"))
    arguments = parser.parse_args()
    # As the program sets it; read when TensorFlow starts.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    texts = _texts(arguments.sentences, arguments.count)
    report = _measure(texts, arguments)
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    arguments.to.with_suffix(".json").write_text(json.dumps(report, indent=1))
    _print(report)
    _plot(report, arguments.to.with_suffix(".svg"))


def _texts(path: pathlib.Path, count: int) -> list[str]:
    """`count` different sentences: the file's, and the file's again with a number."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [lines[i % len(lines)] + (f" {i // len(lines)}" if i >= len(lines) else "") for i in range(count)]


def _measure(texts: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    absent: dict[str, str] = {}
    runs: dict[str, tuple[Encode, int]] = {}
    reference = _uncached(TextEncoder(arguments.model))
    sample = texts[:512]
    expected = reference.encode(sample)
    counted = reference.encode_with_counts(texts[: min(len(texts), 4096)])
    tokens_each = float(counted.tokens.mean())
    flops = _flops_a_token(reference, arguments.model)
    cosine = {}
    for name, make in {**_ours(arguments.model), **_peers(arguments.model, arguments.checkpoint)}.items():
        try:
            encode = make()
            start = time.perf_counter()
            found = np.asarray(encode(sample), np.float32)
        # A peer that is not installed, or cannot run here, is named with its reason.
        except Exception as error:
            absent[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            continue
        rate = len(sample) / (time.perf_counter() - start)
        if found.any():
            cosine[name] = float(_cosine(found, expected).min())
        runs[name] = encode, max(len(sample), min(len(texts), int(rate * _SLOW_SECONDS)))
    peaks: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    pipeline: dict[str, list[float]] = {"whole pipeline, bfloat16": [], "whole pipeline, float32": []}
    memory: dict[str, float] = {}
    for _ in range(arguments.rounds):
        for precision, found_peaks in peaks.items():
            found_peaks.append(_matmul_peak(precision))
        for name, (encode, count) in runs.items():
            start = time.perf_counter()
            encode(texts[:count])
            rates[name].append(count / (time.perf_counter() - start))
        for name, found_rates in pipeline.items():
            rate, memory[name] = _pipeline(texts, arguments.model, name.rsplit(" ", 1)[-1])
            found_rates.append(rate)
    start = time.perf_counter()
    splitter = SentenceSplitter("en")
    for text in texts:
        splitter.spans(text)
    splitting = len(texts) / (time.perf_counter() - start)
    peak = {precision: statistics.median(found) for precision, found in peaks.items()}
    rows = []
    for name, found in sorted({**rates, **pipeline}.items(), key=lambda item: statistics.median(item[1])):
        rate = statistics.median(found)
        precision = "bfloat16" if "bfloat16" in name else "float32"
        gflops = rate * tokens_each * flops / 1e9
        rows.append(
            {
                "name": name,
                "sentences_per_second": rate,
                "rounds": found,
                "sentences": runs[name][1] if name in runs else len(texts),
                "tokens_per_second": rate * tokens_each,
                "gflops": gflops,
                "share_of_peak": gflops / peak[precision],
                "least_cosine": cosine.get(name),
            }
        )
    return {
        "model": arguments.model,
        "cores": streams(),
        "tokens_a_sentence": tokens_each,
        "padding_share": counted.padded_tokens / (counted.padded_tokens + int(counted.tokens.sum())),
        "matmul_peak_gflops": peak,
        "splitting_per_second": splitting,
        "peak_memory_mb": {
            "all engines and peers together": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            **memory,
        },
        "absent": absent,
        "rows": rows,
    }


def _uncached(encoder: TextEncoder) -> TextEncoder:
    """The encoder without a memory of earlier rounds."""
    from transforms.cache import VectorCache

    encoder._cache = VectorCache(entries=0)
    return encoder


def _ours(model: str) -> dict[str, Callable[[], Encode]]:
    def make(engine: str, precision: str) -> Encode:
        return _uncached(TextEncoder(model, engine=engine, precision=precision)).encode

    return {
        f"{engine}, {precision}": lambda engine=engine, precision=precision: make(engine, precision)
        for engine in ("tensorflow", "openvino")
        for precision in ("float32", "bfloat16")
    }


def _peers(model: str, checkpoint: str) -> dict[str, Callable[[], Encode]]:
    """Other ways to the same vectors."""

    def beams_own() -> Encode:
        import apache_beam as beam
        from apache_beam.ml.transforms.base import MLTransform
        from apache_beam.ml.transforms.embeddings.tensorflow_hub import TensorflowHubTextEmbeddings

        entry = find_model(model)

        def encode(texts: list[str]) -> Any:
            # It knows pooled_output only, so its vectors have nothing to be compared with: zeros.
            with tempfile.TemporaryDirectory() as artifacts, beam.Pipeline(runner="FnApiRunner") as pipeline:
                handler = TensorflowHubTextEmbeddings(
                    columns=["text"], hub_url=entry.encoder, preprocessing_url=entry.preprocessor
                )
                rows = pipeline | beam.Create([{"text": text} for text in texts])
                _ = rows | MLTransform(write_artifact_location=artifacts).with_transform(handler)
            return np.zeros((len(texts), entry.dimension), np.float32)

        return encode

    def sentence_transformers(backend: str, precision: str = "float32") -> Encode:
        if not checkpoint:
            raise ValueError("no --checkpoint")
        import torch
        from sentence_transformers import SentenceTransformer

        options = {"torch_dtype": torch.bfloat16} if precision == "bfloat16" and backend == "torch" else {}
        if backend == "openvino":
            hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
            options = {"ov_config": {"INFERENCE_PRECISION_HINT": hint}, "export": True}
        found = SentenceTransformer(checkpoint, backend=backend, device="cpu", model_kwargs=options)
        found.max_seq_length = 128
        return lambda texts: found.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)

    return {
        "Beam's MLTransform, float32": beams_own,
        "sentence-transformers on PyTorch, float32": lambda: sentence_transformers("torch"),
        "sentence-transformers on PyTorch, bfloat16": lambda: sentence_transformers("torch", "bfloat16"),
        "sentence-transformers on OpenVINO, float32": lambda: sentence_transformers("openvino"),
        "sentence-transformers on OpenVINO, bfloat16": lambda: sentence_transformers("openvino", "bfloat16"),
        "sentence-transformers on ONNX Runtime, float32": lambda: sentence_transformers("onnx"),
    }


# Between this process and the program, for a forked child's peak memory begins at its parent's.
_LAUNCHER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _pipeline(texts: list[str], model: str, precision: str) -> tuple[float, float]:
    """Sentences a second, from the command to its end, files to Parquet, and megabytes, of the program."""
    with tempfile.TemporaryDirectory() as directory:
        pathlib.Path(directory, "in.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
        start = time.perf_counter()
        launched = subprocess.run(
            [
                *(
                    sys.executable,
                    "-c",
                    _LAUNCHER,
                    sys.executable,
                    "-m",
                    "pipeline",
                    f"--input={directory}/in.txt",
                    "--input_format=text",
                ),
                *(f"--output={directory}/rows", "--output_format=parquet", f"--model={model}"),
                *("--engine=auto" if precision == "bfloat16" else "--engine=tensorflow", f"--precision={precision}"),
            ],
            check=True,
            stdout=subprocess.PIPE,
        )
        return len(texts) / (time.perf_counter() - start), int(launched.stdout) / 1024


def _matmul_peak(precision: str, size: int = 2048) -> float:
    """GFLOP/s of a bare TensorFlow matmul, one on each core."""
    import concurrent.futures

    import tensorflow as tf

    a = tf.cast(tf.random.normal([1024, size]), precision)
    b = tf.cast(tf.random.normal([size, size]), precision)
    multiply = tf.function(lambda: tf.matmul(a, b))
    times = 4
    with concurrent.futures.ThreadPoolExecutor(streams()) as pool:

        def run() -> float:
            start = time.perf_counter()
            list(pool.map(lambda _: multiply().numpy(), range(times * streams())))
            return 2 * 1024 * size * size * times * streams() / (time.perf_counter() - start) / 1e9

        return max(run() for _ in range(4))


def _flops_a_token(encoder: TextEncoder, model: str) -> float:
    """Of the dense layers; attention between tokens, small for sentences, is left out."""
    from transforms.lifting import lift
    from transforms.saved_model import load

    tensors, _ = lift(load(find_model(model).encoder))
    return sum(2.0 * array.size for name, array in tensors.items() if ".layer." in name and array.ndim == 2)


def _cosine(found: Any, expected: Any) -> Any:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return (found * expected).sum(axis=1) / np.maximum(lengths, 1e-12)


def _print(report: dict[str, Any]) -> None:
    print("| what | sentences/s | tokens/s | GFLOP/s | of the peak | least cosine |\n|---|---|---|---|---|---|")
    for row in report["rows"]:
        cosine = "" if row["least_cosine"] is None else f"{row['least_cosine']:.5f}"
        print(
            f"| {row['name']} | {row['sentences_per_second']:,.0f} | {row['tokens_per_second']:,.0f} "
            f"| {row['gflops']:.0f} | {row['share_of_peak']:.2f} | {cosine} |"
        )
    for name in ("cores", "tokens_a_sentence", "padding_share", "matmul_peak_gflops", "peak_memory_mb"):
        print(f"{name}: {report[name]}")
    for name, reason in report["absent"].items():
        print(f"absent: {name} ({reason})")


def _plot(report: dict[str, Any], path: pathlib.Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    figure = Figure(figsize=(9, 0.4 * len(report["rows"]) + 1), layout="constrained")
    axes = figure.subplots()
    axes.barh([row["name"] for row in report["rows"]], [row["sentences_per_second"] for row in report["rows"]])
    axes.set_xlabel(f"sentences a second, {report['model']}, {report['cores']} cores")
    figure.savefig(path)


if __name__ == "__main__":
    main()
