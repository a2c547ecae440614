"""What plans are made of: measured rates, and Google's prices and quotas, each with its source and date.

`python -m pipeline.plan.tables` prints them as docs/scaling.md shows them.
"""

import fnmatch
from typing import NamedTuple


class Measured(NamedTuple):
    """How fast the whole pipeline was with a model, warm, from files to Parquet.

    Attributes:
        models: patterns of the catalogue's names; models of the same shape are equally fast.
        precision: the precision of the matrix products.
        sentences: sentences of about 20 tokens a second and CPU.
        process_gb: the peak memory of a process, in GB.
        machine: where; of two machines, the slower.
        command: what measured it.
        date: when it was written down.
    """

    models: tuple[str, ...]
    precision: str
    sentences: float
    process_gb: float
    machine: str
    command: str
    date: str


_BERT_BASE = ("bert_wiki_books*", "bert_pubmed*", "bert_base_*", "small_bert_l12_768")
_AVX2 = "2 CPUs of a third-generation AMD EPYC (AVX2)"
_BF16 = "2 CPUs of an AMD EPYC with AVX-512 bf16"
_COMMAND = "python -m tests.benchmarks.throughput"

# From docs/speed.md; memory from docs/dataflow.md.
MEASURED = (
    Measured(("minilm",), "float32", 323 / 2, 1.6, _AVX2, _COMMAND, "2026-11-25"),
    Measured(("minilm",), "bfloat16", 694 / 2, 1.5, _BF16, _COMMAND, "2026-11-24"),
    Measured(_BERT_BASE, "float32", 54 / 2, 2.5, _AVX2, _COMMAND, "2026-11-25"),
    Measured(_BERT_BASE, "bfloat16", 110 / 2, 2.7, _BF16, _COMMAND, "2026-11-24"),
)

# What a stream reaches of the rate in large batches: on Flink, the lower of the two runners in docs/speed.md.
STREAM_SHARE = 0.8


def measured(model: str, precision: str) -> Measured | None:
    """What was measured of a model of the catalogue, if anything was."""
    for row in MEASURED:
        if row.precision == precision and any(fnmatch.fnmatchcase(model, pattern) for pattern in row.models):
            return row
    return None


class Figure(NamedTuple):
    """A price or a quota.

    Attributes:
        what: what it is of.
        value: how much, in US dollars or in what `unit` counts.
        unit: of what.
        region: where it holds.
        source: where it was read.
        remedy: what to do about a quota that is met.
    """

    what: str
    value: float
    unit: str
    region: str
    source: str
    remedy: str = ""


GIB = 2**30
TIB = 2**40
HOURS_A_MONTH = 730
# The day on which the sources were looked at, in stored copies; Google's own pages could not be opened.
SEEN = "2026-11-26"

_IOWA = "us-central1"
_DATAFLOW = "https://cloud.google.com/dataflow/pricing, as a price list of 2026-09-08 quotes it; to be checked"
_STORED = "https://cloud.google.com/bigquery/pricing, as a price list of 2026-09-02 quotes it; to be checked"

PRICES = {
    "vcpu": Figure("Dataflow, streaming worker", 0.069, "vCPU and hour", _IOWA, _DATAFLOW),
    "memory": Figure("Dataflow, streaming worker", 0.003557, "GiB of memory and hour", _IOWA, _DATAFLOW),
    "disk": Figure("Dataflow, standard disk", 0.000054, "GiB and hour", _IOWA, _DATAFLOW),
    "engine": Figure("Dataflow, Streaming Engine", 0.089, "compute unit (SECU) and hour", _IOWA, _DATAFLOW),
    "pubsub": Figure(
        "Pub/Sub, published or delivered", 40, "TiB", "all", "https://cloud.google.com/pubsub/pricing?hl=ar"
    ),
    "write": Figure(
        "BigQuery, Storage Write API",
        0.025,
        "GiB",
        "all",
        "https://help.nops.io/inform/supported-recommendations/use-bigquery-storage-write-api-instead-of-streaming-inserts.md;"
        " to be checked",
    ),
    "store_region": Figure("BigQuery, active logical storage", 0.023, "GiB and month", _IOWA, _STORED),
    "store_multi_region": Figure("BigQuery, active logical storage", 0.02, "GiB and month", "US", _STORED),
}

_PUBSUB_QUOTAS = "https://docs.cloud.google.com/pubsub/quotas, as notes on it quote it; to be checked"
_WRITE_QUOTAS = "https://docs.cloud.google.com/bigquery/quotas#write-api-limits, as {} quotes it; to be checked"
_ASK = "ask Google for more"
_ASK_OR_MOVE = "ask Google for more, or write to a multi-region"
_ISSUE = "https://github.com/googleapis/google-cloud-rust/issues/6792"
_LIMITS = "https://rate-limits.apis.io/rate-limits/google-bigquery/google-bigquery-rate-limits/"

QUOTAS = {
    "publish": Figure("Pub/Sub, published", 4e9, "bytes a second", "large regions", _PUBSUB_QUOTAS, _ASK),
    "deliver": Figure("Pub/Sub, delivered", 4e9, "bytes a second", "large regions", _PUBSUB_QUOTAS, _ASK),
    "workers": Figure(
        "Dataflow, workers of a job",
        4000,
        "workers",
        "all",
        "https://cloud.google.com/dataflow/quotas",
        "a fixed limit: larger workers, or several jobs, each with a part of the messages",
    ),
    "write_region": Figure(
        "BigQuery, written", 300e6, "bytes a second", "one region", _WRITE_QUOTAS.format(_ISSUE), _ASK_OR_MOVE
    ),
    "write_multi_region": Figure(
        "BigQuery, written", 3e9, "bytes a second", "US, EU", _WRITE_QUOTAS.format(_LIMITS), _ASK
    ),
    "connections_region": Figure(
        "BigQuery, connections",
        1000,
        "connections",
        "one region",
        _WRITE_QUOTAS.format("a load test's script"),
        _ASK_OR_MOVE,
    ),
    "connections_multi_region": Figure(
        "BigQuery, connections", 10_000, "connections", "US, EU", _WRITE_QUOTAS.format("a set of notes"), _ASK
    ),
}

# SECUs for a GiB of input a second, in Google's test of Kafka to BigQuery; not measured with this pipeline. From
# https://docs.cloud.google.com/dataflow/docs/guides/kafka-bigquery-performance, as an excerpt quotes it; to be checked.
ENGINE_UNITS = 58


def markdown() -> str:
    """The tables of docs/scaling.md."""
    rates = [
        "| model | precision | sentences a second and CPU | machine | command | written down |",
        "|" + " --- |" * 6,
    ]
    for row in MEASURED:
        names = ", ".join(f"`{name}`" for name in row.models)
        rates.append(
            f"| {names} | {row.precision} | {row.sentences:g} | {row.machine} | `{row.command}` | {row.date} |"
        )
    prices = ["| price | $ | for a | region | source |", "|" + " --- |" * 5]
    prices += [
        f"| {each.what} | {f'{each.value:.6f}'.rstrip('0').rstrip('.')} | {each.unit} | {each.region} | {each.source} |"
        for each in PRICES.values()
    ]
    quotas = ["| quota | limit | region | source |", "|" + " --- |" * 4]
    quotas += [
        f"| {each.what} | {each.value:,.0f} {each.unit} | {each.region} | {each.source} |" for each in QUOTAS.values()
    ]
    return "\n\n".join("\n".join(table) for table in (rates, prices, quotas)) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
