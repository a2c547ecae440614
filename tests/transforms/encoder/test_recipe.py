"""What changes vectors changes the version, whether a card, the catalogue, an option or the encoder itself says it."""

import itertools
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline import export_encoder
from tests.conftest import VOCABULARY, write_checkpoint
from tests.shared import Shared
from transforms.dataframe import embed
from transforms.encoder import hub
from transforms.encoder.catalogue import CARD_FILE, CATALOGUE, Model, find_model
from transforms.encoder.cleanup import CLEANUP_MODES, version_with
from transforms.encoder.options import EncoderOptions
from transforms.encoder.recipe import Recipe, recipe_of
from transforms.encoder.text_encoder import TextEncoder, name_and_version

TEXTS = ["good dog .", "bad cat", "dogs , dogs , dogs !" * 4]


@pytest.fixture(scope="module")
def mean_bert(shared: Shared) -> pathlib.Path:
    """A pair with mean pooling and normalization, of 200 positions, that also has a pooler."""

    def make(path: pathlib.Path) -> None:
        write_checkpoint(path)
        modules = [
            {"path": name, "type": f"sentence_transformers.models.{kind}"}
            for name, kind in (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
        ]
        (path / "modules.json").write_text(json.dumps(modules))
        (path / "1_Pooling").mkdir()
        (path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
        assert export_encoder.main([f"--from={path}", f"--to={path / 'mean'}"]) == 0

    return shared.made("mean_bert", make) / "mean"


@pytest.fixture
def without_card(mean_bert: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of `mean_bert` without its card."""
    copied = shutil.copytree(mean_bert, tmp_path / "mean")
    (copied / CARD_FILE).unlink()
    return copied


@pytest.fixture
def other_pair(tmp_path: pathlib.Path, tiny_bert: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Makes a pair of another exporter, whose encoder offers the given outputs, each with vectors of its own."""
    import tensorflow as tf

    def make(*outputs: str) -> pathlib.Path:
        class Encoder(tf.Module):
            @tf.function(autograph=False)
            def __call__(self, inputs: Any) -> Any:
                states = tf.one_hot(inputs["input_word_ids"], 16)
                made = {"sequence_output": states, "pooled_output": states[:, 1], "default": states[:, 0]}
                return {name: made[name] for name in outputs}

        encoder = Encoder()
        encoder.table = tf.Variable(tf.zeros([3]), name="table")
        spec = tf.TensorSpec([None, None], tf.int32)
        names = ("input_word_ids", "input_mask", "input_type_ids")
        call = encoder.__call__.get_concrete_function(dict.fromkeys(names, spec))
        tf.saved_model.save(encoder, str(tmp_path / "other" / "encoder"), signatures=call)
        shutil.copytree(tiny_bert / "preprocessor", tmp_path / "other" / "preprocessor")
        return tmp_path / "other"

    return make


@pytest.mark.slow
def test_a_pair_without_its_card_is_asked(mean_bert: pathlib.Path, without_card: pathlib.Path) -> None:
    """It gives the vectors and the version that it gives with its card."""
    asked, told = (TextEncoder(str(path), max_seq_length=40) for path in (without_card, mean_bert))
    assert (asked.pooling, asked.normalize, asked.version) == ("mean", True, told.version)
    np.testing.assert_array_equal(asked.encode(TEXTS), told.encode(TEXTS))


@pytest.mark.slow
def test_equal_versions_have_equal_vectors_and_others_have_others(mean_bert: pathlib.Path) -> None:
    """Whichever options of pooling, normalization and length lead to them, on texts that are shorter and longer."""
    found: dict[str, Any] = {}
    chosen = itertools.product(("", "cls", "model_default"), (None, False), (40,))
    for pooling, normalize, length in (*chosen, ("", None, 8)):
        encoder = TextEncoder(str(mean_bert), pooling=pooling, normalize=normalize, max_seq_length=length)
        vectors = encoder.encode(TEXTS)
        np.testing.assert_allclose(found.setdefault(encoder.version, vectors), vectors, atol=1e-6)
    assert len(found) == 5
    for one, other in itertools.combinations(found.values(), 2):
        assert not np.allclose(one, other, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"pooling": "cls"}, {"normalize": False}])
def test_a_card_that_says_otherwise_is_another_version(
    mean_bert: pathlib.Path, tmp_path: pathlib.Path, change: dict[str, Any]
) -> None:
    """As the same option would."""
    copied = shutil.copytree(mean_bert, tmp_path / "mean")
    card = json.loads((copied / CARD_FILE).read_text()) | change
    (copied / CARD_FILE).write_text(json.dumps(card))
    options = EncoderOptions(str(mean_bert), **change)
    assert name_and_version(EncoderOptions(str(copied))) == name_and_version(options)
    assert name_and_version(options) != name_and_version(EncoderOptions(str(mean_bert)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"pooling": "mean"}, {"pooling": "model_default"}, {"normalize": True}, {"token_budget": 7}],
)
def test_what_changes_no_vector_leaves_the_digest_of_the_files(
    mean_bert: pathlib.Path, options: dict[str, Any]
) -> None:
    """The version of rows that were written with a model's own ways stays what it was."""
    parts = [str(mean_bert / part) for part in ("encoder", "preprocessor")]
    assert name_and_version(EncoderOptions(str(mean_bert), **options)) == ("mean", hub.digest(parts))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"pooling": "cls"}, {"normalize": False}, {"pooling": "model_default"}])
def test_the_version_is_known_without_loading(mean_bert: pathlib.Path, options: dict[str, Any]) -> None:
    """It is that of the loaded encoder."""
    encoder = TextEncoder(str(mean_bert), max_seq_length=40, **options)
    asked = name_and_version(EncoderOptions(str(mean_bert), max_seq_length=40, **options))
    assert asked == (encoder.name, encoder.version)


@pytest.mark.slow
def test_a_mean_of_sentences_is_scaled_as_the_encoder_says(without_card: pathlib.Path) -> None:
    """Without a card too."""
    rows = embed(
        ["Good dog. Bad cat."], str(without_card), output_level="document", document_vector="mean", max_seq_length=40
    )
    np.testing.assert_allclose(np.linalg.norm(rows.embedding.iloc[0]), 1, atol=1e-6)


@pytest.mark.parametrize("name", ["bert_wiki_books_sst2", "universal_sentence_encoder"])
def test_a_model_of_the_catalogue_keeps_its_version(name: str, hub_bert: pathlib.Path) -> None:
    """TF-Hub's files as the catalogue describes them: nothing is added to their digest."""
    entry = CATALOGUE[name]
    local = {
        "encoder": str(hub_bert / "encoder"),
        "preprocessor": entry.preprocessor and str(hub_bert / "preprocessor"),
    }
    assert recipe_of(Model(**(vars(entry) | local)), EncoderOptions(name)) == Recipe(entry.pooling, False, "")


def test_a_pair_of_another_exporter_is_asked_for_its_default(hub_bert: pathlib.Path) -> None:
    """TF-Hub's interface says which of the outputs is a text's vector."""
    model = find_model(str(hub_bert))
    assert recipe_of(model, EncoderOptions(str(hub_bert)))[:2] == ("model_default", False)


@pytest.mark.parametrize(
    ("outputs", "pooling", "token"),
    [
        (("default", "pooled_output", "sequence_output"), "model_default", "[CLS]"),
        (("pooled_output", "sequence_output"), "pooled_output", "dog"),
    ],
)
def test_the_output_that_is_offered_is_used(
    other_pair: Callable[..., pathlib.Path], outputs: tuple[str, ...], pooling: str, token: str
) -> None:
    """The one that TF-Hub's interface calls a text's vector, before BERT's own."""
    encoder = TextEncoder(str(other_pair(*outputs)))
    assert encoder.pooling == pooling
    assert VOCABULARY[int(encoder.encode(["dog"])[0].argmax())] == token


def test_a_pair_that_cannot_tell_its_pooling_is_refused(other_pair: Callable[..., pathlib.Path]) -> None:
    """One line says what to pass, and what is passed is used."""
    pair = str(other_pair("sequence_output"))
    with pytest.raises(ValueError, match=r"expected pooling=mean or cls for other, which has no model\.json") as error:
        TextEncoder(pair)
    assert "\n" not in str(error.value)
    assert TextEncoder(pair, pooling="mean").version != TextEncoder(pair, pooling="cls").version


def test_a_cleanup_is_a_version_of_its_own() -> None:
    """Each of them makes other vectors of the same sentence."""
    versions = {version_with("0123456789ab", mode) for mode in CLEANUP_MODES}
    assert len(versions) == len(CLEANUP_MODES)
    assert version_with("0123456789ab", "disabled") == "0123456789ab"
