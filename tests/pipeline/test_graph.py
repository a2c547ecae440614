import pathlib

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.command_line import parse
from pipeline.graph import build
from pipeline.inputs import Inputs
from pipeline.settings import settings_of
from tests.conftest import DATA

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
