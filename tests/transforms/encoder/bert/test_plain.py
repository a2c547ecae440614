"""A pair of export's without TensorFlow, beside TensorFlow."""

import pathlib
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transforms.encoder.bert.plain import PlainEncoder
from transforms.encoder.bert.wordpiece import WordPiece
from transforms.encoder.catalogue import models_directory
from transforms.encoder.options import EncoderOptions
from transforms.encoder.preprocessor import Preprocessor
from transforms.encoder.text_encoder import TextEncoder

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=60)


@pytest.fixture(scope="module")
def tokenizers(minilm: TextEncoder) -> tuple[WordPiece, Preprocessor]:
    """Of one pair, in two ways."""
    path = str(models_directory() / "minilm" / "preprocessor")
    return WordPiece(path), Preprocessor(path)


def test_special_tokens_are_those_of_the_preprocessor(tokenizers: tuple[WordPiece, Preprocessor]) -> None:
    """Read from its graph, whatever their ids."""
    ours, theirs = tokenizers
    assert (ours.start, ours.end) == (theirs.start, theirs.end)


@given(texts=st.lists(TEXTS, min_size=1, max_size=20))
@example(
    texts=["", " ", "##ing [CLS] [UNK]", "İstanbul ΌΣΟΣ ﬁ…", "日本語 한국어 हिन्दी ไทย", "a" * 101, "a" * 100 + "."]
)
@settings(max_examples=60, deadline=None)
def test_every_text_has_the_tokens_that_tensorflow_gives(
    tokenizers: tuple[WordPiece, Preprocessor], texts: list[str]
) -> None:
    """Whatever the characters."""
    ours, theirs = tokenizers
    assert [ours.tokenize(text) for text in texts] == [tokens.tolist() for tokens in theirs.tokenize(texts)]


@pytest.mark.slow
def test_every_character_has_the_tokens_that_tensorflow_gives(tokenizers: tuple[WordPiece, Preprocessor]) -> None:
    """In a word, and alone; of those that Python knows."""
    ours, theirs = tokenizers
    known = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in ("Cs", "Cn", "Co")]
    texts = [f"ab{c}cd {c} e" for c in known]
    assert [
        t for t, tokens in zip(texts, theirs.tokenize(texts), strict=True) if ours.tokenize(t) != tokens.tolist()
    ] == []


@pytest.mark.parametrize(
    "options",
    [{}, {"pooling": "cls", "normalize": False}, {"max_seq_length": 8}, {"pooling": "model_default"}],
    ids=str,
)
def test_minilms_vectors_are_those_of_tensorflow(minilm: TextEncoder, options: dict[str, Any]) -> None:
    """Within 1e-4, with the same version; long and empty texts too."""
    texts = ["", "The staff were friendly.", "x " * 300, "Größe 日本語 ok?"]
    ours, theirs = PlainEncoder(EncoderOptions("minilm", **options)), TextEncoder("minilm", **options)
    assert (ours.name, ours.version, ours.dimension) == (theirs.name, theirs.version, theirs.dimension)
    np.testing.assert_allclose(ours.encode_query(texts), theirs.encode_query(texts), atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooled_output"])
def test_a_tiny_pairs_vectors_are_those_of_tensorflow(tiny_bert: pathlib.Path, pooling: str) -> None:
    """With its own activation and its pooler."""
    options = EncoderOptions(str(tiny_bert), pooling=pooling, max_seq_length=16)
    texts = ["hello world", "", "unknown words, too"]
    expected = TextEncoder(**vars(options)).encode_query(texts)
    np.testing.assert_allclose(PlainEncoder(options).encode_query(texts), expected, atol=1e-4)


def test_another_encoder_is_refused(text_encoder: pathlib.Path, hub_bert: pathlib.Path) -> None:
    """What is not known to give TensorFlow's vectors gives none."""
    for model in (text_encoder, hub_bert):
        with pytest.raises((ValueError, OSError)):
            PlainEncoder(EncoderOptions(str(model)))


def test_a_character_that_python_does_not_know_is_left_to_tensorflow(minilm: TextEncoder) -> None:
    """Its table of Unicode may be the older one."""
    encoder = PlainEncoder(EncoderOptions("minilm"))
    assert encoder.knows("Größe 日本語")
    assert not encoder.knows("a\U0001fb9b\u0378")
