"""SavedModels that read texts, in each form that TF-Hub's and others' have, saved by TensorFlow's own means."""

import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

WORDS = ("good", "dog", "bad", "cat", ".", "日本")
_SIZE = 4


def _rows() -> Any:
    return tf.random.stateless_normal([len(WORDS) + 1, _SIZE], seed=(0, 0))


class Averaged(tf.Module):
    """As NNLM and Swivel: the sum of the vectors of a text's words, divided by the root of their number."""

    def __init__(self) -> None:
        super().__init__()
        entries = tf.lookup.KeyValueTensorInitializer(WORDS, tf.range(len(WORDS), dtype=tf.int64))
        self.table = tf.lookup.StaticVocabularyTable(entries, 1)
        self.rows = tf.Variable(_rows())

    def vectors(self, texts: Any) -> Any:
        """The vectors of texts."""
        words = tf.strings.split(tf.strings.lower(texts)).to_tensor("")
        known = tf.cast(tf.not_equal(words, ""), tf.float32)[:, :, None]
        total = tf.reduce_sum(tf.gather(self.rows, self.table.lookup(words)) * known, axis=1)
        return total / tf.sqrt(tf.maximum(tf.reduce_sum(known, axis=1), 1.0))


class Attending(Averaged):
    """As the large Universal Sentence Encoder: words attend to each other, and padding to nothing."""

    def vectors(self, texts: Any) -> Any:
        """The vectors of texts."""
        words = tf.strings.split(texts).to_tensor("")
        states = tf.gather(self.rows, self.table.lookup(words))
        known = tf.cast(tf.not_equal(words, ""), tf.float32)
        scores = tf.matmul(states, states, transpose_b=True) - 1e9 * (1 - known[:, None, :])
        total = tf.reduce_sum(tf.matmul(tf.nn.softmax(scores), states) * known[:, :, None], axis=1)
        return total / tf.sqrt(tf.maximum(tf.reduce_sum(known, axis=1, keepdims=True), 1.0))


class Relative(Averaged):
    """An encoder that is wrong in batches: a vector depends on the others that are computed with it."""

    def vectors(self, texts: Any) -> Any:
        """The vectors of texts."""
        found = super().vectors(texts)
        return found - 0.1 * tf.reduce_mean(found, axis=0, keepdims=True)


class Cutting(Averaged):
    """As an encoder with BERT's preprocessing in its graph: it reads the beginning of a text only."""

    def vectors(self, texts: Any) -> Any:
        """The vectors of texts."""
        return super().vectors(tf.strings.reduce_join(tf.strings.split(texts).to_tensor("")[:, :100], 1, separator=" "))


class Dropping(Averaged):
    """An encoder that was saved as in training."""

    def vectors(self, texts: Any) -> Any:
        """The vectors of texts."""
        return tf.nn.dropout(super().vectors(texts), 0.5)


_TEXTS = tf.TensorSpec([None], tf.string, name="text")
_COLUMN = tf.TensorSpec([None, 1], tf.string, name="text")


def _callable(path: pathlib.Path, model: Averaged, made: Callable[[Any], Any]) -> None:
    class Encoder(tf.Module):
        @tf.function(input_signature=[_TEXTS])
        def __call__(self, texts: Any) -> Any:
            return made(model.vectors(texts))

    encoder = Encoder()
    encoder.model = model
    tf.saved_model.save(encoder, str(path), signatures={})


def _signature(path: pathlib.Path, model: Averaged, spec: Any, made: Callable[[Any], Any]) -> None:
    @tf.function(input_signature=[spec])
    def run(text: Any) -> Any:
        return made(model.vectors(tf.reshape(tf.strings.as_string(text), [-1])))

    tf.saved_model.save(model, str(path), signatures={"serving_default": run})


def _module_of_tf1(path: pathlib.Path, model: Averaged, for_training: bool = False) -> None:
    """A module in the format of TF1's hub.ModuleSpec.export: a graph without tags, and a file that names the format."""
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        text = v1.placeholder(tf.string, [None], name="text")
        vectors = type(model)().vectors(text)
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        signature = v1.saved_model.build_signature_def(
            {"text": v1.saved_model.build_tensor_info(text)}, {"default": v1.saved_model.build_tensor_info(vectors)}
        )
        builder = v1.saved_model.Builder(str(path))
        how = {"signature_def_map": {"default": signature}, "main_op": v1.tables_initializer()}
        builder.add_meta_graph_and_variables(session, [], **how)
        if for_training:
            session.graph.clear_collection("saved_model_main_op")
            builder.add_meta_graph(["train"], **how)
        builder.save()
    (path / "tfhub_module.pb").write_bytes(b"\x08\x03")


def _as_they_are(vectors: Any) -> Any:
    return vectors


FORMS: dict[str, Callable[[pathlib.Path, Averaged], None]] = {
    "__call__": lambda path, model: _callable(path, model, _as_they_are),
    "__call__, dict with default": lambda path, model: _callable(
        path, model, lambda vectors: {"default": vectors, "other": vectors + 1}
    ),
    "__call__, dict of one": lambda path, model: _callable(path, model, lambda vectors: {"outputs": vectors}),
    "serving_default": lambda path, model: _signature(path, model, _TEXTS, lambda vectors: {"embedding": vectors}),
    "serving_default of a column": lambda path, model: _signature(
        path, model, _COLUMN, lambda vectors: {"embedding": tf.cast(vectors, tf.float64)}
    ),
    "TF1 module": _module_of_tf1,
    "TF1 module with a graph for training": lambda path, model: _module_of_tf1(path, model, for_training=True),
}
# And what is said of those that are none.
REFUSED: dict[str, tuple[Callable[[pathlib.Path, Averaged], None], str]] = {
    "several outputs": (
        lambda path, model: _callable(path, model, lambda vectors: {"b": vectors, "a": vectors}),
        "it gives a, b, of which none is called default",
    ),
    "a number": (
        lambda path, model: _callable(path, model, lambda vectors: tf.reduce_sum(vectors, axis=1)),
        r"it gives a tensor of shape \(1,\), not one vector per text",
    ),
    "numbers in": (
        lambda path, model: _signature(path, model, tf.TensorSpec([None], tf.int32, name="ids"), _as_they_are),
        "its signature takes ids, not one string tensor",
    ),
    "nothing to call": (
        lambda path, model: tf.saved_model.save(model, str(path), signatures={}),
        "it has no __call__ and no signature default or serving_default",
    ),
}
