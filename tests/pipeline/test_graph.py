import pathlib
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.portability import common_urns
from apache_beam.runners.portability.fn_api_runner import translations

from pipeline import graph
from pipeline.command_line import parse
from pipeline.graph import build
from pipeline.inputs import Inputs
from pipeline.settings import settings_of
from tests.conftest import DATA
from transforms.embedding import EncoderHandler
from transforms.io.bigquery.write import METHODS
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


READS = {"native": Inputs(native=True), "splittable": Inputs(subscription="projects/my-project/subscriptions/messages")}
SINKS = {
    **{
        method: ["--output=my-project:texts.rows", "--output_format=bigquery", f"--bigquery_write_method={method}"]
        for method in METHODS
    },
    "pubsub": ["--output=projects/my-project/topics/rows", "--output_format=pubsub"],
    "some_columns": [
        "--output=my-project:texts.rows",
        "--output_format=bigquery",
        "--metadata_fields=a",
        "--store_content=false",
    ],
    "large_model": ["--output=my-project:texts.rows", "--output_format=bigquery", "--large_model=true"],
}


def fused(inputs: Inputs, *arguments: str) -> list[set[str]]:
    """The names of the stream's steps, in the stages into which a runner fuses them, as Dataflow does."""
    source = ["--input_subscription=projects/my-project/subscriptions/messages", "--input_format=json"]
    if "--output_format=pubsub" in arguments:
        source.append("--dead_letters=projects/my-project/topics/refused")
    options, _ = parse([*source, *arguments])
    pipeline = beam.Pipeline(options=PipelineOptions(["--streaming"]))
    build(pipeline, settings_of(options), inputs)
    _, stages = translations.create_and_optimize_stages(
        pipeline.to_runner_api(),
        [
            translations.annotate_downstream_side_inputs,
            translations.annotate_stateful_dofns_as_roots,
            translations.lift_combiners,
            translations.expand_sdf,
            translations.expand_gbk,
            translations.sink_flattens,
            translations.greedily_fuse,
        ],
        known_runner_urns=frozenset(
            [common_urns.primitives.FLATTEN.urn, common_urns.primitives.GROUP_BY_KEY.urn],
        ),
        use_state_iterables=False,
    )
    return [{transform.unique_name for transform in stage.transforms} for stage in stages]


def with_the_read(stages: list[set[str]]) -> set[str]:
    """The steps of the stage that takes messages, less those of the runner."""
    (found,) = [names for names in stages if names & {"Read messages/Read", "Read messages/Pull/Process"}]
    return {name for name in found if not name.startswith("ref_")}


@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("read", READS)
def test_a_stream_is_one_stage_from_the_read_to_every_sink(read: str, sink: str) -> None:
    """So a message is acknowledged after its rows are written: what follows the read is all in the read's stage."""
    stages = fused(READS[read], *SINKS[sink])
    names = with_the_read(stages)
    assert {name.split("/")[0] for name in names} >= {"Read messages", "Parse", "Split", "Embed", "Write rows"}
    others = set().union(*stages) - names
    # The splittable read's own beginning, which makes its one element.
    assert [name for name in others if not name.startswith(("Read messages/", "ref_"))] == []


def reshuffle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a Reshuffle before the encoder."""
    embed = graph.embed
    monkeypatch.setattr(
        graph, "embed", lambda sentences, settings: embed(sentences | "Cut" >> beam.Reshuffle(), settings)
    )


def batch_across_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let RunInference collect a batch for a second."""
    monkeypatch.setattr(EncoderHandler, "batch_elements_kwargs", lambda self: {"max_batch_duration_secs": 1})


@pytest.mark.parametrize("cut", [reshuffle, batch_across_bundles])
@pytest.mark.parametrize("read", READS)
def test_a_shuffle_or_state_would_be_seen_as_a_cut(read: str, cut: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above fails if one is put into the graph."""
    cut(monkeypatch)
    assert "Write rows" not in {name.split("/")[0] for name in with_the_read(fused(READS[read], *SINKS["pubsub"]))}


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
