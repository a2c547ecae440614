"""Compare the pipeline, its stages, its engines and its peers on the same sentences, in interleaved rounds.

python -m tests.benchmarks.throughput --sentences=FILE [--model=minilm] [--checkpoint=DIR] [--count=20000]
    [--rounds=3] [--only=REGEX] [--python=PYTHON] [--to=PREFIX]

- FILE has one sentence per line. After its last line, the lines are used again with their words in other orders; each
  is different, and still one sentence.
- A peer that is not installed is listed as absent. A slow one runs on as many sentences as fit into half a minute.
- Warm rates do not include the start; cold rates count from the start of the command to its end.
- The rows "matmul peak" say what a program would reach that did nothing but the model's products, at that peak.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pipeline import console
from tests.benchmarks.encoder_peers import PEERS, Encode
from transforms import SentenceSplitter
from transforms.encoder import catalogue as models
from transforms.encoder.engines import streams
from transforms.encoder.options import EmbeddingOptions
from transforms.encoder.packing import lay_out
from transforms.encoder.text_encoder import TextEncoder

_SLOW_SECONDS = 30
_SAMPLE = 512
_TRIAL = 64
PRECISIONS = ("float32", "bfloat16")
# The engines and precisions to run, in this order.
OURS = [(engine, precision) for engine in ("tensorflow", "openvino") for precision in PRECISIONS]


class Run(NamedTuple):
    """One run of the program."""

    warm: float
    cold: float
    megabytes: float


def _parser() -> argparse.ArgumentParser:
    """Its options."""
    made = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    made.add_argument("--sentences", type=pathlib.Path, required=True)
    made.add_argument("--model", default="minilm")
    made.add_argument(
        "--checkpoint", default="", help="directory with the same weights in Hugging Face layout, for the peers"
    )
    made.add_argument("--count", type=int, default=20_000)
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--only", default="", help="regular expression of the engines and peers to run")
    made.add_argument(
        "--python",
        default=sys.executable,
        help="the Python that runs the program, if the peers must not be in its environment",
    )
    made.add_argument("--to", type=pathlib.Path, default=pathlib.Path("out/throughput"))
    return made


def main() -> None:
    """Print a Markdown table, and write PREFIX.json and, with matplotlib, PREFIX.svg."""
    arguments = _parser().parse_args()
    # As the program does. TensorFlow reads these settings when it starts.
    console.prepare()
    report = _measure(different(arguments.sentences.read_text(encoding="utf-8"), arguments.count), arguments)
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    arguments.to.with_suffix(".json").write_text(json.dumps(report, indent=1))
    _print(report)
    _plot(report, arguments.to.with_suffix(".svg"))


def different(text: str, count: int) -> list[str]:
    """`count` different texts of one sentence each: the lines of `text`, then their words in random orders."""
    splitter, order = SentenceSplitter("en"), random.Random(0)
    lines = [words for words in map(str.split, text.splitlines()) if words]
    found: dict[str, None] = {}
    for _ in range(50 * max(1, count // len(lines))):
        for words in lines:
            line = " ".join(words)
            if line not in found and splitter.spans(line) == [(0, len(line))]:
                found[line] = None
                if len(found) == count:
                    return list(found)
            # The last word stays in place, because it ends the sentence.
            words[:-1] = order.sample(words[:-1], len(words) - 1)
    raise ValueError(f"expected sentences for {count} different ones, got {len(found)}; bring more, or a lower --count")


def _measure(texts: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    reference = uncached(TextEncoder(arguments.model))
    expected = reference.encode(texts[:_SAMPLE])
    batches = [reference.encode_with_counts(batch) for batch in _batches(texts)]
    tokens = np.concatenate([batch.tokens for batch in batches])
    padding = sum(batch.padded_tokens for batch in batches)
    runs, cosine, absent = _prepared(texts, expected, arguments)
    stages = _stages(texts, arguments.model, expected)
    peaks: dict[str, list[float]] = {precision: [] for precision in PRECISIONS if any(precision in run for run in runs)}
    rates: dict[str, list[float]] = {name: [] for name in [*runs, *stages]}
    whole: dict[tuple[str, str], list[Run]] = {pair: [] for pair in OURS if ", ".join(pair) in runs}
    for _ in range(arguments.rounds):
        for precision, found in peaks.items():
            found.append(matmul_peak(precision))
        for pair, found_runs in whole.items():
            found_runs.append(program(texts, arguments.model, *pair, python=arguments.python))
        for name, (encode, count) in {**runs, **{name: (stage, len(texts)) for name, stage in stages.items()}}.items():
            start = time.perf_counter()
            encode(texts[:count])
            rates[name].append(count / (time.perf_counter() - start))
    for (engine, precision), found_runs in whole.items():
        rates[f"whole pipeline, warm, {engine}, {precision}"] = [run.warm for run in found_runs]
        rates[f"whole pipeline, cold, {engine}, {precision}"] = [run.cold for run in found_runs]
    peak = {precision: statistics.median(found) for precision, found in peaks.items()}
    flops = flops_of(reference, arguments.model, tokens)
    for precision, found_peaks in peaks.items():
        rates[f"matmul peak, {precision}"] = [found * 1e9 / flops for found in found_peaks]
    rows = []
    for name, found in sorted(rates.items(), key=lambda item: statistics.median(item[1])):
        rate = statistics.median(found)
        row: dict[str, Any] = {
            "name": name,
            "sentences_per_second": rate,
            "rounds": found,
            "least_cosine": cosine.get(name),
        }
        row["sentences"] = runs[name][1] if name in runs else len(texts)
        row["tokens_per_second"] = rate * tokens.mean()
        if name not in stages:
            row["gflops"] = rate * flops / 1e9
            row["share_of_peak"] = row["gflops"] / peak.get("bfloat16" if "bfloat16" in name else "float32", np.nan)
        rows.append(row)
    return {
        "model": arguments.model,
        "cores": streams(),
        "sentences": len(texts),
        "tokens_a_sentence": float(tokens.mean()),
        "padding_share": padding / (padding + int(tokens.sum())),
        "matmul_peak_gflops": peak,
        "start_seconds": _starts(arguments.model, arguments.rounds, arguments.python),
        "pipeline_peak_megabytes": {", ".join(pair): max(run.megabytes for run in r) for pair, r in whole.items()},
        "absent": absent,
        "rows": rows,
    }


def _prepared(
    texts: list[str], expected: Any, arguments: argparse.Namespace
) -> tuple[dict[str, tuple[Encode, int]], dict[str, float], dict[str, str]]:
    """What runs, and on how many texts; the least cosine of each with `expected`; what is absent, and why."""
    makers: dict[str, Callable[[], Encode]] = {
        f"{engine}, {precision}": lambda engine=engine, precision=precision: bare(  # type: ignore[misc]
            TextEncoder(arguments.model, engine=engine, precision=precision)
        )
        for engine, precision in OURS
    }
    makers |= {
        name: lambda make=make: make(arguments.model, arguments.checkpoint)  # type: ignore[misc]
        for name, make in PEERS.items()
    }
    runs, cosine, absent = {}, {}, {}
    for name, make in makers.items():
        if not re.search(arguments.only, name):
            absent[name] = f"not in --only={arguments.only}"
            continue
        try:
            encode = make()
            encode(texts[:8])
            start = time.perf_counter()
            encode(texts[:_TRIAL])
            fits = max(_TRIAL, int(_SLOW_SECONDS * _TRIAL / (time.perf_counter() - start)))
            count = min(len(texts), fits) if name in PEERS else len(texts)
            compared = expected[:count]
            found = np.asarray(encode(texts[: len(compared)]), np.float32)
        # A peer that is not installed, or cannot run here, is listed with the reason.
        except Exception as error:
            absent[name] = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
            continue
        if found.any():
            cosine[name] = float(_cosine(found, compared).min())
        runs[name] = encode, count
    return runs, cosine, absent


def uncached(encoder: TextEncoder) -> TextEncoder:
    """The encoder, without its cache of earlier rounds."""
    from transforms.encoder.cache import VectorCache

    encoder._cache = VectorCache(entries=0)
    return encoder


def bare(encoder: TextEncoder) -> Encode:
    """The encoder, given its default number of sentences at once."""
    uncached(encoder)
    return lambda texts: np.concatenate([encoder.encode(batch) for batch in _batches(texts)])


def _batches(texts: list[str]) -> list[list[str]]:
    size = EmbeddingOptions().batch_size
    return [texts[i : i + size] for i in range(0, len(texts), size)]


def _stages(texts: list[str], model: str, expected: Any) -> dict[str, Encode]:
    """The stages without the engine, each alone, on one core."""
    import pyarrow.parquet as pq

    from transforms.encoder.preprocessor import Preprocessor
    from transforms.kinds import ROWS
    from transforms.types import Message, SentenceEmbedding

    splitter = SentenceSplitter("en")
    preprocessor = Preprocessor(models.find_model(model).preprocessor)
    message = Message("id", "", {}, None)
    vector = expected[0].tobytes()

    def split(texts: list[str]) -> None:
        for text in texts:
            splitter.spans(message._replace(text=text).text)

    def tokenize(texts: list[str]) -> None:
        for i in range(0, len(texts), 1024):
            tokens = sorted((found[:126] for found in preprocessor.tokenize(texts[i : i + 1024])), key=len)
            for j in range(0, len(tokens), 32):
                few = tokens[j : j + 32]
                rows = lay_out([len(found) + 2 for found in few], 1024, shares_rows=True)
                preprocessor.arrange([[few[place] for place in row] for row in rows])

    def write(texts: list[str]) -> None:
        rows = [
            SentenceEmbedding(text, "id", i, 0, 9, text, {}, None, "", vector, "m", "v", "float32", 9, False)
            for i, text in enumerate(texts)
        ]
        with tempfile.TemporaryDirectory() as directory:
            pq.write_table(ROWS.to_arrow(rows), f"{directory}/rows.parquet")

    return {"stage: splitting": split, "stage: tokenizing": tokenize, "stage: Parquet": write}


# Runs between this process and the program, because a forked child's peak memory begins at its parent's.
_LAUNCHER = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
print(done.stdout)
print("kilobytes", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _command(python: str, directory: str, model: str) -> list[str]:
    command = [python, "-m", "pipeline", f"--input={directory}/in.txt", "--input_format=text", f"--model={model}"]
    return [*command, f"--output={directory}/rows", "--output_format=parquet"]


def program(texts: list[str], model: str, engine: str, precision: str, python: str = sys.executable) -> Run:
    """Run the program on `texts`, one per line, with Parquet as output."""
    with tempfile.TemporaryDirectory() as directory:
        pathlib.Path(directory, "in.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
        command = [python, "-c", _LAUNCHER, *_command(python, directory, model)]
        command += [f"--engine={engine}", f"--precision={precision}"]
        start = time.perf_counter()
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        cold = time.perf_counter() - start
    rows, seconds, kilobytes = (
        float(re.search(pattern, said, re.MULTILINE)[1].replace(",", ""))  # type: ignore[index]
        for pattern in (r"^rows +([\d,]+)", r"^time +([\d.]+) s", r"^kilobytes (\d+)")
    )
    if rows != len(texts):
        raise ValueError(f"expected {len(texts)} rows from the program, got {rows:.0f}")
    return Run(rows / seconds, rows / cold, kilobytes / 1024)


_IMPORT_AND_LOAD = """
import sys, tensorflow, tensorflow_text
for path in sys.argv[1:]:
    tensorflow.saved_model.load(path)
"""


def _starts(model: str, rounds: int, python: str) -> dict[str, float]:
    """Seconds of a program that only imports TensorFlow and loads the models, and of ours to its first row."""
    entry = models.find_model(model)
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        # A preprocessor may be no SavedModel.
        paths = [path for path in (entry.encoder, entry.preprocessor) if pathlib.Path(path, "saved_model.pb").exists()]
        subprocess.run([python, "-c", _IMPORT_AND_LOAD, *paths], check=True, stderr=subprocess.DEVNULL)
        bare.append(time.perf_counter() - start)
        ours.append(_first_row(model, python))
    return {
        "tensorflow imported and the model loaded": statistics.median(bare),
        "from the command to the first row": statistics.median(ours),
    }


def _first_row(model: str, python: str) -> float:
    """Seconds from the start of the command to the file with the row of one sentence."""
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        (folder / "in.txt").write_text("Thanks!\n", encoding="utf-8")
        start = time.perf_counter()
        with subprocess.Popen(
            _command(python, directory, model), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as run:
            while run.poll() is None and not list(folder.glob("rows-*")):
                time.sleep(0.01)
            seconds = time.perf_counter() - start
            if run.wait():
                raise ValueError(f"expected a row from the program, it ended with {run.returncode}")
            return seconds


def matmul_peak(precision: str, size: int = 2048) -> float:
    """GFLOP/s of a bare TensorFlow matmul, one on each core."""
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


def flops_of(encoder: TextEncoder, model: str, tokens: Any) -> float:
    """Average operations per sentence, on its own tokens: the dense layers, and the attention between them."""
    from transforms.encoder.bert.weights import lift
    from transforms.encoder.hub import load

    tensors, _ = lift(load(models.find_model(model).encoder))
    dense = sum(2.0 * array.size for name, array in tensors.items() if ".layer." in name and array.ndim == 2)
    layers = sum(name.endswith("attention.self.query.weight") for name in tensors)
    return float((dense * tokens + 4.0 * layers * encoder.dimension * tokens.astype(float) ** 2).mean())


def _cosine(found: Any, expected: Any) -> Any:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return (found * expected).sum(axis=1) / np.maximum(lengths, 1e-12)


def _print(report: dict[str, Any]) -> None:
    print("| what | sentences/s | tokens/s | GFLOP/s | of the peak | least cosine |\n|---|---|---|---|---|---|")
    for row in report["rows"]:
        cosine = "" if row["least_cosine"] is None else f"{row['least_cosine']:.5f}"
        work = f"{row['gflops']:.0f} | {row['share_of_peak']:.2f}" if "gflops" in row else " | "
        rates = f"{row['sentences_per_second']:,.0f} | {row['tokens_per_second']:,.0f}"
        print(f"| {row['name']} | {rates} | {work} | {cosine} |")
    for name, value in report.items():
        if name not in ("rows", "absent"):
            print(f"{name}: {value}")
    for name, reason in report["absent"].items():
        print(f"absent: {name} ({reason})")


def _plot(report: dict[str, Any], path: pathlib.Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    rows = [row for row in report["rows"] if "gflops" in row]
    figure = Figure(figsize=(9, 0.4 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    axes.barh([row["name"] for row in rows], [row["sentences_per_second"] for row in rows])
    axes.set_xlabel(f"sentences a second, {report['model']}, {report['cores']} cores")
    figure.savefig(path)


if __name__ == "__main__":
    main()
