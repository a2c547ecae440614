"""The command line: options classes and what only a program has, as arguments, templates' parameters and a table."""

import argparse
import dataclasses
import difflib
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions

from transforms.embedding import EmbeddingOptions
from transforms.encoder.options import EncoderOptions
from transforms.io.bigquery.write import METHODS as BIGQUERY_METHODS
from transforms.io.bigquery.write import RETRY_FOR_SECONDS
from transforms.io.files.write import FILE_FORMATS
from transforms.io.pubsub.resources import SUBSCRIPTION_REGEX, TOPIC_REGEX
from transforms.options import descriptions
from transforms.parsing import FORMATS, ParserOptions
from transforms.reembedding import ROW_FORMATS
from transforms.splitter import SplitterOptions
from transforms.splitting import SplittingOptions


class Option(NamedTuple):
    """One option.

    Attributes:
        name: its name, without dashes.
        help: one sentence on what it does.
        group: the heading it stands under.
        default: its default; its type is the option's type.
        choices: the values it takes, if they are few.
        required: whether the program refuses to start without it.
        metavar: how its value is written in help.
        minimum: the least value of a number.
        reads: "files" (or a table) or "stream", if it means something to one kind of input only.
        label: what a template's form calls it; "" for its name in words.
        param_type: Dataflow's type of parameter, if default and choices do not tell it.
        regex: what a value matches whole.
        parent: the option on whose value it depends that this one means something.
        triggers: those values of `parent`; empty for any.
    """

    name: str
    help: str
    group: str
    default: Any = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    metavar: str = ""
    minimum: int = 1
    reads: str = ""
    label: str = ""
    param_type: str = ""
    regex: str = ""
    parent: str = ""
    triggers: tuple[str, ...] = ()


_WITH_FIELDS = {"parent": "input_format", "triggers": ("json", "jsonl", "csv", "tsv", "parquet", "avro")}
_TRUE_OR_FALSE = ("true", "false")


def _options_of(cls: type, group: str, without: Sequence[str] = (), **more: Mapping[str, Any]) -> list[Option]:
    """The options that stand for the fields of an options class; `more` says of some what only a command line has."""
    said, types = descriptions(cls), typing.get_type_hints(cls)
    options = []
    for field in dataclasses.fields(cls):
        if field.name in without:
            continue
        option = Option(
            name=field.name,
            help=said[field.name][0].upper() + said[field.name][1:],
            group=group,
            default=_default(field.default, types[field.name]),
            choices=_TRUE_OR_FALSE
            if field.default is True or types[field.name] == bool | None
            else tuple(field.metadata.get("choices", ())),
            minimum=field.metadata.get("minimum", 0),
        )
        options.append(option._replace(**more.get(field.name, {})))
    return options


def _default(default: Any, kind: Any) -> Any:
    """A field's default in the command line's types: a number that may be absent is 0 then, anything else ""."""
    if default is True:
        return "true"
    if kind == int | None:
        return default or 0
    return "" if default in (None, ()) else default


OPTIONS = (
    Option("input", "Files to read: a path, glob, directory or gs:// path, or - for standard input; or a table.",
           "Input", metavar="GLOB|-|project:dataset.table", reads="files", label="Input"),
    Option("input_subscription", "Pub/Sub subscription to read, without end.", "Input",
           metavar="projects/P/subscriptions/S",
           reads="stream", label="Pub/Sub subscription", param_type="PUBSUB_SUBSCRIPTION",
           regex=SUBSCRIPTION_REGEX),
    Option("input_topic", "Pub/Sub topic to read, by a subscription made for the run.", "Input",
           metavar="projects/P/topics/T",
           reads="stream", label="Pub/Sub topic", param_type="PUBSUB_TOPIC",
           regex=TOPIC_REGEX),
    *_options_of(
        ParserOptions, "Input",
        input_format={
            "help": "What files or messages hold; never guessed. 'document' takes a file as one message; messages are "
            "'text' or 'json'. 'rows' (Parquet) and 'bigquery' are rows of an earlier run, to be embedded by another "
            "model.",
            "default": "", "choices": (*FORMATS, *ROW_FORMATS), "required": True,
        },
        text_field=_WITH_FIELDS,
        id_field={**_WITH_FIELDS, "label": "Id field"},
        timestamp_field=_WITH_FIELDS,
        id_attribute={"reads": "stream", "label": "Id attribute"},
        timestamp_attribute={"reads": "stream"},
        max_message_bytes={"label": "Largest message (bytes)"},
    ),
    Option("source", "How Pub/Sub is read: by Beam's native read (Dataflow only), or by our own that any runner runs; "
           "by default what fits the runner.", "Input", choices=("native", "splittable"),
           reads="stream", label="Way to read Pub/Sub"),
    Option("max_wait_ms", "How long a streamed message waits for others to share a batch, in milliseconds.", "Input",
           100, minimum=0, reads="stream", label="Longest wait for a batch (ms)",
           parent="source", triggers=("splittable",)),
    Option("csv_multiline", "Let quoted CSV or TSV fields span lines; a file is then read whole.", "Input", False,
           reads="files", label="Separated records span lines", parent="input_format", triggers=("csv", "tsv")),
    *_options_of(
        SplitterOptions, "Sentences",
        language={"regex": "[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*"},
        abbreviations={"help": "Further abbreviations, separated by commas, with or without their last period."},
        custom_bounds={"help": "Regular expression whose matches end sentences, in addition to the rules.",
                       "metavar": "REGEX"},
        use_custom_bounds_only={"parent": "custom_bounds"},
        custom_bounds_strategy={"parent": "custom_bounds"},
    ),
    *_options_of(SplittingOptions, "Sentences"),
    *_options_of(
        EncoderOptions, "Vectors",
        model={"help": "Model: a name of `python -m pipeline.models`, a TF-Hub handle, or a directory.",
               "metavar": "NAME|HANDLE|DIRECTORY"},
        preprocessor={"metavar": "HANDLE|DIRECTORY"},
        max_seq_length={"label": "Most tokens of a sentence"},
    ),
    *_options_of(
        EmbeddingOptions, "Vectors", without=("max_batch_duration_secs",),
        model_poll_seconds={"label": "Seconds between looks for a newer model"},
        large_model={"label": "One copy of the model per machine"},
    ),
    Option("output", "Where rows go: a path prefix, a table, or a topic.", "Output", required=True,
           metavar="PREFIX|project:dataset.table|projects/P/topics/T"),
    Option("output_format", "What to write; 'pubsub' is JSON messages to a topic.", "Output",
           choices=(*FILE_FORMATS, "bigquery", "pubsub"), required=True),
    Option("dead_letters", "Where dead letters go, in the same format; by default dead_letters/ beside the rows, or "
           "the table's name with _error_records.", "Output",
           metavar="PREFIX|project:dataset.table|projects/P/topics/T"),
    Option("already_written", "Rows written earlier, in the format of --output_format: a sentence whose id has one "
           "there of the same model and version is counted and left out.", "Output",
           metavar="GLOB|project:dataset.table", reads="files", label="Rows written already"),
    Option("metadata_fields", "Fields and attributes that rows keep as metadata, separated by commas; * for all.",
           "Output", "*"),
    Option("store_content", "Whether rows keep their sentence; without it content is empty, and begin and end find it.",
           "Output", "true", ("true", "false")),
    Option("bigquery_write_method", "How rows are written to BigQuery: our own Arrow or JSON writer, or Beam's load "
           "jobs (files only) or Java sink.", "Output", "STORAGE_WRITE_ARROW",
           (*BIGQUERY_METHODS, "FILE_LOADS", "STORAGE_WRITE_API"),
           label="BigQuery write method"),
    Option("retry_seconds", "How long an outage of BigQuery or Pub/Sub is waited out before the run fails.", "Output",
           int(RETRY_FOR_SECONDS), minimum=0,
           label="Longest outage waited out (s)"),
)  # fmt: skip


# Exactly one of these says where messages come from.
SOURCES = ("input", "input_subscription", "input_topic")


class ProgramOptions(PipelineOptions):
    """The program's options as Beam pipeline options."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare OPTIONS on `parser`, under their headings."""
    groups: dict[str, Any] = {}
    for option in OPTIONS:
        group = groups.setdefault(option.group, None) or parser.add_argument_group(option.group)
        groups[option.group] = group
        if option.default is False:
            # A template's launcher writes --name=true, a person --name.
            group.add_argument(
                f"--{option.name}",
                nargs="?",
                const=True,
                default=False,
                type=_boolean,
                help=option.help,
                metavar="true",
            )
            continue
        shown = f"{option.help} [{option.default}]" if option.default != "" else option.help
        metavar = option.metavar or ("|".join(option.choices) if option.choices else option.name.upper())
        group.add_argument(
            f"--{option.name}",
            default=option.default,
            type=type(option.default),
            help=shown.replace("%", "%%"),
            metavar=metavar,
        )


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return text == "true"


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> Any:
        raise ValueError(message)


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, PipelineOptions]:
    """The program's options and Beam's, both checked as far as they can be without looking anywhere.

    Raises:
        ValueError: one line that names the option, what was expected, what was given and what to do.
    """
    parser = _Parser(
        prog="python -m pipeline",
        description="Text in, one row per sentence with its vector out.",
        epilog="Beam's own options (--runner, --direct_num_workers, --project, ...) are taken too.",
        allow_abbrev=False,
    )
    add_options(parser)
    arguments, rest = parser.parse_known_args(argv)
    _refuse_unknown(unknown_options(rest))
    check_values(arguments)
    given = [name for name in SOURCES if getattr(arguments, name)]
    if len(given) != 1:
        names = ", ".join(f"--{name}" for name in SOURCES)
        raise ValueError(f"expected one of {names}, got {' and '.join(f'--{name}' for name in given) or 'none'}")
    return arguments, PipelineOptions(list(argv))


def check_values(arguments: argparse.Namespace) -> None:
    """Look at each option's value by itself.

    Raises:
        ValueError: one line that names the option, what was expected and what was given.
    """
    for option in OPTIONS:
        _check(option, getattr(arguments, option.name))


def _check(option: Option, value: Any) -> None:
    if option.required and value == "":
        raise ValueError(f"expected --{option.name}={_expected(option)}, got none")
    if option.choices and value not in ("", *option.choices):
        close = difflib.get_close_matches(str(value), option.choices, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"expected --{option.name} to be one of {', '.join(option.choices)}, got {value!r}{hint}")
    if option.regex and value and not re.fullmatch(option.regex, value):
        raise ValueError(f"expected --{option.name}={_expected(option)}, got {value!r}")
    if option.default is not False and isinstance(option.default, int) and value < option.minimum:
        raise ValueError(f"expected --{option.name} to be at least {option.minimum}, got {value}")


def _expected(option: Option) -> str:
    return option.metavar or "|".join(option.choices) or option.name.upper()


def unknown_options(arguments: Sequence[str]) -> list[str]:
    """What is an option neither of the program nor of Beam, which would pass over it in silence."""
    _, unknown = _every_option().parse_known_args(list(arguments))
    return unknown


def _every_option() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    parser.add_value_provider_argument = parser.add_argument  # type: ignore[attr-defined]
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    return parser


def _refuse_unknown(unknown: Sequence[str]) -> None:
    if not unknown:
        return
    name = unknown[0].split("=")[0]
    close = difflib.get_close_matches(name, list(_every_option()._option_string_actions), 1)
    raise ValueError(f"unknown option {name!r}" + (f"; did you mean {close[0]}?" if close else "; see --help"))


_NAMES = "|".join(sorted((option.name for option in OPTIONS), key=len, reverse=True))
_COMPOUND_NAMES = "|".join(name for name in _NAMES.split("|") if "_" in name)
# A single word is an option only before its value, or where a message says what it expected.
_MENTIONED = re.compile(
    rf"(?<![\w'\"`/.=-])"
    rf"(?:(?:{_COMPOUND_NAMES})\b(?!['\"])|(?:{_NAMES})(?==)|(?<=^expected )(?:{_NAMES})(?= (?:as|of|to)\b))"
)


def in_command_line(message: str) -> str:
    """A message about Python arguments in the words of the command line: "expected --pooling to be one of ..."."""
    return _MENTIONED.sub(lambda match: f"--{match[0]}", message)


def options_table() -> str:
    """The options as the README's Markdown table."""
    lines = ["| option | default | what it does |", "| --- | --- | --- |"]
    for option in OPTIONS:
        default = "required" if option.required else f"`{option.default}`" if option.default not in ("", False) else ""
        values = f" One of {', '.join(f'`{choice}`' for choice in option.choices)}." if option.choices else ""
        lines.append(f"| `--{option.name}` | {default} | {option.help}{values} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(options_table(), end="")
