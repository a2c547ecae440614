"""The soak, for a minute, and the account that it ends with."""

import pathlib

import pytest

from pipeline.emulators import EmulatorMissingError
from tests.benchmarks.soak import Fault, draw, soak
from tests.benchmarks.soak_account import Account, Letter, Row, account, is_poison, message
from tests.integration.conftest import not_tested

MESSAGES = 40
LETTERS = [Letter(message(number), "no") for number in range(MESSAGES) if is_poison(number)]


def good_rows() -> list[Row]:
    """The rows that the messages should make."""
    rows = []
    for number in range(MESSAGES):
        if not is_poison(number):
            for index, content in enumerate((f"Message number {number}.", "It has two sentences.")):
                rows.append(Row(f"{number}/{index}", str(number), index, content, len(content)))
    return rows


def test_a_clean_account() -> None:
    """Every row once, and a letter for each poison."""
    found = account(MESSAGES, good_rows(), LETTERS)
    assert found == Account(MESSAGES, rows=76, letters=2, lost=0, refused=0, wrong=0, doubled=0)
    assert found.is_clean()


@pytest.mark.parametrize(
    ("rows", "letters", "field"),
    [
        (good_rows()[1:], LETTERS, "lost"),
        (good_rows(), LETTERS[1:], "lost"),
        (good_rows(), [*LETTERS, Letter(message(3), "no")], "refused"),
        (good_rows(), [*LETTERS, Letter(b'{"id":"0a","message_id":"3"}', "no")], "refused"),
        ([*good_rows(), good_rows()[5]], LETTERS, "doubled"),
        ([*good_rows(), Row("a", "7", 0, "cut", 3.0)], LETTERS, "wrong"),
        ([*good_rows()[:-1], good_rows()[-1]._replace(content="It has")], LETTERS, "wrong"),
        ([*good_rows()[:-1], good_rows()[-1]._replace(length=1.0)], LETTERS, "wrong"),
    ],
)
def test_what_an_account_finds(rows: list[Row], letters: list[Letter], field: str) -> None:
    """One of each fault is counted as that, and as nothing else."""
    found = account(MESSAGES, rows, letters)
    assert {name: count for name, count in found._asdict().items() if name in FAULTY and count} == {field: 1}
    assert not found.is_clean()


FAULTY = ("lost", "refused", "wrong", "doubled")


def test_the_draw_has_every_fault_in_each_round_in_another_order() -> None:
    """The same seed draws the same; a fault that is in one round of two comes in every second one."""
    faults = [Fault(name, name, 0, pytest.fail) for name in "abcdef"] + [Fault("long", "long", 0, pytest.fail, 2)]
    coming, again = draw(faults, 5), draw(faults, 5)
    drawn = [next(coming).name for _ in range(13)]
    assert drawn == [next(again).name for _ in range(13)]
    assert sorted(drawn[:6]) == list("abcdef") != drawn[:6]
    assert sorted(drawn[6:]) == [*"abcdef", "long"]


@pytest.mark.slow
@pytest.mark.subprocess
def test_a_minute_of_faults_loses_nothing(tmp_path: pathlib.Path) -> None:
    """On the local runner, with each fault of a round of the draw: a message is its rows once, or a dead letter."""
    try:
        report = soak(minutes=1, runner="local", rate=50, seed=0, logs=tmp_path / "logs", every=8)
    except EmulatorMissingError as error:
        not_tested(error)
    assert report.is_clean(), report
    assert {str(name) for name, *_ in report.faults} | {"disk full"} == {
        *("kill -9", "program stopped", "Pub/Sub stopped", "BigQuery stopped", "401", "column renamed", "disk full")
    }
