"""Running: a pipeline on this machine, from its start to its summary and exit code."""

import contextlib
import sys
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.portability import python_urns
from apache_beam.runners.portability.fn_api_runner.worker_handlers import SubprocessSdkWorkerHandler, WorkerHandler

from pipeline import stopping
from pipeline.command_line import in_command_line
from pipeline.outputs import put_in_place
from pipeline.settings import Settings
from pipeline.summary import counters_of, names_of_nothing, replaced_files, summary, too_many_dead_letters, why_no_rows
from transforms.dead_letters import forget_reasons
from transforms.encoder.reasons import reason_of


@WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class _DeafWorker(SubprocessSdkWorkerHandler):
    """A worker process of the local runner that leaves Ctrl-C, which goes to all of them, to this process to answer.

    It is as quiet as this one.
    """

    def __init__(self, worker_command_line: bytes, *arguments: Any) -> None:
        command = worker_command_line.replace(b"apache_beam.runners.worker.sdk_worker_main", b"pipeline.worker")
        super().__init__(b"trap '' INT TERM; exec " + command, *arguments)


def run_locally(
    program: str,
    pipeline: beam.Pipeline,
    settings: Settings,
    waiting: Mapping[str, str],
    is_stream: bool = False,
    around: contextlib.AbstractContextManager[Any] | None = None,
    needed_names: Collection[str] = (),
    job: Callable[[], Any] | None = None,
) -> int:
    """Run `pipeline`, put the files that wait in `waiting` into place, and print the summary.

    Args:
        program: what messages begin with.
        pipeline: what to run.
        settings: the run's settings.
        waiting: the folders of outputs.waiting_files, empty if no file waits.
        is_stream: whether the run has no end of its own.
        around: what surrounds the run, without the summary.
        needed_names: options that must not name what no message has, else the rows are not kept.
        job: runs the pipeline on another runner, answers signals meanwhile, and returns the result.

    Returns:
        The exit code: 0, or 1 if the pipeline failed, made no row of what it read, or found none of the `needed_names`.
    """

    def run() -> Any:
        result = pipeline.run()
        result.wait_until_finish()
        return result

    forget_reasons()
    clock = time.monotonic()
    try:
        with around or contextlib.nullcontext():
            result = job() if job else run() if is_stream else stopping.left_behind(run)
        counters = counters_of(result)
        missing = sorted(names_of_nothing(result, settings).keys() & set(needed_names))
        too_many = too_many_dead_letters(counters, settings.max_dead_letters)
        keep, deletions = not (missing or too_many), bool(counters.get("messages_deleted"))
        replaced = put_in_place(settings, waiting, keep, deletions) if waiting else {}
    # Beam wraps what a worker raised in RuntimeError, or passes it on unchanged.
    except Exception as error:
        print(f"{program}: the pipeline failed: {in_command_line(reason_of(error, -1))}", file=sys.stderr)
        return 1
    kept = not waiting or settings.output in replaced
    print(summary(result, time.monotonic() - clock, settings, kept))
    if line := replaced_files(replaced):
        print(line)
    if missing:
        failure = f"expected a message with what --{' and --'.join(missing)} names, got none"
    elif too_many:
        failure = too_many
    # The count of rows leaves out those that were played again from their sink's refusal.
    elif settings.output not in replaced and (why := why_no_rows(counters)):
        failure = f"expected rows, got none: {why}"
    else:
        return 0
    print(f"{program}: {failure}; rows of an earlier run are kept", file=sys.stderr)
    return 1
