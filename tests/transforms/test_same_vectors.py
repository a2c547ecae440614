"""MLTransform, Beam YAML, `embed` and the pipeline give the same sentences the same vectors."""

import json
import pathlib
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest
from apache_beam.ml.rag.types import EmbeddableItem
from apache_beam.ml.transforms.base import MLTransform

from tests.beam import run
from transforms import SentenceEmbeddings, TextEncoder, embed

TEXTS = [
    "My dog likes long walks. He barked at 3 p.m. yesterday!",
    "The invoice is overdue. Please pay by Friday, or call Dr. Smith.",
]


@pytest.fixture(scope="module")
def expected(minilm: TextEncoder) -> dict[str, Any]:
    """The vectors by sentence, of `embed`."""
    rows = embed(TEXTS)
    assert len(rows) == 4
    return dict(zip(rows.sentence, rows.embedding, strict=True))


def check(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Same sentences, same vectors up to float32's rounding."""
    assert sorted(found) == sorted(expected)
    for content, vector in expected.items():
        np.testing.assert_allclose(found[content], vector, atol=1e-6, err_msg=content)


def test_the_pipelines(expected: dict[str, Any], tmp_path: pathlib.Path) -> None:
    """From a file to rows."""
    from pipeline.__main__ import main

    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    options = {"input": tmp_path / "in.jsonl", "input_format": "jsonl", "model": "minilm"}
    options |= {"output": tmp_path / "rows", "output_format": "parquet"}
    assert main([f"--{name}={value}" for name, value in options.items()]) == 0
    (path,) = tmp_path.glob("rows*.parquet")
    check({row["content"]: row["embedding"] for row in pq.read_table(path).to_pylist()}, expected)


@pytest.mark.parametrize("make", [lambda content: {"x": content, "n": 1}, lambda content: beam.Row(x=content, n=1)])
def test_mltransforms(expected: dict[str, Any], tmp_path: pathlib.Path, make: Any) -> None:
    """The vector takes the column's place; the artifact that a first run wrote serves a second."""
    contents = sorted(expected)
    transform = MLTransform(write_artifact_location=str(tmp_path / "artifacts")).with_transform(
        SentenceEmbeddings("minilm", columns=["x"])
    )
    elements = [make(content) for content in contents]
    for apply in (transform, MLTransform(read_artifact_location=str(tmp_path / "artifacts"))):
        rows = [row if isinstance(row, dict) else row.as_dict() for row in run(elements, apply)]
        assert all(row["n"] == 1 for row in rows)
        check(dict(zip(contents, (row["x"] for row in rows), strict=True)), expected)


def test_mltransforms_on_items(expected: dict[str, Any], tmp_path: pathlib.Path) -> None:
    """As Beam's `ml.rag` uses it."""
    items = [EmbeddableItem.from_text(content) for content in expected]
    transform = MLTransform(write_artifact_location=str(tmp_path)).with_transform(SentenceEmbeddings("minilm"))
    check({item.content_string: item.dense_embedding for item in run(items, transform)}, expected)


@pytest.mark.parametrize("null", [None, float("nan")])
def test_mltransforms_null_has_a_null_vector(text_encoder: pathlib.Path, tmp_path: pathlib.Path, null: Any) -> None:
    """And the other rows of its batch have theirs."""
    transform = MLTransform(write_artifact_location=str(tmp_path)).with_transform(
        SentenceEmbeddings(str(text_encoder), columns=["x"])
    )
    rows = run([{"x": "Fine."}, {"x": null}, {"x": "Good."}], transform)
    assert [row["x"] and row["x"][0] for row in rows] == [5.0, None, 5.0]


YAML = """
pipeline:
  transforms:
    - type: ReadFromJson
      config:
        path: {input}
    - type: SplitSentences
      input: ReadFromJson
      config:
        text_field: body
        error_handling:
          output: refused
    - type: EmbedSentences
      input: SplitSentences
      config:
        model: {model}
        error_handling:
          output: refused
    - type: WriteToJson
      input: EmbedSentences
      config:
        path: {folder}/good
    - type: WriteToJson
      name: WriteNotSplit
      input: SplitSentences.refused
      config:
        path: {folder}/refused-split
    - type: WriteToJson
      name: WriteNotEmbedded
      input: EmbedSentences.refused
      config:
        path: {folder}/refused-embed
providers:
  - include: {providers}
"""


def run_yaml(folder: pathlib.Path, model: str, texts: list[str]) -> tuple[list[Any], list[Any]]:
    """Rows and dead letters of a YAML pipeline that reads texts from a file."""
    (folder / "in.json").write_text("".join(json.dumps({"body": t, "id": i}) + "\n" for i, t in enumerate(texts)))
    return run_yaml_text(folder, YAML, input=folder / "in.json", model=model)


def run_yaml_text(folder: pathlib.Path, text: str, **values: Any) -> tuple[list[Any], list[Any]]:
    """The lines of the files good* and refused* that a YAML pipeline writes, run as its users do."""
    pytest.importorskip("jinja2", reason="Beam YAML needs pip install 'apache-beam[yaml]'")
    from apache_beam.yaml import main

    from transforms.integrations.beam_yaml import PROVIDERS

    text = text.format(folder=folder, providers=PROVIDERS, **values)
    main.run([f"--yaml_pipeline={text}", "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"])
    good, refused = (
        [json.loads(line) for path in folder.glob(f"{name}*") for line in path.read_text().splitlines()]
        for name in ("good", "refused")
    )
    return good, refused


def test_yamls(expected: dict[str, Any], tmp_path: pathlib.Path) -> None:
    """Read, split, embed, write, without a line of Python."""
    rows, refused = run_yaml(tmp_path, "minilm", TEXTS)
    check({row["content"]: row["embedding"] for row in rows}, expected)
    assert {row["message_id"] for row in rows} == {"0", "1"}
    assert all(TEXTS[int(row["message_id"])][row["begin"] : row["end"]] == row["content"] for row in rows)
    assert refused == []


YAML_ROWS = """
pipeline:
  transforms:
    - type: Create
      config:
        elements:
          - {{id: good, text: Fine., at: "2024-01-02T03:04:05Z"}}
          - {{id: time, text: Fine., at: yesterday}}
          - {{id: number, text: 7, at: null}}
    - type: {transform}
      name: Tried
      input: Create
      config:
        timestamp_field: at
        {options}
        error_handling:
          output: refused
    - type: WriteToJson
      name: WriteGood
      input: Tried
      config:
        path: {folder}/good
    - type: WriteToJson
      name: WriteRefused
      input: Tried.refused
      config:
        path: {folder}/refused
providers:
  - include: {providers}
"""


@pytest.mark.parametrize("transform", ["SplitSentences", "EmbedSentences"])
def test_yamls_rows_that_cannot_be_used_are_dead_letters(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, transform: str
) -> None:
    """Whole, whatever is wrong with them."""
    options = f"model: {text_encoder}" if transform == "EmbedSentences" else "language: en"
    good, refused = run_yaml_text(tmp_path, YAML_ROWS, transform=transform, options=options)
    assert [row["message_id"] for row in good] == ["good"]
    assert sorted(json.loads(letter["payload_string"])["id"] for letter in refused) == ["number", "time"]


def test_yamls_dead_letters(tmp_path: pathlib.Path, text_encoder: pathlib.Path) -> None:
    """error_handling gives them as an output of their own."""
    rows, refused = run_yaml(tmp_path, str(text_encoder), ["Fine.", "raise this"])
    assert [row["content"] for row in rows] == ["Fine."]
    assert [json.loads(letter["payload_string"])["content"] for letter in refused] == ["raise this"]
