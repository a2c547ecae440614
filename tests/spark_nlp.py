"""Exports of Spark NLP's BertSentenceEmbeddings, written as TensorFlow 1 and Spark NLP write them."""

import json
import pathlib
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tests.conftest import VOCABULARY, write_checkpoint
from transforms.encoder.hub import meta_graph

METADATA = {"class": "com.johnsnowlabs.nlp.embeddings.BertSentenceEmbeddings", "paramMap": {}, "defaultParamMap": {}}
Pool = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def normalized_mean(states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The mean of the states [batch, length, hidden] of the tokens in the mask [batch, length], scaled to length 1."""
    weights = tf.cast(mask, tf.float32)[:, :, None]
    return tf.math.l2_normalize(tf.reduce_sum(states * weights, 1) / tf.reduce_sum(weights, 1), -1)


def write_vocabulary(export: pathlib.Path, vocabulary: Sequence[str] = VOCABULARY) -> None:
    """Write assets/vocab.txt to an export."""
    (export / "assets").mkdir(parents=True, exist_ok=True)
    (export / "assets" / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")


def write_saved_model(checkpoint: pathlib.Path, export: pathlib.Path, pool: Pool = normalized_mean) -> None:
    """Write a BERT checkpoint as `loadSavedModel` takes it; any TensorFlow since 1.15 reads it."""
    from safetensors.numpy import load_file

    config = json.loads((checkpoint / "config.json").read_text())
    weights = load_file(checkpoint / "model.safetensors")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        initial = {}

        def variable(name: str, published: str) -> Any:
            array = weights[name].T if published.endswith("kernel") else weights[name]
            # As a placeholder it is no part of the graph, which may have 2 GB.
            fed = tf.compat.v1.placeholder(tf.float32, array.shape)
            made = tf.compat.v1.Variable(fed, name=f"module/bert/{published}", use_resource=False)
            initial[fed] = array
            return made

        def published(name: str) -> str:
            return name.replace("layer.", "layer_").replace(".", "/")

        def dense(x: tf.Tensor, name: str) -> tf.Tensor:
            kernel = variable(f"{name}.weight", f"{published(name)}/kernel")
            return tf.tensordot(x, kernel, 1) + variable(f"{name}.bias", f"{published(name)}/bias")

        def norm(x: tf.Tensor, name: str) -> tf.Tensor:
            gamma = variable(f"{name}.weight", f"{published(name)}/gamma")
            beta = variable(f"{name}.bias", f"{published(name)}/beta")
            mean, variance = tf.nn.moments(x, [-1], keepdims=True)
            epsilon = config.get("layer_norm_eps", 1e-12)
            return tf.nn.batch_normalization(
                x, mean, variance, beta, gamma, epsilon, name=f"{published(name)}/batchnorm"
            )

        def table(kind: str) -> Any:
            return variable(f"embeddings.{kind}_embeddings.weight", f"embeddings/{kind}_embeddings")

        names = ("input_ids", "input_mask", "segment_ids")
        ids, mask, types = inputs = [tf.compat.v1.placeholder(tf.int32, [None, None], name) for name in names]
        x = tf.gather(table("word"), ids) + tf.gather(table("token_type"), types)
        x = norm(x + table("position")[: tf.shape(ids)[1]], "embeddings.LayerNorm")
        bias = (1.0 - tf.cast(mask, tf.float32))[:, None, None, :] * -10000.0
        heads = config["num_attention_heads"]
        size = int(x.shape[-1]) // heads

        def split(x: tf.Tensor) -> tf.Tensor:
            return tf.transpose(tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1], heads, size]), [0, 2, 1, 3])

        at = 0
        while f"{(layer := f'encoder.layer.{at}')}.output.dense.weight" in weights:
            q, k, v = (split(dense(x, f"{layer}.attention.self.{part}")) for part in ("query", "key", "value"))
            scores = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / size**0.5 + bias)
            context = tf.reshape(tf.transpose(scores @ v, [0, 2, 1, 3]), tf.shape(x))
            x = norm(dense(context, f"{layer}.attention.output.dense") + x, f"{layer}.attention.output.LayerNorm")
            inner = tf.nn.gelu(dense(x, f"{layer}.intermediate.dense"), approximate=False)
            x = norm(dense(inner, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
            at += 1
        outputs = {"last_hidden_state": x, "pooler_output": tf.identity(pool(x, mask), "pooled_output")}
        session.run(tf.compat.v1.global_variables_initializer(), initial)
        tf.compat.v1.saved_model.simple_save(session, str(export), dict(zip(names, inputs, strict=True)), outputs)
    write_vocabulary(export, (checkpoint / "vocab.txt").read_text(encoding="utf-8").splitlines())


def write_saved(
    path: pathlib.Path,
    metadata: Mapping[str, Any] = METADATA,
    pool: Pool = normalized_mean,
    vocabulary: Mapping[str, int] | None = None,
) -> None:
    """Write a tiny export as the first versions saved it, without the names of the tensors in its graph."""
    with tempfile.TemporaryDirectory() as made:
        checkpoint, export = pathlib.Path(made, "checkpoint"), pathlib.Path(made, "export")
        checkpoint.mkdir()
        write_checkpoint(checkpoint)
        write_saved_model(checkpoint, export, pool)
        path.mkdir(parents=True)
        with zipfile.ZipFile(path / "bert_sentence_tensorflow", "w") as archive:
            archive.writestr("saved_model.pb", meta_graph(str(export)).graph_def.SerializeToString())
            for file in (export / "variables").iterdir():
                archive.write(file, file.name)
    numbers = {piece: number for number, piece in enumerate(VOCABULARY)} if vocabulary is None else vocabulary
    parts = {"metadata": json.dumps(metadata).encode(), "fields/vocabulary": sequence_file(numbers)}
    for folder, part in parts.items():
        (path / folder).mkdir(parents=True)
        (path / folder / "part-00000").write_bytes(part)


def sequence_file(pairs: Mapping[str, int | str]) -> bytes:
    """A sequence file of Spark's saveAsObjectFile: two pairs a record, and a mark between records."""
    sync = bytes(range(16))
    types = b"!org.apache.hadoop.io.NullWritable" + b'"org.apache.hadoop.io.BytesWritable'
    made, items = b"SEQ\x06" + types + bytes(6) + sync, list(pairs.items())
    for at in range(0, len(items), 2):
        value = _java(items[at : at + 2])
        made += _number(len(value) + 4) + _number(0) + _number(len(value)) + value
        made += _number(-1) + sync
    return made


def _java(pairs: list[tuple[str, int | str]]) -> bytes:
    """Java's serialization of an array of scala.Tuple2."""
    made = bytes.fromhex("aced00057572000f") + b"[Lscala.Tuple2;" + bytes.fromhex("2ecc00dfd14fd7c00200007870")
    made += _number(len(pairs))
    tuple2 = b"r\0\x0cscala.Tuple2" + bytes.fromhex("2e94667d5b92f9f50200024c00025f317400124c6a6176612f6c616e67")
    tuple2 += b"/Object;L\0\x02_2q\0~\0\x03xp"
    integer = b"r\0\x11java.lang.Integer" + bytes.fromhex("12e2a0a4f781873802000149000576616c7565787200106a617661")
    integer += b".lang.Number" + bytes.fromhex("86ac951d0b94e08b0200007870")
    for key, value in pairs:
        made += b"s" + tuple2 + _text(key)
        made += b"s" + integer + _number(value) if isinstance(value, int) else _text(value)
        tuple2, integer = b"q\0~\0\x02", b"q\0~\0\x06"
    return made


def _text(text: str) -> bytes:
    units = text.encode("utf-16-be", "surrogatepass")
    halves = (chr(int.from_bytes(units[at : at + 2], "big")) for at in range(0, len(units), 2))
    encoded = b"".join(half.encode("utf-8", "surrogatepass") for half in halves)
    return b"t" + len(encoded).to_bytes(2, "big") + encoded


def _number(value: int) -> bytes:
    return value.to_bytes(4, "big", signed=True)
