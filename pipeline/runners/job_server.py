"""The job server of the runner that was named: started if it is Prism's or Flink's own, asked for its options."""

import contextlib
import pathlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    JobServerOptions,
    PipelineOptions,
    PortableOptions,
    PrismRunnerOptions,
    WorkerOptions,
)
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.flink_runner import MAGIC_HOST_NAMES, FlinkJarJobServer, FlinkRunner
from apache_beam.runners.portability.job_server import SubprocessJobServer
from apache_beam.runners.portability.prism_runner import PrismJobServer

from pipeline.arguments import boolean
from pipeline.command_line import every_option
from pipeline.runners import GET, flink_jar, prism_path
from pipeline.servers import NotStartedError, served

# A job server is there or not; --job_server_timeout, five minutes by default, is for what it does with a job.
_REACH_SECONDS = 10.0
_TYPES = beam_job_api_pb2.PipelineOptionType
_PRISM_COMMAND = f"GOBIN=DIR go install github.com/apache/beam/sdks/v2/go/cmd/prism@v{beam.__version__}"
# The runners that Beam reaches through a job server.
PORTABLE_RUNNERS = ("PortableRunner", "PrismRunner", "FlinkRunner", "SparkRunner")


class _Started(NamedTuple):
    """A runner whose job server is started where none is named.

    Attributes:
        option: the option of Beam's that says where its program is, one of `options`.
        found: the program if `option` does not say where, None if it is nowhere.
        server: Beam's description of the command.
        get: what to do if the program is nowhere.
    """

    option: str
    options: type[PipelineOptions]
    found: Callable[[], str | pathlib.Path | None]
    server: Callable[[PipelineOptions], SubprocessJobServer]
    get: str


_STARTED = {
    "PrismRunner": _Started(
        "prism_location",
        PrismRunnerOptions,
        lambda: shutil.which("prism") or _if_there(prism_path()),
        PrismJobServer,
        f"get it with `{GET}`, or with `{_PRISM_COMMAND}`",
    ),
    "FlinkRunner": _Started(
        "flink_job_server_jar",
        FlinkRunnerOptions,
        lambda: _if_there(flink_jar()),
        FlinkJarJobServer,
        f"get it with `{GET}`, or from Maven as beam-runners-flink-VERSION-job-server, or name a job server that runs "
        "with --job_endpoint=HOST:PORT",
    ),
}


class RunnerOptions(PipelineOptions):
    """The options that a job server has described, beside those that Beam's Python knows.

    Attributes:
        described: their descriptions; they are those of the whole process.
    """

    described: Sequence[Any] = ()

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        for option in cls.described:
            described: dict[str, Any] = {"default": None, "help": option.description.replace("%", "%%")}
            if option.type == _TYPES.BOOLEAN:
                described |= {"nargs": "?", "const": True, "type": boolean}
            elif option.type == _TYPES.INTEGER:
                described["type"] = int
            elif option.type == _TYPES.ARRAY:
                described["action"] = "append"
            parser.add_argument(f"--{option.name}", **described)


@contextlib.contextmanager
def job_server(runner: str, beam_options: PipelineOptions) -> Iterator[None]:
    """The job server of `runner`, for as long as the block runs, in --job_endpoint; its options are known to Beam.

    Other runners than PORTABLE_RUNNERS have none, and nothing happens.

    Raises:
        ValueError: if it cannot be reached or started, or its workers would lack this program.
    """
    RunnerOptions.described = ()
    if runner not in PORTABLE_RUNNERS:
        yield
        return
    with contextlib.ExitStack() as stack:
        _check_environment(runner, beam_options)
        portable = beam_options.view_as(PortableOptions)
        if not portable.job_endpoint:
            portable.job_endpoint = stack.enter_context(_started(runner, beam_options))
        known = set(every_option()._option_string_actions)
        found = _describe(portable.job_endpoint, min(portable.job_server_timeout, _REACH_SECONDS))
        RunnerOptions.described = [option for option in found if f"--{option.name}" not in known]
        yield


def _check_environment(runner: str, beam_options: PipelineOptions) -> None:
    """Choose workers in this process where the runner is on this machine, too; Beam's own image lacks the program."""
    portable = beam_options.view_as(PortableOptions)
    here = runner == "PrismRunner" or (
        runner == "FlinkRunner" and beam_options.view_as(FlinkRunnerOptions).flink_master in MAGIC_HOST_NAMES
    )
    if not portable.environment_type and here:
        portable.environment_type = "LOOPBACK"
    image = (
        portable.environment_config
        or portable.lookup_environment_option("docker_container_image")
        or beam_options.view_as(WorkerOptions).sdk_container_image
    )
    if portable.environment_type in (None, "DOCKER") and not image:
        raise ValueError(
            f"expected --environment_type of --runner={runner} to be LOOPBACK (workers in this process), EXTERNAL with "
            "--environment_config=HOST:PORT of a worker pool, or DOCKER with --environment_config=IMAGE, got "
            f"{portable.environment_type or 'none'}{' without an image' if portable.environment_type else ''}; "
            "Beam's own image lacks this program"
        )


def runs_here(beam_options: PipelineOptions) -> bool:
    """Whether the workers are threads of this process."""
    return bool(beam_options.view_as(PortableOptions).environment_type == "LOOPBACK")


def check_checkpoints(beam_options: PipelineOptions) -> None:
    """Check that a stream's messages will be acknowledged. Flink does so at checkpoints, and by default makes none.

    Raises:
        ValueError: if they will not.
    """
    if any(option.name == "checkpointing_interval" for option in RunnerOptions.described):
        interval = beam_options.view_as(RunnerOptions).checkpointing_interval
        if int(interval or -1) <= 0:
            raise ValueError(
                "expected --checkpointing_interval=MILLISECONDS for a stream on Flink, got "
                f"{'none' if interval is None else interval}; without checkpoints no message is ever acknowledged"
            )


def _if_there(path: pathlib.Path) -> pathlib.Path | None:
    return path if path.exists() else None


@contextlib.contextmanager
def _started(runner: str, beam_options: PipelineOptions) -> Iterator[str]:
    if runner not in _STARTED:
        raise ValueError(f"expected --job_endpoint=HOST:PORT with --runner={runner}, got none; start its job server")
    started = _STARTED[runner]
    view = beam_options.view_as(started.options)
    path = getattr(view, started.option) or started.found()
    if not path:
        raise ValueError(f"expected --{started.option}=FILE with --runner={runner}, got none; {started.get}")
    if "://" not in str(path) and not pathlib.Path(path).exists():
        raise ValueError(f"expected --{started.option} to be a file, {path} is not there; {started.get}")
    setattr(view, started.option, str(path))
    flink = beam_options.view_as(FlinkRunnerOptions)
    if flink.flink_submit_uber_jar:
        raise ValueError("expected --flink_master alone, got --flink_submit_uber_jar too; leave that out")
    flink.flink_master = FlinkRunner.add_http_scheme(flink.flink_master)
    with tempfile.TemporaryDirectory() as artifacts:
        servers = beam_options.view_as(JobServerOptions)
        servers.artifacts_dir = servers.artifacts_dir or artifacts
        command, endpoint = started.server(beam_options).subprocess_cmd_and_endpoint()
        # Workers in this process outlive the job server for a moment, and would print that they miss it.
        threading.excepthook = _without_lost_connections
        try:
            with served(command, endpoint):
                yield endpoint
        except NotStartedError as error:
            raise ValueError(f"{error}; is --{started.option} the program of --runner={runner}?") from error


def _without_lost_connections(raised: threading.ExceptHookArgs) -> None:
    if not issubclass(raised.exc_type, grpc.RpcError):
        threading.__excepthook__(raised)


def _describe(endpoint: str, seconds: float) -> Sequence[Any]:
    started = time.monotonic()
    with grpc.insecure_channel(endpoint) as channel:
        ask = beam_job_api_pb2_grpc.JobServiceStub(channel).DescribePipelineOptions
        try:
            found: Sequence[Any] = ask(beam_job_api_pb2.DescribePipelineOptionsRequest(), timeout=seconds).options
        except grpc.RpcError as error:
            waited = time.monotonic() - started
            raise ValueError(
                f"expected a job server at --job_endpoint={endpoint}, got {_first_line(error.details())!r} after "
                f"{waited:.1f} s; start it, or give another endpoint"
            ) from error
    return found


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0]
