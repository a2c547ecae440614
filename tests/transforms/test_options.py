import argparse
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.command_line import add_options, in_command_line
from pipeline.options import OPTIONS
from pipeline.settings import Settings, settings_of
from transforms import (
    EmbedSentences,
    ParseMessages,
    SentenceEmbeddings,
    SentenceSplitter,
    SplitSentences,
    TextEncoder,
    TextEncoderHandler,
)
from transforms.dataframe import embed
from transforms.embedding import EmbeddingOptions
from transforms.encoder.options import EncoderOptions
from transforms.integrations.beam_yaml import YamlEmbedSentences, YamlSplitSentences
from transforms.options import descriptions, sort_out
from transforms.parsing import ParserOptions
from transforms.splitter import SplitterOptions
from transforms.splitting import SplittingOptions

CLASSES = (EncoderOptions, EmbeddingOptions, SplitterOptions, SplittingOptions, ParserOptions)
SURFACES: list[tuple[Callable[..., Any], tuple[type, ...]]] = [
    (TextEncoder, (EncoderOptions,)),
    (EmbedSentences, (EncoderOptions, EmbeddingOptions)),
    (embed, (EncoderOptions,)),
    (SentenceEmbeddings, (EncoderOptions,)),
    (TextEncoderHandler, (EncoderOptions,)),
    (YamlEmbedSentences, (EncoderOptions, EmbeddingOptions)),
    (SentenceSplitter, (SplitterOptions,)),
    (SplitSentences, (SplitterOptions, SplittingOptions)),
    (YamlSplitSentences, (SplitterOptions, SplittingOptions)),
    (ParseMessages, (ParserOptions,)),
]
# A value of each option that is not its default, and one that no option of its kind has.
OTHER: dict[str, Any] = {
    "model": "minilm",
    "model_version": "0123456789ab",
    "allow_http": True,
    "preprocessor": "/p",
    "pooling": "cls",
    "normalize": True,
    "max_seq_length": 40,
    "prompt": "passage: ",
    "truncate_dim": 64,
    "token_budget": 64,
    "engine": "auto",
    "precision": "bfloat16",
    "cleanup": "shrink",
    "batch_size": 7,
    "model_poll_seconds": 3,
    "large_model": True,
    "language": "de",
    "newlines": "ignore",
    "use_abbreviations": False,
    "detect_lists": False,
    "abbreviations": ("abt", "qty"),
    "custom_bounds": ("a{1,2}",),
    "use_custom_bounds_only": True,
    "custom_bounds_strategy": "append",
    "split_length": 80,
    "min_length": 2,
    "max_length": 90,
    "language_field": "lang",
    "metadata_fields": ("lang", "user"),
    "columns": ("tenant:STRING=user.tenant", "price:NUMERIC"),
    "input_format": "jsonl",
    "text_field": "body",
    "id_field": "key",
    "timestamp_field": "at",
    "id_attribute": "k",
    "timestamp_attribute": "t",
    "version_field": "revised",
    "delete_field": "gone=yes",
    "version_attribute": "v",
    "delete_attribute": "d",
    "quoting": "none",
    "max_message_bytes": 99,
    "text_template": "{title}: {body}",
    "udf": "gs://b/udf.py",
    "udf_function": "redact",
}
# What an option needs beside it.
NEEDED = {
    "use_custom_bounds_only": ["--custom_bounds=x"],
    "delete_field": ["--id_field=id"],
    "delete_attribute": ["--id_attribute=id"],
    "udf": ["--udf_function=f"],
    "udf_function": ["--udf=udf.py"],
}


def fields(*classes: type) -> list[dataclasses.Field[Any]]:
    """The fields of options classes."""
    return [field for cls in classes for field in dataclasses.fields(cls)]


def cases() -> list[Any]:
    """A surface and one of its options, each pair once."""
    return [
        pytest.param(surface, field, id=f"{surface.__name__}-{field.name}")
        for surface, classes in SURFACES
        for field in fields(*classes)
    ]


@pytest.mark.parametrize(("surface", "field"), cases())
def test_every_surface_offers_every_option(surface: Callable[..., Any], field: dataclasses.Field[Any]) -> None:
    """By the name and the default of the one class that declares it; embed's own default model is the small one."""
    parameter = inspect.signature(surface).parameters[field.name]
    assert parameter.default == ("minilm" if (surface, field.name) == (embed, "model") else field.default)


@pytest.mark.parametrize(("surface", "field"), [case for case in cases() if case.values[1].metadata])
def test_every_surface_hands_its_options_on(surface: Callable[..., Any], field: dataclasses.Field[Any]) -> None:
    """A value that there is not reaches the check of the class, whose message names the Python argument."""
    wrong = "no such value" if "choices" in field.metadata else field.metadata["minimum"] - 1
    given: dict[str, Any] = {field.name: wrong}
    if surface is embed:
        given["texts"] = []
    with pytest.raises(ValueError, match=f"^expected {field.name} "):
        surface(**given)


@pytest.mark.parametrize(("surface", "field"), [case for case in cases() if case.values[1].type in (bool, bool | None)])
def test_a_quoted_boolean_is_refused(surface: Callable[..., Any], field: dataclasses.Field[Any]) -> None:
    """In YAML, "false" is a text, which is true."""
    given: dict[str, Any] = {"texts": []} if surface is embed else {}
    with pytest.raises(ValueError, match=f"^expected {field.name} as bool.*, got 'false'"):
        surface(**given, **{field.name: "false"})


def settings(*arguments: str) -> Settings:
    """The settings that arguments stand for, beside those that must be given."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    required = ["--input=x", "--output=y", "--output_format=jsonl"]
    formats = [] if any(each.startswith("--input_format") for each in arguments) else ["--input_format=text"]
    return settings_of(parser.parse_args([*required, *formats, *arguments]))


@pytest.mark.parametrize("field", fields(*CLASSES), ids=lambda field: field.name)
def test_the_command_line_offers_every_option(field: dataclasses.Field[Any]) -> None:
    """Its text becomes a value of the field's type, and what is not given has the class's default."""
    value = OTHER[field.name]
    text = ",".join(value) if isinstance(value, tuple) else {True: "true", False: "false"}.get(value, value)
    more = NEEDED.get(field.name, [])
    assert chosen(settings(f"--{field.name}={text}", *more))[field.name] == value
    if field.name != "input_format":
        assert chosen(settings())[field.name] == field.default


def chosen(made: Settings) -> dict[str, Any]:
    """The options in all parts of the settings."""
    parts = (made.parser, made.splitter, made.splitting, made.encoder, made.embedding)
    return {name: value for part in parts for name, value in vars(part).items()}


@pytest.mark.parametrize("cls", CLASSES)
def test_every_option_is_described_once(cls: type) -> None:
    """In its class's docstring, from where help, the templates and the README take it."""
    said = descriptions(cls)
    assert list(said) == [field.name for field in dataclasses.fields(cls)]
    assert all(text.endswith(".") for text in said.values())


def test_an_option_that_there_is_not_is_refused_with_the_nearest() -> None:
    """A misspelt argument is found where it is written, not in a worker."""
    for surface in (EmbedSentences, SplitSentences, SentenceEmbeddings):
        with pytest.raises(TypeError, match="expected a known option, got 'lanuage'"):
            surface(lanuage="de")
    with pytest.raises(TypeError, match="got 'poolin'; did you mean pooling?"):
        sort_out({"poolin": "cls"}, EncoderOptions)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("expected pooling to be one of mean, cls, got 'max'", "expected --pooling to be one of mean, cls, got 'max'"),
        ("expected max_seq_length up to 512, got 600", "expected --max_seq_length up to 512, got 600"),
        (
            "pooling=cls needs tokens; use pooling=model_default",
            "--pooling=cls needs tokens; use --pooling=model_default",
        ),
        ("expected max_length of at least min_length", "expected --max_length of at least --min_length"),
        ("expected --input to match a file, '/a/model=3/x' matches none", None),
        ("expected a field 'text_field', got ['id_field']", None),
        ("expected table p.d.t to take our rows, got no column 'model_version' (STRING REQUIRED)", None),
        ("expected a model's name, handle or directory, got 'x'", None),
        ("expected --dead_letters=projects/P/topics/T with --output_format=pubsub, got none", None),
    ],
)
def test_only_the_command_line_writes_options_with_dashes(message: str, said: str | None) -> None:
    """Names of arguments become options; other words, values and paths stay."""
    assert in_command_line(message) == (said or message)


def test_every_option_of_the_program_is_a_setting() -> None:
    """Nothing that can be given is dropped on the way."""
    parts = {field.name for field in fields(*CLASSES)}
    renamed = {"max_wait_ms": "max_wait_seconds", "retry_seconds": "retry_for_seconds"}
    kept = {field.name for field in dataclasses.fields(Settings)} | parts
    assert {renamed.get(option.name, option.name) for option in OPTIONS} <= kept
