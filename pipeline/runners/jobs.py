"""A job on another runner: waited for, stopped and counted."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.runners.runner import PipelineState

from pipeline.summary import Progress, counters_of
from transforms.counters import process_counts
from transforms.io.pubsub import read as pubsub

_LOOK_SECONDS = 0.2
_ENDED_WELL = (PipelineState.DONE, PipelineState.DRAINED, PipelineState.UPDATED)


def job_id(result: Any) -> str:
    """How the runner calls the job; "" if it is not one yet, as when a template is launched."""
    found = result.job_id() if hasattr(result, "job_id") and result.has_job else getattr(result, "_job_id", "")
    return str(found or "")


def counts(result: Any) -> dict[str, int]:
    """The job's counters so far, by name."""
    # A portable result keeps the first metrics that it got, which may be those of a job at its beginning.
    result._metrics = None
    return counters_of(result)


def wait(result: Any, is_stream: bool, here: bool) -> None:
    """Wait for the job, show progress, and end it on SIGTERM or an interrupt.

    A stream whose workers are in this process, `here`, ends once what was pulled is written and acknowledged. All else
    is cancelled. A second signal ends the program at once.

    Raises:
        Exception: what the runner raises if the job fails; a RuntimeError if it was cancelled.
    """
    errors: list[BaseException] = []

    def watch() -> None:
        try:
            result.wait_until_finish()
        except BaseException as error:
            errors.append(error)

    watching = threading.Thread(target=watch, daemon=True, name="job")
    progress = Progress(process_counts if here else lambda: counts(result))
    asked = threading.Event()
    with on_signal(asked.set), progress:
        watching.start()
        while watching.is_alive() and not asked.is_set():
            watching.join(_LOOK_SECONDS)
        if watching.is_alive():
            _end(result, is_stream, here)
        watching.join()
    if result.state not in _ENDED_WELL:
        raise errors[0] if errors else RuntimeError(f"the job ended as {result.state}")


def _end(result: Any, is_stream: bool, here: bool) -> None:
    if is_stream and here:
        print("stopping: writing and acknowledging what was pulled", file=sys.stderr)
        pubsub.stop()
        return
    kept = "; what is not acknowledged will be delivered again" if is_stream else ""
    print(f"cancelling job {job_id(result)}{kept}", file=sys.stderr)
    result.cancel()


@contextlib.contextmanager
def on_signal(act: Callable[[], object]) -> Iterator[None]:
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
