import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tests.beam import run
from tests.conftest import sentence
from transforms import embedding
from transforms.embedding import Embedded, EmbeddingOptions, EmbedSentences, EncoderFailed, EncoderHandler
from transforms.encoder.hot_swap import Encoded
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import Encoding, TextEncoder
from transforms.types import Sentence


def test_each_sentence_gets_its_row(text_encoder: pathlib.Path) -> None:
    """The sentence's fields are kept, the vector is float32 bytes, and the model is named."""
    (row,) = run([sentence("abc")], EmbedSentences(str(text_encoder)), Sentence)
    assert tuple(row)[:9] == tuple(sentence("abc"))
    assert np.frombuffer(row.embedding, "<f4").tolist() == [3, 6, 1, 1]
    assert (row.model, row.precision, row.truncated) == (text_encoder.name, "float32", False)
    assert row.model_version == TextEncoder(str(text_encoder)).version


def test_the_failing_sentences_are_dead_letters_and_no_other(text_encoder: pathlib.Path) -> None:
    """A batch in which the model itself raises is halved until the failing sentences stand alone."""
    texts = [f"text {i}" for i in range(40)]
    texts[7] = texts[31] = "raise"
    sentences = [sentence(text, i) for i, text in enumerate(texts)]
    result = run(sentences, EmbedSentences(str(text_encoder)).with_dead_letters(), Sentence)
    assert sorted(row.sentence_index for row in result.output) == [i for i in range(40) if i not in (7, 31)]
    assert all(np.frombuffer(row.embedding, "<f4")[0] == len(row.content) for row in result.output)
    assert [json.loads(letter.payload_string)["sentence_index"] for letter in result.dead_letters] == [7, 31]
    assert all("refused by the model" in letter.error_message for letter in result.dead_letters)


@pytest.mark.parametrize("gone", [ConnectionResetError(), EOFError()])
def test_a_lost_model_makes_no_dead_letters(gone: Exception) -> None:
    """Where another process holds the model and ends, the bundle fails and is tried again."""

    class Lost:
        def encode(self, texts: list[str]) -> Any:
            raise gone

    handler = EncoderHandler(EncoderOptions(), EmbeddingOptions(large_model=True))
    with pytest.raises(type(gone)):
        handler.run_inference([sentence("fine")], Lost())  # type: ignore[arg-type]


class Engine:
    """An encoder that raises or gives what a function of the texts says, unless that is None."""

    def __init__(self, fails: Callable[[Sequence[str]], Exception | float | None]) -> None:
        self._fails = fails
        self.calls = 0

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Vectors of one number."""
        self.calls += 1
        failure = self._fails(texts)
        if isinstance(failure, Exception):
            raise failure
        counts, vectors = np.ones(len(texts), np.int64), np.full((len(texts), 1), failure or 1.0, np.float32)
        return Encoded(Encoding(vectors, counts, counts < 0, 0), "model", "v1", "tensorflow", "float32", 0)


def embed(engine: Engine, texts: Sequence[str]) -> list[Embedded]:
    """The outcomes for sentences of `texts`, in one batch."""
    handler = EncoderHandler(EncoderOptions(), EmbeddingOptions())
    return handler.run_inference([sentence(text, i) for i, text in enumerate(texts)], engine)  # type: ignore[arg-type]


@pytest.mark.parametrize("failure", [MemoryError("out of memory"), RuntimeError(), float("nan"), float("inf")])
@pytest.mark.parametrize("count", [1, 2048])
def test_a_broken_encoder_makes_no_dead_letters(
    failure: Exception | float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again a few times, and then the bundle fails, with one line."""
    monkeypatch.setattr(embedding, "_WAITS", (0.0, 0.0))
    engine = Engine(lambda texts: failure)
    with pytest.raises(EncoderFailed, match="^expected the encoder to encode a short text, it failed: .*$"):
        embed(engine, ["fine"] * count)
    assert engine.calls == 4


def test_an_encoder_that_recovers_embeds_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sentence has its row."""
    monkeypatch.setattr(embedding, "_WAITS", (0.0, 0.0))
    failures = [MemoryError(), MemoryError()]
    outcomes = embed(Engine(lambda texts: failures.pop() if failures else None), ["fine"] * 100)
    assert all(outcome.row and not outcome.dead_letters for outcome in outcomes)


@pytest.mark.parametrize("failure", [MemoryError(), float("nan")])
@pytest.mark.parametrize("count", [1, 100])
def test_an_encoder_that_recovers_before_it_is_tried_embeds_all(failure: Exception | float, count: int) -> None:
    """Nor is a sentence at fault then."""
    failures = [failure]
    outcomes = embed(Engine(lambda texts: failures.pop() if failures else None), ["fine"] * count)
    assert all(outcome.row and not outcome.dead_letters for outcome in outcomes)


def test_an_encoder_that_breaks_while_a_sentence_is_sought_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more sentences are taken for those at fault."""
    monkeypatch.setattr(embedding, "_WAITS", ())
    found: list[str] = []

    def fails(texts: Sequence[str]) -> Exception | None:
        found.extend(texts if len(texts) == 1 else ())
        return RuntimeError("broken") if "bad" in texts or "bad" in found else None

    with pytest.raises(EncoderFailed):
        embed(Engine(fails), ["fine"] * 9 + ["bad"] + ["fine"] * 9)


def test_a_batch_that_is_too_large_for_the_memory_is_halved() -> None:
    """A smaller one fits."""
    outcomes = embed(Engine(lambda texts: MemoryError() if len(texts) > 10 else None), ["fine"] * 100)
    assert all(outcome.row for outcome in outcomes)


def test_a_vector_with_nan_is_a_dead_letter(text_encoder: pathlib.Path) -> None:
    """No row ever holds a number that is none."""
    sentences = [sentence("fine", 0), sentence("nan", 1)]
    result = run(sentences, EmbedSentences(str(text_encoder)).with_dead_letters(), Sentence)
    assert [row.content for row in result.output] == ["fine"]
    assert "NaN or Inf" in result.dead_letters[0].error_message


def test_cleanup_changes_what_the_encoder_reads_and_nothing_else(text_encoder: pathlib.Path) -> None:
    """The row's content stays as it came; its vector is of the cleaned text."""
    (row,) = run([sentence("a \n b")], EmbedSentences(str(text_encoder), cleanup="shrink"), Sentence)
    assert row.content == "a \n b"
    assert np.frombuffer(row.embedding, "<f4")[0] == 3


def test_a_model_that_cannot_be_loaded_fails_the_job(tmp_path: pathlib.Path) -> None:
    """Good messages are not at fault, so none becomes a dead letter."""
    with pytest.raises(Exception, match="expected a SavedModel, or a pair of them"):
        run([sentence("abc")], EmbedSentences(str(tmp_path)).with_dead_letters(), Sentence)


def test_truncated_sentences_are_marked(tiny_bert: pathlib.Path) -> None:
    """A row says that its vector is of a part of the sentence."""
    rows = run(
        [sentence("dog " * 50, 0), sentence("dog", 1)], EmbedSentences(str(tiny_bert), max_seq_length=8), Sentence
    )
    assert sorted((row.sentence_index, row.tokens, row.truncated) for row in rows) == [(0, 8, True), (1, 3, False)]
