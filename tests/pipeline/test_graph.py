import pathlib

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor

from pipeline.command_line import parse
from pipeline.graph import build
from pipeline.inputs import Inputs
from pipeline.settings import settings_of
from tests.conftest import DATA
from transforms.io.pubsub.read import ReadFromSubscription

STEPS = DATA / "steps.txt"


def steps(*arguments: str) -> list[str]:
    """The full names of the pipeline's steps."""
    options, _ = parse(["--input=x", "--input_format=text", *arguments])
    pipeline = beam.Pipeline(options=PipelineOptions([]))
    build(pipeline, settings_of(options), Inputs(["x"]))
    proto = pipeline.to_runner_api()
    return sorted(t.unique_name for t in proto.components.transforms.values() if t.unique_name)


@pytest.mark.parametrize("output_format", ["parquet", "jsonl", "avro"])
def test_the_steps_are_those_on_record(tmp_path: pathlib.Path, output_format: str) -> None:
    """A streaming job is updated by its steps' names, so a change of one is a decision."""
    found = steps(f"--output={tmp_path}/rows", f"--output_format={output_format}")
    assert [name for name in found if name.count("/") <= 1] == STEPS.read_text().splitlines()


def test_no_step_is_named_by_a_lambda(tmp_path: pathlib.Path) -> None:
    """Every name of ours is chosen."""
    found = steps(f"--output={tmp_path}/rows", "--output_format=parquet")
    assert not [name for name in found if "lambda" in name.split("/")[0]]


def readers(*arguments: str, runner: tuple[str, ...] = ()) -> int:
    """How many readers the stream of these arguments has."""
    source = ["--input_subscription=projects/p/subscriptions/sub", "--input_format=text"]
    options, _ = parse([*source, "--output=x", "--output_format=jsonl", *arguments])
    pipeline = beam.Pipeline(options=PipelineOptions(runner))
    build(pipeline, settings_of(options), Inputs(subscription=options.input_subscription))
    reads: list[int] = []

    class Visitor(PipelineVisitor):
        def enter_composite_transform(self, node: AppliedPTransform) -> None:
            reads.extend([node.transform.readers] if isinstance(node.transform, ReadFromSubscription) else [])

    pipeline.visit(Visitor())
    return reads[0]


@pytest.mark.parametrize(
    ("runner", "expected"),
    [((), 1), (("--parallelism=4",), 4), (("--parallelism", "4"), 4), (("--parallelism=-1",), 1)],
)
def test_a_stream_has_as_many_readers_as_the_runner_works_in_parallel(runner: tuple[str, ...], expected: int) -> None:
    """One where it was given no number, or is to choose it."""
    assert readers(runner=runner) == expected


def test_the_number_of_readers_can_be_given() -> None:
    """It counts more than the runner's parallelism."""
    assert readers("--readers=3", runner=("--parallelism=4",)) == 3


def test_more_readers_than_the_runner_works_in_parallel_are_refused() -> None:
    """Before any work, with what to do."""
    with pytest.raises(ValueError, match="expected --readers of at most --parallelism=2, got 3; leave it out"):
        readers("--readers=3", runner=("--parallelism=2",))
