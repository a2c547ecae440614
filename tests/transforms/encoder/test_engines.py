import logging
import pathlib
from typing import Any

import numpy as np
import pytest

from transforms.encoder import engines
from transforms.encoder.catalogue import find_model
from transforms.encoder.engines import OpenVinoEngine, Probes, TensorFlowEngine, agreement, choose
from transforms.encoder.preprocessor import Preprocessor
from transforms.encoder.saved_model import BertVectors
from transforms.encoder.text_encoder import TextEncoder

TEXTS = ["good dog .", "bad cat", "", "dogs , dogs , dogs !"]


@pytest.fixture(scope="module")
def model(tiny_bert: pathlib.Path) -> BertVectors:
    """The tiny BERT, mean-pooled."""
    return BertVectors(find_model(str(tiny_bert)), "mean", normalize=False)


@pytest.fixture(scope="module")
def probes(tiny_bert: pathlib.Path) -> Probes:
    """What engines of the tiny BERT are compared on."""
    return Probes(Preprocessor(find_model(str(tiny_bert)).preprocessor), 40)


class BlindToPadding(TensorFlowEngine):
    """An engine that takes padding for words: right on full rows, wrong on padded ones."""

    def __call__(self, ids: Any, segments: Any, positions: Any) -> Any:
        """Vectors as if all positions were read."""
        return super().__call__(ids, np.maximum(segments, segments.max(axis=1, keepdims=True)), positions)


class BlindToNeighbours(TensorFlowEngine):
    """An engine that lets the texts of a row attend to each other: right if each has a row of its own."""

    def __call__(self, ids: Any, segments: Any, positions: Any) -> Any:
        """One vector for each text, but that of the whole row."""
        counts = [len(set(row) - {0}) for row in segments]
        rows = np.where(segments > 0, np.arange(1, len(ids) + 1)[:, None], 0).astype(np.int32)
        return np.repeat(super().__call__(ids, rows, positions), counts, axis=0)


@pytest.mark.parametrize(("blind", "function"), [(BlindToPadding, "original"), (BlindToNeighbours, "lifted")])
def test_an_engine_wrong_only_on_some_rows_is_refused(
    model: BertVectors, probes: Probes, caplog: pytest.LogCaptureFixture, blind: Any, function: str
) -> None:
    """It is right on every text alone, and wrong on padded or on shared rows."""
    wrong = blind(model.original if function == "original" else model.lifted())
    expected = probes.alone(model.original)
    assert agreement(probes.alone(wrong), expected) > 0.9999
    makers = [("blind", "float32", lambda: wrong), ("right", "float32", lambda: TensorFlowEngine(model.original))]
    with caplog.at_level(logging.WARNING):
        assert choose(makers, expected, probes) is not wrong
    assert [record.message.split(":")[0] for record in caplog.records] == ["refused blind in float32"]
    with pytest.raises(ValueError, match=r"refused blind in float32: expected agreement of at least 0.9999 .*, got"):
        choose(makers[:1], expected, probes)


def test_the_fastest_engine_that_agrees_is_chosen(
    model: BertVectors, probes: Probes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By the clock, and said."""
    slow, fast = TensorFlowEngine(model.original), TensorFlowEngine(model.lifted())
    monkeypatch.setattr(engines, "_seconds", lambda engine, probes: 2.0 if engine is slow else 1.0)
    makers = [("a", "float32", lambda: slow), ("b", "float32", lambda: fast)]
    with caplog.at_level(logging.WARNING):
        assert choose(makers, probes.alone(model.original), probes) is fast
    assert "chose tensorflow in float32, the fastest of 2 engines that agree" in caplog.text


def test_an_engine_that_raises_is_passed_over(model: BertVectors, probes: Probes) -> None:
    """Whatever it raises."""

    def broken() -> Any:
        raise RuntimeError("no such operation\nand a trace")

    makers = [("broken", "float32", broken), ("right", "float32", lambda: TensorFlowEngine(model.original))]
    assert choose(makers, probes.alone(model.original), probes).name == "tensorflow"


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


def test_openvino_may_be_called_from_many_threads(model: BertVectors, probes: Probes) -> None:
    """More calls at once than it has requests, with texts in one another's rows."""
    pytest.importorskip("openvino")
    from concurrent.futures import ThreadPoolExecutor

    engine = OpenVinoEngine(model.lifted())
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: engine(*probes.batch(engine)), range(64)):
            np.testing.assert_allclose(found, probes.alone(model.original), atol=1e-5)


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
