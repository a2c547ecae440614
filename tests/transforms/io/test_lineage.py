"""What a pipeline over files says that it read and wrote, and the names of other resources."""

import pathlib

import apache_beam as beam
import pytest
from apache_beam.metrics.metric import Lineage
from apache_beam.options.pipeline_options import PipelineOptions

from transforms.io.files.read import ReadFiles
from transforms.io.files.write import WriteFiles
from transforms.io.files.write_stream import WriteBundleFiles
from transforms.io.lineage import add_resource, add_table
from transforms.kinds import JOURNAL
from transforms.types import JournalEntry

ENTRY = JournalEntry("m", 7, "7-abc", 5, "model", "v1", 2, 2, 0, False, 9)


class _Named(Lineage):
    """Keeps the names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add_raw(self, *rollup_segments: str) -> None:
        """One name."""
        self.names.append("".join(rollup_segments))


def lineage(pipeline: beam.Pipeline) -> tuple[set[str], set[str]]:
    """What a pipeline says that it read and wrote."""
    metrics = pipeline.run().metrics()
    return Lineage.query(metrics, Lineage.SOURCE), Lineage.query(metrics, Lineage.SINK)


def test_files_that_are_read_are_named_once_each(tmp_path: pathlib.Path) -> None:
    """Not once a range; a copy of a pipe is no file of the user's."""
    for name in ("a.txt", "b.txt", "pipe.txt"):
        (tmp_path / name).write_text("A line.\n" * 10_000)
    pipeline = beam.Pipeline("FnApiRunner", options=PipelineOptions([]))
    pipeline | ReadFiles([f"{tmp_path}/*.txt"], names={f"{tmp_path}/pipe.txt": "-"}).with_dead_letters()
    assert lineage(pipeline) == ({f"filesystem:localhost.{tmp_path}/{name}" for name in ("a.txt", "b.txt")}, set())


@pytest.mark.parametrize("kind", ["pipeline's", "program's", "stream's"])
def test_files_that_are_written_are_named(tmp_path: pathlib.Path, kind: str) -> None:
    """Those that Beam puts in place by their own names, others by what matches them; none if there is nothing."""
    prefix = str(tmp_path / "rows")
    sinks = {
        "pipeline's": (WriteFiles(prefix, "jsonl", JOURNAL), "-00000-of-00001.jsonl"),
        "program's": (WriteFiles(prefix, "jsonl", JOURNAL, str(tmp_path / "waiting")), "*.jsonl"),
        "stream's": (WriteBundleFiles(prefix, "jsonl", JOURNAL), "*.jsonl"),
    }
    sink, rest = sinks[kind]
    for elements in ([], [ENTRY]):
        pipeline = beam.Pipeline("FnApiRunner", options=PipelineOptions([]))
        pipeline | beam.Create(elements).with_output_types(JournalEntry) | sink
        assert lineage(pipeline)[1] == ({f"filesystem:localhost.{prefix}{rest}"} if elements else set())


def test_names_are_those_of_dataplex() -> None:
    """Segments with dots or colons are quoted, as projects of a domain's are."""
    named = _Named()
    add_table(named, "project", "texts", "rows")
    add_table(named, "example.com:project", "texts", "rows")
    add_resource(named, "projects/project/subscriptions/messages")
    add_resource(named, "projects/project/topics/rows.v1")
    assert named.names == [
        "bigquery:project.texts.rows",
        "bigquery:`example.com:project`.texts.rows",
        "pubsub:subscription:project.messages",
        "pubsub:topic:project.`rows.v1`",
    ]
