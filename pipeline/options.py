"""The program's options, said once: the command line, the templates and the README's table are made from them."""

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions

from transforms.embedding import DEFAULT_BATCH_SIZE
from transforms.encoder.catalogue import DEFAULT_MODEL, POOLINGS
from transforms.encoder.cleanup import CLEANUP_MODES
from transforms.encoder.engines import DEFAULT_ENGINE, DEFAULT_PRECISION, ENGINES, PRECISIONS
from transforms.encoder.text_encoder import DEFAULT_MAX_SEQ_LENGTH
from transforms.io.bigquery.write import METHODS as BIGQUERY_METHODS
from transforms.io.files import write as sinks
from transforms.io.pubsub.resources import SUBSCRIPTION_REGEX, TOPIC_REGEX
from transforms.io.retries import RETRY_FOR_SECONDS
from transforms.parsing import DEFAULT_MAX_MESSAGE_BYTES, FORMATS
from transforms.reembedding import ROW_FORMATS
from transforms.splitter import BOUND_STRATEGIES, NEWLINES


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


_WITH_FIELDS = ("json", "jsonl", "csv", "tsv", "parquet", "avro")

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
    Option("input_format", "What files or messages hold; never guessed. 'document' takes a file as one message; "
           "messages are 'text' or 'json'. 'rows' (Parquet) and 'bigquery' are rows of an earlier run, to be embedded "
           "by another model.", "Input", choices=(*FORMATS, *ROW_FORMATS), required=True),
    Option("text_field", "Field or column that holds the text, where the format has fields.", "Input", "text",
           parent="input_format", triggers=_WITH_FIELDS),
    Option("id_field", "Field that holds the message's id; by default an id is made from path and position.", "Input",
           parent="input_format", triggers=_WITH_FIELDS, label="Id field"),
    Option("timestamp_field", "Field that holds the event time: RFC 3339, or milliseconds since 1970.", "Input",
           parent="input_format", triggers=_WITH_FIELDS),
    Option("id_attribute", "Attribute that holds the message's id; by default Pub/Sub's own id is taken.", "Input",
           reads="stream", label="Id attribute"),
    Option("timestamp_attribute", "Attribute that holds the event time; by default the time of publishing.", "Input",
           reads="stream"),
    Option("source", "How Pub/Sub is read: by Beam's native read (Dataflow only), or by our own that any runner runs; "
           "by default what fits the runner.", "Input", choices=("native", "splittable"),
           reads="stream", label="Way to read Pub/Sub"),
    Option("max_wait_ms", "How long a streamed message waits for others to share a batch, in milliseconds.", "Input",
           100, minimum=0, reads="stream", label="Longest wait for a batch (ms)",
           parent="source", triggers=("splittable",)),
    Option("csv_multiline", "Let quoted CSV or TSV fields span lines; a file is then read whole.", "Input", False,
           reads="files", label="Separated records span lines", parent="input_format", triggers=("csv", "tsv")),
    Option("max_message_bytes", "Largest message taken; a larger one is a dead letter.", "Input",
           DEFAULT_MAX_MESSAGE_BYTES, label="Largest message (bytes)"),
    Option("language", "Language of the texts, as an ISO 639-1 code.", "Sentences", "en",
           regex="[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*"),
    Option("language_field", "Field or attribute that names a message's own language.", "Sentences"),
    Option("newlines", "Whether a line break ends a sentence: each, each that is no soft wrap, or none but a blank "
           "line.", "Sentences", "soft", NEWLINES),
    Option("use_abbreviations", "Whether abbreviations keep their period from ending a sentence.", "Sentences",
           "true", ("true", "false")),
    Option("detect_lists", "Whether bullets and numbered items begin a sentence.", "Sentences", "true",
           ("true", "false")),
    Option("abbreviations", "More abbreviations, separated by commas.", "Sentences"),
    Option("custom_bounds", "Regular expression whose matches part sentences, besides the rules.", "Sentences",
           metavar="REGEX"),
    Option("use_custom_bounds_only", "Part sentences at --custom_bounds and nowhere else.", "Sentences", False,
           parent="custom_bounds"),
    Option("custom_bounds_strategy", "Where a matched bound goes: nowhere, to the next sentence, or to the last.",
           "Sentences", "none", BOUND_STRATEGIES, parent="custom_bounds"),
    Option("split_length", "Cut longer sentences at white space, in characters; 0 for no limit.", "Sentences", 0,
           minimum=0),
    Option("min_length", "Drop and count shorter sentences, in characters.", "Sentences", 0, minimum=0),
    Option("max_length", "Drop and count longer sentences, in characters; 0 for no limit.", "Sentences", 0,
           minimum=0),
    Option("model", "Model: a name of `python -m pipeline.models`, a TF-Hub handle, or a directory.", "Vectors",
           DEFAULT_MODEL, metavar="NAME|HANDLE|DIRECTORY"),
    Option("preprocessor", "Preprocessor's handle or directory, if not the model's own.", "Vectors",
           metavar="HANDLE|DIRECTORY"),
    Option("pooling", "How a sentence's vector is made from the encoder's outputs; by default as the model asks.",
           "Vectors", choices=POOLINGS),
    Option("normalize", "Scale vectors to length 1; by default as the model asks.", "Vectors",
           choices=("true", "false")),
    Option("max_seq_length", "Most word pieces read of a sentence, special ones included.", "Vectors",
           DEFAULT_MAX_SEQ_LENGTH, minimum=3, label="Most word pieces of a sentence"),
    Option("cleanup", "What the encoder reads of a sentence, as Spark NLP's cleanup modes; content stays.", "Vectors",
           "disabled", tuple(CLEANUP_MODES)),
    Option("batch_size", "Most sentences given to the encoder at once, which orders them by length; of a stream, most "
           "messages taken at once.", "Vectors", DEFAULT_BATCH_SIZE),
    Option("token_budget", "Most positions, padding included, in one run of the encoder; 0 for what its device likes.",
           "Vectors", 0, minimum=0),
    Option("engine", "What runs the encoder; auto takes the fastest that agrees with TensorFlow in float32.", "Vectors",
           DEFAULT_ENGINE, ENGINES),
    Option("precision", "What matrices are multiplied in; auto takes the fastest that agrees.", "Vectors",
           DEFAULT_PRECISION, PRECISIONS),
    Option("model_poll_seconds", "How often to look for a newer version under a directory of versions; 0 for never.",
           "Vectors", 0, minimum=0,
           label="Seconds between looks for a newer model"),
    Option("large_model", "Load the model once a machine, in one of its worker processes, for all of them.", "Vectors",
           False, label="One copy of the model a machine"),
    Option("output", "Where rows go: a path prefix, a table, or a topic.", "Output", required=True,
           metavar="PREFIX|project:dataset.table|projects/P/topics/T"),
    Option("output_format", "What to write; 'pubsub' is JSON messages to a topic.", "Output",
           choices=(*sinks.FILE_FORMATS, "bigquery", "pubsub"), required=True),
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


class EmbeddingOptions(PipelineOptions):
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
        description="Text in, one row a sentence with its vector out.",
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
