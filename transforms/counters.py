"""Counters that are Beam metrics, and can be watched from the process that runs them."""

import collections
import functools
import threading

from apache_beam.metrics import Metrics
from apache_beam.metrics.metricbase import Counter

NAMESPACE = "sentence_embeddings"

_lock = threading.Lock()
_process_wide: collections.Counter[str] = collections.Counter()


class Counters:
    """Beam counters in NAMESPACE by name, doubled in a process-wide table for a local progress line."""

    def count(self, name: str, amount: int = 1) -> None:
        """Add `amount` to the counter `name`."""
        _counter(name).inc(amount)
        with _lock:
            _process_wide[name] += amount

    def observe(self, name: str, value: int) -> None:
        """Add `value` to the distribution `name`."""
        Metrics.distribution(NAMESPACE, name).update(value)


@functools.cache
def _counter(name: str) -> Counter:
    # Made anew, it costs more than what it counts.
    return Metrics.counter(NAMESPACE, name)


def process_counts() -> dict[str, int]:
    """The counts of this process so far, over all pipelines it ran."""
    with _lock:
        return dict(_process_wide)
