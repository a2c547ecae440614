"""`embed`: a table of sentences and vectors, without a pipeline."""

import doctest
import json
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.beam import run
from tests.conftest import DATA, message
from transforms import EmbedSentences, SentenceSplitter, SplitSentences, TextEncoder, embed
from transforms.encoder import text_encoder as encoder
from transforms.types import Message


def stacked(rows: pd.DataFrame) -> "np.ndarray":
    """The column of vectors as one array."""
    return np.stack(rows.embedding.tolist())


def test_a_list_becomes_a_row_a_sentence(text_encoder: pathlib.Path) -> None:
    """The index says which text, the offsets where in it."""
    texts = ["Hello there. How are you?", "Fine."]
    rows = embed(texts, str(text_encoder))
    assert rows.columns.tolist() == ["sentence", "begin", "end", "embedding"]
    assert rows.index.tolist() == [0, 0, 1]
    assert [texts[i][b:e] for i, b, e in zip(rows.index, rows.begin, rows.end, strict=True)] == rows.sentence.tolist()
    assert [vector[0] for vector in rows.embedding] == [12, 12, 5]
    assert rows.embedding.iloc[0].dtype == np.float32


def test_a_string_is_one_text(text_encoder: pathlib.Path) -> None:
    """As NLU takes it."""
    assert embed("Hello there. Fine.", str(text_encoder)).sentence.tolist() == ["Hello there.", "Fine."]


def test_a_dataframe_keeps_its_index_and_columns(text_encoder: pathlib.Path) -> None:
    """Also an index with repeats, and the types of the columns."""
    frame = pd.DataFrame(
        {"n": pd.array([1, 2, 3], "Int32"), "body": ["One. Two.", None, "Three."]}, index=pd.Index(["x", "y", "x"])
    )
    rows = embed(frame, str(text_encoder), text_column="body")
    assert rows.index.tolist() == ["x", "x", "x"]
    assert rows.columns.tolist() == ["n", "body", "sentence", "begin", "end", "embedding"]
    assert rows.n.tolist() == [1, 1, 3]
    assert rows.n.dtype == "Int32"
    assert frame.columns.tolist() == ["n", "body"]


@pytest.mark.parametrize("null", [None, float("nan"), pd.NA, "", " \n"])
def test_null_and_blank_texts_have_no_sentences(text_encoder: pathlib.Path, null: object) -> None:
    """And a document without text has no vector."""
    texts = pd.Series(["One.", null], dtype=object, name="body")
    assert embed(texts, str(text_encoder)).index.tolist() == [0]
    documents = embed(texts, str(text_encoder), output_level="document")
    assert documents.columns.tolist() == ["body", "embedding"]
    assert documents.embedding.iloc[1] is None


def test_nothing_in_nothing_out(text_encoder: pathlib.Path) -> None:
    """An empty table has the columns all the same."""
    rows = embed([], str(text_encoder))
    assert (len(rows), rows.columns.tolist()) == (0, ["sentence", "begin", "end", "embedding"])


def test_documents_are_encoded_whole_or_as_the_mean_of_their_sentences(text_encoder: pathlib.Path) -> None:
    """The encoder of this test gives the length of a text as its first number."""
    texts = ["Hello there. Fine.", "One."]
    whole = embed(texts, str(text_encoder), output_level="document")
    mean = embed(texts, str(text_encoder), output_level="document", document_vector="mean")
    assert whole.text.tolist() == texts
    assert [vector[0] for vector in whole.embedding] == [18, 4]
    assert [vector[0] for vector in mean.embedding] == [(12 + 5) / 2, 4]


def test_the_mean_of_scaled_vectors_is_scaled(minilm: TextEncoder) -> None:
    """Vectors of minilm have length 1, so its documents' have it too, unless the user wants neither."""
    text = "My dog likes long walks. The invoice is overdue."
    rows = embed(text, output_level="document", document_vector="mean")
    assert np.linalg.norm(rows.embedding.iloc[0]) == pytest.approx(1, abs=1e-6)
    plain = embed(text, output_level="document", document_vector="mean", normalize=False)
    assert np.linalg.norm(plain.embedding.iloc[0]) > 1.1


def test_the_vectors_are_the_original_models(minilm: TextEncoder) -> None:
    """Within cosine .9999 of what sentence-transformers gives for the same sentences."""
    reference = json.loads((DATA / "minilm_reference.json").read_text())
    texts, expected = reference["sentences"], np.array(reference["vectors"])
    rows = embed(texts, output_level="document")
    cosines = [np.dot(a, b) for a, b in zip(rows.embedding, expected, strict=True) if a is not None]
    assert len(cosines) == 25
    assert min(cosines) >= 0.9999


def test_the_pipeline_gives_the_same_sentences_and_vectors(minilm: TextEncoder) -> None:
    """One code path: splitter, encoder, vectors."""
    text = "My dog likes long walks. He barked at 3 p.m. yesterday!\n\n- one\n- two"
    rows = embed(text)
    piped = run([message(text)], SplitSentences(), Message)
    embedded = run(piped, EmbedSentences("minilm"))
    assert [(s.content, s.begin, s.end) for s in embedded] == list(
        rows[["sentence", "begin", "end"]].itertuples(index=False, name=None)
    )
    np.testing.assert_allclose(stacked(rows), [np.frombuffer(s.embedding, "<f4") for s in embedded], atol=1e-5)


def test_three_calls_load_the_model_once(tiny_bert: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder is kept in the process."""
    loads = []
    make = encoder.TextEncoder.__init__

    def counted(self: TextEncoder, *arguments: Any, **options: Any) -> None:
        loads.append(arguments)
        make(self, *arguments, **options)

    monkeypatch.setattr(encoder.TextEncoder, "__init__", counted)
    for text in ("good dog", "bad cat", "dog"):
        embed(text, str(tiny_bert), max_seq_length=39)
    assert len(loads) == 1


def test_a_bar_is_shown_on_long_input_or_on_demand(
    text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, counting sentences."""
    embed(["One."] * 2000, str(text_encoder))
    assert capsys.readouterr().err == ""
    embed(["One. Two."] * 1500, str(text_encoder))
    assert "3000/3000" in capsys.readouterr().err
    embed("One.", str(text_encoder), progress=True)
    assert "1/1" in capsys.readouterr().err


def test_the_users_own_splitter_and_cleanup_are_used(text_encoder: pathlib.Path) -> None:
    """What is embedded changes, offsets and sentences stay those of the text."""
    rows = embed("a  b | c", str(text_encoder), splitter=SentenceSplitter(custom_bounds=[r"\|"]), cleanup="shrink")
    assert rows.sentence.tolist() == ["a  b", "c"]
    assert [vector[0] for vector in rows.embedding] == [3, 1]


@pytest.mark.parametrize(
    ("texts", "options", "reason"),
    [
        ([1], {}, "expected text, got int at the index 0"),
        (pd.DataFrame({"body": ["x"]}), {}, r"expected the column 'text', got \['body'\]; pass text_column="),
        (pd.DataFrame({"text": ["x"], "end": [1]}), {}, r"expected no columns \['end'\]"),
        (pd.DataFrame([["x", "y"]], columns=["text", "text"]), {}, "expected one column 'text', got 2; rename"),
        (pd.DataFrame([["x"]], columns=pd.MultiIndex.from_tuples([("text", "")])), {}, "got a MultiIndex of 2 levels"),
        ("x", {"output_level": "word"}, "expected output_level to be one of sentence, document, got 'word'"),
        ("x", {"document_vector": "max"}, "expected document_vector to be one of whole, mean"),
        ("x", {"cleanup": "all"}, "expected cleanup to be one of disabled"),
    ],
)
def test_a_wrong_call_says_what_was_expected(
    text_encoder: pathlib.Path, texts: Any, options: dict[str, Any], reason: str
) -> None:
    """One line each."""
    with pytest.raises(ValueError, match=reason):
        embed(texts, str(text_encoder), **options)


def test_without_pandas_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base installation goes without it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pandas" else object())
    with pytest.raises(ImportError, match=r"embed needs pandas; pip install pandas, or this package with \[embed\]"):
        embed("x")


def test_the_example_in_the_docstring_is_true(minilm: TextEncoder) -> None:
    """What help(embed) shows."""
    tests = doctest.DocTestFinder().find(embed, globs={"embed": embed})
    results = [doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test) for test in tests]
    assert sum(result.attempted for result in results) == 3
    assert sum(result.failed for result in results) == 0
