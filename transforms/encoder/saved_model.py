"""TF-Hub's text interface: a preprocessor and an encoder, loaded from their SavedModels and checked."""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from transforms.encoder.bert.graph import INPUT_NAMES, Bert, l2_normalize, pool
from transforms.encoder.bert.weights import config_of, lift
from transforms.encoder.catalogue import Model

Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Word pieces of a batch of texts, end to end: those of text i are `values[splits[i]:splits[i + 1]]`."""

    values: Array
    splits: Array


@functools.cache
def register_text_ops() -> None:
    """Load the operations of TensorFlow Text (CaseFoldUTF8, FastBertNormalize, ...) that preprocessors are made of.

    The package itself would import Keras, which takes a second and is not needed.

    Raises:
        ImportError: if the package is not installed.
    """
    found = importlib.util.find_spec("tensorflow_text")
    if found is None or found.origin is None:
        raise ImportError("expected the package tensorflow-text, it is not installed")
    for library in sorted((pathlib.Path(found.origin).parent / "python" / "ops").glob("_*.so")):
        tf.load_op_library(str(library))


def device() -> str:
    """What TensorFlow has and places functions on by itself: "GPU" or "CPU".

    A GPU's memory is then taken as it is needed, so that several processes can share it.
    """
    found = tf.config.list_physical_devices("GPU")
    for each in found:
        # Once it is in use this is refused, and was done.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(each, True)
    return "GPU" if found else "CPU"


class Preprocessor:
    """A TF-Hub text preprocessor: `tokenize` and the ids that it packs word pieces with."""

    def __init__(self, handle: str) -> None:
        self._module = load(handle)
        try:
            tokenize, pack = self._module.tokenize, self._module.bert_pack_inputs
        except AttributeError:
            raise ValueError(
                f"expected a preprocessor with tokenize and bert_pack_inputs, got {handle}; "
                "pass --preprocessor=HANDLE of one with TF-Hub's text preprocessing interface"
            ) from None

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def flat_tokens(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            ragged = tokenize(texts)
            if ragged.shape.rank > 2:
                ragged = ragged.merge_dims(1, -1)
            return ragged.values, ragged.row_splits

        self._tokenize = flat_tokens
        packed = pack([tokenize(tf.constant([""]))], seq_length=tf.constant(4, tf.int32))
        self.start, self.end, self.padding = (int(i) for i in packed["input_word_ids"][0, :3])

    def tokenize(self, texts: list[str]) -> Tokens:
        """The word pieces of `texts`, without the special ones."""
        values, splits = self._tokenize(tf.constant([text.encode() for text in texts], tf.string))
        return Tokens(values.numpy(), splits.numpy())

    def pack(self, tokens: Tokens, rows: Array, max_seq_length: int) -> tuple[Array, Array, Array]:
        """Word ids, mask and types of `rows`, int32 [len(rows), length], padded to the longest of them.

        A row longer than `max_seq_length` with its two special tokens loses its end.
        """
        counts = np.minimum(tokens.splits[rows + 1] - tokens.splits[rows], max_seq_length - 2)
        length = int(counts.max()) + 2
        ids = np.full((len(rows), length), self.padding, np.int32)
        ids[:, 0] = self.start
        within = np.arange(length - 2) < counts[:, None]
        positions = tokens.splits[rows][:, None] + np.arange(length - 2)
        ids[:, 1:-1][within] = tokens.values[positions[within]]
        ids[np.arange(len(rows)), counts + 1] = self.end
        mask = (np.arange(length) < (counts + 2)[:, None]).astype(np.int32)
        return ids, mask, np.zeros_like(ids)


def load(handle: str) -> Any:
    """The SavedModel behind a directory, an http(s) handle in TF-Hub's compressed format, or gs://.

    Raises:
        ValueError: if nothing can be loaded from there.
    """
    register_text_ops()
    path = resolve(handle)
    with _failures_of(handle):
        return tf.saved_model.load(path)


def resolve(handle: str) -> str:
    """The directory of `handle`, downloaded to TF-Hub's cache if it is remote.

    Raises:
        ValueError: if nothing can be had from there.
    """
    if os.path.isdir(handle):
        return handle
    with warnings.catch_warnings():
        # It imports pkg_resources, which says that it is going away.
        warnings.simplefilter("ignore")
        import tensorflow_hub as hub

    with _failures_of(handle):
        return str(hub.resolve(handle))


@contextlib.contextmanager
def _failures_of(handle: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a SavedModel at {handle}, could not load it: {error}") from error


def version_of(*handles: str) -> str:
    """A digest of every byte of the SavedModels: 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for handle in filter(None, handles):
        root = resolve(handle)
        for folder, _, files in sorted(tf.io.gfile.walk(root)):
            for name in sorted(files):
                # Written anew at each export, whatever the contents.
                if name == "fingerprint.pb":
                    continue
                digest.update(os.path.relpath(os.path.join(folder, name), root).encode())
                with tf.io.gfile.GFile(os.path.join(folder, name), "rb") as file:
                    while chunk := file.read(1 << 22):
                        digest.update(chunk)
    return digest.hexdigest()[:12]


def max_positions(module: Any) -> int:
    """Rows of a BERT encoder's table of position embeddings: the most word pieces it reads; 0 if it has none."""
    tables = [v for v in getattr(module, "variables", ()) if "position" in v.name and v.shape.rank == 2]
    return int(tables[0].shape[0]) if len(tables) == 1 else 0


class VectorFunction(tf.Module):
    """A traced function from word ids, mask and types, int32 [batch, length], to vectors, float32 [batch, dimension].

    Attributes:
        concrete: the function as TensorFlow's ConcreteFunction.
    """

    def __init__(self, vectors: Any, normalize: bool, holder: Any) -> None:
        super().__init__(name="vectors")
        spec = tf.TensorSpec([None, None], tf.int32)

        @tf.function(input_signature=[spec, spec, spec], autograph=False)
        def run(ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor) -> tf.Tensor:
            found = vectors(ids, mask, types)
            return l2_normalize(found) if normalize else found

        self.concrete = run.get_concrete_function()
        # A function refers to its variables only weakly.
        self._holder = holder

    def __call__(self, ids: Array, mask: Array, types: Array) -> Array:
        """Vectors of a micro-batch."""
        result: Array = self.concrete(tf.constant(ids), tf.constant(mask), tf.constant(types)).numpy()
        return result


class BertVectors:
    """A dict-in encoder with its pooling, as TensorFlow functions that compute nothing else.

    Attributes:
        original: the model as it came, in float32.
        dimension: length of a vector.
        max_seq_length: the most word pieces that the model reads, 0 if that is not known.
        is_plain: whether `original` is the plain graph already, and computes nothing that `pooling` leaves unread.
    """

    def __init__(self, model: Model, pooling: str, normalize: bool) -> None:
        encoder = load(model.encoder)
        self.max_seq_length = max_positions(encoder)
        own = config_of(encoder)
        if own and pooling == "model_default":
            pooling, normalize = own.pooling, normalize or own.normalize
        self.is_plain = own is not None and pooling == own.pooling and hasattr(encoder, "vectors")
        self.dimension = int(encoder.words.shape[1]) if self.is_plain else _dimension(encoder, model, pooling)
        self._encoder, self._pooling, self._normalize = encoder, pooling, normalize

        def original(ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor) -> tf.Tensor:
            if self.is_plain:
                return encoder.vectors(ids, mask, types)
            found = encoder(dict(zip(INPUT_NAMES, (ids, mask, types), strict=True)))
            return pool(found, mask, pooling)

        self.original = VectorFunction(original, normalize, encoder)

    def lifted(self, precision: str = "float32") -> VectorFunction:
        """The plain graph with this model's weights, to be compared before it is used.

        Raises:
            ValueError: if the model's variables are not those of a BERT.
        """
        bert = self.bert(precision)
        return VectorFunction(bert.vectors, self._normalize, bert)

    def bert(self, precision: str = "float32") -> Bert:
        """This model's weights as a module that can be saved, with the pooling and normalisation in use as its own.

        Raises:
            ValueError: if the model's variables are not those of a BERT, or lack what the pooling needs.
        """
        tensors, config = lift(self._encoder)
        if self._pooling != "model_default":
            config = dataclasses.replace(config, pooling=self._pooling)
        try:
            return Bert(tensors, dataclasses.replace(config, normalize=self._normalize), precision)
        except KeyError as error:
            raise ValueError(f"its variables lack {error.args[0]}") from error


def _dimension(encoder: Any, model: Model, pooling: str) -> int:
    """The length of an encoder's vectors, by a first run that its interface must bear."""
    try:
        outputs = encoder({name: tf.ones([1, 3], tf.int32) for name in INPUT_NAMES})
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"expected an encoder of {', '.join(INPUT_NAMES)} at {model.encoder}, it refused them: "
            f"{str(error).splitlines()[0]}"
        ) from error
    needed = {"mean": "sequence_output", "cls": "sequence_output", "model_default": "default"}.get(pooling, pooling)
    if needed not in outputs:
        raise ValueError(f"--pooling={pooling} needs the output {needed!r}, {model.name} has {sorted(outputs)}")
    return int(outputs[needed].shape[-1])


class TextVectors:
    """A text-in encoder: strings in, vectors out."""

    def __init__(self, model: Model, normalize: bool) -> None:
        encoder = load(model.encoder)

        def call(texts: tf.Tensor) -> tf.Tensor:
            outputs = encoder(texts)
            vectors = outputs["default"] if isinstance(outputs, dict) else outputs
            return l2_normalize(vectors) if normalize else vectors

        try:
            self.dimension = int(call(tf.constant(["probe"])).shape[-1])
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(
                f"expected an encoder of texts at {model.encoder}, it refused them: {str(error).splitlines()[0]}; "
                "if it is one of word ids, pass its --preprocessor"
            ) from error
        self._encoder = encoder
        self._vectors = tf.function(call, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)

    def __call__(self, texts: list[str]) -> Array:
        """Vectors, float32 [len(texts), dimension]."""
        result: Array = self._vectors(tf.constant([text.encode() for text in texts], tf.string)).numpy()
        return result
