"""The command line: OPTIONS as arguments, checks of each value, and messages that name the options."""

import argparse
import difflib
from collections.abc import Callable, Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.arguments import add_options, check_values, dashed
from pipeline.options import OPTIONS, SOURCES


class ProgramOptions(PipelineOptions):
    """The program's options as Beam pipeline options."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        add_options(parser, OPTIONS)


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> Any:
        """Raises what is wrong, in place of an exit with the usage."""
        raise ValueError(message)


def parse(
    argv: Sequence[str], learn: Callable[[PipelineOptions], object] = lambda beam_options: None
) -> tuple[argparse.Namespace, PipelineOptions]:
    """The program's options and Beam's, both checked as far as possible without a look at files or services.

    Once the program's own are right, `learn` is called with Beam's; it may declare those of the runner that they name.

    Raises:
        ValueError: one line that names the option, what was expected, what was given and what to do.
    """
    parser = Parser(
        prog="python -m pipeline",
        description="Text in, one row per sentence with its vector out.",
        epilog="Beam's own options (--runner, --direct_num_workers, --project, ...) are accepted too.",
        allow_abbrev=False,
    )
    add_options(parser, OPTIONS)
    arguments, rest = parser.parse_known_args(argv)
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
    _refuse_unknown(unknown_options(rest))
    return arguments, beam_options


def unknown_options(arguments: Sequence[str]) -> list[str]:
    """The arguments that are options of neither the program nor Beam; Beam would silently ignore them."""
    _, unknown = every_option().parse_known_args(list(arguments))
    return unknown


def every_option() -> argparse.ArgumentParser:
    """A parser of all options: the program's, Beam's, and those of a runner that has described them."""
    parser = Parser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    parser.add_value_provider_argument = parser.add_argument  # type: ignore[attr-defined]
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    return parser


def _refuse_unknown(unknown: Sequence[str]) -> None:
    if not unknown:
        return
    name = unknown[0].split("=")[0]
    close = difflib.get_close_matches(name, list(every_option()._option_string_actions), 1)
    raise ValueError(f"unknown option {name!r}" + (f"; did you mean {close[0]}?" if close else "; see --help"))


def in_command_line(message: str) -> str:
    """A message about Python arguments with the names of the command line: "expected --pooling to be one of ..."."""
    return dashed(message, OPTIONS)
