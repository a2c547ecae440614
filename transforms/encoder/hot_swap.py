"""Model hot swap: switches to a newer model version in a watched directory without a restart.

A watched model is a directory of numbered versions, in the layout of TensorFlow Serving: `MODEL/1`, `MODEL/2`, each a
pair or a SavedModel. The version with the highest number is used.
"""

import dataclasses
import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from transforms.encoder.catalogue import newest_version
from transforms.encoder.options import EncoderOptions
from transforms.encoder.reasons import reason_of
from transforms.encoder.text_encoder import Encoding, TextEncoder, load_encoder

_PROBES = ["A sentence to try the model on.", ""]

_log = logging.getLogger(__name__)


class Encoded(NamedTuple):
    """An Encoding, together with the attributes of the TextEncoder that computed it.

    `prompts` are those of documents and of queries.
    """

    encoding: Encoding
    name: str
    version: str
    engine: str
    precision: str
    load_ms: int
    prompts: tuple[str, str] = ("", "")


class CurrentEncoder:
    """The encoder that a process currently uses.

    If `poll_seconds` is greater than 0, calls start a background thread that looks for another version, at most once
    per `poll_seconds`. A version is loaded when its files are the same in two successive looks, and it replaces the
    current one, which is freed, only after it has encoded two probes. A version that fails is refused with a one-line
    error, freed, and not tried again until its files change. The files of the version in use are not looked at.

    Args:
        options: the options of the encoder; for a hot swap, `model` is a local directory of versions.
        poll_seconds: how often to look for another version, in seconds; 0 for never.
        load: a function that loads the TextEncoder for given options; by default, one of a watched model is not cached.

    Raises:
        ValueError: if the model cannot be found or loaded, or is to be watched and is no directory of versions.
    """

    def __init__(
        self,
        options: EncoderOptions,
        poll_seconds: float = 0,
        load: Callable[[EncoderOptions], TextEncoder] | None = None,
    ) -> None:
        if poll_seconds:
            check_watchable(options.model)
        self._options = options
        self._poll_seconds = poll_seconds
        # What a cache held would be neither read again nor freed.
        self._load = load or (load_unshared if poll_seconds else load_encoder)
        self._path, _ = newest_version(options.model)
        self._last: tuple[str, Any] | None = None
        self._refused: tuple[str, Any] | None = None
        self._looking = threading.Lock()
        self._looked = time.monotonic()
        self._encoder = self._load(dataclasses.replace(options, model=self._path))

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Encodes `texts` with the current encoder; the result has only plain values, so it can cross processes.

        Raises:
            UnicodeEncodeError: if a text contains a lone surrogate.
        """
        encoder = self.get()
        encoding = encoder.encode_with_counts(texts)
        prompts = encoder.document_prompt, encoder.query_prompt
        return Encoded(
            encoding, encoder.name, encoder.version, encoder.engine, encoder.precision, encoder.load_ms, prompts
        )

    def get(self) -> TextEncoder:
        """The current encoder, to be used for a whole batch."""
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
        # The directory may be unreachable for a while; the current version stays in use.
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
        # A broken model may raise any exception.
        except Exception as error:
            self._refused = (path, seen)
            _log.error("refused the model version %s, keeping %s: %s", path, self._path, reason_of(error))
            return
        _log.warning("switched to the model version %s (%s) from %s", path, encoder.version, self._path)
        self._path, self._encoder = path, encoder


def current_encoder(options: EncoderOptions, poll_seconds: float = 0) -> CurrentEncoder:
    """The CurrentEncoder for these arguments; all who watch a model in a process share one.

    Raises:
        ValueError: as in CurrentEncoder.
    """
    return _watching(options, poll_seconds) if poll_seconds else CurrentEncoder(options)


_watching = functools.lru_cache(maxsize=2)(CurrentEncoder)


def load_unshared(options: EncoderOptions) -> TextEncoder:
    """A TextEncoder for `options` that no cache holds.

    Raises:
        ValueError: as in TextEncoder.
    """
    return TextEncoder(**vars(options))


def check_watchable(model: str) -> None:
    """Checks that versions of `model` can be looked for, unless it is a path that only workers may have.

    Raises:
        ValueError: if it is a handle, a name, or a directory without versions.
    """
    is_elsewhere = os.sep in model and "://" not in model and not os.path.isdir(model)
    if is_elsewhere or newest_version(model)[0] != model:
        return
    raise ValueError(
        f"expected model as a local directory of numbered versions with model_poll_seconds, got {model!r}; put its "
        "versions under one as 1, 2, ..., or leave model_poll_seconds out"
    )
