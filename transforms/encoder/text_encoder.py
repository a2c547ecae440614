"""TextEncoder: encodes texts as vectors, in micro-batches of texts of similar length, and without Beam."""

import concurrent.futures
import functools
import inspect
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from transforms.encoder import hub, recipe
from transforms.encoder.cache import Known, VectorCache
from transforms.encoder.catalogue import DEFAULT_MODEL, find_model
from transforms.encoder.engines import streams
from transforms.encoder.options import EncoderOptions, check_model, check_version, prompt_of
from transforms.encoder.scheduler import Scheduler

Array = np.ndarray[Any, Any]


class Encoding(NamedTuple):
    """The result of `TextEncoder.encode_with_counts` for n texts.

    Attributes:
        vectors: the vectors, float32 [n, dimension].
        tokens: the number of tokens read of each text, special tokens included, int64 [n]; zeros for a text-in encoder.
        truncated: whether only part of each text was read, bool [n].
        padded_tokens: the number of padding tokens that the encoder computed needlessly; of a run that calls in other
            threads had a part in, they count in one of the calls.
        cache_hits: the number of texts whose vector was already computed, in this batch or an earlier one.
    """

    vectors: Array
    tokens: Array
    truncated: Array
    padded_tokens: int
    cache_hits: int = 0


class TextEncoder:
    """A loaded TF-Hub text encoder, with its preprocessor if it has one.

    Texts are sorted by their number of tokens and run in micro-batches of at most `token_budget` tokens, with several
    short texts in a row where the model allows it. It may be called from any number of threads at once; the texts of
    all these calls are run together. The vectors are returned in the order of the texts. A vector does not depend on
    the texts that are run with it, apart from rounding.

    >>> vectors = TextEncoder("minilm").encode(["Hello world."])  # doctest: +SKIP
    >>> vectors.shape  # doctest: +SKIP
    (1, 384)

    Attributes:
        name: the model's name or handle, which rows carry.
        version: a digest of the model's files and of whatever else changes vectors: pooling, normalization, prompts,
            truncate_dim, and a max_seq_length that is not the default. Engine and precision are not part of it.
        dimension: the length of a vector.
        document_prompt: what the encoder reads before a text that is to be found.
        query_prompt: what it reads before what texts are searched by.
        similarity: the similarity of vectors that the model was trained for, one of SIMILARITIES; "" if unknown.
        engine: the engine that runs it, "tensorflow" or "openvino".
        precision: the precision of its matrix products, "float32" or "bfloat16".
        pooling: the pooling in use.
        normalize: whether vectors are scaled to L2 norm 1.
        max_seq_length: the maximum number of tokens read of a text, special tokens included.
        load_ms: how long loading took, in milliseconds.
    """

    __signature__ = inspect.signature(EncoderOptions)

    def __init__(self, model: str = DEFAULT_MODEL, **options: Any) -> None:
        """Loads `model`.

        Args:
            model: a catalogue name, a TF-Hub handle, or a directory.
            options: the other fields of EncoderOptions.

        Raises:
            ValueError: if an option has an invalid value, the model cannot be found or loaded, is not of the
                `model_version`, or does not support the pooling or the length.
        """
        start = time.monotonic()
        # Imported here because it imports TensorFlow.
        from transforms.encoder import backends

        chosen = EncoderOptions(model, **options)
        entry = find_model(chosen.model, chosen.preprocessor, chosen.allow_http)
        check_model(entry, chosen)
        self.name = entry.name
        self.max_seq_length = chosen.max_seq_length
        pool = concurrent.futures.ThreadPoolExecutor(streams(), thread_name_prefix="encoder")
        for handle in filter(None, (entry.encoder, entry.preprocessor)):
            hub.resolve(handle)
        made_by = recipe.recipe_of(entry, chosen)
        self.normalize = made_by.normalize
        self.document_prompt, self.query_prompt = made_by.document_prompt, made_by.query_prompt
        self.similarity = entry.similarity
        self._model = entry
        # The files are hashed while the model is loaded.
        version = pool.submit(recipe.version_of, entry, made_by)
        if chosen.model_version:
            # A graph may do anything, so another one is not loaded.
            check_version(version.result(), self.name, chosen)
        backend = backends.load(entry, chosen, made_by)
        self.dimension, self.pooling = made_by.truncate_dim or backend.dimension, backend.pooling
        self.engine, self.precision = backend.engine, backend.precision
        if entry.dimension and entry.dimension != backend.dimension:
            raise ValueError(
                f"expected vectors of {entry.dimension} numbers from {self.name}, got {backend.dimension}; "
                "check which model is behind its name"
            )
        self.version = version.result()
        self._cache = VectorCache()
        self._scheduler = Scheduler(backend, chosen.token_budget or backend.token_budget, pool, streams())
        self.load_ms = round((time.monotonic() - start) * 1000)

    def encode(self, texts: Sequence[str]) -> Array:
        """The vectors of `texts` as of documents, which are to be found, float32 [len(texts), dimension]."""
        return self.encode_with_counts(texts).vectors

    encode_document = encode

    def encode_query(self, texts: Sequence[str], query_prompt: str = "") -> Array:
        """The vectors of `texts` as of queries, float32 [len(texts), dimension].

        Args:
            texts: the queries.
            query_prompt: what is read before each, as the name of one of the model's prompts, as a text, or none; by
                default, the model's prompt for queries.

        Raises:
            ValueError: if `query_prompt` is a word that names no prompt.
            UnicodeEncodeError: if a text contains a lone surrogate.
        """
        prompt = prompt_of(query_prompt, self._model, self.query_prompt, "the query's prompt")
        return self._encode([prompt + text for text in texts]).vectors

    def encode_with_counts(self, texts: Sequence[str]) -> Encoding:
        """The vectors of `texts` as of documents, and how much the encoder read of each, its prompt included.

        A text that recurs is computed once.

        Raises:
            UnicodeEncodeError: if a text contains a lone surrogate.
        """
        return self._encode([self.document_prompt + text for text in texts])

    def _encode(self, texts: Sequence[str]) -> Encoding:
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
        padded = 0
        if new:
            computed = self._scheduler.compute([unique[row] for row in new])
            vectors[new] = shortened(computed.vectors, self.dimension, self.normalize)
            tokens[new], truncated[new], padded = computed.tokens, computed.truncated, computed.padded_tokens
            self._cache.keep({unique[row]: Known(vectors[row], int(tokens[row]), bool(truncated[row])) for row in new})
        hits = len(texts) - len(new)
        return Encoding(vectors[places], tokens[places], truncated[places], padded, hits)

    def __getstate__(self) -> Any:
        raise TypeError("a TextEncoder holds a loaded model and cannot be pickled; create one in each process")


def shortened(vectors: Array, dimension: int, normalize: bool) -> Array:
    """The first `dimension` numbers of each vector, scaled to L2 norm 1 if they are fewer and `normalize` says so."""
    kept = vectors[:, :dimension]
    if not normalize or kept.shape == vectors.shape:
        return kept
    return recipe.scaled(kept)


@functools.lru_cache(maxsize=2)
def load_encoder(options: EncoderOptions) -> TextEncoder:
    """The TextEncoder for `options`; a process keeps the two that were used most recently."""
    return TextEncoder(**vars(options))


@functools.lru_cache(maxsize=2)
def name_and_version(options: EncoderOptions) -> tuple[str, str]:
    """The `name` and `version` of a TextEncoder, without loading the model; its files are read once per process.

    Raises:
        ValueError: if the model cannot be found or read, or is not of the `model_version`.
    """
    entry = find_model(options.model, options.preprocessor, options.allow_http)
    version = recipe.version_of(entry, recipe.recipe_of(entry, options))
    check_version(version, entry.name, options)
    return entry.name, version
