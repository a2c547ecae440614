import json
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import DATA
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import TextEncoder, load_encoder, micro_batches

TEXTS = ["good dog .", "bad cat", "", "dogs , dogs , dogs !", "dog " * 60, "unknown words 日本"]


@pytest.fixture(scope="module")
def tiny(tiny_bert: pathlib.Path) -> TextEncoder:
    """A small encoder with a budget that makes many micro-batches."""
    return TextEncoder(str(tiny_bert), max_seq_length=40, token_budget=64)


def test_vectors_come_in_the_order_of_the_texts(tiny: TextEncoder) -> None:
    """Ordering by length happens inside only."""
    vectors = tiny.encode(TEXTS)
    assert vectors.shape == (6, 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(tiny.encode(TEXTS[::-1])[::-1], vectors, atol=1e-5)


def test_a_vector_does_not_depend_on_its_neighbours(tiny: TextEncoder) -> None:
    """Alone or in any batch, padded or not, the same within float32."""
    alone = np.concatenate([tiny.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(tiny.encode(TEXTS * 3), np.tile(alone, (3, 1)), atol=1e-5)


def test_what_was_read_is_counted(tiny: TextEncoder) -> None:
    """Word pieces with the two special ones, what was cut, and what was padding."""
    encoding = tiny.encode_with_counts(TEXTS)
    assert encoding.tokens.tolist() == [5, 4, 2, 11, 40, 6]
    assert encoding.truncated.tolist() == [False, False, False, False, True, False]
    assert 0 <= encoding.padded_tokens < 64 * 6


def test_a_text_that_recurs_is_computed_once(tiny_bert: pathlib.Path) -> None:
    """In a batch and across batches, counted, with the same vector, bit by bit."""
    encoder = TextEncoder(str(tiny_bert), max_seq_length=40)
    first = encoder.encode_with_counts(["good dog .", "bad cat", "good dog ."])
    again = encoder.encode_with_counts(["bad cat", "good dog .", "cat"])
    assert (first.cache_hits, again.cache_hits) == (1, 2)
    np.testing.assert_array_equal(first.vectors[[1, 0]], again.vectors[:2])
    np.testing.assert_array_equal(first.vectors[0], first.vectors[2])
    assert again.tokens.tolist() == [4, 5, 3]


def test_no_texts_give_no_vectors(tiny: TextEncoder) -> None:
    """An empty batch is no error."""
    assert tiny.encode([]).shape == (0, 16)


def test_a_lone_surrogate_is_refused(tiny: TextEncoder) -> None:
    """What is no text gets no vector of something else."""
    with pytest.raises(UnicodeEncodeError):
        tiny.encode(["good", "\ud800"])


@pytest.mark.parametrize("pooling", ["pooled_output", "mean", "cls"])
def test_an_encoder_of_tf_hubs_exporter_gives_what_tf_hub_gives(hub_bert: pathlib.Path, pooling: str) -> None:
    """The vectors of hub.load, one text at a time, recorded where the model was exported."""
    expected = json.loads((DATA / "hub_bert" / "expected.json").read_text())
    vectors = TextEncoder(str(hub_bert), pooling=pooling, max_seq_length=32).encode(expected["texts"])
    np.testing.assert_allclose(vectors, expected[pooling], atol=2e-6)


def test_normalized_vectors_have_length_one(tiny_bert: pathlib.Path) -> None:
    """On request, whatever the model's card says."""
    vectors = TextEncoder(str(tiny_bert), normalize=True, max_seq_length=40).encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_text_in_encoder_needs_no_preprocessor(text_encoder: pathlib.Path) -> None:
    """Strings go in as they are; nothing is known of word pieces."""
    encoding = TextEncoder(str(text_encoder)).encode_with_counts(["abc", "a"])
    assert encoding.vectors.tolist() == [[3, 6, 1, 1], [1, 2, 1, 1]]
    assert encoding.tokens.tolist() == [0, 0]


def test_the_version_is_the_files_and_nothing_else(tiny_bert: pathlib.Path, hub_bert: pathlib.Path) -> None:
    """The same files have the same version, other files another."""
    versions = [TextEncoder(str(path), max_seq_length=32).version for path in (tiny_bert, tiny_bert, hub_bert)]
    assert versions[0] == versions[1] != versions[2]


def test_an_encoder_is_loaded_once_a_process(tiny_bert: pathlib.Path) -> None:
    """The same arguments give the same object, in whatever order they come."""
    once = load_encoder(EncoderOptions(str(tiny_bert), max_seq_length=40, pooling="cls"))
    assert load_encoder(EncoderOptions(str(tiny_bert), pooling="cls", max_seq_length=40)) is once


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_seq_length": 41}, "expected max_seq_length up to 40, the most tiny reads, got 41"),
        ({"max_seq_length": 2}, "expected max_seq_length to be at least 3, got 2"),
        ({"pooling": "max"}, "expected pooling to be one of pooled_output, mean, cls, model_default, got 'max'"),
        ({"preprocessor": "/nowhere"}, "expected a SavedModel at /nowhere"),
    ],
)
def test_what_the_model_cannot_do_is_refused(tiny_bert: pathlib.Path, options: dict[str, object], reason: str) -> None:
    """One line: the option, what was expected, what was given."""
    with pytest.raises(ValueError, match=reason):
        TextEncoder(str(tiny_bert), **({"max_seq_length": 40} | options))


def test_pooling_by_word_pieces_is_refused_of_a_text_in_encoder(text_encoder: pathlib.Path) -> None:
    """There are no word pieces to pool."""
    with pytest.raises(ValueError, match="text-in encoder"):
        TextEncoder(str(text_encoder), pooling="mean")


def test_an_encoder_of_word_ids_without_a_preprocessor_is_refused(hub_bert: pathlib.Path) -> None:
    """The remedy is the preprocessor's handle."""
    with pytest.raises(ValueError, match="pass its preprocessor"):
        TextEncoder(str(hub_bert / "encoder"))


@given(st.lists(st.integers(2, 128), max_size=200), st.integers(1, 2048))
def test_micro_batches_hold_each_row_once_within_the_budget(sizes: list[int], budget: int) -> None:
    """Only a row that is larger than the budget, alone, may pass it."""
    batches = list(micro_batches(np.array(sizes, np.int64), budget))
    assert sorted(int(row) for batch in batches for row in batch) == list(range(len(sizes)))
    for batch in batches:
        longest = max(sizes[row] for row in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget


def test_the_reference_vectors_are_met_in_any_order(minilm: TextEncoder) -> None:
    """Within the noise of float32 of what sentence-transformers gives for the same weights."""
    expected = json.loads((DATA / "minilm_reference.json").read_text())
    vectors = np.array(expected["vectors"], np.float32)
    for order in (np.arange(len(vectors)), np.random.default_rng(0).permutation(len(vectors))):
        found = minilm.encode([expected["sentences"][i] for i in order])
        assert (found * vectors[order]).sum(axis=1).min() >= 0.9999


@pytest.mark.parametrize(("devices", "expected"), [([], 1024), (["a GPU"], 16384)])
def test_a_gpu_gets_larger_micro_batches(
    tiny_bert: pathlib.Path, monkeypatch: pytest.MonkeyPatch, devices: list[str], expected: int
) -> None:
    """And takes its memory as it needs it; the budget that was asked for stays on either."""
    grown: list[str] = []
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: devices)
    monkeypatch.setattr("tensorflow.config.experimental.set_memory_growth", lambda each, on: grown.append(each))
    assert TextEncoder(str(tiny_bert), max_seq_length=40)._token_budget == expected
    assert TextEncoder(str(tiny_bert), max_seq_length=40, token_budget=64)._token_budget == 64
    assert set(grown) == set(devices)
