"""A BERT pair that export wrote, run by NumPy: for a few texts it is done before TensorFlow is imported."""

import itertools
import math
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from transforms.encoder.bert.config import BertConfig, config_at
from transforms.encoder.bert.wordpiece import WordPiece
from transforms.encoder.catalogue import find_model
from transforms.encoder.options import EncoderOptions, check_max_seq_length, check_model, check_version, prompt_of
from transforms.encoder.recipe import recipe_of, scaled, version_of
from transforms.encoder.saved_files import Variables

Array = np.ndarray[Any, Any]


def _gelu(x: Array) -> Array:
    erf = np.fromiter(map(math.erf, (x * np.float32(math.sqrt(0.5))).ravel().tolist()), np.float32, x.size)
    return np.asarray(0.5 * x * (1 + erf.reshape(x.shape)))


def _gelu_tanh(x: Array) -> Array:
    cube = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)
    return np.asarray(0.5 * x * (1 + np.tanh(cube)))


# As graph.ACTIVATIONS.
_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": lambda x: np.maximum(x, 0),
}
_TABLES = ("words", "positions", "types")
_LAYER = ("qkv", "attention", "attention_norm", "inner", "outer", "norm")
_DESCRIBED = "described"


class PlainEncoder:
    """A pair on a local disk, with the vectors of TextEncoder in float32.

    Attributes:
        name: the model's name, which rows carry.
        version: that of TextEncoder.
        dimension: the length of a vector.
        normalize: whether vectors are scaled to L2 norm 1.
        similarity: as that of TextEncoder.

    Raises:
        ValueError: if the model cannot be found, is not such a pair, or is not what `options` ask for.
        OSError: if a file cannot be read.
    """

    def __init__(self, options: EncoderOptions) -> None:
        entry = find_model(options.model, options.preprocessor, options.allow_http)
        check_model(entry, options)
        self.name, self.similarity = entry.name, entry.similarity
        self._model = entry
        self._recipe = recipe_of(entry, options)
        config = config_at(entry.encoder)
        if config is None:
            raise ValueError(f"expected an encoder as export writes it, {entry.encoder} is another")
        self._tokenizer = WordPiece(entry.preprocessor)
        self._bert = _Bert(Variables(entry.encoder), config)
        check_max_seq_length(options.max_seq_length, len(self._bert.positions), entry.name)
        self._max_seq_length = options.max_seq_length
        self.dimension = self._recipe.truncate_dim or int(self._bert.words.shape[1])
        self.normalize = self._recipe.normalize
        self.version = version_of(entry, self._recipe)
        check_version(self.version, entry.name, options)

    def knows(self, text: str) -> bool:
        """Whether `text` has only characters whose kind Python knows; its tables may be older than TensorFlow's."""
        return all(unicodedata.category(character) not in ("Cn", "Cs") for character in text)

    def encode_query(self, texts: Sequence[str], query_prompt: str = "") -> Array:
        """The vectors of `texts` as of queries, float32 [len(texts), dimension]; arguments as of TextEncoder."""
        prompt = prompt_of(query_prompt, self._model, self._recipe.query_prompt, "the query's prompt")
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            tokens = self._tokenizer.tokenize(prompt + text)[: self._max_seq_length - 2]
            ids = [self._tokenizer.start, *tokens, self._tokenizer.end]
            vectors[row] = self._bert.vector(ids, self._recipe.pooling)[: self.dimension]
        return scaled(vectors) if self._recipe.normalize else vectors


class _Bert:
    """The weights of a graph.Bert, and what it computes for one text."""

    def __init__(self, variables: Variables, config: BertConfig) -> None:
        def pair(name: str) -> tuple[Array, Array]:
            # Matrices that are not aligned in the file would be copied again for each product.
            return tuple(np.require(variables.floats(f"{name}/{part}"), requirements="A") for part in (0, 1))  # type: ignore[return-value]

        self._config = config
        self._activation = _ACTIVATIONS[config.activation]
        self.words, self.positions, self._types = map(variables.floats, _TABLES)
        self._embedding_norm = pair("embedding_norm")
        layers = len({name.split("/")[1] for name in variables.names if name.startswith("layers/")})
        self._layers = [{part: pair(f"layers/{number}/{part}") for part in _LAYER} for number in range(layers)]
        self._pooler = pair("pooler") if "pooler/0" in variables.names else None
        known = {f"layers/{n}/{part}/{i}" for n, part, i in itertools.product(range(layers), _LAYER, (0, 1))}
        known |= {*_TABLES, _DESCRIBED, "embedding_norm/0", "embedding_norm/1", "pooler/0", "pooler/1"}
        if others := variables.names - known:
            raise ValueError(f"expected the variables of a plain BERT, got {sorted(others)[0]}, too")

    def vector(self, tokens: Sequence[int], pooling: str) -> Array:
        """The vector of one text, float32 [hidden], from its token ids."""
        x = self._norm(self.words[tokens] + self._types[0] + self.positions[: len(tokens)], self._embedding_norm)
        for layer in self._layers:
            x = self._layer(x, layer)
        if pooling == "mean":
            return np.asarray(x.mean(axis=0))
        if pooling == "cls":
            return np.asarray(x[0])
        if self._pooler is None:
            raise ValueError(f"expected a pooler for pooling={pooling}, the encoder has none")
        return np.asarray(np.tanh(x[0] @ self._pooler[0] + self._pooler[1]))

    def _layer(self, x: Array, layer: dict[str, tuple[Array, Array]]) -> Array:
        tokens, hidden = x.shape
        qkv = (x @ layer["qkv"][0] + layer["qkv"][1]).reshape(tokens, 3, self._config.heads, -1)
        query, key, value = qkv.transpose(1, 2, 0, 3)
        scores = query @ key.transpose(0, 2, 1) * np.float32(query.shape[-1] ** -0.5)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        context = (weights / weights.sum(axis=-1, keepdims=True)) @ value
        context = context.transpose(1, 0, 2).reshape(tokens, hidden)
        x = self._norm(context @ layer["attention"][0] + layer["attention"][1] + x, layer["attention_norm"])
        inner = self._activation(x @ layer["inner"][0] + layer["inner"][1])
        return self._norm(inner @ layer["outer"][0] + layer["outer"][1] + x, layer["norm"])

    def _norm(self, x: Array, parameters: tuple[Array, Array]) -> Array:
        gamma, beta = parameters
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        return np.asarray(centred / np.sqrt(variance + np.float32(self._config.epsilon)) * gamma + beta)
