"""Measures of searches."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import evaluate, retrieval
from pipeline.search.places import Found, Rows, Vector
from pipeline.search.searching import Search
from tests.pipeline.test_search import row, write
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import TextEncoder

__all__ = ["write"]


def test_scores_are_those_of_the_definitions() -> None:
    """Recall, nDCG by the logarithm of the rank, and the reciprocal rank; nothing for what has no answer."""
    ranked = {"a": ["x", "y"], "b": ["z", "x", "w"], "c": []}
    found = retrieval.scores(ranked, {"a": {"x": 1}, "b": {"w": 2, "q": 1}, "c": {"x": 1}, "d": {"x": 1}})
    assert found["R@10"].tolist() == [1, 0.5, 0, 0]
    assert found["RR@10"].tolist() == pytest.approx([1, 1 / 3, 0, 0])
    ideal = 2 + 1 / np.log2(3)
    assert found["nDCG@10"].tolist() == pytest.approx([1, 2 / np.log2(4) / ideal, 0, 0])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
@settings(max_examples=20)
def test_an_interval_has_the_mean_in_it(values: list[float]) -> None:
    """Whatever the values; and it is a point if they are all alike."""
    low, high = retrieval.interval(np.array(values))
    assert low - 1e-9 <= np.mean(values) <= high + 1e-9 or len(set(values)) > 1
    assert retrieval.interval(np.full(5, values[0])) == pytest.approx((values[0], values[0]))


def test_a_difference_is_told_from_chance() -> None:
    """One that is on every query, from one that is on half of them."""
    random = np.random.default_rng(0)
    first = random.uniform(size=40)
    assert retrieval.p_value(first, first + 0.1) < 0.01
    assert retrieval.p_value(first, first) == 1
    assert retrieval.p_value(first, first + random.choice([-0.1, 0.1], 40)) > 0.05


class Known(Rows):
    """Rows of which one is the query itself."""

    def models(self) -> list[tuple[str, str]]:
        """One model."""
        return [("minilm", self.version)]

    def __init__(self, version: str) -> None:
        self.version = version

    def nearest(self, query: Vector, version: str, limit: int) -> list[Found]:
        """The query, and two sentences of a message."""
        return [Found(1, "the query is here", "m", {}), Found(0.9, "b", "n", {}), Found(0.8, "c", "n", {})]

    def with_words(self, words: Any, version: str, limit: int) -> list[Found]:
        """Another sentence."""
        return [Found(2, "d", "m", {})]


def test_a_query_does_not_find_itself(minilm: TextEncoder) -> None:
    """If it is a sentence of the rows; a message counts once, by its best sentence."""
    search = Search(Known(minilm.version), EncoderOptions("minilm"))
    questions, judgements = retrieval.known_items([("m", "the query is here"), ("x", "too short")], True)
    assert judgements == {"m": {"m": 1}}
    ranked = retrieval.rankings(search, questions)
    assert ranked["vectors"] == {"m": ["n"]}
    assert ranked["words"] == {"m": ["m"]}
    assert sorted(ranked["hybrid"]["m"]) == ["m", "n"]


def test_known_items_are_made_of_the_rows(write: Any, minilm: TextEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    """Each message by its first sentence, and by a field of its metadata; two globs are asked the same queries."""
    texts = ["My dog likes long walks.", "He runs with his leash.", "The invoice is overdue now.", "Pay the bill soon."]
    vectors = minilm.encode(texts)
    rows = [
        row(i, text, vector, genre=f"about {'dogs' if i < 2 else 'bills'} and other things", version=minilm.version)
        for i, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]
    rows = [each._replace(model="minilm", message_id=f"m{i // 2}", sentence_index=i % 2) for i, each in enumerate(rows)]
    glob = write(*rows)
    for known in ("--known_items", "--known_items=genre"):
        assert evaluate.main([f"--embeddings={glob}", f"--embeddings={glob}", known]) == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert [line[2] for line in lines[1:]] == ["vectors", "words", "hybrid"] * 2
        assert {(line[3], line[4]) for line in lines if line[2] == "vectors"} == {("2", "1.000")}
        assert lines[4][-1] == "1.000"


def test_judgements_are_read(write: Any, minilm: TextEncoder, tmp_path: pathlib.Path, capsys: Any) -> None:
    """With the grades, and without queries that have no right answer; what is wrong is said in one line."""
    texts = ["A dog.", "A bill."]
    rows = [row(i, texts[i], vector, version=minilm.version) for i, vector in enumerate(minilm.encode(texts))]
    rows = [each._replace(model="minilm") for each in rows]
    glob = write(*rows)
    queries = [{"id": "1", "text": "puppies"}, {"id": "2", "text": "invoices"}, {"id": "3", "text": "nothing"}]
    judged = [("1", "m0", 2), ("2", "m1", 1), ("3", "m1", 0)]
    judgements = [{"query": query, "message": message, "relevance": grade} for query, message, grade in judged]
    for name, records in (("queries", queries), ("judgements", judgements)):
        (tmp_path / name).write_text("\n".join(json.dumps(record) for record in records))
    ask = [f"--embeddings={glob}", f"--queries={tmp_path}/queries", "--format=jsonl"]
    assert evaluate.main([*ask, f"--judgements={tmp_path}/judgements"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[3:5] == ["2", "1.000"]
    (tmp_path / "judgements").write_text(json.dumps({"query": "9", "message": "m0", "relevance": 1}))
    assert evaluate.main([*ask, f"--judgements={tmp_path}/judgements"]) == 2
    assert "expected a query of" in capsys.readouterr().err
    assert evaluate.main(ask) == 2
    assert "expected --judgements=FILE" in capsys.readouterr().err
    assert evaluate.main(ask[:1]) == 2
    assert "or --known_items, with --embeddings" in capsys.readouterr().err


def test_rows_of_a_model_in_a_directory_are_scored(
    write: Any, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --model, as the rows hold only its name; in as many as there are --embeddings, and refused in others."""
    model = TextEncoder(str(text_encoder))
    texts = ["My dog likes long walks.", "He runs with his leash.", "The invoice is overdue now.", "Pay the bill soon."]
    rows = [
        row(i, text, vector, version=model.version)
        for i, (text, vector) in enumerate(zip(texts, model.encode(texts), strict=True))
    ]
    rows = [
        each._replace(model=model.name, message_id=f"m{i // 2}", sentence_index=i % 2) for i, each in enumerate(rows)
    ]
    ask = [f"--embeddings={write(*rows)}", "--known_items"]
    assert evaluate.main([*ask, f"--model={text_encoder}"]) == 0
    assert f"{model.name} {model.version}" in capsys.readouterr().out
    assert evaluate.main([*ask, f"--model={text_encoder}", "--model=minilm"]) == 2
    assert "expected one --model for each of 1 --embeddings, or none, got 2" in capsys.readouterr().err
