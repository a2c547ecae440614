"""Where clients go."""

import pytest

from transforms.io.google_clients import (
    REST_EMULATOR,
    STORAGE_EMULATOR,
    bigquery_client,
    bigquery_write_client,
    emulator_address,
)


@pytest.mark.parametrize("given", ["localhost:9050", "http://localhost:9050", " http://localhost:9050/ "])
def test_an_emulators_address_is_normalised(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With or without a scheme."""
    monkeypatch.setenv(REST_EMULATOR, given)
    assert emulator_address(REST_EMULATOR) == "localhost:9050"


@pytest.mark.parametrize("given", ["localhost", "https://localhost:9050", "localhost:port", "a:1/path", ":9050"])
def test_another_address_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line that names the variable."""
    monkeypatch.setenv(REST_EMULATOR, given)
    with pytest.raises(ValueError, match=f"expected {REST_EMULATOR} as host:port, got"):
        emulator_address(REST_EMULATOR)


def test_without_the_variable_there_is_no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty is as good as unset."""
    monkeypatch.setenv(REST_EMULATOR, "")
    assert emulator_address(REST_EMULATOR) is None


def test_half_an_emulator_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test must not write to a real project because one of two variables was forgotten."""
    monkeypatch.setenv(REST_EMULATOR, "localhost:1")
    monkeypatch.delenv(STORAGE_EMULATOR, raising=False)
    with pytest.raises(ValueError, match=f"expected {STORAGE_EMULATOR} beside {REST_EMULATOR}"):
        bigquery_write_client()


def test_a_process_has_one_client_of_each_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it needs no credentials."""
    monkeypatch.setenv(REST_EMULATOR, "localhost:1")
    monkeypatch.setenv(STORAGE_EMULATOR, "localhost:2")
    assert bigquery_client("p") is bigquery_client("p")
    assert bigquery_write_client() is bigquery_write_client()
    monkeypatch.setenv(STORAGE_EMULATOR, "localhost:3")
    first = bigquery_write_client()
    monkeypatch.setenv(STORAGE_EMULATOR, "localhost:2")
    assert bigquery_write_client() is not first
