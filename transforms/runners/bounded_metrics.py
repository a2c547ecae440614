"""Keeps the metrics of an endless local pipeline from growing with every bundle."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from apache_beam.metrics import monitoring_infos
from apache_beam.runners.portability.fn_api_runner import fn_runner

_NAME = "consolidate_monitoring_infos"


def bound_runner_metrics() -> None:
    """Make Beam's FnApiRunner add up its metrics after each bundle, for all pipelines of this process.

    Beam 2.77 adds them up by a generator over the last bundle's generator, which nobody consumes before the
    pipeline ends: every bundle's metrics are kept, and asking for them after some hundred bundles is a
    RecursionError. The numbers stay the same. It does nothing to a Beam that has no such function.
    """
    lazy = getattr(fn_runner, _NAME, None)
    if lazy is monitoring_infos.consolidate:
        setattr(fn_runner, _NAME, functools.partial(_eagerly, lazy))


def _eagerly(consolidate: Any, infos: Iterable[Any]) -> list[Any]:
    return list(_newest(consolidate(infos)))


def _newest(infos: Iterable[Any]) -> Iterator[Any]:
    # What cannot be added up (a gauge, a progress) is handed back once a bundle, the newest first.
    seen = set()
    for info in infos:
        key = monitoring_infos.to_key(info)
        if key not in seen:
            seen.add(key)
            yield info
