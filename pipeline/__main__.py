"""`python -m pipeline`: reads messages, embeds their sentences, writes rows."""

import signal
import sys

if __name__ == "__main__":
    # While modules load, there is nothing to clean.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    from pipeline.console import import_beam

    import_beam(sys.argv[1:])

import contextlib
import functools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, StandardOptions

from pipeline import checks, console, graph, stopping
from pipeline.command_line import in_command_line, parse
from pipeline.inputs import open_inputs
from pipeline.outputs import make_outputs, waiting_files
from pipeline.runners.job_server import check_checkpoints, job_server, runs_here
from pipeline.runners.jobs import run_job, submit
from pipeline.running import run_locally
from pipeline.settings import settings_of
from pipeline.summary import Progress
from transforms.encoder.hot_swap import current_encoder
from transforms.io.files.write import FILE_FORMATS
from transforms.io.pubsub import read as pubsub
from transforms.runners.fused_stream import check_one_stage
from transforms.runners.local import local_runner

# Without the ids that were asked for, rows have others, and no later run would replace them.
_IDS = ("id_field", "id_attribute")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns 0 if it ran, 1 if the pipeline failed or made no row of what it read, 2 if it was refused before any work.
    """
    console.prepare()
    with contextlib.ExitStack() as stack:
        try:
            arguments, beam_options = parse(
                sys.argv[1:] if argv is None else argv,
                lambda options: stack.enter_context(job_server(checks.runner_of(options), options)),
            )
            settings = settings_of(arguments)
            runner = checks.runner_of(beam_options)
            local = runner in checks.LOCAL_RUNNERS
            here = local or runs_here(beam_options)
            waits = checks.waits(settings, runner, here)
            if not settings.input:
                check_checkpoints(beam_options)
            checks.check_stages(settings)
            checks.check_inputs(settings, runner, here)
            inputs = stack.enter_context(open_inputs(settings, checks.is_native(settings, runner)))
            checks.check_outputs(settings, inputs, here=here)
            make_outputs(settings, here)
            waiting = {}
            if here and not inputs.is_stream and settings.output_format in FILE_FORMATS:
                waiting = stack.enter_context(waiting_files(settings.places))
            checks.check_earlier(settings, inputs)
            in_memory = beam_options.view_as(DirectOptions).direct_running_mode == "in_memory"
            if here and in_memory:
                # This process will run the encoder, so a model that cannot be loaded is reported now.
                console.import_tensorflow()
                current_encoder(settings.encoder, settings.embedding.model_poll_seconds)
            if inputs.is_stream and not local:
                beam_options.view_as(StandardOptions).streaming = True
            pipeline = beam.Pipeline(runner=local_runner(beam_options) if local else None, options=beam_options)
            graph.build(pipeline, settings, inputs, waiting)
            if local and inputs.is_stream:
                _check_local_stream(pipeline, in_memory)
        except ValueError as error:
            print(f"python -m pipeline: {in_command_line(str(error))}", file=sys.stderr)
            return 2
        if local:
            if not in_memory:
                print("several worker processes: no progress is shown until the end", file=sys.stderr)
            with contextlib.ExitStack() as around:
                if inputs.is_stream:
                    around.enter_context(_until_stopped())
                if in_memory:
                    around.enter_context(Progress())
                return run_locally("python -m pipeline", pipeline, settings, waiting, inputs.is_stream, around, _IDS)
        if not waits:
            return submit("python -m pipeline", pipeline)
        job = functools.partial(run_job, pipeline, inputs.is_stream, here)
        return run_locally("python -m pipeline", pipeline, settings, waiting, inputs.is_stream, None, _IDS, job)


def _check_local_stream(pipeline: beam.Pipeline, in_memory: bool) -> None:
    if not in_memory:
        raise ValueError("expected --direct_running_mode=in_memory for a local stream; start more programs instead")
    check_one_stage(pipeline)


@contextlib.contextmanager
def _until_stopped() -> Iterator[None]:
    """Let an interrupt or SIGTERM end the stream once what was pulled is written and acknowledged.

    A second one ends it at once.
    """

    def stop(number: int, frame: Any) -> None:
        print("stopping: writing and acknowledging what was pulled", file=sys.stderr)
        pubsub.stop()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    try:
        # In a thread other than the main one, which has no signals, the caller calls pubsub.stop().
        with stopping.handled_by(stop):
            yield
    finally:
        pubsub.resume()


if __name__ == "__main__":
    logging.captureWarnings(True)
    stopping.leave("python -m pipeline", main)
