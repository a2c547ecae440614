"""The model that an image holds, and what a launch calls it."""

import pathlib

import pytest

from templates import bake_model
from transforms.encoder.catalogue import find_model


def test_a_directory_is_launched_by_its_place_in_the_image(
    tiny_bert: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it lay in the clone is not there any more."""
    monkeypatch.setenv("EMBEDDING_MODELS", str(tmp_path / "models"))
    assert bake_model.baked_model() == ""
    assert bake_model.main([str(tiny_bert)]) == 0
    assert bake_model.baked_model() == str(tmp_path / "models" / tiny_bert.name)
    assert find_model(bake_model.baked_model()).dimension == 16


def test_a_model_that_is_none_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The image is not built then, and no launch takes it for baked."""
    monkeypatch.setenv("EMBEDDING_MODELS", str(tmp_path))
    assert bake_model.main(["no_such_model"]) == 2
    assert "expected a model's name, handle or directory, got 'no_such_model'" in capsys.readouterr().err
    assert bake_model.baked_model() == ""
