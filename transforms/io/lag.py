"""Lag: how long a message took from its time to the acknowledgement of its rows."""

import itertools
import time
from collections.abc import Iterable

from transforms.counters import Counters
from transforms.types import SentenceEmbedding

# The lag of rows, whatever their sink.
ROWS_LAG = "rows_lag_ms"


def observe_lag(name: str, acknowledged: Iterable[SentenceEmbedding]) -> None:
    """Observes the lag of rows that a sink has just acknowledged, once for neighbours of one event time.

    The timestamps that Beam has of them are of no use: a batch for the encoder has that of its window's end.

    It goes into the distribution `name`, in milliseconds, and into the counters `name`_sum and `name`_count: a
    distribution is of the whole job, but what a sum has grown by is of the last minutes. A time that is still to come
    counts as 0, and a row without a time not at all.
    """
    counters = Counters()
    now = time.time_ns() // 1000
    times = [micros for micros, _ in itertools.groupby(row.event_time for row in acknowledged)]
    lags = [max(now - micros, 0) // 1000 for micros in times if micros is not None]
    for lag in lags:
        counters.observe(name, lag)
    if lags:
        counters.count(f"{name}_sum", sum(lags))
        counters.count(f"{name}_count", len(lags))
