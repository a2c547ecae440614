"""A bounded cache for the vectors of recurring texts."""

import collections
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

MAX_ENTRIES = 4096
# Longer texts seldom recur, and with them the limit on entries would not limit the memory.
MAX_CHARACTERS = 200


class Known(NamedTuple):
    """What is cached for a text: its vector, the number of its tokens, and whether it was truncated."""

    vector: "np.ndarray[Any, Any]"
    tokens: int
    truncated: bool


class VectorCache:
    """A thread-safe cache of the `entries` short texts that were used most recently."""

    def __init__(self, entries: int = MAX_ENTRIES) -> None:
        self._entries = entries
        self._known: collections.OrderedDict[str, Known] = collections.OrderedDict()
        self._lock = threading.Lock()

    def find(self, texts: list[str]) -> list[Known | None]:
        """The cached entry of each text, or None."""
        with self._lock:
            for text in texts:
                if text in self._known:
                    self._known.move_to_end(text)
            return [self._known.get(text) for text in texts]

    def keep(self, found: Mapping[str, Known]) -> None:
        """Caches the texts that are short, and evicts the least recently used ones if the cache is full."""
        # Copies, because a view of a batch's row would keep the whole batch alive.
        copies = {
            text: known._replace(vector=known.vector.copy())
            for text, known in found.items()
            # What is no number may be the fault of a moment.
            if len(text) <= MAX_CHARACTERS and np.isfinite(known.vector).all()
        }
        with self._lock:
            self._known.update(copies)
            while len(self._known) > self._entries:
                self._known.popitem(last=False)
