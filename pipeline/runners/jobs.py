"""A job on another runner: waited for, stopped and counted."""

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.metrics import MetricsFilter
from apache_beam.metrics.execution import MetricKey, MetricResult
from apache_beam.metrics.metricbase import MetricName
from apache_beam.runners.portability.portable_runner import PipelineResult as PortableResult
from apache_beam.runners.runner import PipelineState

from pipeline import stopping
from pipeline.summary import Progress, counters_of
from transforms.counters import NAMESPACE, process_counts
from transforms.io.pubsub import read as pubsub
from transforms.io.pubsub.puller import outstanding

_LOOK_SECONDS = 0.2
# A stopped stream has this long to acknowledge what it pulled, and is finished after a while with nothing left.
_FINISH_SECONDS = 60.0
_QUIET_SECONDS = 3.0
_ENDED_WELL = (PipelineState.DONE, PipelineState.DRAINED, PipelineState.UPDATED)


class _CountedHere:
    """The counts of this process in the form of a job's result, for a runner that tells none."""

    def __init__(self, before: Mapping[str, int]) -> None:
        self._before = before

    def metrics(self) -> "_CountedHere":
        return self

    def query(self, which: MetricsFilter) -> dict[str, list[MetricResult]]:
        counts = {name: count - self._before.get(name, 0) for name, count in process_counts().items()}
        counters = [
            MetricResult(MetricKey("", MetricName(NAMESPACE, name)), count, count) for name, count in counts.items()
        ]
        return {"counters": counters, "distributions": [], "string_sets": []}


def submit(program: str, pipeline: beam.Pipeline) -> int:
    """Start the job and print its id. Returns 0, or 1, with one line that begins with `program`, if it was refused."""
    try:
        print(f"submitted {_id(pipeline.run())}".rstrip())
    except Exception as error:
        print(f"{program}: the job was not submitted: {_one_line(error)}", file=sys.stderr)
        return 1
    return 0


def run_job(pipeline: beam.Pipeline, is_stream: bool, here: bool) -> Any:
    """Run the pipeline to its end, and return its result. `here`: with workers in this process.

    Raises:
        Exception: what the runner raises if the job fails; a RuntimeError if it was cancelled, or its server is gone.
    """
    before = process_counts()
    try:
        result = pipeline.run()
        _wait(result, is_stream, here)
    except grpc.RpcError as error:
        raise RuntimeError(_one_line(error)) from error
    return _CountedHere(before) if here and not _counts(result) else result


def _one_line(error: Exception) -> str:
    """What an error says; that of gRPC prints itself in many lines."""
    text = error.details() if isinstance(error, grpc.RpcError) else str(error)
    return (str(text).strip().splitlines() or [type(error).__name__])[-1]


def _id(result: Any) -> str:
    """What the runner calls the job; "" if there is none yet, as when a template is launched."""
    found = result.job_id() if getattr(result, "has_job", False) else getattr(result, "_job_id", "")
    return str(found or "")


def _counts(result: Any) -> dict[str, int]:
    """The job's counters so far; none if the runner does not tell, as Flink of a stream."""
    # A portable result keeps the first metrics that it gets, which may be those of the job's beginning.
    result._metrics = None
    try:
        return counters_of(result)
    except grpc.RpcError:
        return {}


def _wait(result: Any, is_stream: bool, here: bool) -> None:
    """Wait for the job, show progress, and end it on SIGTERM or an interrupt.

    A stream whose workers are in this process, `here`, ends once what was pulled is written and acknowledged. All else
    is cancelled. A second signal ends the program at once.

    Raises:
        Exception: what the runner raises if the job fails; a RuntimeError if it was cancelled, or its server is gone.
    """
    errors: list[BaseException] = []

    def watch() -> None:
        try:
            result.wait_until_finish()
        except BaseException as error:
            errors.append(error)

    watching = threading.Thread(target=watch, daemon=True, name="job")
    progress = Progress(process_counts if here else lambda: _counts(result))
    asked = threading.Event()
    finished = False

    def ask(number: int, frame: Any) -> None:
        asked.set()
        # A second one ends the program at once.
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    with stopping.handled_by(ask), progress:
        watching.start()
        while watching.is_alive() and not asked.is_set():
            watching.join(_LOOK_SECONDS)
        if watching.is_alive() and is_stream and here:
            _finish_stream(watching)
            finished = watching.is_alive() and not outstanding()
        if watching.is_alive():
            if not finished:
                kept = "; what is not acknowledged will be delivered again" if is_stream else ""
                # Beam's job server for Flink cancels its own part of the job, and a cluster goes on.
                there = "; cancel it on its cluster too" if isinstance(result, PortableResult) and not here else ""
                print(f"cancelling job {_id(result)}{there}{kept}", file=sys.stderr)
                # What works on in this process reports the end of the job as a failure.
                logging.disable()
            with contextlib.suppress(grpc.RpcError):
                result.cancel()
            watching.join()
    if not finished:
        _check_ended_well(result, errors)


def _check_ended_well(result: Any, errors: Sequence[BaseException]) -> None:
    try:
        state = result.state
    except grpc.RpcError as error:
        raise RuntimeError(f"the job server is gone: {_one_line(error)}") from error
    if state == PipelineState.CANCELLED:
        raise RuntimeError("the job was cancelled")
    if state not in _ENDED_WELL:
        raise errors[0] if errors else RuntimeError(f"the job ended as {state}")


def _finish_stream(job: threading.Thread) -> None:
    """Wait until all that the readers of this process pulled is written and acknowledged, or too long.

    Prism then ends the job. Flink keeps it, and makes its checkpoints, until it is cancelled.
    """
    print("stopping: writing and acknowledging what was pulled", file=sys.stderr)
    pubsub.stop()
    until, quiet = time.monotonic() + _FINISH_SECONDS, 0.0
    while job.is_alive() and time.monotonic() < until and quiet < _QUIET_SECONDS:
        job.join(_LOOK_SECONDS)
        quiet = 0.0 if outstanding() else quiet + _LOOK_SECONDS
