"""The vector of a query, as the rows' encoder makes it."""

import contextlib
import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline import console
from pipeline.search.places import Vector
from transforms.encoder.bert.plain import PlainEncoder
from transforms.encoder.cleanup import clean, version_with
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import load_encoder

_log = logging.getLogger(__name__)


class ModelVersion(NamedTuple):
    """A model whose vectors are among the rows."""

    name: str
    version: str


class QueryEncoder:
    """The encoder that made rows, for one query at a time.

    A pair that export_encoder wrote is run by NumPy, within 1e-4 of TensorFlow's vectors, and every other model by
    TensorFlow, whose import takes longer than everything else.

    Args:
        models: the models of the rows.
        options: those of the rows' encoder; the model "" stands for the one whose name the rows carry.
        cleanup: that of the rows.
        query_prompt: as in TextEncoder.encode_query.

    Attributes:
        name: the model's name.
        version: the version that the rows carry.

    Raises:
        ValueError: if `options` and `cleanup` did not make the rows: vectors of different models cannot be compared.
    """

    def __init__(
        self, models: Sequence[ModelVersion], options: EncoderOptions, cleanup: str, query_prompt: str = ""
    ) -> None:
        listed = ", ".join(sorted(f"{found.name} version {found.version}" for found in models))
        if not models:
            raise ValueError("expected rows to search, found none; look at the pipeline's summary")
        if len(models) > 1 and not options.model:
            raise ValueError(f"expected rows of one model, got {listed}; choose one with --model")
        self._options = dataclasses.replace(options, model=options.model or models[0].name)
        self._cleanup = cleanup
        self._query_prompt = query_prompt
        self._plain: PlainEncoder | None = None
        # What is unlike a pair of export_encoder's raises exceptions of any kind, and TextEncoder says what is wrong.
        with contextlib.suppress(Exception):
            self._plain = PlainEncoder(self._options)
        encoder: Any = self._plain or self._by_tensorflow()
        self.name: str = encoder.name
        self.version = version_with(encoder.version, cleanup)
        if self.version not in {found.version for found in models}:
            raise ValueError(
                f"expected the model of the rows, {listed}, got {encoder.name} version {self.version}; pass its "
                "directory with --model, and the --pooling, --normalize, --max_seq_length, --prompt, --truncate_dim "
                "and --cleanup of that run"
            )
        if encoder.similarity not in ("", "cosine") and not encoder.normalize:
            _log.warning(
                "%s was trained for the similarity %r, rows are ranked by cosine", self.name, encoder.similarity
            )

    def vector(self, query: str) -> Vector:
        """The vector of `query`, float32 [dimension].

        Raises:
            ValueError: if the query's prompt is a word that names no prompt.
            UnicodeEncodeError: if it contains a lone surrogate.
        """
        text = clean(query, self._cleanup)
        encoder: Any = self._plain if self._plain and self._plain.knows(text) else self._by_tensorflow()
        vector: Vector = encoder.encode_query([text], self._query_prompt)[0]
        return vector

    def _by_tensorflow(self) -> Any:
        console.import_tensorflow()
        return load_encoder(self._options)
