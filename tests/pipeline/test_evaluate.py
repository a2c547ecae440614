"""Scores of a model on pairs and on labels."""

import json
import pathlib
import re
from collections.abc import Callable

import numpy as np
import pytest

from pipeline import evaluate
from tests.conftest import DATA, ROOT
from transforms.encoder.text_encoder import TextEncoder


def test_spearman_is_of_ranks() -> None:
    """Any rising function of the cosine is a perfect score, a falling one the worst."""
    angles = np.linspace(0, 3, 20)
    first = np.tile([1.0, 0.0], (20, 1))
    second = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.arange(1, 21)[:, None]
    assert evaluate.spearman(first, second, np.exp(-angles)).score == pytest.approx(1)
    assert evaluate.spearman(first, second, angles).score == pytest.approx(-1)
    shuffled = evaluate.spearman(first, second, np.random.default_rng(0).permutation(20))
    assert shuffled.low < shuffled.score < shuffled.high
    assert shuffled.low < 0 < shuffled.high


def test_a_probe_finds_what_is_there_and_nothing_else() -> None:
    """Vectors that hold the label give all, random ones what the most frequent label gives."""
    random = np.random.default_rng(0)
    labels = ["a", "b", "b"] * 60
    noise = random.normal(0, 1, (180, 16))
    told = noise + 5 * np.array([[label == "a"] for label in labels])
    assert evaluate.probe(told, labels).score > 0.98
    blind = evaluate.probe(noise, labels)
    assert blind.baseline == pytest.approx(2 / 3)
    assert blind.score < 0.72


def run(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, float]:
    """Scores by measure."""
    assert evaluate.main(options) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    return {line[1]: float(line[3]) for line in lines}


def test_minilm_knows_meaning(minilm: TextEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    """On ten pairs of different words, and on the genres of the example messages."""
    pairs = run(capsys, f"--similarity={DATA}/similarity.tsv", "--format=tsv")
    assert pairs["spearman"] > 0.8
    genres = run(capsys, f"--labelled={ROOT}/examples/messages.jsonl", "--format=jsonl", "--label_field=genre")
    assert genres["accuracy"] > 0.75


def test_a_model_that_knows_letters_only_is_worse(
    text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model of this test gives the length of a text, which says little of its meaning."""
    options = (f"--similarity={DATA}/similarity.tsv", "--format=tsv", f"--model={text_encoder}")
    assert run(capsys, *options)["spearman"] < 0.7


@pytest.mark.parametrize(
    ("record", "options", "reason"),
    [
        ({}, [], "expected --similarity=FILE, --labelled=FILE or --embeddings=GLOB, got none"),
        ({"text": "x"}, ["--labelled"], r"expected the fields \['text', 'label'\] in record 1 of .*, got \['text'\]"),
        ({"text": "x", "label": "a"}, ["--labelled"], r"expected at least two labels of 5 texts each"),
        ({"sentence1": "x", "sentence2": "y", "score": "high"}, ["--similarity"], "expected numbers in the field"),
        ({"sentence1": "x", "sentence2": "y", "score": 1}, ["--similarity"], "at least 4 pairs of different scores"),
    ],
)
def test_data_that_cannot_score_is_refused(
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    record: dict[str, object],
    options: list[str],
    reason: str,
) -> None:
    """One line, before a model is loaded."""
    (tmp_path / "data.jsonl").write_text((json.dumps(record) + "\n") * 7)
    assert evaluate.main(["--format=jsonl", *(f"{option}={tmp_path}/data.jsonl" for option in options)]) == 2
    printed = capsys.readouterr().err
    assert re.search(reason, printed)
    assert printed.count("\n") == 1


@pytest.mark.slow
def test_sizes_and_prompts_can_be_compared(trained: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    """They are options as in a run, and what a model cannot do is refused by its name there."""
    options = (f"--similarity={DATA}/similarity.tsv", "--format=tsv", f"--model={trained('sizes')}")
    # What an export says that was made for this test.
    capsys.readouterr()
    whole = run(capsys, *options, "--max_seq_length=40")
    cut = run(capsys, *options, "--max_seq_length=40", "--truncate_dim=4")
    asked = run(capsys, *options, "--max_seq_length=40", "--prompt=query")
    assert len({each["spearman"] for each in (whole, cut, asked)}) == 3
    assert evaluate.main([*options, "--max_seq_length=40", "--truncate_dim=5"]) == 2
    assert "expected --truncate_dim as 8 or 4, the sizes that" in capsys.readouterr().err
