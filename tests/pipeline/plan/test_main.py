"""The program: what it prints, and what it refuses."""

import json
import pathlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.plan.__main__ import main, money, number, size
from tests.conftest import ROOT

LOAD = ["--messages_per_second=10", "--sentences_per_message=4", "--model=minilm"]


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the program prints when all is well."""
    assert main(arguments) == 0
    return capsys.readouterr().out


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a refusal."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line.removeprefix("python -m pipeline.plan: ")


def test_the_page_shows_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """To the letter, for each load."""
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    shown = re.findall(r"^    python -m pipeline\.plan (--messages[^\n]*)\n\n```\n(.*?)```", page, re.M | re.S)
    assert [re.findall(r"--messages_per_second=(\d+)", command) for command, _ in shown] == [
        ["10"],
        ["10000"],
        ["1000000"],
    ]
    for command, text in shown:
        assert printed(command.split(), capsys) == text


def test_a_quota_that_is_exceeded_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """And a dataset in a multi-region has others."""
    large = [*LOAD, "--messages_per_second=20000"]
    assert re.search(r"^exceeded      BigQuery, written, 1\.43 times; ask Google", printed(large, capsys), re.M)
    assert "exceeded" not in printed([*large, "--bigquery_location=multi_region"], capsys)


def test_a_spark_nlp_name_is_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    """As everywhere."""
    text = printed(["--messages_per_second=1", "--sentences_per_message=1", "--model=sent_bert_base_cased"], capsys)
    assert "bert_base_cased in float32" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected --messages_per_second=NUMBER, got none"),
        (
            ["--messages_per_second=5"],
            "expected --sentences_per_message=NUMBER, got none; or --calibrate=FILE, to take it from messages",
        ),
        ([*LOAD, "--keep_days="], "expected --keep_days=NUMBER, got none"),
        ([*LOAD, "--vcpus_per_worker=6"], "expected --vcpus_per_worker to be 4 or 8, got '6'"),
        (
            [*LOAD, "--bigquery_location=US"],
            "expected --bigquery_location to be region or multi_region, got 'US'",
        ),
        (
            [*LOAD, "--model=bert_large_cased"],
            "expected --model and --precision whose rate is known, got 'bert_large_cased' in float32; measure it with "
            "--calibrate=FILE --input_format=FORMAT",
        ),
        (
            [*LOAD, "--text_field=body"],
            "expected --calibrate=FILE with --text_field, which says how to read it; add the file",
        ),
        ([*LOAD, "--calibrate=nosuch.txt"], "expected --input_format="),
        (
            [*LOAD, "--calibrate=nosuch.txt", "--input_format=text"],
            "expected --calibrate to match a file, 'nosuch.txt' matches none; check the path",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """That names the option."""
    assert refused(arguments, capsys).startswith(message)


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "1e400", "1000001", "ten", "10,000"])
def test_only_numbers_up_to_a_million_are_loads(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever else Python takes for a number."""
    expected = f"expected --messages_per_second from 0.001 to 1,000,000, got {given!r}"
    assert refused([*LOAD, f"--messages_per_second={given}"], capsys) == expected


@pytest.mark.slow
def test_a_file_tells_the_rate_and_the_sizes(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured with any model, and read as the pipeline reads it; what is given goes before what is found."""
    messages = [{"body": "One. Two. Three.", "key": "x" * 500}, {"body": "Four."}, {"body": " "}, {"body": None}]
    lines = [json.dumps(each) for each in messages]
    (tmp_path / "messages.jsonl").write_text("\n".join(lines) + "\n")
    options = ["--messages_per_second=10", f"--calibrate={tmp_path / '*.jsonl'}", "--input_format=jsonl"]
    options += ["--text_field=body", f"--model={text_encoder}"]
    text = printed(options, capsys)
    mean = sum(map(len, lines)) / len(lines)
    assert f"10 messages a second, of 1 sentences and {mean:.0f} bytes each; 10 sentences a second" in text
    assert ": 4 sentences in" in text
    assert "which is short; give more messages" in text
    rows, vector = re.findall(
        r"^rows +([\d.]+) bytes each in BigQuery, of which the vector takes (\d+) bytes", text, re.M
    )[0]
    assert int(vector) == 8 * 4
    # Three rows of four have 500 bytes of metadata.
    assert float(rows) > 375 + 32
    text = printed([*options, "--sentences_per_message=7", "--message_bytes=3000"], capsys)
    assert "10 messages a second, of 7 sentences and 3 kB each" in text
    (tmp_path / "messages.jsonl").write_text('{"body": " "}\n')
    assert refused(options, capsys).endswith("got none: 1 messages without text")
    (tmp_path / "messages.jsonl").write_text("")
    assert refused(options, capsys).endswith(", got none")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.0349, "0.0349"),
        (1, "1"),
        (9.996, "10"),
        (36.5, "36.5"),
        (146, "146"),
        (14_513, "14,500"),
        (1e6, "1,000,000"),
    ],
)
def test_numbers_have_three_digits(value: float, shown: str) -> None:
    """And no zeros behind the point."""
    assert number(value) == shown


@given(st.floats(1e-6, 1e18))
def test_a_shown_number_is_near(value: float) -> None:
    """Within half of its third digit, in whatever unit."""
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=0.0051)
    shown, unit = size(value).split()
    power = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB").index(unit)
    assert float(shown.replace(",", "")) * 1000**power == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0.00"),
        (0.044, "0.04"),
        (99.99, "99.99"),
        (100, "100"),
        (35_712, "35,700"),
        (999_900, "1 million"),
        (3.54e6, "3.54 million"),
        (2.5e9, "2.5 billion"),
    ],
)
def test_dollars_are_readable(value: float, shown: str) -> None:
    """By somebody in a hurry."""
    assert money(value) == shown
