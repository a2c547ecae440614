"""Counters that are Beam metrics and can also be read from within the process that increments them."""

import collections
import functools
import operator
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.metrics.metricbase import Counter, Distribution

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
        _distribution(name).update(value)

    def note(self, name: str, text: str) -> None:
        """Adds `text` to the string set `name`."""
        Metrics.string_set(NAMESPACE, name).add(text)


# The names that are kept for a hint, and the length of one; a message may have any number of fields.
_MOST_NAMES = 100
_LONGEST_NAME = 100


class NotesNames(beam.DoFn):
    """A DoFn that takes note of named values; subclasses name in `notes` what each bundle begins and ends with."""

    notes: "Sequence[NamesFound]" = ()

    def start_bundle(self) -> None:
        """Forgets what a bundle that failed has seen."""
        for names in self.notes:
            names.start_bundle()

    def finish_bundle(self) -> None:
        """Counts what was seen."""
        for names in self.notes:
            names.finish_bundle()


class NamesFound:
    """Counts, once a bundle, which of the names that options gave are names of anything that was read.

    Each option is a counter, "found_" and its own name. The names of elements that lack one are the string set "names".

    Args:
        given: the names, by option.
        has: whether named values have a name; by default, if it is one of theirs.
    """

    def __init__(
        self, given: Mapping[str, str], has: Callable[[Mapping[str, Any], str], bool] = operator.contains
    ) -> None:
        self._has = has
        self._given = {option: name for option, name in given.items() if name}
        self._counters = Counters()

    def start_bundle(self) -> None:
        """Forgets what was seen."""
        self._found: set[str] = set()
        self._others: set[str] = set()

    def see(self, *values: Mapping[str, Any]) -> None:
        """Takes note of the named values of an element."""
        if len(self._found) == len(self._given):
            return
        for option, name in self._given.items():
            if option in self._found:
                continue
            if any(self._has(each, name) for each in values):
                self._found.add(option)
            elif len(self._others) < _MOST_NAMES:
                self._others.update(other[:_LONGEST_NAME] for each in values for other in each)

    def finish_bundle(self) -> None:
        """Counts what was seen."""
        for option in self._found:
            self._counters.count(f"found_{option}")
        if self._found != set(self._given):
            for name in sorted(self._others)[:_MOST_NAMES]:
                self._counters.note("names", name)


@functools.cache
def _counter(name: str) -> Counter:
    # Cached, because creating a counter costs more than the work that it counts.
    return Metrics.counter(NAMESPACE, name)


@functools.cache
def _distribution(name: str) -> Distribution:
    return Metrics.distribution(NAMESPACE, name)


def process_counts() -> dict[str, int]:
    """The counts of this process so far, over all the pipelines that it ran."""
    with _lock:
        return dict(_process_wide)
