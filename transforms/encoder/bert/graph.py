"""The optimized BERT graph: two-dimensional matrix products, fused query-key-value, explicit layer normalization.

It computes the same as Hugging Face's BertModel and TF-Hub's BERT encoders, in a form that oneDNN and other engines
fuse well. Source of the architecture: Devlin et al., arXiv:1810.04805.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

ACTIVATIONS = {
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "relu": tf.nn.relu,
}
INPUT_NAMES = ("input_word_ids", "input_mask", "input_type_ids")
_SPECS = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in INPUT_NAMES}


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """The configuration that cannot be inferred from the weights."""

    heads: int
    activation: str = "gelu"
    epsilon: float = 1e-12
    pooling: str = "pooled_output"
    normalize: bool = False
    document_prompt: str = ""
    query_prompt: str = ""


class Bert(tf.Module):
    """A BERT encoder with TF-Hub's interface, from a dict of int32 [batch, length] to a dict of float32 tensors.

    `tensors` has the names of Hugging Face's BertModel ("embeddings.word_embeddings.weight", ...), with dense kernels
    as [out, in]. If there is a tensor "distances" [2 * positions - 1, heads], its row for the distance from query to
    key, from 1 - positions on, is added to the scores of attention. The outputs are sequence_output [batch, length,
    hidden]; pooled_output [batch, hidden], if the weights include a pooler; and default [batch, hidden], the result of
    `config.pooling` and `config.normalize`.

    `precision`, "float32" or "bfloat16", applies to dense kernels and matrix products. Embeddings, layer norms, softmax
    and the residual sums are always float32.

    Raises:
        KeyError: if a tensor is missing, including those of the pooler if `config.pooling` needs it.
    """

    def __init__(
        self, tensors: Mapping[str, "np.ndarray[Any, Any]"], config: BertConfig, precision: str = "float32"
    ) -> None:
        super().__init__(name="bert")
        self.config = config
        self._dtype = tf.as_dtype(precision)
        # The configuration, saved together with the weights.
        # An empty prompt is left out, so that the files of a model without prompts say nothing of them.
        said = {name: value for name, value in dataclasses.asdict(config).items() if value != ""}
        self.described = tf.Variable(json.dumps(said), trainable=False, name="described")

        def variable(name: str, value: "np.ndarray[Any, Any]", dtype: tf.DType = tf.float32) -> tf.Variable:
            held = np.ascontiguousarray(value, np.float32).astype(dtype.as_numpy_dtype)
            return tf.Variable(held, trainable=False, name=name)

        def dense(name: str, *sources: str) -> tuple[tf.Variable, tf.Variable]:
            kernel = np.concatenate([tensors[f"{source}.weight"] for source in sources]).T
            bias = np.concatenate([tensors[f"{source}.bias"] for source in sources])
            return variable(f"{name}/kernel", kernel, self._dtype), variable(f"{name}/bias", bias, self._dtype)

        def norm(name: str, source: str) -> tuple[tf.Variable, tf.Variable]:
            weight, bias = tensors[f"{source}.weight"], tensors[f"{source}.bias"]
            return variable(f"{name}/gamma", weight), variable(f"{name}/beta", bias)

        self.words = variable("words", tensors["embeddings.word_embeddings.weight"])
        self.positions = variable("positions", tensors["embeddings.position_embeddings.weight"])
        self.types = variable("types", tensors["embeddings.token_type_embeddings.weight"])
        self.distances = variable("distances", tensors["distances"]) if "distances" in tensors else None
        self.embedding_norm = norm("embeddings", "embeddings.LayerNorm")
        self.layers: list[dict[str, tuple[tf.Variable, tf.Variable]]] = []
        while f"encoder.layer.{len(self.layers)}.output.dense.weight" in tensors:
            name = f"layer_{len(self.layers)}"
            source = f"encoder.layer.{len(self.layers)}"
            attention = f"{source}.attention"
            self.layers.append(
                {
                    "qkv": dense(f"{name}/qkv", *(f"{attention}.self.{n}" for n in ("query", "key", "value"))),
                    "attention": dense(f"{name}/attention", f"{attention}.output.dense"),
                    "attention_norm": norm(f"{name}/attention_norm", f"{attention}.output.LayerNorm"),
                    "inner": dense(f"{name}/inner", f"{source}.intermediate.dense"),
                    "outer": dense(f"{name}/outer", f"{source}.output.dense"),
                    "norm": norm(f"{name}/norm", f"{source}.output.LayerNorm"),
                }
            )
        has_pooler = "pooler.dense.weight" in tensors or config.pooling == "pooled_output"
        self.pooler = dense("pooler", "pooler.dense") if has_pooler else None

    @classmethod
    def sharing(cls, module: Any, config: BertConfig) -> "Bert":
        """A Bert in float32 with `config` that shares the variables of `module`, a loaded SavedModel of a Bert."""
        shared = cls.__new__(cls)
        tf.Module.__init__(shared, name="bert")
        shared.config, shared._dtype = config, tf.float32
        for name in ("words", "positions", "types", "embedding_norm", "layers"):
            setattr(shared, name, getattr(module, name))
        # A SavedModel does not hold what is None.
        shared.pooler, shared.distances = getattr(module, "pooler", None), getattr(module, "distances", None)
        return shared

    @tf.function(input_signature=[_SPECS], autograph=False)
    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The outputs for token ids, mask and type ids, each int32 [batch, length]."""
        ids, mask, types = (inputs[name] for name in INPUT_NAMES)
        outputs = {"sequence_output": self._encode(ids, mask, types)}
        if self.pooler is not None:
            outputs["pooled_output"] = self._pool(outputs["sequence_output"][:, 0])
        default = pool(outputs, mask, self.config.pooling)
        outputs["default"] = l2_normalize(default) if self.config.normalize else default
        return outputs

    @tf.function(input_signature=list(_SPECS.values()), autograph=False)
    def vectors(self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor) -> tf.Tensor:
        """One vector per row, float32 [batch, hidden], by `config.pooling` and without `config.normalize`.

        Nothing else is computed: if only the first token is needed, the last layer computes no other.
        """
        pooling = self.config.pooling
        if pooling == "mean":
            return pool({"sequence_output": self._encode(ids, mask, types)}, mask, pooling)
        first = self._encode(ids, mask, types, first_only=True)[:, 0]
        return first if pooling == "cls" else self._pool(first)

    def packed_vectors(self, ids: tf.Tensor, segments: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """The same as `vectors` for texts that share rows, float32 [texts, hidden], from a packing.Batch.

        A token attends only to tokens of its own text. It is no tf.function, so that it is not saved.
        """
        shape, owner = tf.shape(ids), tf.reshape(segments, [-1])
        x = tf.gather(self.words, tf.reshape(ids, [-1])) + self.types[0]
        x = self._norm(x + tf.gather(self.positions, tf.reshape(positions, [-1])), self.embedding_norm)
        is_own = tf.equal(segments[:, None, :, None], segments[:, None, None, :])
        bias = self._bias(is_own, shape[1])
        mean = self.config.pooling == "mean"
        firsts = tf.logical_and(owner > 0, tf.equal(tf.reshape(positions, [-1]), 0))
        for layer in self.layers:
            keep = None if mean or layer is not self.layers[-1] else tf.reshape(tf.where(firsts), [-1])
            x = self._layer(x, layer, bias, shape[0], shape[1], keep=keep)
        if not mean:
            return x if self.config.pooling == "cls" else self._pool(x)
        texts = tf.reduce_max(owner) + 1
        total = tf.math.unsorted_segment_sum(x, owner, texts)[1:]
        return total / tf.math.unsorted_segment_sum(tf.ones_like(x[:, :1]), owner, texts)[1:]

    def _encode(self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor, first_only: bool = False) -> tf.Tensor:
        """The last layer's states, [batch, length, hidden], or [batch, 1, hidden] if `first_only`."""
        shape = tf.shape(ids)
        batch, length = shape[0], shape[1]
        hidden = self.words.shape[1]
        x = tf.gather(self.words, tf.reshape(ids, [-1])) + tf.gather(self.types, tf.reshape(types, [-1]))
        x = tf.reshape(tf.reshape(x, [batch, length, hidden]) + self.positions[:length], [-1, hidden])
        x = self._norm(x, self.embedding_norm)
        bias = self._bias(mask[:, None, None, :], length)
        for layer in self.layers:
            x = self._layer(x, layer, bias, batch, length, first_only and layer is self.layers[-1])
        return tf.reshape(x, [batch, -1, hidden])

    def _bias(self, seen: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """What is added to the scores of attention, float32 [batch, 1 or heads, 1 or length, length]."""
        bias = (1.0 - tf.cast(seen, tf.float32)) * -1e9
        if self.distances is None:
            return bias
        rows, steps = self.distances.shape[0], tf.range(length)
        # A row may be longer than a text can be; what lies that far apart is of two texts.
        places = tf.clip_by_value(steps[None, :] - steps[:, None] + rows // 2, 0, rows - 1)
        return bias + tf.transpose(tf.gather(self.distances, places), [2, 0, 1])

    def _layer(
        self,
        x: tf.Tensor,
        layer: Any,
        bias: tf.Tensor,
        batch: tf.Tensor,
        length: tf.Tensor,
        first_only: bool = False,
        keep: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """One transformer block on [batch * length, hidden].

        With `first_only` the result is [batch, hidden]; with `keep` it is that of the tokens at these places only.
        """
        heads = self.config.heads
        hidden = self.words.shape[1]
        size = hidden // heads
        qkv = tf.reshape(self._dense(x, layer["qkv"]), [batch, length, 3, heads, size])
        query, key, value = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]))
        if first_only:
            query, x = query[:, :, :1], tf.reshape(x, [batch, length, hidden])[:, 0]
            bias = bias if self.distances is None else bias[:, :, :1]
        scores = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32) * (size**-0.5) + bias
        context = tf.matmul(tf.cast(tf.nn.softmax(scores), self._dtype), value)
        context = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [-1, hidden])
        if keep is not None:
            context, x = tf.gather(context, keep), tf.gather(x, keep)
        x = self._norm(tf.cast(self._dense(context, layer["attention"]), tf.float32) + x, layer["attention_norm"])
        inner = ACTIVATIONS[self.config.activation](self._dense(x, layer["inner"]))
        return self._norm(tf.cast(self._dense(inner, layer["outer"]), tf.float32) + x, layer["norm"])

    def _pool(self, first: tf.Tensor) -> tf.Tensor:
        return tf.tanh(tf.cast(self._dense(first, self.pooler), tf.float32))

    def _dense(self, x: tf.Tensor, parameters: Any) -> tf.Tensor:
        kernel, bias = parameters
        return tf.nn.bias_add(tf.cast(x, self._dtype) @ kernel, bias)

    def _norm(self, x: tf.Tensor, parameters: tuple[tf.Variable, tf.Variable]) -> tf.Tensor:
        gamma, beta = parameters
        mean = tf.reduce_mean(x, -1, keepdims=True)
        centred = x - mean
        variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
        return centred * (tf.math.rsqrt(variance + self.config.epsilon) * gamma) + beta


def pool(outputs: Mapping[str, tf.Tensor], mask: tf.Tensor, pooling: str) -> tf.Tensor:
    """One vector per row, float32 [batch, hidden], from an encoder's outputs; `pooling` is in catalogue.POOLINGS."""
    if pooling == "mean":
        weights = tf.cast(mask, tf.float32)[:, :, None]
        total = tf.reduce_sum(outputs["sequence_output"] * weights, axis=1)
        return total / tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)
    if pooling == "cls":
        return outputs["sequence_output"][:, 0]
    return outputs["default" if pooling == "model_default" else pooling]


def l2_normalize(vectors: tf.Tensor) -> tf.Tensor:
    """`vectors` [batch, dimension] scaled to L2 norm 1; a zero vector stays zero."""
    return vectors / tf.maximum(tf.norm(vectors, axis=-1, keepdims=True), 1e-12)
