"""TextEncoderHandler: the encoder in the form that Beam's RunInference uses."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Optional, Union

from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from transforms.encoder.catalogue import DEFAULT_MODEL
from transforms.encoder.hot_swap import CurrentEncoder, current_encoder
from transforms.encoder.options import EncoderOptions
from transforms.options import sort_out, takes
from transforms.types import Sentence

_BATCH = 1024


class TextEncoderHandler(ModelHandler[Union[str, Sentence], PredictionResult, CurrentEncoder]):
    """A ModelHandler for `RunInference(TextEncoderHandler("minilm"))`, of strings or Sentences.

    Each PredictionResult has its example, its vector (float32 [dimension]), and as its `model_id` the model's name and
    version. Beam's wrappers and options apply: KeyedModelHandler for keyed examples, `model_metadata_pcoll` or
    `watch_model_pattern` for other models by their directory or handle, and `with_exception_handling`, which hands out
    a batch in which one example fails as a whole; EmbedSentences hands out that example alone.

    >>> TextEncoderHandler("minilm", max_batch_size=64).batch_elements_kwargs()["max_batch_size"]
    64

    Args:
        model: a catalogue name, a TF-Hub handle, or a directory.
        max_batch_size: maximum number of examples passed to the encoder at once, which sorts them by length.
        large_model: as in EmbedSentences.
        encoder_options: other fields of EncoderOptions, such as pooling, max_seq_length or precision.

    Raises:
        TypeError: if an option is unknown.
        ValueError: if an option has an invalid value.
    """

    @takes(EncoderOptions)
    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        max_batch_size: int = _BATCH,
        large_model: bool = False,
        **encoder_options: Any,
    ) -> None:
        super().__init__(min_batch_size=max_batch_size, max_batch_size=max_batch_size, large_model=large_model)
        self._options: EncoderOptions
        (self._options,) = sort_out({"model": model, **encoder_options}, EncoderOptions)

    def load_model(self) -> CurrentEncoder:
        """Loads the encoder."""
        return current_encoder(self._options)

    def update_model_path(self, model_path: Optional[str] = None) -> None:
        """Replaces the model by the one at `model_path`, with the same options; RunInference then loads it.

        Raises:
            ValueError: if it is neither a name, nor a handle that is allowed, nor a directory.
        """
        if model_path:
            self._options = dataclasses.replace(self._options, model=model_path)

    def run_inference(
        self,
        batch: Sequence[Union[str, Sentence]],
        model: CurrentEncoder,
        inference_args: Optional[dict[str, Any]] = None,
    ) -> list[PredictionResult]:
        """The result for each example, in order.

        Raises:
            ValueError: if an example is neither a string nor a Sentence.
        """
        encoded = model.encode([_text(example) for example in batch])
        model_id = f"{encoded.name} {encoded.version}"
        # A list, because RunInference does not count failures that are raised by a generator.
        return [
            PredictionResult(example, vector, model_id)
            for example, vector in zip(batch, encoded.encoding.vectors, strict=True)
        ]

    def validate_inference_args(self, inference_args: Optional[dict[str, Any]]) -> None:
        """Raises a ValueError if there are any arguments; options are given to the handler."""
        if inference_args:
            raise ValueError(f"expected no inference_args, got {sorted(inference_args)}; give them to the handler")

    def get_num_bytes(self, batch: Sequence[Union[str, Sentence]]) -> int:
        """The number of characters in the batch; Beam's default would pickle the batch to measure it."""
        return sum(len(_text(example)) for example in batch)

    def get_metrics_namespace(self) -> str:
        """The namespace of the metrics that RunInference itself reports."""
        return "TextEncoderHandler"


def _text(example: Any) -> str:
    # Workers may rebuild a Sentence as another class with the same fields.
    text = getattr(example, "content", example)
    if not isinstance(text, str):
        raise ValueError(f"expected a string or a Sentence, got {type(example).__name__}")
    return text
