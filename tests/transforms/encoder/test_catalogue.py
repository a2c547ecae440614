import pathlib

import pytest

from pipeline import models
from transforms.encoder.catalogue import CATALOGUE, DEFAULT_MODEL, POOLINGS, find_model


def test_the_default_is_the_reference_systems_model() -> None:
    """BERT wiki_books fine-tuned on SST-2, as sent_bert_wiki_books_sst2 was imported from."""
    model = find_model(DEFAULT_MODEL)
    assert model.encoder == "https://tfhub.dev/google/experts/bert/wiki_books/sst2/2"
    assert model.preprocessor == "https://tfhub.dev/tensorflow/bert_en_uncased_preprocess/3"
    assert (model.dimension, model.pooling, model.normalize) == (768, "pooled_output", False)


@pytest.mark.parametrize("task", ["", "_mnli", "_qnli", "_qqp", "_squad2", "_sst2"])
def test_the_whole_family_is_there(task: str) -> None:
    """Each of the experts that the reference system imported, under its own name and ours."""
    assert find_model(f"sent_bert_wiki_books{task}") == CATALOGUE[f"bert_wiki_books{task}"]


def test_every_entry_is_complete() -> None:
    """Each model can be had, and its defaults are among what it can do."""
    assert len(CATALOGUE) == 8 + 24 + 8
    for model in CATALOGUE.values():
        assert model.encoder or model.package
        assert model.dimension > 0
        assert model.pooling in model.poolings
        assert set(model.poolings) <= set(POOLINGS)


def test_a_handle_is_described_by_the_catalogue_if_it_is_there() -> None:
    """A name and its handle are one model."""
    assert find_model("https://tfhub.dev/google/universal-sentence-encoder/4").name == "universal_sentence_encoder"


def test_an_unknown_handle_is_taken_as_it_is() -> None:
    """Any TF-Hub handle is a model, described once it is loaded."""
    model = find_model("gs://bucket/encoder", "gs://bucket/preprocessor")
    assert (model.encoder, model.preprocessor) == ("gs://bucket/encoder", "gs://bucket/preprocessor")


def test_a_name_is_looked_up_among_local_models_first(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$EMBEDDING_MODELS holds models by name, which need no download."""
    monkeypatch.setenv("EMBEDDING_MODELS", str(tmp_path))
    for part in ("encoder", "preprocessor"):
        (tmp_path / "bert_base_cased" / part).mkdir(parents=True)
        (tmp_path / "bert_base_cased" / part / "saved_model.pb").touch()
    model = find_model("bert_base_cased")
    assert model.encoder == str(tmp_path / "bert_base_cased" / "encoder")
    assert (model.name, model.dimension, model.cased) == ("bert_base_cased", 768, True)


def test_a_missing_minilm_names_the_command_that_makes_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remedy can be copied from the message."""
    monkeypatch.setenv("EMBEDDING_MODELS", str(tmp_path))
    with pytest.raises(ValueError, match="python -m pipeline.export_encoder --model=minilm"):
        find_model("minilm")


def test_an_unknown_name_is_refused() -> None:
    """The message says where the names are."""
    with pytest.raises(ValueError, match=r"got 'bert_bse'; `python -m pipeline\.models` lists"):
        find_model("bert_bse")


def test_a_directory_without_a_model_is_refused(tmp_path: pathlib.Path) -> None:
    """The message says what was looked for."""
    with pytest.raises(ValueError, match="expected a SavedModel, or a pair"):
        find_model(str(tmp_path))


def test_the_catalogue_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """A line a model."""
    assert models.main([]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in CATALOGUE)


def test_a_model_can_be_listed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """By its name or its alias."""
    assert models.main(["minilm", "sent_bert_wiki_books_sst2"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:3]] == ["minilm", "bert_wiki_books_sst2"]


def test_an_unknown_model_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """With the nearest name."""
    assert models.main(["minlm"]) == 2
    assert capsys.readouterr().err == (
        "python -m pipeline.models: expected a model's name, got 'minlm'; did you mean minilm?\n"
    )
