"""Model hot swap: a newer version under a watched directory is taken up without a restart.

A watched model is a directory whose subdirectories are versions by number, as TensorFlow Serving keeps them:
`MODEL/1`, `MODEL/2`, each a pair or a SavedModel. The highest number is in use.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from transforms.encoder.catalogue import newest_version
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import Encoding, TextEncoder, load_encoder

_PROBES = ["A sentence to try the model on.", ""]

_log = logging.getLogger(__name__)


class Encoded(NamedTuple):
    """An Encoding, and what its encoder's attributes of the same names say of how it was made."""

    encoding: Encoding
    name: str
    version: str
    engine: str
    precision: str
    load_ms: int


class CurrentEncoder:
    """The encoder in use, for one process.

    With `poll_seconds` past 0 it looks for another version that often, in a thread of its own. A version is loaded
    once its files have stopped changing between two looks, and tried, before the one in use goes; one that fails is
    refused with one line, and not tried again until its files change.

    Args:
        options: the encoder's; for a swap, `model` is a directory of versions.
        poll_seconds: how often to look; 0 for never.
        load: gives the TextEncoder of options.
    """

    def __init__(
        self,
        options: EncoderOptions,
        poll_seconds: float = 0,
        load: Callable[[EncoderOptions], TextEncoder] = load_encoder,
    ) -> None:
        self._options = options
        self._poll_seconds = poll_seconds
        self._load = load
        self._path, _ = newest_version(options.model)
        self._last: tuple[str, Any] | None = None
        self._refused: tuple[str, Any] | None = None
        self._looking = threading.Lock()
        self._looked = time.monotonic()
        self._encoder = load(dataclasses.replace(options, model=self._path))

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Vectors of `texts` by the encoder in use: plain values, so that another process can ask for them.

        Raises:
            UnicodeEncodeError: if a text holds a lone surrogate.
        """
        encoder = self.get()
        encoding = encoder.encode_with_counts(texts)
        return Encoded(encoding, encoder.name, encoder.version, encoder.engine, encoder.precision, encoder.load_ms)

    def get(self) -> TextEncoder:
        """The encoder to use for one whole batch."""
        due = self._poll_seconds and time.monotonic() - self._looked >= self._poll_seconds
        if due and self._looking.acquire(blocking=False):
            self._looked = time.monotonic()
            threading.Thread(target=self._look, daemon=True, name="model-versions").start()
        return self._encoder

    def _look(self) -> None:
        try:
            found = newest_version(self._options.model)
            settled = found == self._last
            self._last = found
            if settled and found[0] != self._path and found != self._refused:
                self._take_up(*found)
        # The directory may be out of reach for a while; the version in use goes on.
        except (OSError, ValueError) as error:
            _log.warning("could not look for versions of %s: %s", self._options.model, error)
        finally:
            self._looking.release()

    def _take_up(self, path: str, seen: Any) -> None:
        try:
            encoder = self._load(dataclasses.replace(self._options, model=path))
            if encoder.dimension != self._encoder.dimension:
                raise ValueError(f"expected vectors of {self._encoder.dimension} numbers, got {encoder.dimension}")
            if not np.isfinite(encoder.encode(_PROBES)).all():
                raise ValueError("expected finite numbers, got NaN or Inf")
        # A broken model raises whatever it was broken by.
        except Exception as error:
            self._refused = (path, seen)
            _log.error("refused the model version %s, %s stays: %s", path, self._path, str(error).splitlines()[0])
            return
        _log.warning("took up the model version %s (%s) after %s", path, encoder.version, self._path)
        self._path, self._encoder = path, encoder
