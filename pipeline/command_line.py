"""The command line: OPTIONS as arguments, checks of each value, and messages that name the options."""

import argparse
import difflib
from collections.abc import Callable, Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.arguments import Parser, add_options, check_values, dashed, unknown_option
from pipeline.options import OPTIONS, SOURCES


class ProgramOptions(PipelineOptions):
    """The program's options as Beam pipeline options."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        add_options(parser, OPTIONS)


class _Parser(Parser):
    def error(self, message: str) -> Any:
        """Raises what is wrong, for callers that are not at a command line."""
        raise ValueError(message)


def parse(
    argv: Sequence[str], learn: Callable[[PipelineOptions], object] = lambda beam_options: None
) -> tuple[argparse.Namespace, PipelineOptions]:
    """The program's options and Beam's, both checked as far as possible without a look at files or services.

    Once the program's own are right, `learn` is called with Beam's; it may declare those of the runner that they name.

    Raises:
        ValueError: one line that names the option, what was expected, what was given and what to do.
    """
    parser = _Parser(
        "pipeline",
        "Text in, one row per sentence with its vector out.",
        usage="--input=GLOB --input_format=FORMAT --output=PREFIX --output_format=FORMAT",
        epilog="Beam's own options (--runner, --direct_num_workers, --project, ...) are accepted too.",
    )
    add_options(parser, OPTIONS)
    arguments, rest = parser.parse_known_args(argv)
    own = list(parser._option_string_actions)
    for argument in rest:
        name = argument.split("=")[0]
        # What is near an option of the program is told first: another error may follow from it.
        if difflib.get_close_matches(name, own, 1, 0.8) and name not in every_option()._option_string_actions:
            raise ValueError(unknown_option(argument, parser))
    check_values(arguments, OPTIONS)
    for name in SOURCES:
        if (count := sum(argument.split("=")[0] == f"--{name}" and argument[-1] != "=" for argument in argv)) > 1:
            raise ValueError(
                f"expected --{name} once, got it {count} times; name a folder or a pattern for several files"
            )
    given = [name for name in SOURCES if getattr(arguments, name)]
    if len(given) != 1:
        names = ", ".join(f"--{name}" for name in SOURCES)
        raise ValueError(f"expected one of {names}, got {' and '.join(f'--{name}' for name in given) or 'none'}")
    # Beam keeps its options as UTF-8, and a path need not be that.
    beam_options = PipelineOptions([argument.encode(errors="backslashreplace").decode() for argument in argv])
    learn(beam_options)
    if unknown := unknown_options(rest):
        raise ValueError(unknown_option(unknown[0], every_option()))
    return arguments, beam_options


def unknown_options(arguments: Sequence[str]) -> list[str]:
    """The arguments that are options of neither the program nor Beam; Beam would silently ignore them."""
    _, unknown = every_option().parse_known_args(list(arguments))
    return unknown


def every_option() -> argparse.ArgumentParser:
    """A parser of all options: the program's, Beam's, and those of a runner that has described them."""
    parser = _Parser("pipeline", "", add_help=False, conflict_handler="resolve")
    parser.add_value_provider_argument = parser.add_argument  # type: ignore[attr-defined]
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    return parser


def in_command_line(message: str) -> str:
    """A message about Python arguments with the names of the command line: "expected --pooling to be one of ..."."""
    return dashed(message, OPTIONS)
