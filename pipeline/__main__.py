"""`python -m pipeline`: reads messages, embeds their sentences, writes rows."""

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, StandardOptions

from pipeline import checks, console, graph
from pipeline.command_line import in_command_line, parse
from pipeline.inputs import Inputs, open_inputs
from pipeline.outputs import make_outputs, remove_stale
from pipeline.settings import Settings, settings_of
from pipeline.summary import Progress, names_of_nothing, summary
from transforms.encoder.hot_swap import CurrentEncoder
from transforms.io.files.write import FILE_FORMATS
from transforms.io.pubsub import read as pubsub
from transforms.runners.fused_stream import check_one_stage
from transforms.runners.local import local_runner


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns 0 if it ran, 1 if the pipeline failed, 2 if it was refused before any work."""
    console.prepare()
    with contextlib.ExitStack() as stack:
        try:
            arguments, beam_options = parse(sys.argv[1:] if argv is None else argv)
            settings = settings_of(arguments)
            runner = checks.runner_of(beam_options)
            local = runner in checks.LOCAL_RUNNERS
            checks.check_model(settings)
            checks.check_inputs(settings, runner)
            inputs = stack.enter_context(open_inputs(settings, checks.is_native(settings, runner)))
            checks.check_outputs(settings, inputs)
            make_outputs(settings)
            checks.check_already_written(settings, inputs)
            in_memory = beam_options.view_as(DirectOptions).direct_running_mode == "in_memory"
            if local and in_memory:
                # This process will run the encoder, so a model that cannot be loaded is reported now.
                console.import_tensorflow()
                CurrentEncoder(settings.encoder)
            if inputs.is_stream and not local:
                beam_options.view_as(StandardOptions).streaming = True
            pipeline = beam.Pipeline(runner=local_runner(beam_options) if local else None, options=beam_options)
            graph.build(pipeline, settings, inputs)
            if local and inputs.is_stream:
                _check_local_stream(pipeline, in_memory)
        except ValueError as error:
            print(f"python -m pipeline: {in_command_line(str(error))}", file=sys.stderr)
            return 2
        if local:
            return _run_locally(pipeline, settings, inputs, in_memory)
        # Do not wait for the job: a template's launcher starts it and returns.
        pipeline.run()
        return 0


def _check_local_stream(pipeline: beam.Pipeline, in_memory: bool) -> None:
    if not in_memory:
        raise ValueError("expected --direct_running_mode=in_memory for a local stream; start more programs instead")
    check_one_stage(pipeline)


def _run_locally(pipeline: beam.Pipeline, settings: Settings, inputs: Inputs, in_memory: bool) -> int:
    if not in_memory:
        print("several worker processes: no progress is shown until the end", file=sys.stderr)
    started, clock = time.time(), time.monotonic()
    try:
        with contextlib.ExitStack() as stack:
            if inputs.is_stream:
                stack.enter_context(_until_stopped())
            if in_memory:
                stack.enter_context(Progress())
            result = pipeline.run()
            result.wait_until_finish()
    # Beam wraps what a worker raised in RuntimeError, or passes it on unchanged.
    except Exception as error:
        reason = str(error).strip().splitlines()
        what = in_command_line(reason[-1]) if reason else type(error).__name__
        print(f"python -m pipeline: the pipeline failed: {what}", file=sys.stderr)
        return 1
    if not inputs.is_stream and settings.output_format in FILE_FORMATS:
        remove_stale(settings, started)
    print(summary(result, time.monotonic() - clock, settings))
    # Without the ids that were asked for, the rows have others, and no later run would replace them.
    return 1 if {"id_field", "id_attribute"} & names_of_nothing(result, settings).keys() else 0


@contextlib.contextmanager
def _until_stopped() -> Iterator[None]:
    """Let an interrupt or SIGTERM end the stream once what was pulled is written and acknowledged.

    A second one ends it at once.
    """

    def stop(number: int, frame: Any) -> None:
        print("stopping: writing and acknowledging what was pulled", file=sys.stderr)
        pubsub.stop()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    # Only the main thread of a process may set handlers; in another thread, the caller calls pubsub.stop().
    own = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM) if own}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        pubsub.resume()


if __name__ == "__main__":
    logging.captureWarnings(True)
    sys.exit(main())
