"""TextEncoder: texts in, vectors out, in micro-batches of texts of like length. No Beam."""

import concurrent.futures
import functools
import inspect
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from transforms.encoder.cache import Known, VectorCache
from transforms.encoder.catalogue import DEFAULT_MODEL, find_model
from transforms.encoder.engines import streams
from transforms.encoder.options import EncoderOptions, check_model

Array = np.ndarray[Any, Any]

# The most tokens in one run of the encoder, by measurement on two cores; a GPU wants larger ones.
TOKEN_BUDGETS = {"CPU": 1024, "GPU": 16384}


class Encoding(NamedTuple):
    """What `TextEncoder.encode_with_counts` gives for n texts.

    Attributes:
        vectors: float32 [n, dimension].
        tokens: tokens read of each text, special tokens included, int64 [n]; zeros for a text-in encoder.
        truncated: whether each text was longer than what was read, bool [n].
        padded_tokens: tokens of padding that the encoder computed and nobody needed.
        cache_hits: texts whose vector was there already, from this batch or an earlier one.
    """

    vectors: Array
    tokens: Array
    truncated: Array
    padded_tokens: int
    cache_hits: int = 0


class TextEncoder:
    """A TF-Hub text encoder and its preprocessor, loaded.

    Texts are ordered by their number of tokens and run in micro-batches of at most `token_budget` tokens, each padded
    to its longest text only; the vectors come back in the order of the texts. A vector does not depend on
    the texts around it, beyond float32's rounding.

    >>> vectors = TextEncoder("minilm").encode(["Hello world."])  # doctest: +SKIP
    >>> vectors.shape  # doctest: +SKIP
    (1, 384)

    Attributes:
        name: the model's name or handle, as rows carry it.
        version: digest of the model's files.
        dimension: length of a vector.
        engine: what runs it, "tensorflow" or "openvino".
        precision: what the matrix products are computed in, "float32" or "bfloat16".
        pooling: the pooling in use.
        max_seq_length: the most tokens read of a text, special tokens included.
        load_ms: how long loading took, in milliseconds.
    """

    __signature__ = inspect.signature(EncoderOptions)

    def __init__(self, model: str = DEFAULT_MODEL, **options: Any) -> None:
        """Load `model`.

        Args:
            model: a catalogue name, a TF-Hub handle, or a directory.
            options: EncoderOptions'.

        Raises:
            ValueError: if the model cannot be found or loaded, or lacks the pooling or the length.
        """
        start = time.monotonic()
        # They import TensorFlow.
        from transforms.encoder import backends, hub

        chosen = EncoderOptions(model, **options)
        entry = find_model(chosen.model, chosen.preprocessor)
        check_model(entry, chosen)
        self.name = entry.name
        self.max_seq_length = chosen.max_seq_length
        self._token_budget = chosen.token_budget or TOKEN_BUDGETS[backends.device()]
        self._pool = concurrent.futures.ThreadPoolExecutor(streams(), thread_name_prefix="encoder")
        handles = [handle for handle in (entry.encoder, entry.preprocessor) if handle]
        for handle in handles:
            hub.resolve(handle)
        # Every byte is hashed while the model is loaded.
        version = self._pool.submit(hub.version_of, *handles)
        self._backend = backends.load(entry, chosen)
        self.dimension, self.pooling = self._backend.dimension, self._backend.pooling
        self.engine, self.precision = self._backend.engine, self._backend.precision
        if entry.dimension and entry.dimension != self.dimension:
            raise ValueError(
                f"expected vectors of {entry.dimension} numbers from {self.name}, got {self.dimension}; "
                "check which model is behind its name"
            )
        self.version = version.result()
        self._cache = VectorCache()
        self.load_ms = round((time.monotonic() - start) * 1000)

    def encode(self, texts: Sequence[str]) -> Array:
        """Vectors of `texts`: float32 [len(texts), dimension]."""
        return self.encode_with_counts(texts).vectors

    def encode_with_counts(self, texts: Sequence[str]) -> Encoding:
        """Vectors of `texts`, and what the encoder read of each; a text that recurs is computed once.

        Raises:
            UnicodeEncodeError: if a text holds a lone surrogate.
        """
        index: dict[str, int] = {}
        places = np.array([index.setdefault(text, len(index)) for text in texts], np.int64)
        unique = list(index)
        known = self._cache.find(unique)
        new = [row for row, found in enumerate(known) if found is None]
        vectors = np.zeros((len(unique), self.dimension), np.float32)
        tokens, truncated = np.zeros(len(unique), np.int64), np.zeros(len(unique), bool)
        for row, found in enumerate(known):
            if found is not None:
                vectors[row], tokens[row], truncated[row] = found
        computed = self._compute([unique[row] for row in new])
        vectors[new], tokens[new], truncated[new] = computed[:3]
        for row in new:
            self._cache.keep(unique[row], Known(vectors[row], int(tokens[row]), bool(truncated[row])))
        hits = len(texts) - len(new)
        return Encoding(vectors[places], tokens[places], truncated[places], computed.padded_tokens, hits)

    def _compute(self, texts: list[str]) -> Encoding:
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        if not texts:
            return Encoding(vectors, np.zeros(0, np.int64), np.zeros(0, bool), 0)
        prepared = self._backend.prepare(texts)

        def run(rows: Array) -> tuple[Array, Array, int]:
            return rows, *prepared.run(rows)

        computed = 0
        for rows, found, size in self._pool.map(run, micro_batches(prepared.costs, self._token_budget)):
            vectors[rows] = found
            computed += size
        return Encoding(vectors, prepared.tokens, prepared.truncated, computed - int(prepared.tokens.sum()))

    def __getstate__(self) -> Any:
        raise TypeError("a TextEncoder holds a loaded model and is not pickled; make one in each process")


@functools.lru_cache(maxsize=2)
def load_encoder(options: EncoderOptions) -> TextEncoder:
    """The TextEncoder of these options, loaded once per process."""
    return TextEncoder(**vars(options))


@functools.lru_cache(maxsize=2)
def name_and_version(model: str, preprocessor: str = "") -> tuple[str, str]:
    """A TextEncoder's `name` and `version` without loading the model; its files are read once per process.

    Raises:
        ValueError: if the model cannot be found.
    """
    from transforms.encoder import hub

    entry = find_model(model, preprocessor)
    return entry.name, hub.version_of(entry.encoder, entry.preprocessor)


def micro_batches(sizes: Array, budget: int) -> Iterator[Array]:
    """Rows by falling size, cut so that a batch's rows times its largest size stay within `budget`.

    A row larger than `budget` comes alone.
    """
    order = np.argsort(-sizes, kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, budget // max(1, int(sizes[order[start]])))
        yield order[start : start + rows]
        start += rows
