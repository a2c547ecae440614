"""Counters that are Beam metrics and can also be read from within the process that increments them."""

import collections
import functools
import threading

from apache_beam.metrics import Metrics
from apache_beam.metrics.metricbase import Counter

NAMESPACE = "sentence_embeddings"

_lock = threading.Lock()
_process_wide: collections.Counter[str] = collections.Counter()


class Counters:
    """Beam counters in NAMESPACE, by name; a process-wide copy of the counts feeds the local progress line."""

    def count(self, name: str, amount: int = 1) -> None:
        """Adds `amount` to the counter `name`."""
        _counter(name).inc(amount)
        with _lock:
            _process_wide[name] += amount

    def observe(self, name: str, value: int) -> None:
        """Adds `value` to the distribution `name`."""
        Metrics.distribution(NAMESPACE, name).update(value)


@functools.cache
def _counter(name: str) -> Counter:
    # Cached, because creating a counter costs more than the work that it counts.
    return Metrics.counter(NAMESPACE, name)


def process_counts() -> dict[str, int]:
    """The counts of this process so far, over all the pipelines that it ran."""
    with _lock:
        return dict(_process_wide)
