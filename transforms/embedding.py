"""EmbedSentences: each sentence gets its vector, through RunInference with one encoder a process."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Optional

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import ModelHandler, RunInference

from transforms.adapters import as_sentences
from transforms.counters import Counters
from transforms.dead_letters import (
    TAG,
    DeadLetterTransform,
    WithDeadLetters,
    dead_letters,
    element_json,
    split_dead_letters,
)
from transforms.encoder.catalogue import DEFAULT_MODEL
from transforms.encoder.cleanup import CLEANUP_MODES, clean
from transforms.encoder.engines import DEFAULT_ENGINE, DEFAULT_PRECISION, check_engine_options
from transforms.encoder.hot_swap import CurrentEncoder, Encoded
from transforms.encoder.text_encoder import DEFAULT_MAX_SEQ_LENGTH, check_encoder_options
from transforms.types import DeadLetter, Sentence, SentenceEmbedding

STAGE = "Embed sentences"
DEFAULT_BATCH_SIZE = 2048


class Embedded(NamedTuple):
    """What became of one sentence: its row, or the dead letters that hold it."""

    row: Optional[SentenceEmbedding]
    dead_letters: tuple[DeadLetter, ...] = ()


class EncoderHandler(ModelHandler[Sentence, Embedded, CurrentEncoder]):
    """RunInference's way to a TextEncoder: loaded once a process, given a bundle's sentences in large batches.

    A batch that fails is halved until the failing sentence stands alone; the rest pass. With `large_model` the encoder
    is loaded once a machine, by one of its processes, and the others send it their texts.
    """

    def __init__(
        self,
        make_encoder: Callable[[], CurrentEncoder],
        batch_size: int,
        cleanup: str,
        max_batch_duration_secs: Optional[int],
        large_model: bool,
    ) -> None:
        super().__init__(
            min_batch_size=1 if max_batch_duration_secs else batch_size,
            max_batch_size=batch_size,
            max_batch_duration_secs=max_batch_duration_secs,
            large_model=large_model,
        )
        self._make_encoder = make_encoder
        self._cleanup = cleanup
        self._counters = Counters()

    def load_model(self) -> CurrentEncoder:
        """The encoder; if it cannot be loaded the job fails, for no message is at fault."""
        return self._make_encoder()

    def run_inference(
        self, batch: Sequence[Sentence], model: CurrentEncoder, inference_args: Optional[dict[str, Any]] = None
    ) -> list[Embedded]:
        """What became of each sentence, in order."""
        self._counters.observe("batch_size", len(batch))
        return self._embed(list(batch), model)

    def _embed(self, batch: list[Sentence], model: CurrentEncoder) -> list[Embedded]:
        try:
            encoded = model.encode([clean(sentence.content, self._cleanup) for sentence in batch])
        except (ConnectionError, EOFError):
            # The process that holds a large model is gone: no sentence is at fault, and a retry finds another.
            raise
        # An encoder may raise anything, for one sentence or for lack of memory; halving meets both.
        except Exception as error:
            if len(batch) == 1:
                return [self._dead(batch[0], error)]
            middle = len(batch) // 2
            return self._embed(batch[:middle], model) + self._embed(batch[middle:], model)
        encoding = encoded.encoding
        self._counters.observe("model_load_ms", encoded.load_ms)
        self._counters.count("tokens", int(encoding.tokens.sum()))
        self._counters.count("padded_tokens", encoding.padded_tokens)
        self._counters.count("cache_hits", encoding.cache_hits)
        self._counters.count(f"encoded_by_{encoded.engine}_{encoded.precision}", len(batch))
        finite = np.isfinite(encoding.vectors.sum(axis=1)).tolist()
        self._counters.count("rows", sum(finite))
        self._counters.count("truncated", int(encoding.truncated[finite].sum()))
        vectors = np.ascontiguousarray(encoding.vectors, "<f4")
        return [
            self._row(sentence, encoded, vectors[i].tobytes(), int(encoding.tokens[i]), bool(encoding.truncated[i]))
            if finite[i]
            else self._dead(sentence, f"expected finite numbers in the vector, {encoded.name} gave NaN or Inf")
            for i, sentence in enumerate(batch)
        ]

    def _row(self, sentence: Sentence, encoded: Encoded, vector: bytes, tokens: int, truncated: bool) -> Embedded:
        return Embedded(
            SentenceEmbedding(
                *sentence,
                embedding=vector,
                model=encoded.name,
                model_version=encoded.version,
                precision=encoded.precision,
                tokens=tokens,
                truncated=truncated,
            )
        )

    def _dead(self, sentence: Sentence, error: BaseException | str) -> Embedded:
        self._counters.count("dead_letters_embed")
        letters = dead_letters(STAGE, error, element_json(sentence), {"message_id": sentence.message_id})
        return Embedded(None, tuple(letters))

    def get_num_bytes(self, batch: Sequence[Sentence]) -> int:
        """Characters in the batch; Beam's own way pickles it."""
        return sum(len(sentence.content) for sentence in batch)

    def get_metrics_namespace(self) -> str:
        """The namespace of RunInference's own metrics."""
        return "RunInference"

    def validate_inference_args(self, inference_args: Optional[dict[str, Any]]) -> None:
        """Refuse arguments: there are none."""
        if inference_args:
            raise ValueError(f"expected no inference_args, got {sorted(inference_args)}")


class EmbedSentences(DeadLetterTransform):
    """PCollection[Sentence] to PCollection[SentenceEmbedding].

    A PCollection of str, of rows with a field "text" or of `ml.rag` EmbeddableItem goes through AsSentences first: each
    text is embedded whole. A sentence whose encoding fails, or gives NaN or Inf, is a dead letter. A model that cannot
    be loaded fails the job.

    Args:
        model: a catalogue name, a TF-Hub handle, or a directory.
        preprocessor: handle or directory of the preprocessor, if not the model's own.
        pooling: one of POOLINGS; by default what the catalogue says of the model.
        normalize: scale vectors to L2 norm 1; by default what the catalogue says.
        max_seq_length: the most word pieces read of a sentence, special tokens included.
        token_budget: the most positions, padding included, in one run of the encoder; 0 for what its device likes.
        engine: one of engines.ENGINES.
        precision: one of engines.PRECISIONS.
        batch_size: the most sentences given to the encoder at once, which orders them by length.
        cleanup: what the encoder reads of a sentence, a key of CLEANUP_MODES; content and offsets stay.
        model_poll_seconds: how often to look for a newer version under a directory of versions; 0 for never.
        max_batch_duration_secs: collect a batch over several bundles for so long (Dataflow's streams only); by
            default a batch lies within a bundle.
        large_model: load the model once a machine, in one of its worker processes, for all of them.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        preprocessor: str = "",
        pooling: str = "",
        normalize: Optional[bool] = None,
        max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH,
        token_budget: int = 0,
        engine: str = DEFAULT_ENGINE,
        precision: str = DEFAULT_PRECISION,
        batch_size: int = DEFAULT_BATCH_SIZE,
        cleanup: str = "disabled",
        model_poll_seconds: float = 0,
        max_batch_duration_secs: Optional[int] = None,
        large_model: bool = False,
    ) -> None:
        super().__init__()
        check_encoder_options(pooling, max_seq_length)
        check_engine_options(engine, precision)
        if cleanup not in CLEANUP_MODES:
            raise ValueError(f"expected --cleanup to be one of {', '.join(CLEANUP_MODES)}, got {cleanup!r}")

        make_encoder = functools.partial(
            CurrentEncoder,
            model,
            model_poll_seconds,
            preprocessor=preprocessor,
            pooling=pooling,
            normalize=normalize,
            max_seq_length=max_seq_length,
            token_budget=token_budget,
            engine=engine,
            precision=precision,
        )
        self._handler = EncoderHandler(make_encoder, batch_size, cleanup, max_batch_duration_secs, large_model)

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[SentenceEmbedding]:
        """Rows, and the sentences that got no vector."""
        embedded = as_sentences(pcoll) | STAGE >> RunInference(self._handler).with_output_types(Embedded)
        return split_dead_letters(embedded, "Sort out failures", _SortOut(), SentenceEmbedding)


class _SortOut(beam.DoFn):
    def process(self, embedded: Embedded) -> Iterator[Any]:
        if embedded.row is not None:
            yield embedded.row
        for letter in embedded.dead_letters:
            yield beam.pvalue.TaggedOutput(TAG, letter)
