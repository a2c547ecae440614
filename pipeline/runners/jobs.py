"""A job on another runner: waited for, stopped and counted."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.metrics import MetricsFilter
from apache_beam.metrics.execution import MetricKey, MetricResult
from apache_beam.metrics.metricbase import MetricName
from apache_beam.runners.runner import PipelineState

from pipeline.command_line import in_command_line
from pipeline.outputs import remove_stale
from pipeline.settings import Settings
from pipeline.summary import Progress, counters_of, names_of_nothing, summary
from transforms.counters import NAMESPACE, process_counts
from transforms.io.files.write import FILE_FORMATS
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


def run_job(pipeline: beam.Pipeline, settings: Settings, is_stream: bool, here: bool, waits: bool) -> int:
    """Submit the pipeline and, if it `waits`, wait for its end and sum it up. `here`: with workers in this process.

    Returns:
        The exit code: 0 if it was submitted or ended well, 1 if it failed or was cancelled.
    """
    started, clock, before = time.time(), time.monotonic(), process_counts()
    try:
        result = pipeline.run()
        if not waits:
            print(f"submitted {_id(result)}".rstrip())
            return 0
        _wait(result, is_stream, here)
    except Exception as error:
        reason = str(error).strip().splitlines()
        what = in_command_line(reason[-1]) if reason else type(error).__name__
        print(f"python -m pipeline: the pipeline failed: {what}", file=sys.stderr)
        return 1
    if not is_stream and settings.output_format in FILE_FORMATS:
        remove_stale(settings, started)
    seconds = time.monotonic() - clock
    if not _counts(result) and not here:
        print(f"rows          in {settings.output}; this runner tells no counts\ntime          {seconds:.1f} s")
        return 0
    told = result if _counts(result) else _CountedHere(before)
    print(summary(told, seconds, settings))
    return 1 if {"id_field", "id_attribute"} & names_of_nothing(told, settings).keys() else 0


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
    with _on_signal(asked.set), progress:
        watching.start()
        while watching.is_alive() and not asked.is_set():
            watching.join(_LOOK_SECONDS)
        if watching.is_alive() and is_stream and here:
            _finish_stream(watching)
            finished = watching.is_alive() and not outstanding()
        if watching.is_alive():
            if not finished:
                kept = "; what is not acknowledged will be delivered again" if is_stream else ""
                print(f"cancelling job {_id(result)}{kept}", file=sys.stderr)
            with contextlib.suppress(grpc.RpcError):
                result.cancel()
            watching.join()
    if not finished:
        _check_ended_well(result, errors)


def _check_ended_well(result: Any, errors: Sequence[BaseException]) -> None:
    try:
        state = result.state
    except grpc.RpcError as error:
        raise RuntimeError(f"the job server is gone: {error.details()}") from error
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


@contextlib.contextmanager
def _on_signal(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` at the first interrupt or SIGTERM while the block runs; a second one ends the program at once."""

    def handle(number: int, frame: Any) -> None:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        act()

    # Only the main thread of a process may set handlers.
    own = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM) if own}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
