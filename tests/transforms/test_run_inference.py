"""Plain RunInference with the public handler, as Beam documents it."""

import pathlib
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.ml.inference.base import (
    KeyedModelHandler,
    KeyModelMapping,
    MaybeKeyedModelHandler,
    ModelMetadata,
    PredictionResult,
    RunInference,
)
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from tests.beam import run
from tests.conftest import sentence
from transforms import TextEncoder, TextEncoderHandler
from transforms.dead_letters import WithDeadLetters

TEXTS = ["Hi.", "A longer text."]


def vectors(results: Sequence[PredictionResult]) -> list[list[float]]:
    """The vectors of results, in the order of their texts' lengths, which are their first numbers."""
    assert all(result.inference.dtype == np.float32 for result in results)
    return sorted(result.inference.tolist() for result in results)


def expected(model: pathlib.Path, texts: Sequence[str] = TEXTS) -> list[list[float]]:
    """The vectors that TextEncoder makes."""
    return sorted(TextEncoder(str(model)).encode(texts).tolist())


def test_strings_and_sentences_are_embedded(text_encoder: pathlib.Path) -> None:
    """Each result has its example, its vector, and the model with its version."""
    examples = [TEXTS[0], sentence(TEXTS[1])]
    results = run(examples, RunInference(TextEncoderHandler(str(text_encoder))))
    assert vectors(results) == expected(text_encoder)
    assert sorted(map(str, (result.example for result in results))) == sorted(map(str, examples))
    assert {result.model_id for result in results} == {f"text_encoder {TextEncoder(str(text_encoder)).version}"}


def test_the_options_are_those_of_the_encoder(tiny_bert: pathlib.Path) -> None:
    """By name; what there is not is refused where it is written."""
    handler = TextEncoderHandler(str(tiny_bert), pooling="cls", max_seq_length=40)
    (result,) = run(["good dog"], RunInference(handler))
    alone = TextEncoder(str(tiny_bert), pooling="cls", max_seq_length=40).encode(["good dog"])[0]
    np.testing.assert_allclose(result.inference, alone, atol=1e-6)
    with pytest.raises(TypeError, match="got 'poolin'; did you mean pooling"):
        TextEncoderHandler(str(tiny_bert), poolin="cls")


@pytest.mark.parametrize("wrapper", [KeyedModelHandler, MaybeKeyedModelHandler])
def test_keys_are_kept(text_encoder: pathlib.Path, wrapper: Any) -> None:
    """Beam's own wrappers hand the examples on without their keys, and give the keys back."""
    results = run(list(enumerate(TEXTS)), RunInference(wrapper(TextEncoderHandler(str(text_encoder)))))
    assert {key: result.example for key, result in results} == dict(enumerate(TEXTS))
    assert vectors([result for _, result in results]) == expected(text_encoder)


def test_each_key_may_have_a_model(text_encoder: pathlib.Path, tiny_bert: pathlib.Path) -> None:
    """By KeyedModelHandler's mappings."""
    handlers = [
        KeyModelMapping(["a"], TextEncoderHandler(str(text_encoder))),
        KeyModelMapping(["b"], TextEncoderHandler(str(tiny_bert), max_seq_length=40)),
    ]
    results = dict(run([("a", "good dog"), ("b", "good dog")], RunInference(KeyedModelHandler(handlers))))
    assert {key: len(result.inference) for key, result in results.items()} == {"a": 4, "b": 16}


def with_side_input(handler: Any, examples: Sequence[Any], update: Any) -> list[Any]:
    """What RunInference makes of `examples` once a side input has told of another model."""

    class Updated(beam.PTransform):
        def expand(self, pcoll: Any) -> Any:
            updates = pcoll.pipeline | "Updates" >> beam.Create([update])
            return pcoll | RunInference(handler, model_metadata_pcoll=updates)

    return list(run(examples, Updated()))


def test_the_model_is_updated_by_a_side_input(text_encoder: pathlib.Path, tiny_bert: pathlib.Path) -> None:
    """To the directory that ModelMetadata names, with the options of the handler."""
    handler = TextEncoderHandler(str(text_encoder), max_seq_length=40)
    (result,) = with_side_input(handler, ["good dog"], ModelMetadata(str(tiny_bert), "tiny"))
    assert result.model_id == f"tiny {TextEncoder(str(tiny_bert), max_seq_length=40).version}"


def test_the_model_of_keys_is_updated_by_a_side_input(text_encoder: pathlib.Path, tiny_bert: pathlib.Path) -> None:
    """As KeyedModelHandler hands it on."""
    handler = KeyedModelHandler(TextEncoderHandler(str(text_encoder), max_seq_length=40))
    ((key, result),) = with_side_input(handler, [("a", "good dog")], ModelMetadata(str(tiny_bert), "tiny"))
    assert (key, len(result.inference)) == ("a", 16)


def test_a_batch_that_fails_is_handed_out(text_encoder: pathlib.Path) -> None:
    """Whole, as with any handler of Beam's; the other batches are embedded."""
    handler = TextEncoderHandler(str(text_encoder), max_batch_size=1)

    class Handled(beam.PTransform):
        def expand(self, pcoll: Any) -> Any:
            results = pcoll | RunInference(handler).with_exception_handling()
            return WithDeadLetters(results[0], results[1].failed_inferences)

    good, bad = run([*TEXTS, "raise", None, 7], Handled())
    assert vectors(good) == expected(text_encoder)
    assert sorted(str(batch) for batch, _ in bad) == ["['raise']", "[7]", "[None]"]
    said = [reason for _, (_, reason, _) in bad if "expected a string or a Sentence" in reason]
    assert len(said) == 2


def test_other_arguments_are_refused(text_encoder: pathlib.Path) -> None:
    """Beam's inference_args would have no effect."""
    with pytest.raises(ValueError, match=r"^expected no inference_args, got \['pooling'\]"):
        run(TEXTS, RunInference(TextEncoderHandler(str(text_encoder)), inference_args={"pooling": "cls"}))


@pytest.mark.slow
def test_a_large_model_is_shared_by_processes(text_encoder: pathlib.Path) -> None:
    """What crosses to the process that holds it are texts and vectors."""
    options = PipelineOptions(["--direct_running_mode=multi_processing", "--direct_num_workers=2"])
    with beam.Pipeline("FnApiRunner", options=options) as pipeline:
        results = pipeline | beam.Create(TEXTS) | RunInference(TextEncoderHandler(str(text_encoder), large_model=True))
        lengths = results | beam.Map(lambda result: float(result.inference[0]))
        assert_that(lengths, equal_to([float(len(text)) for text in TEXTS]))
