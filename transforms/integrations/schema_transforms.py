"""SplitSentences and EmbedSentences as SchemaTransforms: what an expansion service offers to Java and YAML.

Their inputs, outputs and options are those of Beam YAML, each option typed and nullable: null is its default.
"""

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

import apache_beam as beam
from apache_beam.coders import RowCoder
from apache_beam.portability.api import beam_expansion_api_pb2, external_transforms_pb2, schema_pb2
from apache_beam.typehints.schemas import named_fields_to_schema

from transforms.encoder.options import EmbeddingOptions, EncoderOptions
from transforms.integrations.beam_yaml import YamlEmbedSentences, YamlSplitSentences
from transforms.options import descriptions
from transforms.splitter import SplitterOptions
from transforms.splitting import SplittingOptions
from transforms.types import schema_id


class _Offered(NamedTuple):
    """A transform with the classes that describe its options."""

    transform: Any
    options: tuple[type, ...]


SPLIT = "beam:schematransform:sentence_embeddings:split_sentences:v1"
EMBED = "beam:schematransform:sentence_embeddings:embed_sentences:v1"
_OFFERED = {
    SPLIT: _Offered(YamlSplitSentences, (SplitterOptions, SplittingOptions)),
    EMBED: _Offered(YamlEmbedSentences, (EncoderOptions, EmbeddingOptions)),
}
_NAMES = {"transforms.SplitSentences": SPLIT, "transforms.EmbedSentences": EMBED}


def discovered() -> dict[str, Any]:
    """The SchemaTransformConfig of each identifier, as an expansion service tells them."""
    return {
        identifier: beam_expansion_api_pb2.SchemaTransformConfig(
            description=(inspect.getdoc(offered.transform) or "").partition("\n")[0],
            config_schema=_config_schema(identifier),
            input_pcollection_names=["input"],
            output_pcollection_names=["output"],
        )
        for identifier, offered in _OFFERED.items()
    }


def made(payload: external_transforms_pb2.SchemaTransformPayload) -> beam.PTransform:
    """The transform that a caller configured.

    Raises:
        ValueError: if the identifier is none of `discovered`, or an option has an invalid value.
        TypeError: if an option is unknown.
    """
    if payload.identifier not in _OFFERED:
        raise ValueError(f"expected a transform of {', '.join(_OFFERED)}, got {payload.identifier!r}")
    return _configured(payload.identifier, RowCoder(payload.configuration_schema).decode(payload.configuration_row))


def named(payload: external_transforms_pb2.ExternalConfigurationPayload) -> beam.PTransform:
    """The transform that Java's PythonExternalTransform names as this package does, "transforms.SplitSentences".

    Raises:
        ValueError: as in `made`, or if an option is given by its position.
        TypeError: as in `made`.
    """
    row = RowCoder(payload.schema).decode(payload.payload)
    if getattr(row, "args", None):
        raise ValueError(f"expected options by their names, got {tuple(row.args)}")
    if row.constructor not in _NAMES:
        raise ValueError(f"expected a transform of {', '.join(_NAMES)}, got {row.constructor!r}")
    return _configured(_NAMES[row.constructor], getattr(row, "kwargs", None))


def _configured(identifier: str, row: Any) -> beam.PTransform:
    given = {name: value for name, value in row._asdict().items() if value is not None} if row else {}
    return _OFFERED[identifier].transform(**given)


def _config_schema(identifier: str) -> schema_pb2.Schema:
    described = _described(identifier)
    transform = _OFFERED[identifier].transform
    fields = [(name, _nullable(each.annotation)) for name, each in inspect.signature(transform).parameters.items()]
    return named_fields_to_schema(fields, schema_id=schema_id(identifier), field_descriptions=described)


def _described(identifier: str) -> dict[str, str]:
    """What each option does, by its name."""
    transform, options = _OFFERED[identifier]
    said = descriptions(transform, "Args")
    return {**said, **{name: text for each in options for name, text in descriptions(each).items()}}


def _nullable(annotation: Any) -> Any:
    """The type of a schema's field for what an option takes, None included."""
    return Optional[_kind(annotation)]


def _kind(annotation: Any) -> Any:
    """The type of what an option takes beside None."""
    kinds = set(typing.get_args(annotation) if _is_union(annotation) else (annotation,)) - {type(None)}
    # An integer is a float of a schema, too.
    kind = float if kinds == {int, float} else kinds.pop()
    return str if typing.get_origin(kind) is typing.Literal else kind


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


_YAML_TYPES = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    Sequence[str]: "list of strings",
    Mapping[str, str]: "map",
}


def options_tables() -> str:
    """The options of each transform as a Markdown table under its name, for the documentation."""
    return "\n".join(f"### `{name.rpartition('.')[2]}`\n\n{_table(identifier)}" for name, identifier in _NAMES.items())


def _table(identifier: str) -> str:
    transform, options = _OFFERED[identifier]
    described = _described(identifier)
    choices = {field.name: field.metadata.get("choices", ()) for each in options for field in dataclasses.fields(each)}
    lines = ["| option | type | default | what it does |", "| --- | --- | --- | --- |"]
    for name, option in inspect.signature(transform).parameters.items():
        default = "" if option.default in (None, "", (), False) else f"`{_yaml(option.default)}`"
        values = f" One of {', '.join(f'`{choice}`' for choice in choices[name])}." if choices.get(name) else ""
        said = described[name][0].upper() + described[name][1:]
        lines.append(f"| `{name}` | {_YAML_TYPES[_kind(option.annotation)]} | {default} | {said}{values} |")
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:
    return "true" if value is True else str(value)


if __name__ == "__main__":
    print(options_tables(), end="")
