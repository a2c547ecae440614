"""Keeps the metrics of an endless local pipeline from growing with every bundle."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from apache_beam.metrics import monitoring_infos
from apache_beam.metrics.cells import BoundedTrieData
from apache_beam.portability.api import metrics_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner

_NAME = "consolidate_monitoring_infos"


def bound_runner_metrics() -> None:
    """Makes Beam's FnApiRunner add up its metrics after each bundle, for all pipelines of this process.

    Beam 2.77 adds up the metrics of each bundle with a generator that wraps the generator of the previous bundle, and
    consumes them only when the pipeline ends. Every bundle's metrics stay in memory, and reading them after some
    hundred bundles raises a RecursionError. Of lineage it keeps that of one bundle only; here it is added up too. All
    other metrics stay what they are. This function has no effect on Beam versions that do not have the function it
    replaces.
    """
    lazy = getattr(fn_runner, _NAME, None)
    if lazy is monitoring_infos.consolidate:
        setattr(fn_runner, _NAME, functools.partial(_eagerly, lazy))
        monitoring_infos._KNOWN_COMBINERS.setdefault(monitoring_infos.BOUNDED_TRIE_TYPE, _both_tries)


def _both_tries(some: bytes, others: bytes) -> bytes:
    """The payload of the names in two payloads of lineage."""
    protos = map(metrics_pb2.BoundedTrie.FromString, (some, others))
    trie, other = map(BoundedTrieData.from_proto, protos)
    return trie.combine(other).to_proto().SerializeToString()  # type: ignore[no-any-return]


def _eagerly(consolidate: Any, infos: Iterable[Any]) -> list[Any]:
    return list(_newest(consolidate(infos)))


def _newest(infos: Iterable[Any]) -> Iterator[Any]:
    # Metrics that cannot be added up, such as gauges and progress, come once per bundle, newest first.
    seen = set()
    for info in infos:
        key = monitoring_infos.to_key(info)
        if key not in seen:
            seen.add(key)
            yield info
