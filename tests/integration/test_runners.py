"""The program on Prism and on Flink, as a user starts it: rows, summary, exit codes, and the end of a stream."""

import contextlib
import json
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from google.cloud import bigquery

from pipeline.emulators.pubsub import PubsubEmulator
from tests.benchmarks.soak_account import BigQuerySink, FileSink, Sink, account, message
from tests.conftest import ROOT
from tests.integration.test_stream import SECONDS, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.subprocess]
RUNNERS = ("prism", "flink")
MESSAGES = 600
GOOD = MESSAGES - MESSAGES // 20


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> list[str]:
    """The options that choose each runner, with workers in the program."""
    found = request.getfixturevalue(request.param)
    return {
        "prism": ["--runner=PrismRunner", f"--prism_location={found}"],
        "flink": ["--runner=PortableRunner", f"--job_endpoint={found}", "--environment_type=LOOPBACK",
                  "--parallelism=1"],
    }[request.param]  # fmt: skip


@pytest.fixture
def stream_options(runner: list[str]) -> list[str]:
    """The options of a stream on each runner."""
    flink = ["--checkpointing_interval=1000", "--max_bundle_time_mills=50"]
    return [*runner, *(flink if "--runner=PortableRunner" in runner else [])]


@contextlib.contextmanager
def program(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """`python -m pipeline` at work, killed at the end if it has not ended."""
    command = [sys.executable, "-m", "pipeline", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def rows(folder: pathlib.Path) -> list[dict[str, object]]:
    """The rows in the files of a folder."""
    return [json.loads(line) for path in folder.glob("rows*.jsonl") for line in path.read_text().splitlines()]


def test_a_batch_is_waited_for_and_summed_up(
    runner: list[str], text_encoder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """At its end each message has its rows once or, if it is poison, a letter; the counts come from the runner."""
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(map(message, range(MESSAGES))))
    with program(
        f"--input={tmp_path}/in.jsonl", "--input_format=jsonl", "--id_field=id", f"--model={text_encoder}",
        "--output_format=jsonl", f"--output={tmp_path}/rows", f"--dead_letters={tmp_path}/letters", *runner,
    ) as process:  # fmt: skip
        out, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    sink = FileSink(tmp_path / "rows", tmp_path / "letters")
    assert sink.count() == 2 * GOOD
    assert f"rows          {2 * GOOD:,} in" in out
    assert ", of them truncated 0" in out
    assert f"dead letters  {MESSAGES - GOOD} (" in out
    check_account(sink)


def test_sigterm_ends_a_stream_with_nothing_left(
    pubsub_server: PubsubEmulator, stream_options: list[str], dataset: str, client: bigquery.Client,
    text_encoder: pathlib.Path,
) -> None:  # fmt: skip
    """All that was published is written, or a letter if it is poison, and acknowledged; the program ends well."""
    subscription, sink = pubsub_server.subscription(), BigQuerySink(client, dataset)
    pubsub_server.publish(subscription.topic, [message(number) for number in range(MESSAGES)])
    with program(
        f"--input_subscription={subscription.name}", "--input_format=json", "--id_field=id", f"--model={text_encoder}",
        "--output_format=bigquery", f"--output={dataset}.rows", f"--dead_letters={dataset}.letters", *stream_options,
    ) as process:  # fmt: skip
        wait_for(
            lambda: (sink.count() >= 2 * GOOD and len(sink.letters()) >= MESSAGES - GOOD) or process.poll() is not None
        )
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert "stopping: writing and acknowledging what was pulled" in errors
    assert f"acknowledged  {MESSAGES} of {MESSAGES} pulled" in out
    assert pubsub_server.left(subscription.name) == 0
    check_account(sink)


def test_a_batch_that_is_stopped_is_cancelled(prism: str, text_encoder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """It says so, and ends with 1."""
    (tmp_path / "in.txt").write_text("".join(f"This is line {n}. It has two sentences.\n" for n in range(100_000)))
    with program(
        f"--input={tmp_path}/in.txt", "--input_format=text", f"--model={text_encoder}", "--output_format=jsonl",
        f"--output={tmp_path}/out/rows", "--runner=PrismRunner", f"--prism_location={prism}",
    ) as process:  # fmt: skip
        assert process.stderr
        assert "messages" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "cancelling job" in errors
    assert errors.endswith("the pipeline failed: the job was cancelled\n")


def check_account(sink: Sink) -> None:
    """Of the messages of the soak, nothing is lost, wrong, or doubled for a reader."""
    found = account(MESSAGES, sink.rows(), sink.letters())
    assert found.is_clean(), found
    assert found.letters == MESSAGES - GOOD
