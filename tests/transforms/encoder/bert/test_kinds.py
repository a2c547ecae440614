"""Checkpoints of each kind, as sentence-transformers saved them: the same tokens and the same vectors."""

import functools
import json
import pathlib
import shutil
import tarfile
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer

from pipeline import export_encoder
from tests.conftest import DATA, export
from tests.shared import Shared
from tests.texts import SETS, own_texts, texts_of_sets
from tests.transforms.encoder.test_engines import openvino_has_bfloat16
from transforms.encoder.catalogue import find_model
from transforms.encoder.engines import AGREEMENT, agreement
from transforms.encoder.preprocessor import Preprocessor
from transforms.encoder.saved_model import BertVectors
from transforms.encoder.text_encoder import TextEncoder

pytestmark = pytest.mark.slow

MADE = ("bert", "camembert", "distilbert", "mpnet", "roberta", "xlm-roberta")
TEXTS = own_texts()


@pytest.fixture(scope="module", params=MADE)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of which there is a checkpoint."""
    return str(request.param)


@pytest.fixture(scope="module")
def original(kind: str, shared: Shared) -> pathlib.Path:
    """A small checkpoint with random weights, made by tests/benchmarks/random_checkpoints.py."""

    def unpack(path: pathlib.Path) -> None:
        with tarfile.open(DATA / "kinds" / f"{kind}.tar.gz") as archive:
            archive.extractall(path, filter="data")

    return shared.made(f"checkpoint_{kind}", unpack) / kind


@pytest.fixture(scope="module")
def pair(kind: str, original: pathlib.Path, shared: Shared) -> pathlib.Path:
    """The pair made of it."""
    return shared.made(f"pair_{kind}", lambda path: export(original, path / "pair")) / "pair"


@pytest.fixture(scope="module")
def vectors(original: pathlib.Path) -> Any:
    """What sentence-transformers gives for TEXTS."""
    return np.array(json.loads((original / "reference.json").read_text()), np.float32)


def test_vectors_are_those_of_sentence_transformers(pair: pathlib.Path, vectors: Any) -> None:
    """To the rounding of float32, of texts in 16 languages, empty and too long ones among them."""
    np.testing.assert_allclose(TextEncoder(str(pair)).encode(TEXTS), vectors, atol=2e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_texts_that_share_a_row_do_not_see_each_other(pair: pathlib.Path, pooling: str) -> None:
    """The graph for shared rows gives what the graph for one text a row gives."""
    model = BertVectors(find_model(str(pair)), pooling, normalize=False)
    preprocessor = Preprocessor(str(pair / "preprocessor"))
    tokens = [found[:126] for found in preprocessor.tokenize(TEXTS)]
    alone = np.concatenate([model.original(*preprocessor.arrange([[text]])) for text in tokens])
    np.testing.assert_allclose(model.lifted()(*preprocessor.arrange([tokens])), alone, atol=2e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_every_engine_agrees(pair: pathlib.Path, vectors: Any, engine: str, precision: str) -> None:
    """In float32 and, where the processor has it, in bfloat16."""
    if engine == "openvino":
        pytest.importorskip("openvino")
        if precision == "bfloat16" and not openvino_has_bfloat16():
            pytest.skip("OpenVINO has no bfloat16 on this processor")
    encoder = TextEncoder(str(pair), engine=engine, precision=precision)
    assert agreement(encoder.encode(TEXTS), vectors) >= AGREEMENT[precision]


def same_tokens(original: pathlib.Path, pair: pathlib.Path, texts: list[str], most: int) -> None:
    """Whether the rows of tokens, special ones included, are those of the package tokenizers."""
    preprocessor, tokenizer = _tokenizers(original, pair)
    tokenizer.enable_truncation(most)
    expected = [found.ids for found in tokenizer.encode_batch(texts)]
    found = [preprocessor.arrange([[tokens[: most - 2]]]).ids[0].tolist() for tokens in preprocessor.tokenize(texts)]
    assert found == expected


@functools.cache
def _tokenizers(original: pathlib.Path, pair: pathlib.Path) -> tuple[Preprocessor, Tokenizer]:
    tokenizer = Tokenizer.from_file(str(original / "tokenizer.json"))
    tokenizer.no_padding()
    return Preprocessor(str(pair / "preprocessor")), tokenizer


# The package tokenizers does not know the accents of Unicode 9 and later, of scripts that BERT's vocabularies lack.
_STRIPPED = BertNormalizer(strip_accents=True)
_NEWER_ACCENTS = [
    mark for mark in map(chr, range(0x110000)) if unicodedata.category(mark) == "Mn" and _STRIPPED.normalize_str(mark)
]


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters=_NEWER_ACCENTS)), min_size=1, max_size=8),
    st.integers(3, 20),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example(TEXTS, 128)
@example(["Σς İı ﬁ ½ 𝔘 ｶﾞ é é \u200b\u00ad\ufeff\x00 \U0001f468\u200d\U0001f469", "\u2028\x85\u3000"], 128)
def test_tokens_are_those_of_hugging_face(
    original: pathlib.Path, pair: pathlib.Path, texts: list[str], most: int
) -> None:
    """Of any text, and of any length."""
    same_tokens(original, pair, texts, most)


@pytest.mark.skipif(not SETS.is_dir(), reason="the development sets are not beside the clone")
@pytest.mark.parametrize("most", [16, 128])
def test_tokens_of_real_texts_are_those_of_hugging_face(original: pathlib.Path, pair: pathlib.Path, most: int) -> None:
    """Of the development sets in 13 languages."""
    for texts in texts_of_sets(SETS).values():
        same_tokens(original, pair, texts, most)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("mpnet", "a</s>b"), ("roberta", "a<mask>b <pad>"), ("xlm-roberta", "<s> a</s>")],
    indirect=["kind"],
)
def test_special_tokens_in_a_text_are_read_as_hugging_face_reads_them(
    original: pathlib.Path, pair: pathlib.Path, text: str
) -> None:
    """A text that spells one gets its id."""
    same_tokens(original, pair, [text], 128)


@pytest.mark.parametrize("kind", ["roberta"], indirect=True)
def test_a_lone_surrogate_is_refused_as_by_tf_hubs_preprocessors(pair: pathlib.Path) -> None:
    """By the same exception."""
    with pytest.raises(UnicodeEncodeError):
        Preprocessor(str(pair / "preprocessor")).tokenize(["a\ud800"])


@pytest.mark.parametrize("kind", ["mpnet"], indirect=True)
def test_a_pair_with_a_tokenizer_can_be_exported_again(pair: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """With the same vectors."""
    assert export_encoder.main([f"--model={pair}", f"--to={tmp_path / 'again'}"]) == 0
    found, expected = (TextEncoder(str(path)).encode(TEXTS) for path in (tmp_path / "again", pair))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["roberta"], indirect=True)
@pytest.mark.parametrize(
    ("name", "changed", "reason"),
    [
        ("tokenizer.json", None, "tokenizer.json is missing"),
        ("tokenizer.json", {"model": 1}, "tokenizer.json as Hugging Face writes it, could not use it"),
        ("tokenizer.json", {"post_processor": None}, "not one special token before it and one behind it"),
        ("tokenizer_config.json", {"truncation_side": "left"}, 'expected truncation_side "right"'),
    ],
)
def test_a_tokenizer_that_cannot_be_run_exactly_is_refused_with_one_line(
    original: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    changed: dict[str, Any] | None,
    reason: str,
) -> None:
    """Nothing is guessed."""
    copied = shutil.copytree(original, tmp_path / "checkpoint")
    if changed is None:
        (copied / name).unlink()
    else:
        (copied / name).write_text(json.dumps(json.loads((copied / name).read_text()) | changed))
    assert export_encoder.main([f"--from={copied}", f"--to={tmp_path / 'pair'}"]) == 2
    printed = capsys.readouterr().err
    assert reason in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("kind", ["bert"], indirect=True)
@pytest.mark.parametrize(
    "changed",
    [{"strip_accents": False}, {"handle_chinese_chars": False}, {"clean_text": False}],
)
def test_a_bert_whose_tokenizer_is_not_berts_own_keeps_it(
    original: pathlib.Path, tmp_path: pathlib.Path, changed: dict[str, Any]
) -> None:
    """A German BERT may keep its umlauts, and a Japanese one its words."""
    copied = shutil.copytree(original, tmp_path / "checkpoint")
    stated = json.loads((copied / "tokenizer.json").read_text())
    stated["normalizer"] |= changed
    (copied / "tokenizer.json").write_text(json.dumps(stated))
    export(copied, tmp_path / "pair")
    same_tokens(copied, tmp_path / "pair", TEXTS, 128)


@pytest.mark.parametrize("kind", ["bert"], indirect=True)
def test_a_bert_may_have_the_tokenizer_of_another_kind(original: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """As multilingual-e5-small has XLM-R's."""
    copied = shutil.copytree(original, tmp_path / "checkpoint")
    with tarfile.open(DATA / "kinds" / "xlm-roberta.tar.gz") as archive:
        found = archive.extractfile("xlm-roberta/tokenizer.json")
        assert found
        (copied / "tokenizer.json").write_bytes(found.read())
    export(copied, tmp_path / "pair")
    same_tokens(copied, tmp_path / "pair", TEXTS, 128)


def test_a_vocabulary_of_another_tokenizer_is_refused(
    checkpoint: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Japanese BERT has a vocab.txt, and words that only its own program finds."""
    copied = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    (copied / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertJapaneseTokenizer"}))
    assert export_encoder.main([f"--from={copied}", f"--to={tmp_path / 'pair'}"]) == 2
    assert "beside a vocab.txt with tokenizer_class=BertJapaneseTokenizer" in capsys.readouterr().err
