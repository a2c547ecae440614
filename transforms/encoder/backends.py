"""The two kinds of encoders behind one interface: those that read tokens, and those that read texts."""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from transforms.encoder.catalogue import Model
from transforms.encoder.engines import PROBES, load_engine
from transforms.encoder.options import EncoderOptions, check_max_seq_length
from transforms.encoder.preprocessor import Preprocessor
from transforms.encoder.saved_model import BertVectors, TextVectors

Array = np.ndarray[Any, Any]

# What a token of text takes, about.
_CHARACTERS_PER_TOKEN = 4


class Prepared(NamedTuple):
    """n texts that a backend has made ready to run.

    Attributes:
        costs: what each text costs to run, in tokens, int64 [n].
        tokens: tokens read of each text, special tokens included, int64 [n]; zeros where that is not known.
        truncated: whether each text was longer than what is read, bool [n].
        run: rows, int64 [m], to their vectors, float32 [m, dimension], and the tokens computed, padding included.
    """

    costs: Array
    tokens: Array
    truncated: Array
    run: Callable[[Array], tuple[Array, int]]


class Backend(Protocol):
    """A loaded model: what a TextEncoder asks of one that reads tokens, and of one that reads texts.

    Attributes:
        dimension: length of a vector.
        pooling: the pooling in use, one of POOLINGS.
        engine: what runs it, one of ENGINES.
        precision: what it multiplies matrices in, one of PRECISIONS.
    """

    dimension: int
    pooling: str
    engine: str
    precision: str

    def prepare(self, texts: list[str]) -> Prepared:
        """Make `texts` ready; `run` of what it gives may be called from several threads at once."""


def load(model: Model, options: EncoderOptions) -> Backend:
    """The backend that runs `model`.

    Raises:
        ValueError: if it cannot be loaded, or cannot do what `options` ask.
    """
    return TokenBackend(model, options) if model.preprocessor else TextBackend(model, options)


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


class TokenBackend:
    """A preprocessor and an encoder of token ids, run by the engine that the options leave."""

    def __init__(self, model: Model, options: EncoderOptions) -> None:
        self.pooling = options.pooling or model.pooling or "pooled_output"
        self._preprocessor = Preprocessor(model.preprocessor)
        bert = BertVectors(model, self.pooling, _normalizes(model, options))
        check_max_seq_length(options.max_seq_length, bert.max_seq_length or model.max_seq_length, model.name)
        self.dimension = bert.dimension
        self._max_seq_length = options.max_seq_length
        tokens = self._preprocessor.tokenize(list(PROBES))
        probes = self._preprocessor.pack(tokens, np.arange(len(PROBES)), options.max_seq_length)
        self._run = load_engine(bert, model.name, options.engine, options.precision, probes)
        self.engine, self.precision = self._run.name, self._run.precision

    def prepare(self, texts: list[str]) -> Prepared:
        """Tokenize `texts`; a text costs the tokens that are read of it."""
        tokens = self._preprocessor.tokenize(texts)
        counts = np.diff(tokens.splits) + 2
        read = np.minimum(counts, self._max_seq_length)

        def run(rows: Array) -> tuple[Array, int]:
            packed = self._preprocessor.pack(tokens, rows, self._max_seq_length)
            return self._run(*packed), packed[0].size

        return Prepared(read, read, counts > self._max_seq_length, run)


class TextBackend:
    """An encoder that reads texts itself, run by TensorFlow in float32."""

    engine, precision, pooling = "tensorflow", "float32", "model_default"

    def __init__(self, model: Model, options: EncoderOptions) -> None:
        if options.pooling not in ("", self.pooling):
            raise ValueError(
                f"pooling={options.pooling} needs tokens, {model.name} is a text-in encoder; "
                f"use pooling={self.pooling}, or pass its preprocessor"
            )
        if options.engine == "openvino" or options.precision == "bfloat16":
            raise ValueError(
                f"engine={options.engine} and precision={options.precision} need tokens, "
                f"{model.name} is a text-in encoder; use engine={self.engine} precision={self.precision}"
            )
        self._vectors = TextVectors(model, _normalizes(model, options))
        self.dimension = self._vectors.dimension

    def prepare(self, texts: list[str]) -> Prepared:
        """Take `texts` as they are; how many tokens they have is guessed for their cost, and not known."""
        costs = np.array([-(-len(text) // _CHARACTERS_PER_TOKEN) for text in texts], np.int64)

        def run(rows: Array) -> tuple[Array, int]:
            return self._vectors([texts[row] for row in rows]), 0

        return Prepared(costs, np.zeros(len(texts), np.int64), np.zeros(len(texts), bool), run)


def _normalizes(model: Model, options: EncoderOptions) -> bool:
    return model.normalize if options.normalize is None else options.normalize
