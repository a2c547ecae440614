import concurrent.futures
import json
import pathlib

import numpy as np
import pytest

from tests.conftest import DATA, VOCABULARY
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import TextEncoder, load_encoder

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
    for options, budget in (({}, expected), ({"token_budget": 64}, 64)):
        encoder = TextEncoder(str(tiny_bert), max_seq_length=40, **options)
        assert encoder._scheduler._token_budget == budget
    assert set(grown) == set(devices)


def test_calls_of_many_threads_get_the_vectors_of_calls_alone(tiny_bert: pathlib.Path, tiny: TextEncoder) -> None:
    """They are run together; a text that is refused fails its own call only."""
    calls = [[f"good dog {'cat ' * n}.", "bad " * m, TEXTS[n % 6]] for n in range(6) for m in range(4)]
    encoder = TextEncoder(str(tiny_bert), max_seq_length=40)
    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        found = [threads.submit(encoder.encode, texts) for texts in [*calls, ["good", "\ud800"]]]
    with pytest.raises(UnicodeEncodeError):
        found[-1].result()
    for texts, vectors in zip(calls, found, strict=False):
        alone = np.concatenate([tiny.encode([text]) for text in texts])
        np.testing.assert_allclose(vectors.result(), alone, atol=1e-5)


def test_a_broken_vector_does_not_reach_the_texts_of_its_row(tiny_bert: pathlib.Path) -> None:
    """One token gives NaN: attention would carry it through the row that texts share."""
    encoder = TextEncoder(str(tiny_bert), max_seq_length=40)
    function = encoder._scheduler._backend._engine._function  # type: ignore[attr-defined]
    (words,) = [variable for variable in function.concrete.variables if variable.name.startswith("words")]
    table = words.numpy()
    table[VOCABULARY.index("cat")] = np.nan
    words.assign(table)
    vectors = encoder.encode(["good dog .", "bad cat", "dogs", "bad", "cat , cat"])
    assert np.isfinite(vectors).all(axis=1).tolist() == [True, False, True, True, False]
    alone = np.concatenate([TextEncoder(str(tiny_bert), max_seq_length=40).encode([text]) for text in ("dogs", "bad")])
    np.testing.assert_allclose(vectors[2:4], alone, atol=1e-5)
