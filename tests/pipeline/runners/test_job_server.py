"""What is asked of a job server before a run, here of a small one of our own, and what is refused."""

import contextlib
import pathlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from apache_beam.options.pipeline_options import PortableOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st

from pipeline.__main__ import main
from pipeline.command_line import parse
from pipeline.runners.job_server import check_checkpoints, job_server
from pipeline.servers import free_port

MINIMAL = ["--input=a", "--input_format=text", "--output=b", "--output_format=jsonl"]
HERE = "--environment_type=LOOPBACK"
TYPES = beam_job_api_pb2.PipelineOptionType
# A value of each type as text, and as it is handed on.
VALUES = {
    TYPES.STRING: ("a", "a"),
    TYPES.INTEGER: ("7", 7),
    TYPES.NUMBER: ("0.5", "0.5"),
    TYPES.BOOLEAN: ("true", True),
    TYPES.ARRAY: ("a", ["a"]),
    TYPES.OBJECT: ("{}", "{}"),
}


@contextlib.contextmanager
def describing(options: Sequence[tuple[str, int]]) -> Iterator[str]:
    """A job server that describes options by name and type, and does nothing else. Yields host:port."""

    class Servicer(beam_job_api_pb2_grpc.JobServiceServicer):
        def DescribePipelineOptions(self, request: Any, context: Any) -> Any:
            described = [
                beam_job_api_pb2.PipelineOptionDescriptor(name=name, type=kind, description="100 % of it")
                for name, kind in options
            ]
            return beam_job_api_pb2.DescribePipelineOptionsResponse(options=described)

    server = grpc.server(ThreadPoolExecutor(1))
    beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(Servicer(), server)
    endpoint = f"localhost:{server.add_insecure_port('localhost:0')}"
    server.start()
    try:
        yield endpoint
    finally:
        server.stop(0)


def options_of(*arguments: str) -> dict[str, Any]:
    """Beam's options, all of them, of a command line that names a job server."""
    with contextlib.ExitStack() as stack:
        _, beam_options = parse(
            [*MINIMAL, "--runner=PortableRunner", *arguments],
            lambda options: stack.enter_context(job_server("PortableRunner", options)),
        )
        found: dict[str, Any] = beam_options.get_all_options()
        return found


@given(name=st.from_regex("[a-z]{3,8}_[a-z0-9_]{1,8}[a-z]", fullmatch=True), kind=st.sampled_from(sorted(VALUES)))
def test_whatever_a_job_server_describes_is_taken_and_handed_on(name: str, kind: int) -> None:
    """In its type, and one letter more is refused with the right one."""
    text, value = VALUES[kind]
    with describing([(name, kind)]) as endpoint:
        options = options_of(f"--job_endpoint={endpoint}", HERE, f"--{name}={text}")
        assert options[name] == value
        with pytest.raises(ValueError, match=f"unknown option '--{name}q'; did you mean --{name}?"):
            options_of(f"--job_endpoint={endpoint}", HERE, f"--{name}q={text}")


def test_an_option_that_beam_knows_too_stays_beams() -> None:
    """Java describes --parallelism and --streaming; Beam's Python gives them their types and defaults."""
    with describing([("parallelism", TYPES.STRING), ("streaming", TYPES.STRING)]) as endpoint:
        options = options_of(f"--job_endpoint={endpoint}", HERE, "--parallelism=3", "--streaming")
    assert (options["parallelism"], options["streaming"]) == (3, True)


def test_a_flag_needs_no_value() -> None:
    """As on Beam's own command line."""
    with describing([("use_it", TYPES.BOOLEAN)]) as endpoint:
        assert options_of(f"--job_endpoint={endpoint}", HERE, "--use_it")["use_it"] is True


def test_options_of_one_run_are_unknown_in_the_next() -> None:
    """Another job server has others, and the local runner has none."""
    with describing([("of_one", TYPES.STRING)]) as endpoint:
        options_of(f"--job_endpoint={endpoint}", HERE, "--of_one=1")
    with describing([]) as endpoint, pytest.raises(ValueError, match="unknown option '--of_one'"):
        options_of(f"--job_endpoint={endpoint}", HERE, "--of_one=1")


def test_a_job_server_that_is_not_there_is_one_line_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """With the time that was waited, and code 2."""
    started = time.monotonic()
    arguments = [*MINIMAL, "--runner=PortableRunner", f"--job_endpoint=localhost:{free_port()}", HERE]
    assert main(arguments) == 2
    assert time.monotonic() - started < 10
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected a job server at --job_endpoint=localhost:" in line
    assert "after 0." in line


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--runner=PrismRunner"], "expected --prism_location=FILE .* got none; .*go install .*/prism@v2"),
        (["--runner=PrismRunner", "--prism_location=/no/prism"], "expected --prism_location to be a file, /no/prism"),
        (["--runner=PrismRunner", "--prism_location=/bin/false"], "expected /bin/false to listen on localhost"),
        (["--runner=FlinkRunner"], "expected --flink_job_server_jar=FILE .* got none"),
        (["--runner=FlinkRunner", "--flink_master=host:8081"], "expected --environment_type .* got none"),
        (["--runner=FlinkRunner", "--flink_job_server_jar=/bin/sh", "--flink_submit_uber_jar"], "leave that out"),
        (["--runner=PortableRunner", HERE], "expected --job_endpoint=HOST:PORT"),
        (["--runner=SparkRunner", HERE], "expected --job_endpoint=HOST:PORT"),
        (["--runner=PortableRunner", "--job_endpoint=localhost:1"], "expected --environment_type .* got none"),
        (
            ["--runner=PortableRunner", "--job_endpoint=localhost:1", "--environment_type=DOCKER"],
            "got DOCKER without an image",
        ),
    ],
)
def test_what_cannot_run_is_refused_and_nothing_downloaded(
    arguments: list[str],
    reason: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line each, and code 2."""
    monkeypatch.setenv("RUNNERS_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main([*MINIMAL, *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    with pytest.raises(ValueError, match=reason):
        raise ValueError(line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "image",
    ["--environment_config=image:1", "--environment_options=docker_container_image=i:1", "--sdk_container_image=i:1"],
)
def test_an_image_may_be_named_in_each_of_beams_ways(image: str) -> None:
    """The workers of a cluster run in it."""
    with describing([]) as endpoint:
        options = options_of(f"--job_endpoint={endpoint}", "--environment_type=DOCKER", image)
    assert options["job_endpoint"] == endpoint


@pytest.mark.parametrize("given_interval", [[], ["--checkpointing_interval=0"], ["--checkpointing_interval=-1"]])
def test_a_stream_on_flink_without_checkpoints_is_refused(
    given_interval: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """No message would be acknowledged. A job server that describes the option is Flink's."""
    stream = ["--input_subscription=projects/p/subscriptions/sub", "--input_format=json", *MINIMAL[2:]]
    with describing([("checkpointing_interval", TYPES.INTEGER)]) as endpoint:
        chosen = ["--runner=PortableRunner", f"--job_endpoint={endpoint}", HERE]
        assert main([*stream, *chosen, *given_interval]) == 2
    assert "expected --checkpointing_interval=MILLISECONDS for a stream on Flink" in capsys.readouterr().err


def test_checkpoints_are_asked_of_flink_only() -> None:
    """Prism describes no options, and finalizes every bundle."""
    with describing([]) as endpoint, contextlib.ExitStack() as stack:
        _, beam_options = parse(
            [*MINIMAL, f"--job_endpoint={endpoint}", HERE],
            lambda options: stack.enter_context(job_server("PortableRunner", options)),
        )
        check_checkpoints(beam_options)
        assert beam_options.view_as(PortableOptions).job_endpoint == endpoint


@pytest.mark.parametrize("runner", [[], ["--runner=FnApiRunner"]])
def test_a_run_inside_of_the_program_is_waited_for(runner: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It would end with the program."""
    assert main([*MINIMAL, *runner, "--wait=false"]) == 2
    assert "expected --wait=true with --runner=" in capsys.readouterr().err
