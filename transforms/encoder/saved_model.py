"""TF-Hub's encoders as TensorFlow functions that compute one vector per text and nothing else."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from transforms.encoder.bert.graph import INPUT_NAMES, Bert, BertConfig, l2_normalize, pool
from transforms.encoder.bert.weights import config_of, lift
from transforms.encoder.catalogue import Model
from transforms.encoder.hub import load
from transforms.encoder.reasons import reason_of

Array = np.ndarray[Any, Any]

# The signatures of a text-in encoder without a __call__: that of modules of TF1, and that for TensorFlow Serving.
_SIGNATURES = ("default", "serving_default")


def max_positions(module: Any) -> int:
    """The maximum number of tokens that a BERT encoder reads: the rows of its position embeddings; 0 if unknown."""
    tables = [v for v in getattr(module, "variables", ()) if "position" in v.name and v.shape.rank == 2]
    return int(tables[0].shape[0]) if len(tables) == 1 else 0


class VectorFunction(tf.Module):
    """A traced function from the parts of a packing.Batch to the vectors of its texts, float32 [texts, dimension].

    Attributes:
        concrete: the function as TensorFlow's ConcreteFunction.
        shares_rows: whether several texts may share a row.
    """

    def __init__(self, vectors: Any, normalize: bool, holder: Any, shares_rows: bool = False) -> None:
        super().__init__(name="vectors")
        self.shares_rows = shares_rows
        spec = tf.TensorSpec([None, None], tf.int32)

        @tf.function(input_signature=[spec, spec, spec], autograph=False)
        def run(ids: tf.Tensor, segments: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
            found = vectors(ids, segments, positions)
            return l2_normalize(found) if normalize else found

        self.concrete = run.get_concrete_function()
        # A function has only weak references to its variables.
        self._holder = holder

    def __call__(self, ids: Array, segments: Array, positions: Array) -> Array:
        """The vectors of a micro-batch."""
        result: Array = self.concrete(*map(tf.constant, (ids, segments, positions))).numpy()
        return result


class BertVectors:
    """An encoder that takes a dict of token ids, with its pooling, as TensorFlow functions.

    Attributes:
        original: the model with its original graph, in float32, with each text in a row of its own.
        dimension: the length of a vector.
        max_seq_length: the maximum number of tokens that the model reads; 0 if unknown.
        is_plain: whether `original` already is the optimized graph, and computes only what `pooling` needs.
    """

    def __init__(self, model: Model, pooling: str, normalize: bool) -> None:
        encoder = load(model.encoder)
        self.max_seq_length = max_positions(encoder)
        own = self._own = config_of(encoder)
        self.is_plain = own is not None and pooling == own.pooling and hasattr(encoder, "vectors")
        self.dimension = int(encoder.words.shape[1]) if self.is_plain else _dimension(encoder, model, pooling)
        self._encoder, self._pooling, self._normalize = encoder, pooling, normalize

        def original(ids: tf.Tensor, segments: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
            mask, types = tf.cast(segments > 0, tf.int32), tf.zeros_like(ids)
            if self.is_plain:
                return encoder.vectors(ids, mask, types)
            found = encoder(dict(zip(INPUT_NAMES, (ids, mask, types), strict=True)))
            return pool(found, mask, pooling)

        self.original = VectorFunction(original, normalize, encoder)

    def lifted(self, precision: str = "float32") -> VectorFunction:
        """The optimized graph with this model's weights, which must be compared with `original` before it is used.

        Raises:
            ValueError: if the model's variables are not those of a BERT, or lack what the pooling needs.
        """
        if self._own and precision == "float32":
            bert = Bert.sharing(self._encoder, self._configured(self._own))
        else:
            bert = self.bert(precision)
        return VectorFunction(bert.packed_vectors, self._normalize, bert, shares_rows=True)

    def bert(self, precision: str = "float32") -> Bert:
        """This model's weights as a module that can be saved, with the pooling and normalization in use as defaults.

        Raises:
            ValueError: if the model's variables are not those of a BERT, or lack what the pooling needs.
        """
        tensors, config = lift(self._encoder)
        try:
            return Bert(tensors, self._configured(config), precision)
        except KeyError as error:
            raise ValueError(f"its variables lack {error.args[0]}") from error

    def _configured(self, config: BertConfig) -> BertConfig:
        """`config` with the pooling and the normalization in use."""
        pooling = config.pooling if self._pooling == "model_default" else self._pooling
        return dataclasses.replace(config, pooling=pooling, normalize=self._normalize)


def _dimension(encoder: Any, model: Model, pooling: str) -> int:
    """The length of an encoder's vectors, from a first run that also checks its interface."""
    try:
        outputs = encoder({name: tf.ones([1, 3], tf.int32) for name in INPUT_NAMES})
    except (TypeError, ValueError, tf.errors.OpError) as error:
        raise ValueError(
            f"expected an encoder of {', '.join(INPUT_NAMES)} at {model.encoder}, it refused them: {reason_of(error)}"
        ) from error
    needed = {"mean": "sequence_output", "cls": "sequence_output", "model_default": "default"}.get(pooling, pooling)
    if needed not in outputs:
        raise ValueError(f"pooling={pooling} needs the output {needed!r}, {model.name} has {sorted(outputs)}")
    return int(outputs[needed].shape[-1])


class TextVectors:
    """A text-in encoder, which converts strings to vectors.

    It is a SavedModel whose `__call__` takes a string tensor [n] or, as a module of TF1, whose signature "default" or
    "serving_default" does, perhaps as a column [n, 1]. What it gives is a tensor, or a dict with "default" or with one
    tensor.

    Attributes:
        dimension: the length of a vector.

    Raises:
        ValueError: if it is of no such form.
    """

    def __init__(self, model: Model, normalize: bool) -> None:
        encoder = load(model.encoder)

        def call(texts: tf.Tensor) -> tf.Tensor:
            vectors = _only_vectors(_outputs(encoder, texts))
            return l2_normalize(vectors) if normalize else vectors

        try:
            self.dimension = int(call(tf.constant(["probe"])).shape[-1])
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"expected an encoder of texts at {model.encoder}, it refused them: {reason_of(error)}; "
                "if it is one of word ids, pass its preprocessor, or make a pair of it and its assets/vocab.txt with "
                f"`python -m pipeline.export_encoder --from={model.encoder} --to=DIR`"
            ) from error
        self._encoder = encoder
        self._vectors = tf.function(call, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)

    def __call__(self, texts: list[str]) -> Array:
        """The vectors of `texts`, float32 [len(texts), dimension]."""
        result: Array = self._vectors(tf.constant([text.encode() for text in texts], tf.string)).numpy()
        return result


def _outputs(encoder: Any, texts: tf.Tensor) -> Any:
    """What `encoder`, a loaded SavedModel, gives for `texts`."""
    if callable(encoder):
        return encoder(texts)
    signatures = {name: encoder.signatures[name] for name in _SIGNATURES if name in encoder.signatures}
    if not signatures:
        raise ValueError(f"it has no __call__ and no signature {' or '.join(_SIGNATURES)}")
    signature = next(iter(signatures.values()))
    inputs = signature.structured_input_signature[1]
    if [spec.dtype for spec in inputs.values()] != [tf.string]:
        raise ValueError(f"its signature takes {', '.join(sorted(inputs)) or 'nothing'}, not one string tensor")
    ((name, spec),) = inputs.items()
    return signature(**{name: texts[:, None] if spec.shape.rank == 2 else texts})


def _only_vectors(outputs: Any) -> tf.Tensor:
    """The vectors among the outputs of a text-in encoder, float32 [texts, dimension]."""
    if isinstance(outputs, Mapping):
        if "default" not in outputs and len(outputs) != 1:
            raise ValueError(f"it gives {', '.join(sorted(outputs))}, of which none is called default")
        outputs = outputs["default"] if "default" in outputs else next(iter(outputs.values()))
    if outputs.shape.rank != 2:
        raise ValueError(f"it gives a tensor of shape {outputs.shape}, not one vector per text")
    return tf.cast(outputs, tf.float32)
