"""Emulators for the integration tests; a test that needs one is skipped, loudly, where it cannot be had."""

import contextlib
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from google.cloud import bigquery

from pipeline.emulators.bigquery import Emulator
from pipeline.emulators.pubsub import PubsubEmulator, pubsub_emulator
from pipeline.runners import RunnerMissingError, present, prism_path
from tests.integration.fault_proxy import FaultProxy
from tests.integration.tables import Tables
from tests.shared import Shared
from transforms.io.bigquery.tables import create_table
from transforms.io.google_clients import REST_EMULATOR, STORAGE_EMULATOR, bigquery_client
from transforms.schema import DEAD_LETTER_COLUMNS, DEAD_LETTER_LAYOUT, EMBEDDING_COLUMNS, EMBEDDING_LAYOUT

PROJECT = "local-project"


@contextlib.contextmanager
def pubsub_host() -> Iterator[str]:
    """The Pub/Sub emulator's host:port, for as long as it runs."""
    with pubsub_emulator() as running:
        yield running.host


@pytest.fixture(scope="session")
def pubsub_server(shared: Shared) -> Iterator[PubsubEmulator]:
    """The Pub/Sub emulator, for all tests."""
    host = _served(shared, f"{__name__}:pubsub_host")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBSUB_EMULATOR_HOST", host)
        yield PubsubEmulator(host)


@pytest.fixture(scope="session")
def bigquery_server(shared: Shared) -> Emulator:
    """A BigQuery emulator, for all tests."""
    return Emulator(*_served(shared, "pipeline.emulators.bigquery:bigquery_emulator"))


@pytest.fixture
def prism() -> str:
    """Prism's program, as `make runners` has got it."""
    try:
        return str(present(prism_path()))
    except RunnerMissingError as error:
        not_tested(error)


@pytest.fixture(scope="session")
def flink(shared: Shared) -> str:
    """host:port of a job server that has a Flink inside, for all tests."""
    return str(_served(shared, "pipeline.runners.flink:job_server"))


def _served(shared: Shared, name: str) -> Any:
    try:
        return shared.served(name)
    except RuntimeError as error:
        not_tested(error)


def not_tested(error: Exception) -> NoReturn:
    """Skip with a loud line; fail where REQUIRE_EMULATORS=1 says that the machine has them."""
    if os.environ.get("REQUIRE_EMULATORS") == "1":
        raise error
    warnings.warn(f"NOT TESTED: {error}", stacklevel=2)
    pytest.skip(str(error))


@pytest.fixture
def proxy(bigquery_server: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy before the emulator, which the writers are told is BigQuery."""
    with FaultProxy(bigquery_server).running() as running:
        monkeypatch.setenv(REST_EMULATOR, running.rest)
        monkeypatch.setenv(STORAGE_EMULATOR, running.storage)
        yield running


@pytest.fixture
def client(proxy: FaultProxy) -> bigquery.Client:
    """A client of the emulator, through the proxy."""
    return bigquery_client(PROJECT)


@pytest.fixture
def dataset(client: bigquery.Client, request: pytest.FixtureRequest) -> Iterator[str]:
    """A dataset of the test's own, "project.dataset", with the tables rows and letters."""
    name = f"{PROJECT}.test_{abs(hash(request.node.nodeid))}"
    client.create_dataset(name)
    create_table(f"{name}.rows", EMBEDDING_COLUMNS, EMBEDDING_LAYOUT)
    create_table(f"{name}.letters", DEAD_LETTER_COLUMNS, DEAD_LETTER_LAYOUT)
    yield name
    client.delete_dataset(name, delete_contents=True)


@pytest.fixture
def tables(
    dataset: str,
    client: bigquery.Client,
    tmp_path: pathlib.Path,
    tiny_bert: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> Tables:
    """The tables of the test's dataset, and the model tiny_bert."""
    return Tables(dataset, client, tmp_path, tiny_bert, capsys)
