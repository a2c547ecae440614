"""TextEncoder: texts in, vectors out, in micro-batches of texts of like length. No Beam."""

import concurrent.futures
import functools
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from transforms.encoder.cache import Known, VectorCache
from transforms.encoder.catalogue import DEFAULT_MODEL, POOLINGS, Model, find_model
from transforms.encoder.engines import (
    DEFAULT_ENGINE,
    DEFAULT_PRECISION,
    PROBES,
    check_engine_options,
    load_engine,
    streams,
)

Array = np.ndarray[Any, Any]

DEFAULT_MAX_SEQ_LENGTH = 128
# The most positions in one run of the encoder, by measurement on two cores; a GPU wants larger ones.
TOKEN_BUDGETS = {"CPU": 1024, "GPU": 16384}


class Encoding(NamedTuple):
    """What `TextEncoder.encode_with_counts` gives for n texts.

    Attributes:
        vectors: float32 [n, dimension].
        tokens: word pieces read of each text, special tokens included, int64 [n]; zeros for a text-in encoder.
        truncated: whether each text was longer than what was read, bool [n].
        padded_tokens: positions that the encoder computed and nobody needed.
        cache_hits: texts whose vector was there already, from this batch or an earlier one.
    """

    vectors: Array
    tokens: Array
    truncated: Array
    padded_tokens: int
    cache_hits: int = 0


class TextEncoder:
    """A TF-Hub text encoder and its preprocessor, loaded.

    Texts are ordered by their number of word pieces and run in micro-batches of at most `token_budget` positions,
    each padded to its longest text only; the vectors come back in the order of the texts. A vector does not depend on
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
        max_seq_length: the most word pieces read of a text, special tokens included.
        load_ms: how long loading took, in milliseconds.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        preprocessor: str = "",
        pooling: str = "",
        normalize: bool | None = None,
        max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH,
        token_budget: int = 0,
        engine: str = DEFAULT_ENGINE,
        precision: str = DEFAULT_PRECISION,
    ) -> None:
        """Load `model`.

        Args:
            model: a catalogue name, a TF-Hub handle, or a directory.
            preprocessor: handle or directory of the preprocessor, if not the model's own.
            pooling: one of POOLINGS; by default what the catalogue or the model's card says.
            normalize: scale vectors to L2 norm 1; by default what the catalogue or the card says.
            max_seq_length: the most word pieces read of a text, special tokens included.
            token_budget: the most positions, padding included, in one run of the encoder; 0 for what its device likes.
            engine: one of engines.ENGINES; "auto" is the fastest one that agrees with TensorFlow in float32.
            precision: one of engines.PRECISIONS; "auto" is the fastest one that agrees.

        Raises:
            ValueError: if the model cannot be found or loaded, or lacks the pooling or the length.
        """
        start = time.monotonic()
        from transforms.encoder import saved_model

        check_encoder_options(pooling, max_seq_length)
        check_engine_options(engine, precision)
        entry = find_model(model, preprocessor)
        check_model_options(entry, pooling, max_seq_length)
        self.name = entry.name
        self.max_seq_length = max_seq_length
        self._token_budget = token_budget or TOKEN_BUDGETS[saved_model.device()]
        scaled = entry.normalize if normalize is None else normalize
        self._pool = concurrent.futures.ThreadPoolExecutor(streams(), thread_name_prefix="encoder")
        handles = [handle for handle in (entry.encoder, entry.preprocessor) if handle]
        for handle in handles:
            saved_model.resolve(handle)
        # Every byte is hashed while the model is loaded.
        version = self._pool.submit(saved_model.version_of, *handles)
        if entry.preprocessor:
            self.pooling = pooling or entry.pooling or "pooled_output"
            preprocess = saved_model.Preprocessor(entry.preprocessor)
            self._preprocessor: saved_model.Preprocessor | None = preprocess
            bert = saved_model.BertVectors(entry, self.pooling, scaled)
            check_max_seq_length(max_seq_length, bert.max_seq_length or entry.max_seq_length, self.name)
            self.dimension = bert.dimension
            tokens = preprocess.tokenize(list(PROBES))
            probes = preprocess.pack(tokens, np.arange(len(PROBES)), max_seq_length)
            self._bert = load_engine(bert, self.name, engine, precision, probes)
            self.engine, self.precision = self._bert.name, self._bert.precision
        else:
            self.pooling = pooling or "model_default"
            if self.pooling != "model_default":
                raise ValueError(
                    f"--pooling={pooling} needs word pieces, {self.name} is a text-in encoder; "
                    "use --pooling=model_default, or pass its --preprocessor"
                )
            if engine == "openvino" or precision == "bfloat16":
                raise ValueError(
                    f"--engine={engine} and --precision={precision} need word pieces, "
                    f"{self.name} is a text-in encoder; use --engine=tensorflow --precision=float32"
                )
            self._preprocessor = None
            self.engine, self.precision = "tensorflow", "float32"
            self._text = saved_model.TextVectors(entry, scaled)
            self.dimension = self._text.dimension
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
        count = len(texts)
        vectors = np.zeros((count, self.dimension), np.float32)
        if not count:
            return Encoding(vectors, np.zeros(0, np.int64), np.zeros(0, bool), 0)
        if self._preprocessor is None:
            sizes = np.array([len(text) for text in texts])
            for rows, found in self._pool.map(
                lambda rows: (rows, self._text([texts[row] for row in rows])),
                micro_batches(sizes, 4 * self._token_budget),
            ):
                vectors[rows] = found
            return Encoding(vectors, np.zeros(count, np.int64), np.zeros(count, bool), 0)
        preprocessor, longest = self._preprocessor, self.max_seq_length
        tokens = preprocessor.tokenize(texts)
        pieces = np.diff(tokens.splits) + 2
        read = np.minimum(pieces, longest)

        def run(rows: Array) -> tuple[Array, Array, int]:
            packed = preprocessor.pack(tokens, rows, longest)
            return rows, self._bert(*packed), packed[0].size

        computed = 0
        for rows, found, positions in self._pool.map(run, micro_batches(read, self._token_budget)):
            vectors[rows] = found
            computed += positions
        return Encoding(vectors, read, pieces > longest, computed - int(read.sum()))

    def __getstate__(self) -> Any:
        raise TypeError("a TextEncoder holds a loaded model and is not pickled; make one in each process")


def load_encoder(model: str, **options: Any) -> TextEncoder:
    """The TextEncoder of these arguments, in whatever order, loaded once a process."""
    return _load_encoder(model, tuple(sorted(options.items())))


@functools.lru_cache(maxsize=2)
def _load_encoder(model: str, options: tuple[tuple[str, Any], ...]) -> TextEncoder:
    return TextEncoder(model, **dict(options))


@functools.lru_cache(maxsize=2)
def name_and_version(model: str, preprocessor: str = "") -> tuple[str, str]:
    """A TextEncoder's `name` and `version` without loading the model; its files are read once a process.

    Raises:
        ValueError: if the model cannot be found.
    """
    from transforms.encoder import saved_model

    entry = find_model(model, preprocessor)
    return entry.name, saved_model.version_of(entry.encoder, entry.preprocessor)


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


def check_encoder_options(pooling: str, max_seq_length: int) -> None:
    """Refuse what no model could do.

    Raises:
        ValueError: one line that names the option, what was expected and what was given.
    """
    if pooling and pooling not in POOLINGS:
        raise ValueError(f"expected --pooling to be one of {', '.join(POOLINGS)}, got {pooling!r}")
    if max_seq_length < 3:
        raise ValueError(f"expected --max_seq_length to be at least 3 word pieces, got {max_seq_length}")


def check_model_options(model: Model, pooling: str, max_seq_length: int) -> None:
    """Refuse what `model` cannot do, as far as its description tells.

    Raises:
        ValueError: one line that names the option, what was expected and what was given.
    """
    if pooling and pooling not in model.poolings:
        raise ValueError(f"expected --pooling that {model.name} has, {' or '.join(model.poolings)}, got {pooling!r}")
    check_max_seq_length(max_seq_length, model.max_seq_length, model.name)


def check_max_seq_length(max_seq_length: int, limit: int, name: str) -> None:
    """Refuse a length past the model's; a `limit` of 0 is no limit.

    Raises:
        ValueError: one line that names the option, what was expected and what was given.
    """
    if limit and max_seq_length > limit:
        raise ValueError(f"expected --max_seq_length up to {limit}, the most {name} reads, got {max_seq_length}")
