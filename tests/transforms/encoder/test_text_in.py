"""Text-in encoders of each form, and what is made sure of before their vectors are used."""

import pathlib
from typing import Any

import numpy as np
import pytest

from tests.transforms.encoder import text_in
from transforms.encoder.backends import TOKEN_BUDGETS, device
from transforms.encoder.text_encoder import TextEncoder

TEXTS = ["good dog .", "bad cat", "", "Dog", "dog " * 30 + "cat", "日本", "unknown words"]


def expected(texts: list[str], model: text_in.Averaged | None = None) -> Any:
    """What the model gives for each text alone."""
    made = model or text_in.Averaged()
    return np.concatenate([made.vectors(np.array([text])).numpy() for text in texts])


@pytest.mark.parametrize("form", text_in.FORMS)
def test_each_form_gives_the_models_vectors(tmp_path: pathlib.Path, form: str) -> None:
    """Whatever a text is in a batch with, and in whatever order."""
    text_in.FORMS[form](tmp_path / "model", text_in.Averaged())
    encoder = TextEncoder(str(tmp_path / "model"), token_budget=40)
    assert encoder.dimension == 4
    encoding = encoder.encode_with_counts(TEXTS)
    assert encoding.vectors.dtype == np.float32
    np.testing.assert_allclose(encoding.vectors, expected(TEXTS), atol=1e-6)
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1] * 3), np.tile(expected(TEXTS[::-1]), (3, 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("model", "warns"), [(text_in.Averaged(), False), (text_in.Attending(), False), (text_in.Relative(), True)]
)
def test_a_vector_does_not_depend_on_the_other_texts(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, model: text_in.Averaged, warns: bool
) -> None:
    """An encoder whose vectors do is run with one text at a time, and a line says so."""
    text_in.FORMS["__call__"](tmp_path / "model", model)
    encoder = TextEncoder(str(tmp_path / "model"))
    assert ("model runs one text at a time" in caplog.text) == warns
    np.testing.assert_allclose(encoder.encode(TEXTS), expected(TEXTS, model), atol=1e-6)
    np.testing.assert_allclose(encoder.encode(TEXTS[4:]), expected(TEXTS[4:], model), atol=1e-6)


@pytest.mark.parametrize("model", [text_in.Averaged(), text_in.Attending(), text_in.Cutting()])
def test_an_encoder_that_reads_only_the_beginning_of_texts_is_told(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, model: text_in.Averaged
) -> None:
    """As no row can tell of which texts it did; of all others, truncated is false because nothing is cut."""
    text_in.FORMS["__call__"](tmp_path / "model", model)
    found = TextEncoder(str(tmp_path / "model")).encode_with_counts(["dog " * 200])
    said = "model reads only the beginning of long texts, and does not tell of which: truncated stays false"
    assert (said in caplog.text) == isinstance(model, text_in.Cutting)
    assert (found.tokens.tolist(), found.truncated.tolist()) == ([0], [False])


@pytest.mark.parametrize(("seconds", "budget"), [(0.0, TOKEN_BUDGETS[device()]), (60.0, 16384)])
def test_an_encoder_that_is_fast_reads_more_at_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, seconds: float, budget: int
) -> None:
    """Unless the option says how much."""
    monkeypatch.setattr("transforms.encoder.backends._OVERHEAD_SECONDS", seconds)
    text_in.FORMS["__call__"](tmp_path / "model", text_in.Averaged())
    for option, expected_budget in ((0, budget), (40, 40)):
        assert TextEncoder(str(tmp_path / "model"), token_budget=option)._scheduler._token_budget == expected_budget


def test_an_encoder_in_training_is_refused(tmp_path: pathlib.Path) -> None:
    """Its vectors are others each time."""
    text_in.FORMS["__call__"](tmp_path / "model", text_in.Dropping())
    with pytest.raises(
        ValueError, match="expected one vector for a text from .*, got another one when it was"
    ) as error:
        TextEncoder(str(tmp_path / "model"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("form", "reason"), text_in.REFUSED.items())
def test_other_forms_are_refused_by_what_is_wrong(tmp_path: pathlib.Path, form: str, reason: Any) -> None:
    """In one line."""
    make, said = reason
    make(tmp_path / "model", text_in.Averaged())
    with pytest.raises(ValueError, match=f"^expected an encoder of texts at .*/model, it refused them: {said}; if"):
        TextEncoder(str(tmp_path / "model"))


def test_prompts_and_normalization_work_as_for_any_model(tmp_path: pathlib.Path) -> None:
    """A prompt is read before the text, and is another version."""
    text_in.FORMS["TF1 module"](tmp_path / "model", text_in.Averaged())
    plain, asked = (TextEncoder(str(tmp_path / "model"), prompt=prompt, normalize=True) for prompt in ("", "bad dog "))
    vectors = expected(["bad dog cat"])
    np.testing.assert_allclose(asked.encode(["cat"]), vectors / np.linalg.norm(vectors), atol=1e-6)
    assert asked.version != plain.version


def test_texts_are_run_by_what_they_cost(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A micro-batch has no more bytes, padding included, than its budget stands for, unless it is one text."""
    from transforms.encoder import backends

    text_in.FORMS["__call__"](tmp_path / "model", text_in.Averaged())
    encoder = TextEncoder(str(tmp_path / "model"), token_budget=40)
    batches: list[list[str]] = []
    run = backends.TextBackend.run

    def watched(self: Any, rows: Any) -> Any:
        batches.append([text for row in rows for text in row])
        return run(self, rows)

    monkeypatch.setattr(backends.TextBackend, "run", watched)
    encoder.encode(
        [*(f"dog {number}" for number in range(50)), *(f"日本日本日本 {number}" for number in range(20)), *TEXTS]
    )
    for batch in batches:
        longest = max(len(text.encode()) for text in batch)
        assert len(batch) == 1 or (1 + longest // 4) * len(batch) <= 40
    assert max(map(len, batches)) > 5
