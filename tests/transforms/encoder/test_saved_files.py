"""SavedModels read without TensorFlow, beside TensorFlow."""

import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.encoder.saved_files import Variables


class Saved(tf.Module):
    """A model of variables only."""

    def __init__(self, text: str, **arrays: Any) -> None:
        self.text = tf.Variable(text)
        self.table = {name: tf.Variable(array) for name, array in arrays.items()}


SHAPES = st.lists(st.integers(0, 5), max_size=3)


@given(text=st.text(max_size=300), shapes=st.lists(SHAPES, max_size=5))
@settings(max_examples=5, deadline=None)
def test_variables_are_read_as_they_were_saved(
    tmp_path_factory: pytest.TempPathFactory, text: str, shapes: list[list[int]]
) -> None:
    """Whatever their shapes, and the length of a string."""
    random = np.random.default_rng(0)
    arrays = {f"n{i}": random.normal(size=shape).astype(np.float32) for i, shape in enumerate(shapes)}
    path = tmp_path_factory.mktemp("saved")
    tf.saved_model.save(Saved(text, **arrays), str(path))
    read = Variables(str(path))
    assert read.names == {"text", *(f"table/{name}" for name in arrays)}
    assert read.string("text") == text.encode()
    assert read.string("none") is None
    for name, array in arrays.items():
        np.testing.assert_array_equal(read.floats(f"table/{name}"), array)


def test_what_cannot_be_read_is_said(tmp_path: pathlib.Path) -> None:
    """A variable of another type, one that is missing, a file that is cut short, and no index at all."""
    tf.saved_model.save(Saved("a", x=np.ones(100, np.float32)), str(tmp_path))
    read = Variables(str(tmp_path))
    for name in ("text", "none"):
        with pytest.raises(ValueError, match="expected a variable"):
            read.floats(name)
    with pytest.raises(ValueError, match="expected a string in the variable"):
        read.string("table/x")
    data = next(tmp_path.glob("variables/*.data-*"))
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(ValueError, match="cut short"):
        Variables(str(tmp_path)).floats("table/x")
    next(tmp_path.glob("variables/*.index")).write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="expected an index of variables"):
        Variables(str(tmp_path))
