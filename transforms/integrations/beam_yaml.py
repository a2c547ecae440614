"""SplitSentences and EmbedSentences for Beam YAML; `yaml_providers.yaml` lists them."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

import apache_beam as beam
from apache_beam import coders

from transforms.adapters import AsMessages, AsSentences
from transforms.dead_letters import DeadLetterTransform
from transforms.embedding import EmbedSentences
from transforms.encoder.catalogue import DEFAULT_MODEL
from transforms.encoder.text_encoder import DEFAULT_MAX_SEQ_LENGTH
from transforms.schema import vector_of
from transforms.splitting import SplitSentences
from transforms.types import Sentence, SentenceEmbedding

# What a pipeline's `providers: [{include: ...}]` names.
PROVIDERS = pathlib.Path(__file__).parents[1] / "yaml_providers.yaml"


class EmbeddedRow(NamedTuple):
    """A SentenceEmbedding whose vector YAML can read: a list of floats."""

    id: str
    message_id: str
    sentence_index: int
    begin: int
    end: int
    content: str
    metadata: Mapping[str, str]
    embedding: Sequence[float]
    model: str
    model_version: str
    tokens: int
    truncated: bool


EmbeddedRow._beam_schema_id = "sentence-embeddings-EmbeddedRow-v1"  # type: ignore[attr-defined]
coders.registry.register_coder(EmbeddedRow, coders.RowCoder)


class YamlSplitSentences(beam.PTransform):
    """Rows with a text to rows of its sentences, with half-open code-point offsets.

    Args:
        text_field: the field that holds the text.
        id_field: the field that holds its id; without it, an id is made of the row.
        timestamp_field: the field that holds the event time.
        language: language of the texts, as an ISO 639-1 code.
        language_field: the field that names a text's own language.
        newlines: whether a line break ends a sentence: sentence, soft or ignore.
        split_length: cut longer sentences at white space, in characters.
        min_length: drop shorter sentences, in characters.
        max_length: drop longer sentences, in characters.
        error_handling: `output: NAME` gives dead letters as the output NAME instead of failing.
    """

    def __init__(
        self,
        text_field: str = "text",
        id_field: str = "id",
        timestamp_field: str = "",
        language: str = "en",
        language_field: str = "",
        newlines: str = "soft",
        split_length: Optional[int] = None,
        min_length: int = 0,
        max_length: Optional[int] = None,
        error_handling: Optional[Mapping[str, str]] = None,
    ) -> None:
        super().__init__()
        self._messages = AsMessages(text_field, id_field, timestamp_field)
        self._errors = _errors(error_handling)
        self._split = SplitSentences(
            language,
            language_field=language_field,
            newlines=newlines,
            split_length=split_length,
            min_length=min_length,
            max_length=max_length,
        )

    def expand(self, pcoll: Any) -> Any:
        """Wires the transform."""
        return _apply(pcoll | self._messages, self._split, self._errors)


class YamlEmbedSentences(beam.PTransform):
    """Rows of SplitSentences, or rows with a text that is embedded whole, to rows with a vector of floats.

    Args:
        model: a catalogue name, a TF-Hub handle, or a directory.
        preprocessor: handle or directory of the preprocessor, if not the model's own.
        pooling: pooled_output, mean, cls or model_default; by default what the catalogue says of the model.
        normalize: scale vectors to length 1; by default what the catalogue says.
        max_seq_length: the most word pieces read of a sentence.
        cleanup: what the encoder reads of a sentence.
        text_field: the field that holds the text, for rows that are no sentences.
        id_field: the field that holds its id.
        error_handling: `output: NAME` gives dead letters as the output NAME instead of failing.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        preprocessor: str = "",
        pooling: str = "",
        normalize: Optional[bool] = None,
        max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH,
        cleanup: str = "disabled",
        text_field: str = "text",
        id_field: str = "id",
        error_handling: Optional[Mapping[str, str]] = None,
    ) -> None:
        super().__init__()
        self._sentences = AsSentences(text_field, id_field)
        self._errors = _errors(error_handling)
        self._embed = EmbedSentences(
            model,
            preprocessor=preprocessor,
            pooling=pooling,
            normalize=normalize,
            max_seq_length=max_seq_length,
            cleanup=cleanup,
        )

    def expand(self, pcoll: Any) -> Any:
        """Wires the transform."""
        sentences = pcoll if pcoll.element_type is Sentence else pcoll | self._sentences
        outputs = _apply(sentences, self._embed, self._errors)
        if not self._errors:
            return _readable(outputs)
        return {**outputs, "good": _readable(outputs["good"])}


def _errors(error_handling: Optional[Mapping[str, str]]) -> str:
    if error_handling is None:
        return ""
    if "output" not in error_handling:
        raise ValueError(f"expected error_handling with output: NAME, got {dict(error_handling)}")
    return str(error_handling["output"])


def _apply(pcoll: Any, transform: DeadLetterTransform, errors: str) -> Any:
    if not errors:
        return pcoll | transform
    result = pcoll | transform.with_dead_letters()
    # "good" is what Beam YAML calls the main output beside an error output.
    return {"good": result.output, errors: result.dead_letters}


def _readable(rows: Any) -> Any:
    return rows | "Vectors as lists" >> beam.Map(_row).with_output_types(EmbeddedRow)


def _row(row: SentenceEmbedding) -> EmbeddedRow:
    fields = {name: getattr(row, name) for name in EmbeddedRow._fields if name != "embedding"}
    return EmbeddedRow(**fields, embedding=vector_of(row).tolist())
