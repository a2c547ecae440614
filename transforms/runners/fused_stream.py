"""Refuses a local streaming pipeline that would acknowledge messages before their rows are written."""

from typing import Any

from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.worker import bundle_processor
from apache_beam.transforms.environments import EmbeddedPythonEnvironment

_PROCESS = common_urns.sdf_components.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS.urn


def check_one_stage(pipeline: Any) -> None:
    """Checks that Beam's FnApiRunner fuses an acknowledging read and everything after it into one stage.

    A step that separates two stages (Flatten, GroupByKey, Reshuffle, state, or a side input made from the stream) holds
    its elements in memory until the stream ends, although their bundle already counts as done. Killing the process
    would lose them.

    Raises:
        ValueError: if there is such a step; the message names it.
    """
    proto = pipeline.to_runner_api(default_environment=EmbeddedPythonEnvironment.default())
    _, stages = FnApiRunner().create_stages(proto)
    for stage in stages:
        kept = [step for step in stage.transforms if step.spec.urn == bundle_processor.DATA_OUTPUT_URN]
        if kept and any(_acknowledges(step) for step in stage.transforms):
            names = sorted({_name(step, proto.components.transforms.values()) for step in kept})
            raise ValueError(
                f"expected a local stream to be one stage, got one that is cut after {', '.join(names)}; "
                "give each output a sink of its own, without Flatten, GroupByKey, Reshuffle, state or side inputs"
            )


def _acknowledges(step: Any) -> bool:
    # The stages that only prepare the read's restriction carry the same payload.
    if step.spec.urn != _PROCESS:
        return False
    return bool(beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload).requests_finalization)


def _name(write: Any, steps: Any) -> str:
    """The name of the step before the cut, or the runner's own name for the cut."""
    outputs = set(write.inputs.values())
    producers = (step.unique_name for step in steps if not step.subtransforms and outputs & set(step.outputs.values()))
    return repr(next(producers, write.unique_name.split("/Write")[0]))
