"""Fixtures: real models, small or packaged, and nothing mocked."""

import functools
import gc
import json
import os
import pathlib
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Threads of OpenMP that spin while they wait for each other take the cores from the other processes.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from pipeline import export_encoder
from tests.hasten import hasten
from tests.shared import Shared
from transforms.encoder.catalogue import models_directory
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import TextEncoder, load_encoder
from transforms.types import Message, Record, Sentence

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"


# How long an example takes depends on what else the machine does, and no fixture here is changed by one.
settings.register_profile(
    "tests", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("tests")

# What a test needs if it uses the fixture.
_MARKS = {
    **dict.fromkeys(("hub_bert", "minilm", "other_tiny_bert", "versions"), "slow"),
    "browser": "browser",
    "installed": "subprocess",
    "warm": "subprocess",
    "prism": "runner",
    "flink": "runner",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by folder and fixtures, and put slow ones first, so that none is left to run alone at the end."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "integration"):
            item.add_marker("emulator")
        for fixture in set(getattr(item, "fixturenames", ())) & set(_MARKS):
            item.add_marker(_MARKS[fixture])
    items.sort(key=lambda item: [item.get_closest_marker(mark) is None for mark in ("slow", "emulator", "browser")])


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """What is made once for the whole run."""
    return Shared(tmp_path_factory)


@pytest.fixture(scope="module")
def warm(shared: Shared) -> Iterator[None]:
    """`python` is one that has imported what takes long, for the whole run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{shared.served('tests.warm:warm_python')}:{os.environ['PATH']}")
        yield


@pytest.fixture(scope="session")
def minilm(shared: Shared) -> TextEncoder:
    """The encoder with all-MiniLM-L6-v2's weights, made from its package if it is not there."""

    def make(path: pathlib.Path) -> None:
        if not (models_directory() / "minilm" / "model.json").exists():
            assert export_encoder.main(["--model=minilm"]) == 0

    shared.made("minilm", make)
    return load_encoder(EncoderOptions("minilm"))


@pytest.fixture
def minilm_reference(minilm: TextEncoder) -> tuple[list[str], Any]:
    """Sentences, and the vectors that sentence-transformers gives for them with minilm's weights."""
    expected = json.loads((DATA / "minilm_reference.json").read_text())
    return expected["sentences"], np.array(expected["vectors"], np.float32)


@pytest.fixture(scope="session")
def hub_bert(shared: Shared) -> pathlib.Path:
    """A pair as TF-Hub's own exporter writes it, with random weights."""

    def make(path: pathlib.Path) -> None:
        for part in ("encoder", "preprocessor"):
            with tarfile.open(DATA / "hub_bert" / f"{part}.tar.gz") as archive:
                archive.extractall(path / part, filter="data")

    return shared.made("hub_bert", make)


VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "cat", "barks", "##s", "good", "bad", ".", ",", "!"]


@pytest.fixture(scope="session")
def checkpoint(shared: Shared) -> pathlib.Path:
    """A BERT of two layers with random weights in Hugging Face layout."""
    return shared.made("checkpoint", write_checkpoint)


class Size(NamedTuple):
    """How large a BERT is."""

    layers: int
    hidden: int
    heads: int
    inner: int
    positions: int


TINY = Size(2, 16, 2, 32, 40)


def write_checkpoint(
    path: pathlib.Path,
    pooler: bool = True,
    size: Size = TINY,
    vocabulary: Sequence[str] = VOCABULARY,
    spread: float = 0.3,
    **config: Any,
) -> None:
    """Write a BERT checkpoint with random weights in Hugging Face layout; `spread` is their standard deviation."""
    from safetensors.numpy import save_file

    random = np.random.default_rng(0)
    layers, hidden, heads, inner, positions = size
    tensors: dict[str, Any] = {}

    def dense(name: str, outputs: int, inputs: int) -> None:
        tensors[f"{name}.weight"] = random.normal(0, spread, (outputs, inputs))
        tensors[f"{name}.bias"] = random.normal(0, 0.1, outputs)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"] = random.normal(1, 0.1, hidden)
        tensors[f"{name}.bias"] = random.normal(0, 0.1, hidden)

    for table, rows in (("word", len(vocabulary)), ("position", positions), ("token_type", 2)):
        tensors[f"embeddings.{table}_embeddings.weight"] = random.normal(0, 1, (rows, hidden))
    norm("embeddings.LayerNorm")
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            dense(f"{at}.attention.self.{part}", hidden, hidden)
        dense(f"{at}.attention.output.dense", hidden, hidden)
        norm(f"{at}.attention.output.LayerNorm")
        dense(f"{at}.intermediate.dense", inner, hidden)
        dense(f"{at}.output.dense", hidden, inner)
        norm(f"{at}.output.LayerNorm")
    if pooler:
        dense("pooler.dense", hidden, hidden)
    save_file({name: array.astype(np.float32) for name, array in tensors.items()}, path / "model.safetensors")
    described = {"model_type": "bert", "hidden_size": hidden, "num_attention_heads": heads, "hidden_act": "gelu"}
    described |= {"max_position_embeddings": positions, **config}
    (path / "config.json").write_text(json.dumps(described))
    (path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")


@pytest.fixture(scope="session")
def tiny_bert(checkpoint: pathlib.Path, shared: Shared) -> pathlib.Path:
    """The pair made from `checkpoint`: 16 dimensions, 40 positions."""
    return shared.made("tiny_bert", lambda path: export(checkpoint, path / "tiny")) / "tiny"


@pytest.fixture(scope="session")
def other_tiny_bert(shared: Shared) -> pathlib.Path:
    """Another pair of the same dimensions: it has no pooler, and so other vectors."""
    plain = shared.made("checkpoint_without_pooler", lambda path: write_checkpoint(path, pooler=False))
    return shared.made("other_tiny_bert", lambda path: export(plain, path / "other_tiny")) / "other_tiny"


def export(checkpoint: pathlib.Path, pair: pathlib.Path) -> None:
    """Make a pair of a checkpoint."""
    assert export_encoder.main([f"--from={checkpoint}", f"--to={pair}"]) == 0


@pytest.fixture(scope="session")
def trained(shared: Shared) -> Callable[[str], str]:
    """The directory of the pair made from a checkpoint of sentence-transformers in `reference`, by its name."""
    from tests.transforms.encoder.bert.reference import write

    def make(name: str, path: pathlib.Path) -> None:
        write(path, name)
        export(path, path / name)

    return lambda name: str(shared.made(f"trained_{name}", functools.partial(make, name)) / name)


@pytest.fixture(scope="session")
def text_encoder(shared: Shared) -> pathlib.Path:
    """A text-in encoder of 4 dimensions: raises for a text with "raise" in it, gives NaN for one with "nan"."""
    return shared.made("text_encoder", write_text_encoder)


def write_text_encoder(path: pathlib.Path) -> None:
    """Write the text-in encoder: a text's vector is its length in bytes, twice that, and 1, 1."""
    import tensorflow as tf

    class Encoder(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, texts: Any) -> Any:
            bad = tf.reduce_any(tf.strings.regex_full_match(texts, ".*raise.*"))
            with tf.control_dependencies([tf.debugging.Assert(tf.logical_not(bad), ["refused by the model"])]):
                length = tf.cast(tf.strings.length(texts), tf.float32)
            nan = tf.where(tf.strings.regex_full_match(texts, ".*nan.*"), float("nan"), 1.0)
            return tf.stack([length, length * 2.0, nan, tf.ones_like(length)], axis=1)

    tf.saved_model.save(Encoder(), str(path))


def as_arguments(options: Mapping[str, Any]) -> list[str]:
    """Options as a command line gives them."""
    return [f"--{name}={value}" for name, value in options.items()]


def record(data: bytes | str, origin: str = "here#0", **fields: Any) -> Record:
    """A Record with defaults."""
    payload = data.encode() if isinstance(data, str) else data
    return Record(payload, origin, **{"id": "", "attributes": {}, "event_time": None, **fields})


def message(text: str, **fields: Any) -> Message:
    """A Message with defaults."""
    return Message(fields.get("id", "m"), text, fields.get("metadata", {}), fields.get("event_time"))


def sentence(content: str, index: int = 0) -> Sentence:
    """A Sentence with defaults."""
    return Sentence(f"s{index}", "m", index, 0, len(content), content, {"k": "v"}, 5)


@pytest.fixture
def in_directory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pytest_collection_finish() -> None:
    """Hasten Beam; collect garbage seldom, and never what was imported, all of TensorFlow and Beam."""
    hasten()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
