"""SplitSentences and EmbedSentences for Beam YAML; `yaml_providers.yaml` lists them."""

import functools
import operator
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

import apache_beam as beam

from transforms.adapters import AsMessages, AsSentences
from transforms.dead_letters import DeadLetterTransform
from transforms.embedding import EmbedSentences
from transforms.encoder.options import EmbeddingOptions, EncoderOptions
from transforms.options import takes
from transforms.schema import rfc3339, vector_of
from transforms.splitter import SplitterOptions
from transforms.splitting import SplitSentences, SplittingOptions
from transforms.types import Sentence, SentenceEmbedding, register

# The file to name in a pipeline's `providers: [{include: ...}]`.
PROVIDERS = pathlib.Path(__file__).parents[1] / "yaml_providers.yaml"


class EmbeddedRow(NamedTuple):
    """A SentenceEmbedding in types that YAML transforms can use: the vector as floats, the event time as RFC 3339."""

    id: str
    message_id: str
    sentence_index: int
    begin: int
    end: int
    content: str
    metadata: Mapping[str, str]
    event_time: Optional[str]
    embedding: Sequence[float]
    model: str
    model_version: str
    precision: str
    tokens: int
    truncated: bool


register(EmbeddedRow, version=2)


class YamlSplitSentences(beam.PTransform):
    """Splits the text of each row into sentences, one row per sentence, with half-open code-point offsets.

    Args:
        text_field: the field that holds the text; like the others, by its name or by a path to it, such as a.b[0].c.
        id_field: the field that holds its id; without one, the id is a hash of the text and the other fields.
        timestamp_field: the field that holds the event time.
        error_handling: with `output: NAME`, dead letters become the output NAME instead of failing the pipeline.
        options: the options of SplitSentences.
    """

    @takes(SplitterOptions, SplittingOptions)
    def __init__(
        self,
        text_field: str = "text",
        id_field: str = "id",
        timestamp_field: str = "",
        error_handling: Optional[Mapping[str, str]] = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._messages = AsMessages(text_field, id_field, timestamp_field)
        self._errors = _errors(error_handling)
        self._split = SplitSentences(**options)

    def expand(self, pcoll: Any) -> Any:
        """Wires the transform."""
        return _apply(pcoll, (self._messages, self._split), self._errors)


class YamlEmbedSentences(beam.PTransform):
    """Embeds the rows of SplitSentences, or the whole text of other rows, and returns rows with a vector of floats.

    Args:
        text_field: the field that holds the text, for rows that are not sentences; as in SplitSentences.
        id_field: the field that holds its id; without one, the id is a hash of the text and the other fields.
        timestamp_field: the field that holds the event time.
        error_handling: with `output: NAME`, dead letters become the output NAME instead of failing the pipeline.
        options: the options of EmbedSentences.
    """

    @takes(EncoderOptions, EmbeddingOptions)
    def __init__(
        self,
        text_field: str = "text",
        id_field: str = "id",
        timestamp_field: str = "",
        error_handling: Optional[Mapping[str, str]] = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._sentences = AsSentences(text_field, id_field, timestamp_field)
        self._errors = _errors(error_handling)
        self._embed = EmbedSentences(**options)

    def expand(self, pcoll: Any) -> Any:
        """Wires the transform."""
        before = () if pcoll.element_type is Sentence else (self._sentences,)
        outputs = _apply(pcoll, (*before, self._embed), self._errors)
        if not self._errors:
            return _readable(outputs)
        return {**outputs, "good": _readable(outputs["good"])}


def _errors(error_handling: Optional[Mapping[str, str]]) -> str:
    if error_handling is None:
        return ""
    if "output" not in error_handling:
        raise ValueError(f"expected error_handling with output: NAME, got {dict(error_handling)}")
    return str(error_handling["output"])


def _apply(pcoll: Any, transforms: Sequence[DeadLetterTransform], errors: str) -> Any:
    if not errors:
        return functools.reduce(operator.or_, transforms, pcoll)
    letters = []
    for transform in transforms:
        pcoll, refused = pcoll | transform.with_dead_letters()
        letters.append(refused)
    # "good" is Beam YAML's name for the main output of a transform that also has an error output.
    return {"good": pcoll, errors: letters | beam.Flatten()}


def _readable(rows: Any) -> Any:
    return rows | "Vectors as lists" >> beam.Map(_row).with_output_types(EmbeddedRow)


def _row(row: SentenceEmbedding) -> EmbeddedRow:
    values = row._asdict() | {"embedding": vector_of(row).tolist(), "event_time": rfc3339(row.event_time)}
    return EmbeddedRow(*(values[name] for name in EmbeddedRow._fields))
