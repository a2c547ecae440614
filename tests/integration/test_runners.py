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
from tests.benchmarks.soak_account import BigQuerySink, account, message
from tests.conftest import ROOT
from tests.integration.test_stream import SECONDS, payloads, publish, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.subprocess]
RUNNERS = ("prism", "flink")
MESSAGES = 600


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
    """The rows are there when the program ends, and the counts come from the runner."""
    (tmp_path / "in.txt").write_text("".join(f"This is line {n}. It has two sentences.\n" for n in range(50)))
    with program(
        f"--input={tmp_path}/in.txt", "--input_format=text", f"--model={text_encoder}", "--output_format=jsonl",
        f"--output={tmp_path}/out/rows", *runner,
    ) as process:  # fmt: skip
        out, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert len(rows(tmp_path / "out")) == 100
    assert "rows          100 in" in out
    assert "sentences     100, of them truncated 0" in out


def test_sigterm_ends_a_stream_with_nothing_left(
    pubsub_server: PubsubEmulator, stream_options: list[str], text_encoder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """All that was published is written once and acknowledged, and the program ends well."""
    subscription = pubsub_server.subscription()
    publish(pubsub_server, subscription, payloads(200))
    with program(
        f"--input_subscription={subscription.name}", "--input_format=json", f"--model={text_encoder}",
        "--id_attribute=key", "--output_format=jsonl", f"--output={tmp_path}/rows", *stream_options,
    ) as process:  # fmt: skip
        wait_for(lambda: len({row["id"] for row in rows(tmp_path)}) >= 400 or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert "stopping: writing and acknowledging what was pulled" in errors
    assert len(rows(tmp_path)) == 400
    assert "acknowledged  200 of 200 pulled" in out
    assert pubsub_server.left(subscription.name) == 0


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


def test_poison_is_kept_and_all_else_is_there_once(
    runner: list[str], dataset: str, client: bigquery.Client, text_encoder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """A batch in which one message in twenty is poison: each of the others has its rows, and each poison a letter."""
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(map(message, range(MESSAGES))))
    with program(
        f"--input={tmp_path}/in.jsonl", "--input_format=jsonl", *to_tables(dataset, text_encoder), *runner
    ) as process:
        out, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert f"dead letters  {MESSAGES // 20} (" in out
    check_account(BigQuerySink(client, dataset))


def test_poison_in_a_stream_is_kept_and_all_else_is_there_once(
    pubsub_server: PubsubEmulator, stream_options: list[str], dataset: str, client: bigquery.Client,
    text_encoder: pathlib.Path,
) -> None:  # fmt: skip
    """The same in a stream, and nothing is left once it has ended."""
    subscription, sink = pubsub_server.subscription(), BigQuerySink(client, dataset)
    pubsub_server.publish(subscription.topic, [message(number) for number in range(MESSAGES)])
    with program(
        f"--input_subscription={subscription.name}", "--input_format=json", *to_tables(dataset, text_encoder),
        *stream_options,
    ) as process:  # fmt: skip
        good = MESSAGES - MESSAGES // 20
        wait_for(
            lambda: (sink.count() >= 2 * good and len(sink.letters()) >= MESSAGES // 20) or process.poll() is not None
        )
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert f"acknowledged  {MESSAGES} of {MESSAGES} pulled" in out
    assert pubsub_server.left(subscription.name) == 0
    check_account(sink)


def to_tables(dataset: str, model: pathlib.Path) -> list[str]:
    """The options of a run that writes to rows and letters of a dataset."""
    tables = [f"--output={dataset}.rows", f"--dead_letters={dataset}.letters"]
    return ["--id_field=id", f"--model={model}", "--output_format=bigquery", *tables]


def check_account(sink: BigQuerySink) -> None:
    """Of the messages of the soak, nothing is lost, wrong, or doubled in the view."""
    found = account(MESSAGES, sink.rows(), sink.letters())
    assert found.is_clean(), found
    assert found.letters == MESSAGES // 20
