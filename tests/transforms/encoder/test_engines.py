import logging
import pathlib
from typing import Any

import numpy as np
import pytest

from transforms.encoder import engines
from transforms.encoder.catalogue import find_model
from transforms.encoder.engines import OpenVinoEngine, TensorFlowEngine, agreement, choose, one_by_one
from transforms.encoder.saved_model import BertVectors
from transforms.encoder.text_encoder import TextEncoder

IDS = np.array([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0], [2, 3, 0, 0, 0]], np.int32)
MASK = (IDS > 0).astype(np.int32)
PACKED = (IDS, MASK, np.zeros_like(IDS))
TEXTS = ["good dog .", "bad cat", "", "dogs , dogs , dogs !"]


@pytest.fixture(scope="module")
def model(tiny_bert: pathlib.Path) -> BertVectors:
    """The tiny BERT, mean-pooled."""
    return BertVectors(find_model(str(tiny_bert)), "mean", normalize=False)


class BlindToPadding(TensorFlowEngine):
    """An engine that takes padding for words: right on full rows, wrong on padded ones."""

    def __call__(self, ids: Any, mask: Any, types: Any) -> Any:
        """Vectors as if all positions were read."""
        return super().__call__(ids, np.ones_like(mask), types)


def test_an_engine_wrong_only_on_padded_rows_is_refused(model: BertVectors, caplog: pytest.LogCaptureFixture) -> None:
    """It is right on every row alone, and on the full row of the batch."""
    blind = BlindToPadding(model.original)
    expected = one_by_one(model.original, PACKED)
    assert agreement(one_by_one(blind, PACKED), expected) > 0.9999
    assert agreement(blind(*PACKED)[:1], expected[:1]) > 0.9999
    makers = [("blind", "float32", lambda: blind), ("right", "float32", lambda: TensorFlowEngine(model.original))]
    with caplog.at_level(logging.WARNING):
        assert choose(makers, expected, PACKED) is not blind
    assert [record.message.split(":")[0] for record in caplog.records] == ["refused blind in float32"]
    with pytest.raises(ValueError, match=r"refused blind in float32: expected agreement of at least 0.9999 .*, got"):
        choose(makers[:1], expected, PACKED)


def test_the_fastest_engine_that_agrees_is_chosen(
    model: BertVectors, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By the clock, and said."""
    slow, fast = TensorFlowEngine(model.original), TensorFlowEngine(model.lifted())
    monkeypatch.setattr(engines, "_seconds", lambda engine, probes: 2.0 if engine is slow else 1.0)
    makers = [("a", "float32", lambda: slow), ("b", "float32", lambda: fast)]
    with caplog.at_level(logging.WARNING):
        assert choose(makers, one_by_one(model.original, PACKED), PACKED) is fast
    assert "chose tensorflow in float32, the fastest of 2 engines that agree" in caplog.text


def test_an_engine_that_raises_is_passed_over(model: BertVectors) -> None:
    """Whatever it raises."""

    def broken() -> Any:
        raise RuntimeError("no such operation\nand a trace")

    makers = [("broken", "float32", broken), ("right", "float32", lambda: TensorFlowEngine(model.original))]
    assert choose(makers, model.original(*PACKED), PACKED).name == "tensorflow"


@pytest.mark.parametrize(
    ("found", "expected", "reached"),
    [([[1, 0]], [[1, 0]], 1), ([[0, 1]], [[1, 0]], 0), ([[2, 0]], [[1, 0]], 0.5), ([[np.nan, 0]], [[1, 0]], -1)],
)
def test_agreement_is_the_worst_rows(found: Any, expected: Any, reached: float) -> None:
    """Of direction and of length; NaN agrees with nothing."""
    assert agreement(np.array([*found, [3, 4]], float), np.array([*expected, [3, 4]], float)) == pytest.approx(reached)


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooled_output"])
def test_bfloat16_agrees_with_float32(hub_bert: pathlib.Path, pooling: str) -> None:
    """Another precision, named by the encoder, and nearly the same vectors."""
    texts = ["the dog barks", "cat", "", "hello world . the slow dog sleeps"]
    exact = TextEncoder(str(hub_bert), pooling=pooling, max_seq_length=32)
    half = TextEncoder(str(hub_bert), pooling=pooling, max_seq_length=32, precision="bfloat16")
    assert (exact.precision, half.precision) == ("float32", "bfloat16")
    found, expected = half.encode(texts), exact.encode(texts)
    assert agreement(found, expected) >= 0.9995
    assert np.abs(found - expected).max() > 1e-4


def openvino_has_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16, by OpenVINO's own word."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_a_precision_that_openvino_would_replace_is_refused(model: BertVectors) -> None:
    """Rows never say bfloat16 of vectors that were made in float32, nor the other way about."""
    pytest.importorskip("openvino")
    if openvino_has_bfloat16():
        assert OpenVinoEngine(model.original, "bfloat16").precision == "bfloat16"
    else:
        with pytest.raises(ValueError, match="expected a processor that multiplies in bfloat16"):
            OpenVinoEngine(model.original, "bfloat16")


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "least"), [("float32", 0.9999), ("bfloat16", 0.9995)])
@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_the_reference_vectors_are_met_by_every_engine(
    minilm_reference: tuple[list[str], Any], engine: str, precision: str, least: float
) -> None:
    """At least as near as the precision allows."""
    if engine == "openvino":
        pytest.importorskip("openvino")
    if (engine, precision) == ("openvino", "bfloat16") and not openvino_has_bfloat16():
        pytest.skip("OpenVINO has no bfloat16 on this processor")
    sentences, vectors = minilm_reference
    encoder = TextEncoder("minilm", engine=engine, precision=precision)
    assert (encoder.engine, encoder.precision) == (engine, precision)
    assert (encoder.encode(sentences) * vectors).sum(axis=1).min() >= least


def test_openvino_gives_tensorflows_vectors(tiny_bert: pathlib.Path) -> None:
    """In float32, from the optimized graph."""
    pytest.importorskip("openvino")
    found = TextEncoder(str(tiny_bert), max_seq_length=40, engine="openvino").encode(TEXTS)
    np.testing.assert_allclose(found, TextEncoder(str(tiny_bert), max_seq_length=40).encode(TEXTS), atol=1e-5)


def test_openvino_may_be_called_from_many_threads(model: BertVectors) -> None:
    """More calls at once than it has requests."""
    pytest.importorskip("openvino")
    from concurrent.futures import ThreadPoolExecutor

    engine = OpenVinoEngine(model.lifted())
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: engine(*PACKED), range(64)):
            np.testing.assert_allclose(found, model.original(*PACKED), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"engine": "onnx"}, "expected engine to be one of tensorflow, openvino, auto, got 'onnx'"),
        ({"precision": "int8"}, "expected precision to be one of float32, bfloat16, auto, got 'int8'"),
    ],
)
def test_what_there_is_not_is_refused(tiny_bert: pathlib.Path, options: dict[str, Any], reason: str) -> None:
    """Before anything is loaded."""
    with pytest.raises(ValueError, match=reason):
        TextEncoder(str(tiny_bert), **options)


def test_a_text_in_encoder_has_one_engine(text_encoder: pathlib.Path) -> None:
    """There are no word ids to give to another."""
    assert TextEncoder(str(text_encoder), engine="auto", precision="auto").precision == "float32"
    with pytest.raises(ValueError, match="use engine=tensorflow precision=float32"):
        TextEncoder(str(text_encoder), precision="bfloat16")
