"""Running: a pipeline on this machine, from its start to its summary and exit code."""

import contextlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import apache_beam as beam

from pipeline import stopping
from pipeline.command_line import in_command_line
from pipeline.outputs import put_in_place
from pipeline.settings import Settings
from pipeline.summary import counters_of, replaced_files, summary, why_no_rows


def run_locally(
    program: str,
    pipeline: beam.Pipeline,
    settings: Settings,
    waiting: Mapping[str, str],
    is_stream: bool = False,
    around: contextlib.AbstractContextManager[Any] | None = None,
) -> int:
    """Run `pipeline`, put the files that wait in `waiting` into place, and print the summary.

    Args:
        program: what messages begin with.
        pipeline: what to run.
        settings: the run's settings.
        waiting: the folders of outputs.waiting_files, empty if no file waits.
        is_stream: whether the run has no end of its own.
        around: what surrounds the run, without the summary.

    Returns:
        The exit code: 0, or 1 if the pipeline failed or made no row of what it read.
    """

    def run() -> Any:
        result = pipeline.run()
        result.wait_until_finish()
        return result

    clock = time.monotonic()
    try:
        with around or contextlib.nullcontext():
            result = run() if is_stream else stopping.left_behind(run)
        replaced = put_in_place(settings, waiting) if waiting else {}
    # Beam wraps what a worker raised in RuntimeError, or passes it on unchanged.
    except Exception as error:
        reason = str(error).strip().splitlines()
        what = in_command_line(reason[-1]) if reason else type(error).__name__
        print(f"{program}: the pipeline failed: {what}", file=sys.stderr)
        return 1
    print(summary(result, time.monotonic() - clock, settings.output, settings.dead_letters))
    if line := replaced_files(replaced):
        print(line)
    # The count of rows leaves out those that were played again from their sink's refusal.
    if settings.output not in replaced and (why := why_no_rows(counters_of(result))):
        print(f"{program}: expected rows, got none: {why}; rows of an earlier run are kept", file=sys.stderr)
        return 1
    return 0
