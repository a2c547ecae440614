"""One interface to the two kinds of encoders: those that read tokens, and those that read texts."""

import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from transforms.encoder.catalogue import Model
from transforms.encoder.engines import PROBES, Probes, agreement, load_engine
from transforms.encoder.options import EncoderOptions, check_max_seq_length
from transforms.encoder.preprocessor import Preprocessor
from transforms.encoder.reasons import reason_of
from transforms.encoder.recipe import Recipe
from transforms.encoder.saved_model import BertVectors, TextVectors

Array = np.ndarray[Any, Any]

# Default for the maximum number of tokens in one run of an encoder. That of CPU was measured on two cores.
TOKEN_BUDGETS = {"CPU": 1024, "GPU": 16384}
# A run of the budget of CPU that takes fewer seconds is mostly overhead, so that more tokens at once are faster.
_OVERHEAD_SECONDS = 0.005
# A rough average of all scripts, to estimate the cost of a text that is not tokenized here.
_BYTES_PER_TOKEN = 4
# About a thousand words, which is more than any encoder with a limit reads.
_LONG = " ".join(PROBES * 14)
# The agreement of float32 vectors that differ only by the order of their sums.
_ROUNDING = 1 - 1e-9

_log = logging.getLogger(__name__)


class Prepared(NamedTuple):
    """What a backend has made of n texts.

    Attributes:
        inputs: each text as the backend runs it.
        costs: the cost of running each text, in tokens, int64 [n].
        tokens: the number of tokens that are read of each text, special tokens included, int64 [n]; zeros if unknown.
        truncated: whether only part of each text is read, bool [n].
    """

    inputs: Sequence[Any]
    costs: Array
    tokens: Array
    truncated: Array

    def part(self, begin: int, end: int) -> "Prepared":
        """What was made of the texts from `begin` to before `end`."""
        return Prepared(*(field[begin:end] for field in self))  # type: ignore[arg-type]


class Backend(Protocol):
    """A loaded model, with the interface that TextEncoder needs of a model that reads tokens or texts.

    Its methods may be called from several threads at once.

    Attributes:
        dimension: the length of a vector.
        pooling: the pooling in use, one of POOLINGS.
        engine: the engine that runs it, "tensorflow" or "openvino".
        precision: the precision of its matrix products, "float32" or "bfloat16".
        shares_rows: whether several texts may share a row.
        token_budget: the default for the maximum number of tokens in one run.
    """

    dimension: int
    pooling: str
    engine: str
    precision: str
    shares_rows: bool
    token_budget: int

    def prepare(self, texts: Sequence[str]) -> Prepared:
        """Makes inputs of `texts`."""

    def run(self, rows: Sequence[Sequence[Any]]) -> tuple[Array, int]:
        """The vectors of prepared inputs, float32 [inputs, dimension], and the number of tokens computed.

        Args:
            rows: the inputs, with those that share a row together; each is alone if `shares_rows` is false.

        Returns:
            the vectors in reading order, and the number of tokens, padding included; 0 if unknown.
        """


def load(model: Model, options: EncoderOptions, recipe: Recipe) -> Backend:
    """The backend that runs `model` and makes vectors by `recipe`.

    Raises:
        ValueError: if it cannot be loaded, or does not support what `options` ask for.
    """
    try:
        return (TokenBackend if model.preprocessor else TextBackend)(model, options, recipe)
    except tf.errors.OpError as error:
        # Its files can be read, and its graph fails when it runs.
        raise ValueError(
            f"expected {model.encoder} to encode a few sentences, it failed: {reason_of(error)}; "
            "copy or export the model again"
        ) from error


def device() -> str:
    """The kind of device on which TensorFlow places functions by default: "GPU" or "CPU".

    GPUs are set to allocate memory as they need it, so that several processes can share one. It must be called before
    anything is loaded.
    """
    found = tf.config.list_physical_devices("GPU")
    for each in found:
        # TensorFlow refuses this for a GPU that is already in use; by then an earlier call has done it.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(each, True)
    return "GPU" if found else "CPU"


class TokenBackend:
    """A preprocessor and an encoder that reads token ids, run by an engine that the options allow."""

    def __init__(self, model: Model, options: EncoderOptions, recipe: Recipe) -> None:
        self.token_budget, self.pooling = TOKEN_BUDGETS[device()], recipe.pooling
        self._preprocessor = Preprocessor(model.preprocessor)
        bert = BertVectors(model, recipe.pooling, recipe.normalize)
        check_max_seq_length(options.max_seq_length, bert.max_seq_length or model.max_seq_length, model.name)
        self.dimension = bert.dimension
        self._max_seq_length = options.max_seq_length
        probes = Probes(self._preprocessor, options.max_seq_length)
        self._engine = load_engine(bert, model.name, options.engine, options.precision, probes)
        self.engine, self.precision = self._engine.name, self._engine.precision
        self.shares_rows = self._engine.shares_rows

    def prepare(self, texts: Sequence[str]) -> Prepared:
        """Tokenizes `texts`; the cost of a text is the number of tokens that are read of it."""
        tokens = self._preprocessor.tokenize(texts)
        counts = np.array([len(found) + 2 for found in tokens], np.int64)
        read = np.minimum(counts, self._max_seq_length)
        return Prepared([found[: self._max_seq_length - 2] for found in tokens], read, read, counts > read)

    def run(self, rows: Sequence[Sequence[Array]]) -> tuple[Array, int]:
        """The vectors of tokenized texts."""
        batch = self._preprocessor.arrange(rows)
        vectors = self._engine(*batch)
        if len(rows) < len(vectors):
            # One text's NaN or Inf reaches those that share its row.
            texts = [text for row in rows for text in row]
            for place in np.flatnonzero(~np.isfinite(vectors).all(axis=1)):
                vectors[place] = self._engine(*self._preprocessor.arrange([[texts[place]]]))[0]
        return vectors, batch.ids.size


class TextBackend:
    """An encoder that reads texts directly, run by TensorFlow in float32.

    Raises:
        ValueError: if it cannot do what the options ask for, or gives a text another vector each time.
    """

    engine, precision, pooling, shares_rows = "tensorflow", "float32", "model_default", False

    def __init__(self, model: Model, options: EncoderOptions, recipe: Recipe) -> None:
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
        self.token_budget = TOKEN_BUDGETS[device()]
        self._vectors = TextVectors(model, recipe.normalize)
        self.dimension = self._vectors.dimension
        texts = list(filter(None, PROBES))
        alone, again = (np.concatenate([self._vectors([text]) for text in texts]) for _ in range(2))
        if not _same(again, alone):
            raise ValueError(
                f"expected one vector for a text from {model.encoder}, got another one when it was encoded again; "
                "export the model for inference, without dropout"
            )
        self._apart = not _same(self._vectors(texts), alone)
        if self._apart:
            _log.warning("%s runs one text at a time: in a batch, its vectors depend on the other texts", model.name)
        if _same(*(self._vectors([f"{_LONG} {end}"]) for end in texts[:2])):
            _log.warning(
                "%s reads only the beginning of long texts, and does not tell of which: truncated stays false",
                model.name,
            )
        if not options.token_budget and self._seconds(texts) < _OVERHEAD_SECONDS:
            self.token_budget = TOKEN_BUDGETS["GPU"]

    def _seconds(self, texts: list[str]) -> float:
        """The least time, in seconds, of a run of the budget of CPU."""
        batch = texts * (TOKEN_BUDGETS["CPU"] // int(self.prepare(texts).costs.sum()))
        found = []
        for _ in range(3):
            start = time.perf_counter()
            self._vectors(batch)
            found.append(time.perf_counter() - start)
        return min(found)

    def prepare(self, texts: Sequence[str]) -> Prepared:
        """Keeps `texts` as they are; costs are estimated from their lengths, because the token counts are unknown."""
        costs = np.array([1 + len(text.encode()) // _BYTES_PER_TOKEN for text in texts], np.int64)
        return Prepared(texts, costs, np.zeros(len(texts), np.int64), np.zeros(len(texts), bool))

    def run(self, rows: Sequence[Sequence[str]]) -> tuple[Array, int]:
        """The vectors of texts; how many tokens were computed is unknown."""
        texts = [text for row in rows for text in row]
        parts = [[text] for text in texts] if self._apart else [texts]
        return np.concatenate([self._vectors(part) for part in parts]), 0


def _same(found: Array, expected: Array) -> bool:
    """Whether vectors are equal apart from rounding; NaN is equal to NaN."""
    return agreement(*(np.nan_to_num(vectors.astype(np.float64)) for vectors in (found, expected))) > _ROUNDING
