import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from pipeline import models
from transforms import EmbedSentences, SentenceEmbeddings
from transforms.encoder.catalogue import CARD_FILE, CATALOGUE, DEFAULT_MODEL, POOLINGS, find_model
from transforms.encoder.options import EncoderOptions
from transforms.integrations.beam_yaml import YamlEmbedSentences


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


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("minlm", "; did you mean minilm"),
        ("bert_base_uncase", "; did you mean bert_base_uncased, "),
        ("sent_bert_base_case", "; did you mean sent_bert_base_cased, "),
        ("xyz", "; `python -m pipeline.models` lists the names"),
    ],
)
def test_an_unknown_name_is_refused_where_it_is_written(name: str, hint: str) -> None:
    """By all that take one, and not in a worker; the message has the names that are near, and says where all are."""
    said = f"expected a model's name, handle or directory, got {name!r}{hint}"
    takers: tuple[Callable[..., Any], ...] = (EncoderOptions, EmbedSentences, YamlEmbedSentences, SentenceEmbeddings)
    for make in (*takers, find_model):
        with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
            make(model=name)


@pytest.mark.parametrize("name", [*CATALOGUE, *(model.alias for model in CATALOGUE.values() if model.alias)])
def test_every_name_may_be_given(name: str) -> None:
    """What is not here yet may be in the workers."""
    assert EncoderOptions(name).model == name


@pytest.mark.parametrize(
    "model", ["here", "./here", "/only/on/workers", "gs://bucket/model", "https://models.example/1"]
)
def test_a_directory_or_handle_may_be_given(model: str, in_directory: pathlib.Path) -> None:
    """A path may be that of workers; a word must be a folder that is here."""
    (in_directory / "here").mkdir()
    assert EncoderOptions(model, preprocessor=model).model == model


def test_a_preprocessor_that_cannot_be_is_refused_where_it_is_written(in_directory: pathlib.Path) -> None:
    """A word that is no folder; and where the model is looked for, a folder that is not there."""
    for name in ("bert_base_cased", "preprocesor"):
        with pytest.raises(ValueError, match=f"expected preprocessor as a handle or directory, got '{name}'"):
            EncoderOptions(preprocessor=name)
    with pytest.raises(ValueError, match="expected a SavedModel at /no/such/folder, there is no such directory"):
        find_model("bert_base_cased", "/no/such/folder")


def test_a_directory_without_a_model_is_refused(tmp_path: pathlib.Path) -> None:
    """The message says what was looked for."""
    with pytest.raises(ValueError, match="expected a SavedModel, or a pair"):
        find_model(str(tmp_path))


def test_the_catalogue_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """A line a model."""
    assert models.main([]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in CATALOGUE)


CARD = {"dimension": 16, "pooling": "mean", "normalize": True, "cased": False, "max_seq_length": 40}


@pytest.fixture
def pair(tmp_path: pathlib.Path) -> pathlib.Path:
    """The files of a pair as far as they are looked at before loading."""
    for part in ("encoder", "preprocessor"):
        (tmp_path / "pair" / part).mkdir(parents=True)
        (tmp_path / "pair" / part / "saved_model.pb").touch()
    return tmp_path / "pair"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b'{"pooling": "mean", ', "Expecting property name"),
        (b"\xff\xfe{\x00}\x00", "can't decode byte"),
        (b"[1, 2]", "it holds list"),
        (b"null", "it holds NoneType"),
        (json.dumps({"class_name": "Functional", "config": {}}).encode(), "it lacks pooling and normalize"),
        (json.dumps({"pooling": "mean"}).encode(), "it lacks normalize"),
        (json.dumps(CARD | {"normalise": True}).encode(), "it has the unknown field 'normalise'"),
        (json.dumps(CARD | {"encoder": "/elsewhere"}).encode(), "it has the unknown field 'encoder'"),
        (json.dumps(CARD | {"pooling": "max"}).encode(), "it names the pooling 'max'"),
        (json.dumps(CARD | {"pooling": None}).encode(), "its pooling is None"),
        (json.dumps(CARD | {"poolings": ["mean", 7]}).encode(), "it names the pooling 7"),
        (json.dumps(CARD | {"normalize": "yes"}).encode(), "its normalize is 'yes'"),
        (json.dumps(CARD | {"dimension": True}).encode(), "its dimension is True"),
        (json.dumps(CARD | {"max_seq_length": "40"}).encode(), "its max_seq_length is '40'"),
    ],
)
def test_a_card_that_does_not_say_how_vectors_are_made_is_refused(
    pair: pathlib.Path, content: bytes, reason: str
) -> None:
    """One line names the file, what is wrong and the remedy: a vector never depends on a guess."""
    (pair / CARD_FILE).write_bytes(content)
    with pytest.raises(ValueError, match=rf"expected {pair / CARD_FILE} as .*{reason}.*; copy or export") as error:
        find_model(str(pair))
    assert "\n" not in str(error.value)


def test_a_folder_in_place_of_a_card_is_refused(pair: pathlib.Path) -> None:
    """As a card that cannot be read."""
    (pair / CARD_FILE).mkdir()
    with pytest.raises(ValueError, match=f"expected {pair / CARD_FILE} as export_encoder writes it"):
        find_model(str(pair))


@pytest.mark.parametrize("part", ["encoder", "preprocessor"])
@pytest.mark.parametrize("with_card", [True, False])
def test_half_a_pair_names_the_file_that_is_missing(pair: pathlib.Path, part: str, with_card: bool) -> None:
    """Rather than being taken for something else."""
    if with_card:
        (pair / CARD_FILE).write_text(json.dumps(CARD))
    (pair / part / "saved_model.pb").unlink()
    with pytest.raises(ValueError, match=f"{pair / part / 'saved_model.pb'} is missing"):
        find_model(str(pair))


def test_a_preprocessor_may_be_elsewhere(pair: pathlib.Path) -> None:
    """Then the pair needs none of its own."""
    (pair / "preprocessor" / "saved_model.pb").unlink()
    assert find_model(str(pair), "gs://bucket/preprocessor").preprocessor == "gs://bucket/preprocessor"


def test_half_of_a_local_model_is_not_replaced_by_a_download(
    pair: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name whose folder lost its encoder is refused."""
    monkeypatch.setenv("EMBEDDING_MODELS", str(pair.parent))
    (pair.parent / "minilm").symlink_to(pair)
    (pair / CARD_FILE).write_text(json.dumps(CARD))
    (pair / "encoder" / "saved_model.pb").unlink()
    with pytest.raises(ValueError, match="minilm/encoder/saved_model.pb is missing"):
        find_model("minilm")


def test_a_folder_that_may_not_be_read_is_refused(pair: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the operating system says."""

    def refuse(self: pathlib.Path) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    # Tests may run as root, who may read everything.
    monkeypatch.setattr(pathlib.Path, "iterdir", refuse)
    with pytest.raises(ValueError, match="expected a model that can be read, got .*Permission denied"):
        find_model(str(pair))


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
