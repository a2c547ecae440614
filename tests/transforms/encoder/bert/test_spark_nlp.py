import json
import pathlib
import re
import shutil
import tarfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipeline import export_encoder
from tests.conftest import DATA, VOCABULARY
from tests.shared import Shared
from tests.spark_nlp import METADATA, sequence_file, write_saved, write_vocabulary
from transforms.encoder.bert import spark_nlp
from transforms.encoder.catalogue import find_model
from transforms.encoder.hub import load
from transforms.encoder.text_encoder import TextEncoder

EXPECTED = json.loads((DATA / "spark_nlp" / "expected.json").read_text(encoding="utf-8"))


def _unpacked(name: str, shared: Shared) -> pathlib.Path:
    def make(path: pathlib.Path) -> None:
        with tarfile.open(DATA / "spark_nlp" / f"{name}.tar.xz") as archive:
            archive.extractall(path, filter="data")

    return shared.made(f"spark_nlp_{name}", make)


@pytest.mark.slow
@pytest.mark.parametrize("export", ["saved", "saved_model"])
def test_the_vectors_are_those_that_spark_nlp_gave(export: str, tmp_path: pathlib.Path, shared: Shared) -> None:
    """Of its own exports, to float32's rounding, an empty text and a truncated one among them."""
    assert export_encoder.main([f"--from={_unpacked(export, shared)}", f"--to={tmp_path / 'pair'}"]) == 0
    model = find_model(str(tmp_path / "pair"))
    assert (model.pooling, model.normalize, model.cased, model.max_seq_length) == ("pooled_output", False, False, 40)
    found = TextEncoder(str(tmp_path / "pair"), max_seq_length=40).encode(EXPECTED["texts"])
    np.testing.assert_allclose(found, EXPECTED["vectors"], atol=1e-5)


def test_an_encoder_of_tf_hubs_is_read(hub_bert: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Its variables have other names; its signature gives what Spark NLP asks for."""
    encoder = load(str(hub_bert / "encoder"))
    names = ("input_word_ids", "input_mask", "input_type_ids")

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, name=name) for name in names])
    def signature(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"pooler_output": encoder(dict(zip(names, inputs, strict=True)))["pooled_output"]}

    tf.saved_model.save(encoder, str(tmp_path / "export"), signatures=signature)
    write_vocabulary(tmp_path / "export")
    config = _config(tmp_path / "export", tmp_path)
    assert (config["num_attention_heads"], config["hidden_act"]) == (2, "gelu_new")


def _config(export: pathlib.Path, tmp_path: pathlib.Path) -> dict[str, Any]:
    (tmp_path / "checkpoint").mkdir()
    spark_nlp.as_checkpoint(export, tmp_path / "checkpoint")
    found: dict[str, Any] = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
    return found


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9),
        st.integers(0, 2**31 - 1),
    )
    | st.dictionaries(st.text("az:/_"), st.text("az:/_"))
)
def test_any_pairs_of_java_objects_are_read(tmp_path_factory: Any, pairs: dict[str, Any]) -> None:
    """In all alphabets, with emoji, and across records."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "part-00000").write_bytes(sequence_file(pairs))
    assert dict(spark_nlp._pairs(folder)) == pairs


def test_an_export_of_the_first_versions_is_read(tmp_path: pathlib.Path) -> None:
    """It has no signatures, its vector is a mean of length 1, and its case is in the metadata."""
    write_saved(tmp_path / "export", {**METADATA, "paramMap": {"caseSensitive": True}})
    assert _config(tmp_path / "export", tmp_path)["num_attention_heads"] == 2
    cased = json.loads((tmp_path / "checkpoint" / "tokenizer_config.json").read_text())
    modules = json.loads((tmp_path / "checkpoint" / "modules.json").read_text())
    assert (cased, [module["path"] for module in modules]) == (
        {"do_lower_case": False},
        ["", "Pooling", "Normalize"],
    )


def test_a_piece_that_the_vocabulary_has_twice_keeps_the_later_number(tmp_path: pathlib.Path) -> None:
    """Nothing stands for the earlier one, and all others keep theirs."""
    numbers = {piece: number for number, piece in enumerate(VOCABULARY) if piece != "cat"}
    write_saved(tmp_path / "export", vocabulary=numbers)
    _config(tmp_path / "export", tmp_path)
    read = (tmp_path / "checkpoint" / "vocab.txt").read_text().splitlines()
    assert read == [piece if piece != "cat" else "[unused 6]" for piece in VOCABULARY]


def _onnx(export: pathlib.Path) -> None:
    write_vocabulary(export)
    (export / "model.onnx").touch()


def _other_annotator(export: pathlib.Path) -> None:
    write_saved(export, {**METADATA, "class": "com.johnsnowlabs.nlp.embeddings.BertEmbeddings"})


def _pipeline(export: pathlib.Path) -> None:
    stages = {
        "": "org.apache.spark.ml.PipelineModel",
        "stages/0_A": "DocumentAssembler",
        "stages/1_B": METADATA["class"],
    }
    for stage, kind in stages.items():
        (export / stage / "metadata").mkdir(parents=True)
        (export / stage / "metadata" / "part-00000").write_text(json.dumps({"class": kind}))


def _without_vector(export: pathlib.Path) -> None:
    write_saved(export)
    (export / "fields" / "signatures").mkdir()
    names = {"input_ids": "input_ids:0", "attention_mask": "input_mask:0", "token_type_ids": "segment_ids:0"}
    (export / "fields" / "signatures" / "part-00000").write_bytes(sequence_file(names))


def _changed(name: str, change: Callable[[pathlib.Path], object]) -> Callable[[pathlib.Path], None]:
    def make(export: pathlib.Path) -> None:
        write_saved(export)
        change(export / name)

    return make


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_onnx, "expected an export for TensorFlow, .*model.onnx is for another engine.*pass --from the checkpoint"),
        (_changed("bert_sentence_onnx", pathlib.Path.touch), "bert_sentence_onnx is for another engine"),
        (_other_annotator, r"is one of com.johnsnowlabs.nlp.embeddings.BertEmbeddings; pass the directory"),
        (_without_vector, "it lacks pooled_output; pass --from the checkpoint"),
        (_pipeline, r"is one of org.apache.spark.ml.PipelineModel; pass its stage .*stages/1_B"),
        (write_vocabulary, "saved_model.pb is missing, damaged or not readable"),
        (_changed("metadata/part-00000", lambda path: path.write_text("{")), r"expected metadata/part-\* of Spark ML"),
        (_changed("metadata/part-00000", lambda path: path.write_text("[]")), r"expected metadata/part-\* of Spark ML"),
        (_changed("bert_sentence_tensorflow", pathlib.Path.unlink), r"expected one \*_tensorflow in .*, found 0"),
        (_changed("bert_sentence_tensorflow", lambda path: path.write_text("x")), "not a zip file; copy the export"),
        (_changed("fields/vocabulary", shutil.rmtree), r"lacks \[PAD\]"),
        (_changed("fields/vocabulary/part-00000", lambda path: path.write_bytes(b"PAR1")), "not Hadoop sequence files"),
        (
            _changed("fields/vocabulary/part-00000", lambda path: path.write_bytes(path.read_bytes()[:-30])),
            "copy the export again",
        ),
        (lambda export: write_saved(export, vocabulary={"dog": 0}), r"lacks \[PAD\], \[UNK\], \[CLS\], \[SEP\]"),
        (
            lambda export: write_saved(export, pool=lambda states, _: 2 * states[:, 1]),
            "its graph's vectors and those of its weights agree to -?[0-9.]+ at most",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_one_line(
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[pathlib.Path], None],
    reason: str,
) -> None:
    """It says what to pass instead; nothing is left where the pair would be."""
    make(tmp_path / "export")
    assert export_encoder.main([f"--from={tmp_path / 'export'}", f"--to={tmp_path / 'pair'}"]) == 2
    printed = capsys.readouterr().err
    assert re.search(reason, printed)
    assert printed.count("\n") == 1
    assert not (tmp_path / "pair").exists()


@pytest.mark.parametrize("export", ["saved", "saved_model"])
def test_the_pipeline_says_how_to_convert_an_export(export: str, shared: Shared) -> None:
    """Neither kind has a preprocessor; the line is the command."""
    path = _unpacked(export, shared)
    with pytest.raises(ValueError, match=rf"`python -m pipeline\.export_encoder --from={path} --to=DIR`"):
        TextEncoder(str(path))
