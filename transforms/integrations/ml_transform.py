"""SentenceEmbeddings: the encoder in the form that Beam's MLTransform uses."""

from collections.abc import Sequence
from typing import Any, Optional

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.ml.rag.embeddings.base import create_text_adapter
from apache_beam.ml.transforms.base import EmbeddingsManager

from transforms.encoder.catalogue import DEFAULT_MODEL
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import TextEncoder, load_encoder
from transforms.options import sort_out, takes
from transforms.values import is_null

_BATCH = 1024


class SentenceEmbeddings(EmbeddingsManager):
    """An EmbeddingsManager: `MLTransform(...).with_transform(SentenceEmbeddings("minilm", columns=["text"]))`.

    Like Beam's own managers, it replaces the text in the named columns of dicts and rows by its vector, as a list of
    floats; without `columns`, it sets the `embedding` of `ml.rag` EmbeddableItems. Each text is encoded whole, and the
    vector of a null text is null.

    >>> SentenceEmbeddings("minilm", columns=["text"]).columns
    ['text']

    Args:
        model: a catalogue name, a TF-Hub handle, or a directory.
        columns: the columns that hold texts; by default the elements are EmbeddableItems.
        max_batch_size: maximum number of texts passed to the encoder at once, which sorts them by length.
        encoder_options: other fields of EncoderOptions, such as pooling, max_seq_length or precision.

    Raises:
        ValueError: if an option has an invalid value.
    """

    # MLTransform's artifacts store the module of the class, so it must be the public one, which never changes.
    __module__ = "transforms"

    @takes(EncoderOptions)
    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        columns: Optional[list[str]] = None,
        *,
        max_batch_size: int = _BATCH,
        **encoder_options: Any,
    ) -> None:
        adapter = None if columns else create_text_adapter()
        super().__init__(columns=columns, type_adapter=adapter, max_batch_size=max_batch_size)
        # Only plain values, because MLTransform stores the manager as JSON.
        self.model = model
        self.encoder_options = encoder_options
        sort_out({"model": model, **encoder_options}, EncoderOptions)

    def get_model_handler(self) -> ModelHandler[Any, Any, TextEncoder]:
        """The handler through which RunInference runs the encoder."""
        return _Handler(self)

    def get_ptransform_for_processing(self, **kwargs: Any) -> beam.PTransform:
        """The transform that MLTransform applies."""
        return RunInference(self.get_model_handler())


class _Handler(ModelHandler[Any, Any, TextEncoder]):
    def __init__(self, manager: SentenceEmbeddings) -> None:
        super().__init__(min_batch_size=manager.max_batch_size, max_batch_size=manager.max_batch_size)
        self._options = EncoderOptions(manager.model, **manager.encoder_options)
        self._adapter = manager.type_adapter

    def load_model(self) -> TextEncoder:
        return load_encoder(self._options)

    def run_inference(
        self, batch: Sequence[Any], model: TextEncoder, inference_args: Optional[dict[str, Any]] = None
    ) -> list[Any]:
        texts = self._adapter.input_fn(batch)
        present = [row for row, text in enumerate(texts) if not is_null(text)]
        vectors: list[Any] = [None] * len(texts)
        for row, vector in zip(present, model.encode([texts[row] for row in present]).tolist(), strict=True):
            vectors[row] = vector
        # A list, because RunInference does not count failures that are raised by a generator.
        return list(self._adapter.output_fn(batch, vectors))

    def get_num_bytes(self, batch: Sequence[Any]) -> int:
        return sum(len(text) for text in self._adapter.input_fn(batch) if not is_null(text))

    def get_metrics_namespace(self) -> str:
        return "SentenceEmbeddings"
