"""The arithmetic of a plan: from a load and an encoder to workers, costs and quotas."""

import math
from typing import NamedTuple

from pipeline.plan.tables import (
    ENGINE_UNITS,
    GIB,
    HOURS_A_MONTH,
    PRICES,
    QUOTAS,
    STREAM_SHARE,
    TIB,
    Figure,
)

# How much more than the load the workers can do, so that a backlog of an hour is gone after two.
HEAD_ROOM = 1.5
# The share of a worker's memory that its process may take.
_MEMORY_SHARE = 0.9
# GB for each vCPU of Google's standard and highmem machines.
_MEMORY_PER_VCPU = (4, 8)
# The disk of a worker whose job uses Streaming Engine, in GiB.
_DISK_GIB = 30
# Tables that a process has a connection to: rows, the journal, dead letters.
_TABLES = 3
# A FLOAT64 in BigQuery, whatever the precision that made it.
_NUMBER_BYTES = 8
# The short columns of a row, and a row of the journal, as the writers estimate them.
SHORT_BYTES = 200
# What Pub/Sub counts beside the payload: 20 bytes for the time, and the message id.
_ENVELOPE_BYTES = 40


class Load(NamedTuple):
    """What comes in.

    Attributes:
        messages: messages a second.
        sentences: sentences a message, on average.
        bytes: bytes of a message's payload, on average.
    """

    messages: float
    sentences: float
    bytes: float


class Encoder(NamedTuple):
    """What embeds it.

    Attributes:
        sentences: sentences a second and vCPU, in large batches.
        process_gb: the peak memory of a process, in GB.
        dimension: the length of a vector.
        other_bytes: bytes of a row beside its vector; None to estimate them by the message.
    """

    sentences: float
    process_gb: float
    dimension: int
    other_bytes: float | None = None


class Place(NamedTuple):
    """Where it runs.

    Attributes:
        vcpus: vCPUs of a worker.
        location: "region" or "multi_region", of the BigQuery dataset.
        days: for how many days rows are kept.
    """

    vcpus: int
    location: str
    days: float


class Use(NamedTuple):
    """How much of a quota a load takes.

    Attributes:
        quota: the quota.
        need: what the load takes, catch-up included.
        met_at: the messages a second that take all of it.
    """

    quota: Figure
    need: float
    met_at: float


class Plan(NamedTuple):
    """What a load needs.

    Attributes:
        workers: how many workers.
        capacity: sentences a second that a worker embeds in a stream.
        worker_gb: memory of a worker, in GB.
        row_bytes: bytes of a row in BigQuery.
        vector_bytes: those of its vector.
        written: bytes written to BigQuery a second, the journal included.
        costs: dollars a month, by what they are for.
        uses: the quotas, first the one that a growing load meets first.
    """

    workers: int
    capacity: float
    worker_gb: float
    row_bytes: float
    vector_bytes: float
    written: float
    costs: dict[str, float]
    uses: list[Use]

    @property
    def cost(self) -> float:
        """Dollars a month."""
        return sum(self.costs.values())


def plan(load: Load, encoder: Encoder, place: Place) -> Plan:
    """The plan for a load.

    Raises:
        ValueError: if a process needs more memory than a worker has.
    """
    memory = [gb for gb in _MEMORY_PER_VCPU if encoder.process_gb <= _MEMORY_SHARE * gb * place.vcpus]
    if not memory:
        raise ValueError(
            f"expected vcpus_per_worker of a machine with {encoder.process_gb / _MEMORY_SHARE:.1f} GB, which a process "
            f"takes, got {place.vcpus}, with {place.vcpus * _MEMORY_PER_VCPU[-1]} GB; choose more"
        )
    capacity = place.vcpus * encoder.sentences * STREAM_SHARE
    rows = load.messages * load.sentences
    workers = max(1, math.ceil(rows * HEAD_ROOM / capacity))
    vector_bytes = float(_NUMBER_BYTES * encoder.dimension)
    # Without a sample, the message is thought to be all text, and each of its sentences a part of it.
    other_bytes = encoder.other_bytes or SHORT_BYTES + load.bytes / max(1.0, load.sentences)
    row_bytes = vector_bytes + other_bytes
    written = rows * row_bytes + load.messages * SHORT_BYTES
    carried = load.messages * (load.bytes + _ENVELOPE_BYTES)
    hours, seconds = HOURS_A_MONTH, HOURS_A_MONTH * 3600
    price = {name: figure.value for name, figure in PRICES.items()}
    costs = {
        "workers": workers
        * hours
        * (place.vcpus * (price["vcpu"] + memory[0] * price["memory"]) + _DISK_GIB * price["disk"]),
        "Streaming Engine": carried / GIB * ENGINE_UNITS * hours * price["engine"],
        "Pub/Sub": 2 * carried * seconds / TIB * price["pubsub"],
        "BigQuery, writing": written * seconds / GIB * price["write"],
        "BigQuery, storage": written * place.days * 86_400 / GIB * price[f"store_{place.location}"],
    }
    needs = {
        "publish": carried,
        "deliver": carried * HEAD_ROOM,
        "workers": rows * HEAD_ROOM / capacity,
        f"write_{place.location}": written * HEAD_ROOM,
        f"connections_{place.location}": rows * HEAD_ROOM / capacity * _TABLES,
    }
    whole = {"workers": workers, f"connections_{place.location}": workers * _TABLES}
    uses = [
        Use(QUOTAS[name], whole.get(name, need), load.messages * QUOTAS[name].value / need)
        for name, need in needs.items()
    ]
    return Plan(
        workers,
        capacity,
        float(memory[0] * place.vcpus),
        row_bytes,
        vector_bytes,
        written,
        costs,
        sorted(uses, key=lambda use: use.met_at),
    )
