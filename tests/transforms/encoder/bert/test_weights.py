import logging
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from transforms.encoder.bert.config import BertConfig
from transforms.encoder.bert.weights import lift
from transforms.encoder.catalogue import find_model
from transforms.encoder.hub import load
from transforms.encoder.saved_model import BertVectors
from transforms.encoder.text_encoder import TextEncoder

IDS = np.array([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]], np.int32)
SEGMENTS = np.array([[1, 1, 1, 1, 1], [2, 2, 2, 0, 0]], np.int32)
PADDED = (IDS, SEGMENTS, np.array([[0, 1, 2, 3, 4], [0, 1, 2, 0, 0]], np.int32))
SHARED = tuple(np.concatenate([part[:1], part[1:, :3], np.zeros((1, 2), np.int32)], axis=1) for part in PADDED)


@pytest.mark.parametrize("pooling", ["pooled_output", "mean", "cls"])
def test_the_optimized_graph_gives_what_tf_hubs_graph_gives(hub_bert: pathlib.Path, pooling: str) -> None:
    """With padding in the batch, and with both texts in one row, to float32's rounding."""
    vectors = BertVectors(find_model(str(hub_bert)), pooling, normalize=False)
    for batch in (PADDED, SHARED):
        np.testing.assert_allclose(vectors.lifted()(*batch), vectors.original(*PADDED), atol=1e-6)


def test_the_activation_and_the_heads_are_found(hub_bert: pathlib.Path) -> None:
    """tf-models' BERT computes its gelu by tanh; two heads of 16."""
    _, config = lift(load(str(hub_bert / "encoder")))
    assert config == BertConfig(heads=2, activation="gelu_new")


def test_what_was_exported_here_is_lifted_too(tiny_bert: pathlib.Path) -> None:
    """Its configuration lies beside its weights, which are not copied."""
    vectors = BertVectors(find_model(str(tiny_bert)), "model_default", normalize=False)
    lifted = vectors.lifted()
    np.testing.assert_allclose(lifted(*SHARED), vectors.original(*PADDED), atol=1e-6)
    assert {id(v) for v in lifted.concrete.variables} <= {
        id(v) for v in vectors._encoder.__call__.concrete_functions[0].variables
    }


def _changed(hub_bert: pathlib.Path, path: pathlib.Path, change: Any) -> pathlib.Path:
    """A copy of the pair whose encoder computes something else with the same variables."""
    encoder = load(str(hub_bert / "encoder"))

    class Changed(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        @tf.function
        def __call__(self, inputs: Any) -> Any:
            return change(self.encoder, inputs)

    module = Changed()
    names = ("input_word_ids", "input_mask", "input_type_ids")
    module.__call__.get_concrete_function({name: tf.TensorSpec([None, None], tf.int32, name=name) for name in names})
    tf.saved_model.save(module, str(path / "encoder"))
    (path / "preprocessor").symlink_to(hub_bert / "preprocessor")
    return path


def test_a_model_that_differs_runs_as_it_came(
    hub_bert: pathlib.Path, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The names of its variables are BERT's, what it computes is not: one line, and its own vectors."""

    def sine(encoder: Any, inputs: Any) -> Any:
        return {"sequence_output": tf.sin(encoder(inputs)["sequence_output"])}

    path = _changed(hub_bert, tmp_path, sine)
    with caplog.at_level(logging.WARNING):
        encoder = TextEncoder(str(path), pooling="cls", max_seq_length=32)
    # TensorFlow warns of its own accord in a process that loads many models.
    said = [r.message.split(":")[0] for r in caplog.records if r.name.startswith("transforms")]
    assert said == [f"{encoder.name} runs without the optimized graph"]
    plain = TextEncoder(str(hub_bert), pooling="cls", max_seq_length=32)
    np.testing.assert_allclose(encoder.encode(["the dog"]), np.sin(plain.encode(["the dog"])), atol=1e-6)


def test_a_model_that_differs_has_no_bfloat16(hub_bert: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Asked for, it is refused in one line that says what to use."""

    def scaled(encoder: Any, inputs: Any) -> Any:
        return {"sequence_output": 2.0 * encoder(inputs)["sequence_output"]}

    path = _changed(hub_bert, tmp_path, scaled)
    with pytest.raises(ValueError, match="use precision=float32"):
        TextEncoder(str(path), pooling="cls", max_seq_length=32, precision="bfloat16")
    assert TextEncoder(str(path), pooling="cls", max_seq_length=32, precision="auto").precision == "float32"


def test_an_encoder_of_other_variables_is_not_recognised(text_encoder: pathlib.Path) -> None:
    """No guess is made."""
    with pytest.raises(ValueError, match="not those of tf-models' BERT"):
        lift(load(str(text_encoder)))
