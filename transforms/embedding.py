"""EmbedSentences: computes the vector of each sentence through RunInference, with one encoder per process."""

import logging
import time
import uuid
from collections.abc import Iterator, Sequence
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
    add_dead_letters,
    dead_letters,
    element_json,
    split_dead_letters,
)
from transforms.encoder.catalogue import DEFAULT_MODEL
from transforms.encoder.cleanup import clean, version_with
from transforms.encoder.hot_swap import CurrentEncoder, Encoded, check_watchable, current_encoder
from transforms.encoder.options import EmbeddingOptions, EncoderOptions
from transforms.encoder.reasons import reason_of
from transforms.options import sort_out, takes
from transforms.types import DeadLetter, Sentence, SentenceEmbedding, is_end

STAGE = "Embed sentences"
# How many fields of a SentenceEmbedding are those of its sentence.
_FIELDS = len(Sentence._fields)

# How long to wait before an encoder that failed without the fault of any sentence is tried again, in seconds.
_WAITS = (1.0, 5.0, 25.0)

_log = logging.getLogger(__name__)


class Embedded(NamedTuple):
    """The outcome for one sentence: its row, or the dead letters that hold it."""

    row: Optional[SentenceEmbedding]
    dead_letters: tuple[DeadLetter, ...] = ()


def _sentence(element: Any) -> Sentence:
    return Sentence(*element[:_FIELDS])


def _vector(element: Any) -> bytes:
    """The vector that an element has already, or b""."""
    vector: bytes = getattr(element, "embedding", b"")
    return vector


class EncoderFailed(RuntimeError):
    """The encoder cannot encode any text, so a bundle fails and its sentences are tried again."""


class EncoderHandler(ModelHandler[Sentence | SentenceEmbedding, Embedded, CurrentEncoder]):
    """A model handler that loads a TextEncoder once per process and passes it a bundle's sentences in large batches.

    A SentenceEmbedding that has a vector is passed on as it is, in its place; one without is a sentence. A batch that
    fails is halved until the failing sentence is isolated; all the others are embedded. If a text made for
    the purpose fails too, no sentence is at fault, and the batch is tried again a few times before its bundle fails.
    With `large_model` the encoder is loaded once per machine, in one process, and the other processes send it their
    texts.
    """

    def __init__(self, encoder: EncoderOptions, options: EmbeddingOptions) -> None:
        # A batch that spanned bundles would be state, and a bundle would end before its rows are written.
        super().__init__(
            min_batch_size=options.batch_size, max_batch_size=options.batch_size, large_model=options.large_model
        )
        self._encoder = encoder
        self._options = options
        self._counters = Counters()

    def load_model(self) -> CurrentEncoder:
        """Loads the encoder. A failure to load fails the job, because it is not the fault of any message."""
        return current_encoder(self._encoder, self._options.model_poll_seconds)

    def run_inference(
        self,
        batch: Sequence[Sentence | SentenceEmbedding],
        model: CurrentEncoder,
        inference_args: Optional[dict[str, Any]] = None,
    ) -> list[Embedded]:
        """The outcome for each sentence, in order; the end of a version has none but the model that it was given to.

        Raises:
            EncoderFailed: if the encoder fails whatever the text.
            ConnectionError, EOFError: if the process that holds the large model has died.
        """
        sentences = [_sentence(each) for each in batch if not (is_end(each) or _vector(each))]
        self._counters.observe("batch_size", len(sentences))
        following = iter(self._embed(sentences, model) if sentences else [])
        # Once for all ends: a large model is in another process.
        made_by = model.encode([]) if any(map(is_end, batch)) else None
        return [self._known(each, made_by) or next(following) for each in batch]

    def _known(self, element: Any, made_by: Optional[Encoded]) -> Optional[Embedded]:
        """The outcome for what the encoder is not needed for: an end, or a sentence that has a vector."""
        if made_by and is_end(element):
            return self._row(_sentence(element), made_by, b"", 0, False)
        if not _vector(element):
            return None
        self._counters.count("rows")
        self._counters.count("truncated", int(element.truncated))
        return Embedded(SentenceEmbedding(*element))

    def _embed(
        self, batch: list[Sentence], model: CurrentEncoder, is_part: bool = False, is_heard: bool = False
    ) -> list[Embedded]:
        """The outcomes of a batch, or of a part of one that failed; `is_heard`: failed before a fine text did not."""
        try:
            encoded = model.encode([clean(sentence.content, self._options.cleanup) for sentence in batch])
        except (ConnectionError, EOFError):
            # The process that holds the large model died. No sentence is at fault, and a retry reaches a new process.
            raise
        # An encoder may raise anything, because of one sentence or for lack of memory; halving handles both.
        except Exception as error:
            if len(batch) == 1 and is_heard:
                return [self._dead(batch[0], error)]
            if (len(batch) == 1 or not is_part) and self._had_to_recover(model, error):
                return self._embed(batch, model)
            if len(batch) == 1:
                # What it failed for may have passed before the fine text was tried.
                return self._embed(batch, model, is_heard=True)
            middle = len(batch) // 2
            return self._embed(batch[:middle], model, True) + self._embed(batch[middle:], model, True)
        encoding = encoded.encoding
        finite = np.isfinite(encoding.vectors.sum(axis=1)).tolist()
        no_number = f"expected finite numbers in the vector, {encoded.name} gave NaN or Inf"
        if not all(finite) and not is_heard:
            has_recovered = self._had_to_recover(model, ValueError(no_number))
            return self._embed(batch, model, is_heard=not has_recovered)
        self._counters.observe("model_load_ms", encoded.load_ms)
        if any(encoded.prompts):
            self._counters.note("prompts", f"{encoded.prompts[0]!r} of sentences, {encoded.prompts[1]!r} of queries")
        self._counters.count("tokens", int(encoding.tokens.sum()))
        self._counters.count("padded_tokens", encoding.padded_tokens)
        self._counters.count("cache_hits", encoding.cache_hits)
        self._counters.count(f"encoded_by_{encoded.engine}_{encoded.precision}", len(batch))
        self._counters.count("rows", sum(finite))
        self._counters.count("truncated", int(encoding.truncated[finite].sum()))
        vectors = np.ascontiguousarray(encoding.vectors, "<f4")
        return [
            self._row(sentence, encoded, vectors[i].tobytes(), int(encoding.tokens[i]), bool(encoding.truncated[i]))
            if finite[i]
            else self._dead(sentence, no_number)
            for i, sentence in enumerate(batch)
        ]

    def _had_to_recover(self, model: CurrentEncoder, error: Exception) -> bool:
        """Whether the encoder, which has just failed with `error`, failed for a fine text too, until it was waited for.

        Raises:
            EncoderFailed: if it has not recovered.
        """
        for tries, wait in enumerate((*_WAITS, None)):
            fault = _fault_of(model)
            if fault is None:
                return tries > 0
            if wait is not None:
                self._counters.count("encoder_retries")
                _log.warning("the encoder fails for any text: %s; trying again in %g s", fault, wait)
                time.sleep(wait)
        raise EncoderFailed(
            f"expected the encoder to encode a short text, it failed: {fault}; no sentence is at fault: check the "
            "memory of the machine, the engine and the model"
        ) from error

    def _row(self, sentence: Sentence, encoded: Encoded, vector: bytes, tokens: int, truncated: bool) -> Embedded:
        return Embedded(
            SentenceEmbedding(
                *sentence,
                embedding=vector,
                model=encoded.name,
                model_version=version_with(encoded.version, self._options.cleanup),
                precision=encoded.precision,
                tokens=tokens,
                truncated=truncated,
            )
        )

    def _dead(self, sentence: Sentence, error: BaseException | str) -> Embedded:
        self._counters.count("dead_letters_embed")
        letters = dead_letters(STAGE, error, element_json(sentence), {"message_id": sentence.message_id})
        return Embedded(None, tuple(letters))

    def get_num_bytes(self, batch: Sequence[Sentence | SentenceEmbedding]) -> int:
        """The number of characters in the batch; Beam's default would pickle the batch to measure it."""
        return sum(len(sentence.content) for sentence in batch)

    def validate_inference_args(self, inference_args: Optional[dict[str, Any]]) -> None:
        """Raises a ValueError if there are any arguments; this handler takes none."""
        if inference_args:
            raise ValueError(f"expected no inference_args, got {sorted(inference_args)}")


class EmbedSentences(DeadLetterTransform):
    """Embeds PCollection[Sentence] and returns PCollection[SentenceEmbedding].

    A PCollection[SentenceEmbedding] keeps the vectors that it has, as those that known.ReuseVectors found, and the
    others are computed.

    Strings, rows with a field "text" and `ml.rag` EmbeddableItems go through AsSentences first, so each text is
    embedded whole. A sentence that cannot be encoded, or whose vector has NaN or Inf, becomes a dead letter. A model
    that cannot be loaded fails the job, and one that cannot encode any text fails the bundle.

    Args:
        model: a catalogue name, a TF-Hub handle, or a directory.
        options: the other fields of EncoderOptions (which encoder, and how it runs) and the fields of EmbeddingOptions
            (what it is given, and when).

    Raises:
        ValueError: if an option has an invalid value.
    """

    @takes(EncoderOptions, EmbeddingOptions)
    def __init__(self, model: str = DEFAULT_MODEL, **options: Any) -> None:
        super().__init__()
        encoder, embedding = sort_out({"model": model, **options}, EncoderOptions, EmbeddingOptions)
        if embedding.model_poll_seconds:
            check_watchable(model)
        self._handler = EncoderHandler(encoder, embedding)

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[SentenceEmbedding]:
        """The rows, and as dead letters the sentences that got no vector."""
        sentences, letters = as_sentences(pcoll)
        embedded = sentences | STAGE >> RunInference(self._handler).with_output_types(Embedded)
        return add_dead_letters(
            split_dead_letters(embedded, "Sort out failures", _SortOut(), SentenceEmbedding), *letters
        )


def _fault_of(model: CurrentEncoder) -> str | None:
    """Why the encoder cannot encode a fine text, in one line; None if it can."""
    # The encoder remembers the vectors of texts, so each probe is a text of its own.
    probe = f"A sentence to try the model on, {uuid.uuid4().hex}."
    try:
        is_fine = np.isfinite(model.encode([probe]).encoding.vectors).all()
    except (ConnectionError, EOFError):
        raise
    except Exception as error:
        return reason_of(error)
    return None if is_fine else "its vector has NaN or Inf"


class _SortOut(beam.DoFn):
    def process(self, embedded: Embedded) -> Iterator[Any]:
        if embedded.row is not None:
            yield embedded.row
        for letter in embedded.dead_letters:
            yield beam.pvalue.TaggedOutput(TAG, letter)
