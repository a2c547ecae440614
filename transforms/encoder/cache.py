"""A bounded memory of the vectors of texts that recur."""

import collections
import threading
from typing import Any, NamedTuple

import numpy as np

MAX_ENTRIES = 4096
# Longer texts seldom recur, and would make the bound on entries none on memory.
MAX_CHARACTERS = 200


class Known(NamedTuple):
    """What was found out about a text: its vector, its word pieces, and whether it was truncated."""

    vector: "np.ndarray[Any, Any]"
    tokens: int
    truncated: bool


class VectorCache:
    """The latest `entries` short texts that were looked up, with what is known of them; for use by many threads."""

    def __init__(self, entries: int = MAX_ENTRIES) -> None:
        self._entries = entries
        self._known: collections.OrderedDict[str, Known] = collections.OrderedDict()
        self._lock = threading.Lock()

    def find(self, texts: list[str]) -> list[Known | None]:
        """What is known of each text, None where nothing is."""
        with self._lock:
            for text in texts:
                if text in self._known:
                    self._known.move_to_end(text)
            return [self._known.get(text) for text in texts]

    def keep(self, text: str, known: Known) -> None:
        """Remember `text`, if it is short, and forget the one not looked up for longest."""
        if len(text) > MAX_CHARACTERS:
            return
        with self._lock:
            # A copy: a row of a batch would keep the whole batch alive.
            self._known[text] = known._replace(vector=known.vector.copy())
            if len(self._known) > self._entries:
                self._known.popitem(last=False)
