"""The program on a Flink cluster with workers of their own: it submits and returns, or waits and cancels."""

import json
import pathlib
import signal
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from pipeline.emulators.pubsub import PubsubEmulator
from pipeline.runners import RunnerMissingError
from pipeline.runners.flink import cluster, job_server, worker_pool
from tests.integration.conftest import not_tested
from tests.integration.test_runners import program, rows
from tests.integration.test_stream import SECONDS, payloads, publish, wait_for

# A job on a cluster starts worker processes, and each imports TensorFlow.
_JOB_SECONDS = 400
pytestmark = [pytest.mark.slow, pytest.mark.runner, pytest.mark.subprocess]


class Flink(NamedTuple):
    """A cluster: where its REST interface is, and the options that choose it."""

    rest: str
    options: list[str]


@pytest.fixture(scope="module")
def flink_cluster(pubsub_server: PubsubEmulator) -> Iterator[Flink]:
    """A cluster of one task manager with its own worker processes, which know the Pub/Sub emulator."""
    try:
        with cluster() as running, job_server(running.rest) as endpoint, worker_pool() as workers:
            chosen = ["--runner=PortableRunner", f"--job_endpoint={endpoint}", "--environment_type=EXTERNAL"]
            chosen += [f"--environment_config={workers}", "--environment_cache_millis=60000", "--parallelism=1"]
            yield Flink(running.rest, chosen)
    except RunnerMissingError as error:
        not_tested(error)


def jobs(rest: str) -> dict[str, str]:
    """The cluster's jobs, each with its status."""
    with urllib.request.urlopen(f"http://{rest}/jobs") as answer:
        return {job["id"]: job["status"] for job in json.load(answer)["jobs"]}


def test_a_batch_goes_on_without_the_program(
    flink_cluster: Flink, text_encoder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """--wait=false prints the job's id and returns; the rows come later."""
    (tmp_path / "in.txt").write_text("".join(f"This is line {n}. It has two sentences.\n" for n in range(50)))
    with program(
        f"--input={tmp_path}/in.txt", "--input_format=text", f"--model={text_encoder}", "--output_format=jsonl",
        f"--output={tmp_path}/out/rows", *flink_cluster.options, "--wait=false",
    ) as process:  # fmt: skip
        out, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert out.startswith("submitted BeamApp-")
    wait_for(lambda: "FINISHED" in jobs(flink_cluster.rest).values(), _JOB_SECONDS)
    assert len(rows(tmp_path / "out")) == 100


def test_sigterm_cancels_a_stream_whose_workers_are_elsewhere(
    flink_cluster: Flink, pubsub_server: PubsubEmulator, text_encoder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The program says so and ends with 1, and the job runs no more."""
    subscription = pubsub_server.subscription()
    publish(pubsub_server, subscription, payloads(100))
    with program(
        f"--input_subscription={subscription.name}", "--input_format=json", f"--model={text_encoder}",
        "--id_attribute=key", "--output_format=jsonl", f"--output={tmp_path}/rows", *flink_cluster.options,
        "--checkpointing_interval=1000", "--max_bundle_time_mills=50",
    ) as process:  # fmt: skip
        wait_for(lambda: len({row["id"] for row in rows(tmp_path)}) == 200 or process.poll() is not None, _JOB_SECONDS)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "what is not acknowledged will be delivered again" in errors
    assert errors.endswith("the pipeline failed: the job was cancelled\n")
    wait_for(lambda: "RUNNING" not in jobs(flink_cluster.rest).values())
