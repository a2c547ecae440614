"""Lag: how long a message took from its time to the acknowledgement of its rows."""

import itertools
import time
from collections.abc import Iterable

from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from transforms.counters import Counters

_NEVER = MIN_TIMESTAMP.micros


def observe_lag(name: str, acknowledged: Iterable[WindowedValue]) -> None:
    """Observes the lag of rows that a sink has just acknowledged, once for neighbours of one timestamp.

    It goes into the distribution `name`, in milliseconds, and into the counters `name`_sum and `name`_count: a
    distribution is of the whole job, but what a sum has grown by is of the last minutes. A time that is still to come
    counts as 0, and a row without a time not at all.
    """
    counters = Counters()
    now = time.time_ns() // 1000
    times = [micros for micros, _ in itertools.groupby(row.timestamp_micros for row in acknowledged)]
    lags = [max(now - micros, 0) // 1000 for micros in times if micros != _NEVER]
    for lag in lags:
        counters.observe(name, lag)
    if lags:
        counters.count(f"{name}_sum", sum(lags))
        counters.count(f"{name}_count", len(lags))
