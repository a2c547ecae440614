"""Lineage: what a pipeline reads and writes, by Dataplex's fully qualified names, as Beam's own sources tell it.

The metric is that of the bundle in which a function is called.
"""

from apache_beam.metrics.metric import Lineage


def add_table(lineage: Lineage, project: str, dataset: str, table: str) -> None:
    """Adds a BigQuery table."""
    lineage.add("bigquery", *map(Lineage.wrap_segment, (project, dataset, table)))


def add_resource(lineage: Lineage, path: str) -> None:
    """Adds a Pub/Sub subscription or topic, given as projects/P/subscriptions/S or projects/P/topics/T."""
    _, project, kind, name = path.split("/")
    lineage.add("pubsub", *map(Lineage.wrap_segment, (project, name)), subtype=kind.removesuffix("s"))
