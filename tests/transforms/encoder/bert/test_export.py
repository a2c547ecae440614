import dataclasses
import json
import pathlib
import re
import shutil
from typing import Any

import numpy as np
import pytest

from pipeline import export_encoder
from tests.conftest import VOCABULARY, write_checkpoint
from transforms.encoder.bert.export import export_pair
from transforms.encoder.bert.tokenizer import BertPreprocessor
from transforms.encoder.catalogue import find_model
from transforms.encoder.saved_model import BertVectors
from transforms.encoder.text_encoder import TextEncoder


def reference(path: pathlib.Path, ids: list[int]) -> "np.ndarray[Any, Any]":
    """BERT's sequence output for one row of ids, written out in NumPy from the paper, float64 [length, hidden]."""
    from math import erf

    from safetensors.numpy import load_file

    t = {name: array.astype(np.float64) for name, array in load_file(path / "model.safetensors").items()}
    heads = json.loads((path / "config.json").read_text())["num_attention_heads"]

    def dense(x: Any, name: str) -> Any:
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    def norm(x: Any, name: str) -> Any:
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return scaled * t[f"{name}.weight"] + t[f"{name}.bias"]

    e = "embeddings"
    x = t[f"{e}.word_embeddings.weight"][ids] + t[f"{e}.position_embeddings.weight"][: len(ids)]
    x = norm(x + t[f"{e}.token_type_embeddings.weight"][0], f"{e}.LayerNorm")
    for layer in range(2):
        at = f"encoder.layer.{layer}"
        q, k, v = (
            dense(x, f"{at}.attention.self.{part}").reshape(len(ids), heads, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        context = (weights / weights.sum(-1, keepdims=True)) @ v
        context = context.transpose(1, 0, 2).reshape(len(ids), -1)
        x = norm(dense(context, f"{at}.attention.output.dense") + x, f"{at}.attention.output.LayerNorm")
        inner = dense(x, f"{at}.intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(erf)(inner / np.sqrt(2)))
        x = norm(dense(inner, f"{at}.output.dense") + x, f"{at}.output.LayerNorm")
    return np.asarray(x)


def test_the_exported_encoder_computes_bert(checkpoint: pathlib.Path, tiny_bert: pathlib.Path) -> None:
    """Its vectors are those of the formula, from the same weights."""
    ids = [VOCABULARY.index(token) for token in ("[CLS]", "good", "dog", "##s", ".", "[SEP]")]
    expected = reference(checkpoint, ids)
    for pooling, vector in (("mean", expected.mean(0)), ("cls", expected[0])):
        found = TextEncoder(str(tiny_bert), pooling=pooling, max_seq_length=40).encode(["Good dogs."])
        np.testing.assert_allclose(found[0], vector, atol=1e-5)


def test_a_pair_describes_itself(tiny_bert: pathlib.Path) -> None:
    """What the card says is known without loading."""
    model = find_model(str(tiny_bert))
    assert (model.name, model.dimension, model.max_seq_length, model.pooling) == ("tiny", 16, 40, "pooled_output")


@pytest.mark.slow
def test_sentence_transformers_modules_give_pooling_and_norm(tmp_path: pathlib.Path) -> None:
    """A checkpoint's own modules decide how its vectors are made."""
    write_checkpoint(tmp_path, pooler=False)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1_Pooling").mkdir()
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "word_embedding_dimension": 16}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    assert export_encoder.main([f"--from={tmp_path}", f"--to={tmp_path / 'pair'}"]) == 0
    model = find_model(str(tmp_path / "pair"))
    assert (model.pooling, model.normalize) == ("cls", True)
    assert "pooled_output" not in model.poolings
    with pytest.raises(ValueError, match="expected pooling=mean or cls or model_default, which pair has, got"):
        TextEncoder(str(tmp_path / "pair"), pooling="pooled_output", max_seq_length=40)


@pytest.mark.slow
def test_a_vocabulary_can_come_from_tokenizer_json(tmp_path: pathlib.Path, tiny_bert: pathlib.Path) -> None:
    """A checkpoint without vocab.txt gives the same vectors."""
    write_checkpoint(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    vocabulary = {token: number for number, token in reversed(list(enumerate(VOCABULARY)))}
    tokenizer = {"model": {"type": "WordPiece", "vocab": vocabulary}, "normalizer": {"lowercase": True}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert export_encoder.main([f"--from={tmp_path}", f"--to={tmp_path / 'pair'}"]) == 0
    found, expected = (
        TextEncoder(str(path), max_seq_length=40).encode(["Good dogs."]) for path in (tmp_path / "pair", tiny_bert)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("pooling", ["pooled_output", "mean"])
def test_a_pair_of_tf_hubs_becomes_one_with_the_optimized_graph(
    hub_bert: pathlib.Path, tmp_path: pathlib.Path, pooling: str
) -> None:
    """The same vectors, with nothing left to lift at load."""
    hub = dataclasses.replace(find_model(str(hub_bert)), pooling=pooling)
    made = export_pair(hub, tmp_path / "made")
    assert (made.pooling, made.dimension, made.max_seq_length) == (pooling, 32, 64)
    assert BertVectors(find_model(str(tmp_path / "made")), pooling, normalize=False).is_plain
    expected, found = (
        TextEncoder(str(path), pooling=pooling, max_seq_length=32).encode(["the dog", ""])
        for path in (hub_bert, tmp_path / "made")
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_pair_is_made_by_the_program(hub_bert: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """From a directory, as --model of the pipeline takes it."""
    assert export_encoder.main([f"--model={hub_bert}", f"--to={tmp_path / 'made'}"]) == 0
    assert find_model(str(tmp_path / "made")).pooling == "pooled_output"


def test_a_pair_of_few_positions_is_converted(tiny_bert: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """It is compared on texts that are no longer than it reads, which its description may tell alone."""
    assert export_encoder.main([f"--model={tiny_bert}", f"--to={tmp_path / 'pair'}"]) == 0
    assert find_model(str(tmp_path / "pair")).max_seq_length == 40


def test_a_text_in_encoder_has_nothing_to_lift(
    text_encoder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line and exit code 2."""
    assert export_encoder.main([f"--model={text_encoder}", f"--to={tmp_path / 'made'}"]) == 2
    assert "has no preprocessor" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--from=CHECKPOINT"], ["--model=/models/mine"]])
def test_a_place_is_needed_for_what_has_no_name(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Only a name of the catalogue has a place of its own."""
    assert export_encoder.main(given) == 2
    assert "expected --to=DIR" in capsys.readouterr().err


def test_word_pieces_are_those_of_hugging_faces_tokenizer() -> None:
    """Case, accents, controls and compatibility characters as the checkpoint saw them in training."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "…", "...", "ﬁ", "fi", "cafe", "ab", "a", "b", "ασ", "ας"]
    vocabulary += ["日", "本", "i", "x"]
    expected = {"…": "…", "ﬁ": "ﬁ", "Café": "cafe", "a\x00b": "ab", "ΑΣ": "ασ", "日本": "日 本", "İ": "i"}
    expected |= {"a\u3000b": "a b", "\ufffdx": "x"}
    found = BertPreprocessor(vocabulary, lower_case=True).tokenize([*expected]).to_list()
    assert [" ".join(vocabulary[i] for i in tokens) for tokens in found] == [*expected.values()]


def test_a_cased_vocabulary_keeps_case_and_accents() -> None:
    """Nothing is folded where the checkpoint was trained on text as it is."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "Café", "cafe"]
    assert BertPreprocessor(vocabulary, lower_case=False).tokenize(["Café cafe"]).to_list() == [[4, 5]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model_type": "gpt2"}, "expected model_type among ['bert', 'camembert', 'distilbert', 'mpnet', 'r"),
        ({"hidden_act": "swish"}, "expected hidden_act among"),
        ({"position_embedding_type": "relative_key"}, 'expected position_embedding_type "absolute"'),
        ({"num_hidden_layers": 1}, "it has 2 layers, and config.json says num_hidden_layers=1"),
    ],
)
def test_what_is_no_bert_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], reason: str
) -> None:
    """One line and exit code 2; no half-made pair stays."""
    write_checkpoint(tmp_path, **change)
    assert export_encoder.main([f"--from={tmp_path}", f"--to={tmp_path / 'pair'}"]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "pair").exists()


def test_a_directory_that_is_no_checkpoint_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the missing file."""
    assert export_encoder.main([f"--from={tmp_path}", f"--to={tmp_path / 'pair'}"]) == 2
    assert "config.json is missing" in capsys.readouterr().err


def test_an_existing_target_is_not_overwritten(
    checkpoint: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model in use is never replaced behind its reader's back."""
    (tmp_path / "file").touch()
    assert export_encoder.main([f"--from={checkpoint}", f"--to={tmp_path}"]) == 2
    assert "does not exist yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", None, "config.json is missing"),
        ("config.json", b"{", r"expected .*config\.json of a checkpoint, could not use it: Expecting property"),
        ("config.json", b"[]", r"config\.json of a checkpoint, could not use it: it holds list"),
        ("config.json", b'{"model_type": "bert"}', "could not use it: it lacks 'num_attention_heads'"),
        (
            "config.json",
            b'{"model_type": "bert", "num_attention_heads": 5}',
            "no multiple of the 5 heads in config.json",
        ),
        ("model.safetensors", None, r"expected \*\.safetensors in"),
        ("model.safetensors", b"cut short", r"expected .*model\.safetensors of a checkpoint, could not use it"),
        ("vocab.txt", None, "tokenizer.json is missing"),
        ("vocab.txt", b"dog\n\xff\n", r"expected .*vocab\.txt of a checkpoint, could not use it: .*decode"),
        ("vocab.txt", b"dog\ncat\n", r"it lacks the tokens \[PAD\], \[UNK\], \[CLS\], \[SEP\]"),
        (
            "modules.json",
            b'[{"type": "Pooling"}]',
            r"modules\.json of a checkpoint, could not use it: it lacks 'path'",
        ),
    ],
)
def test_a_broken_checkpoint_is_refused_with_one_line(
    checkpoint: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes | None,
    reason: str,
) -> None:
    """It names the file, and nothing is left where the pair would be."""
    copied = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    if content is None:
        (copied / name).unlink()
    else:
        (copied / name).write_bytes(content)
    assert export_encoder.main([f"--from={copied}", f"--to={tmp_path / 'pair'}"]) == 2
    printed = capsys.readouterr().err
    assert re.search(reason, printed)
    assert printed.count("\n") == 1
    assert not (tmp_path / "pair").exists()


def test_a_place_that_cannot_be_made_is_refused_with_one_line(
    checkpoint: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file stands in its way."""
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "pair"):
        assert export_encoder.main([f"--from={checkpoint}", f"--to={place}"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
