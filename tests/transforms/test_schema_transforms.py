import inspect
import uuid
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import RowCoder
from apache_beam.portability.api import external_transforms_pb2
from apache_beam.transforms.external import SchemaTransformPayloadBuilder
from apache_beam.transforms.fully_qualified_named_transform import FullyQualifiedNamedTransform
from apache_beam.typehints.schemas import named_fields_to_schema, named_tuple_from_schema

from transforms.integrations.beam_yaml import YamlEmbedSentences, YamlSplitSentences
from transforms.integrations.schema_transforms import EMBED, SPLIT, discovered, made, named, options_tables

OFFERED = {SPLIT: YamlSplitSentences, EMBED: YamlEmbedSentences}


def called(name: str, *arguments: Any, **options: Any) -> beam.PTransform:
    """What `named` makes of a call as Java's PythonExternalTransform writes it."""
    return named(FullyQualifiedNamedTransform(name, arguments, options).to_runner_api_parameter(None)[1])


def test_the_tables_describe_each_option_once() -> None:
    """With its type, default and meaning, in the order of the signature."""
    tables = options_tables().split("### ")[1:]
    assert [table.split("\n")[0] for table in tables] == ["`SplitSentences`", "`EmbedSentences`"]
    for table, transform in zip(tables, OFFERED.values(), strict=True):
        rows = [[cell.strip() for cell in line.split(" | ")] for line in table.split("\n")[4:] if line]
        assert [row[0].strip("| `") for row in rows] == list(inspect.signature(transform).parameters)
        assert all(len(row) == 4 and row[1] and row[3].strip("| ") for row in rows)
    assert "| `normalize` | boolean |  |" in tables[1]
    assert "| `max_seq_length` | integer | `128` |" in tables[1]
    assert "| `abbreviations` | list of strings |  |" in tables[0]
    assert "One of `sentence`, `soft`, `ignore`." in tables[0]


@pytest.mark.parametrize("identifier", OFFERED)
def test_each_option_of_yaml_is_a_field_that_may_be_null(identifier: str) -> None:
    """And so has its default unless it is given."""
    fields = discovered()[identifier].config_schema.fields
    assert [field.name for field in fields] == list(inspect.signature(OFFERED[identifier]).parameters)
    assert all(field.type.nullable for field in fields)


@pytest.mark.parametrize("identifier", OFFERED)
def test_a_configuration_has_a_fixed_uuid_that_java_accepts(identifier: str) -> None:
    """The same at every start."""
    ids = {discovered()[identifier].config_schema.id for _ in range(2)}
    assert [str(uuid.UUID(id)) for id in ids] == list(ids)


def test_options_have_their_descriptions() -> None:
    """As `help()` shows them."""
    fields = {field.name: field.description for field in discovered()[EMBED].config_schema.fields}
    assert fields["model"].startswith("a catalogue name")


@pytest.mark.parametrize("identifier", OFFERED)
def test_a_configuration_of_nulls_makes_the_transform_with_its_defaults(identifier: str) -> None:
    """As a caller that fills in nothing sends it."""
    schema = discovered()[identifier].config_schema
    kind = named_tuple_from_schema(schema)
    row = RowCoder(schema).encode(kind(*[None] * len(kind._fields)))
    payload = external_transforms_pb2.SchemaTransformPayload(
        identifier=identifier, configuration_schema=schema, configuration_row=row
    )
    assert isinstance(made(payload), OFFERED[identifier])


def test_a_configuration_may_have_a_part_of_the_fields() -> None:
    """It brings its own schema."""
    payload = SchemaTransformPayloadBuilder(SPLIT, language="de", abbreviations=["ggf."], max_length=100).build()
    assert isinstance(made(payload), YamlSplitSentences)


def test_another_identifier_is_refused() -> None:
    """The message lists those that there are."""
    with pytest.raises(ValueError, match=rf"expected a transform of {SPLIT}, .*, got 'other'"):
        made(SchemaTransformPayloadBuilder("other", language="de").build())


def test_an_option_that_there_is_not_is_refused() -> None:
    """With the name that may have been meant."""
    with pytest.raises(TypeError, match="'langage'; did you mean language"):
        made(SchemaTransformPayloadBuilder(SPLIT, langage="de").build())


@pytest.mark.parametrize(
    ("name", "kind"),
    [("transforms.SplitSentences", YamlSplitSentences), ("transforms.EmbedSentences", YamlEmbedSentences)],
)
def test_a_transform_may_be_asked_for_by_its_public_name(name: str, kind: type) -> None:
    """With options or without."""
    assert isinstance(called(name, text_field="body"), kind)
    assert isinstance(called(name), kind)


def test_a_call_of_java_without_options_has_no_field_of_them() -> None:
    """Java leaves out what is empty."""
    schema = named_fields_to_schema([("constructor", str)])
    row = RowCoder(schema).encode(beam.Row(constructor="transforms.SplitSentences"))
    payload = external_transforms_pb2.ExternalConfigurationPayload(schema=schema, payload=row)
    assert isinstance(named(payload), YamlSplitSentences)


@pytest.mark.parametrize(
    "name", ["os.system", "transforms.options.inspect.os.system", "__constructor__", "__callable__"]
)
def test_no_other_name_is_called(name: str) -> None:
    """Nor is code that a caller brings."""
    with pytest.raises(ValueError, match="expected a transform of transforms.SplitSentences"):
        called(name, source="int")


def test_options_by_position_are_refused() -> None:
    """Their order is nobody's promise."""
    with pytest.raises(ValueError, match=r"expected options by their names, got \('de',\)"):
        called("transforms.SplitSentences", "de")
