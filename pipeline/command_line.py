"""The command line: OPTIONS as arguments, checks of each value, and messages that name the options."""

import argparse
import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.options import OPTIONS, SOURCES, Option


class ProgramOptions(PipelineOptions):
    """The program's options as Beam pipeline options."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        add_options(parser)


def add_options(parser: argparse.ArgumentParser, options: Sequence[Option] = OPTIONS) -> None:
    """Declare `options` on `parser`, under their headings."""
    groups: dict[str, Any] = {}
    for option in options:
        group = groups.setdefault(option.group, None) or parser.add_argument_group(option.group)
        groups[option.group] = group
        if option.default is False:
            # A template's launcher writes --name=true; a person writes --name.
            group.add_argument(
                f"--{option.name}",
                nargs="?",
                const=True,
                default=False,
                type=boolean,
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


def boolean(text: str) -> bool:
    """What a flag's value stands for."""
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return text == "true"


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
    add_options(parser)
    arguments, rest = parser.parse_known_args(argv)
    check_values(arguments)
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


def check_values(arguments: argparse.Namespace, options: Sequence[Option] = OPTIONS) -> None:
    """Check the value of each of `options` by itself.

    Raises:
        ValueError: one line that names the option, what was expected and what was given.
    """
    for option in options:
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


_NAMES = "|".join(sorted((option.name for option in OPTIONS), key=len, reverse=True))
_COMPOUND_NAMES = "|".join(name for name in _NAMES.split("|") if "_" in name)
# A name of one word counts as an option only before its value, or where a message says what was expected.
_MENTIONED = re.compile(
    rf"(?<![\w'\"`/.=-])"
    rf"(?:(?:{_COMPOUND_NAMES})\b(?!['\"])|(?:{_NAMES})(?==)|(?<=^expected )(?:{_NAMES})(?= (?:as|of|to)\b))"
)


def in_command_line(message: str) -> str:
    """A message about Python arguments with the names of the command line: "expected --pooling to be one of ..."."""
    return _MENTIONED.sub(lambda match: f"--{match[0]}", message)
