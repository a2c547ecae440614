"""Options as arguments of a command line, and the values that they stand for, without an import of Beam."""

import argparse
import dataclasses
import difflib
import itertools
import os
import re
import sys
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from transforms.encoder.options import VERSION_REGEX, EmbeddingOptions, EncoderOptions
from transforms.options import descriptions

T = TypeVar("T")

TRUE_OR_FALSE = ("true", "false")
# How the value of an argument is shown that may be a path.
_PLACE = re.compile(r"\b(GLOB|PATH|PREFIX|DIRECTORY|DIR|FILE)\b")


class Option(NamedTuple):
    """One option.

    Attributes:
        name: its name, without dashes.
        help: one sentence on what it does.
        group: its heading in help.
        default: its default; its type is the option's type.
        choices: the values it takes, if they are few.
        required: whether the program refuses to start without it.
        metavar: how its value is shown in help.
        minimum: the least value of a number.
        reads: "files" (or a table) or "stream", if it applies to one kind of input only.
        label: its label in a template's form; "" for its name in words.
        param_type: Dataflow's type of parameter, if it does not follow from default and choices.
        regex: what a whole value must match.
        parent: the option that decides by its value whether this one has an effect.
        triggers: the values of `parent` that give it one; empty for any.
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


class Parser(argparse.ArgumentParser):
    """The parser of a program: no abbreviations, a usage that fits a line, and one line for what is wrong.

    Args:
        module: what `python -m` names.
        description: one sentence on what the program does.
        more: as for ArgumentParser; `usage` tells what follows the module's name.
    """

    def __init__(self, module: str, description: str, usage: str = "", **more: Any) -> None:
        super().__init__(prog=f"python -m {module}", description=description, allow_abbrev=False, **more)
        self._required = usage

    def format_help(self) -> str:
        """The help, whose usage shows what must be given only: the rest stands below it."""
        self.usage = " ".join(filter(None, ["%(prog)s", self._required or self._demanded(), "[OPTION ...]"]))
        return super().format_help()

    def _demanded(self) -> str:
        one_of = [group for group in self._mutually_exclusive_groups if group.required]
        shown = [" | ".join(map(_shown, group._group_actions)) for group in one_of]
        alone = [action for action in self._actions if action.required or not action.option_strings]
        return " ".join([*(f"({names})" for names in shown), *map(_shown, alone)])

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The options. One that there is not is named before one that is missing, which it may have been meant for."""
        given = sys.argv[1:] if args is None else list(args)
        for argument in itertools.takewhile(lambda argument: argument != "--", given):
            if argument.startswith("--") and argument.split("=")[0] not in self._option_string_actions:
                self.error(unknown_option(argument, self))
        return super().parse_args(given, namespace)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The options, and the arguments that are none. `~` is the home directory where a path begins."""
        found, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            value = getattr(found, action.dest, None)
            # Few shells expand it behind an equals sign.
            if isinstance(value, str) and _PLACE.search(str(action.metavar)):
                setattr(found, action.dest, os.path.expanduser(value))
        return found, rest

    def error(self, message: str) -> Any:
        """Ends the program with one line and exit code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def _shown(action: argparse.Action) -> str:
    """An argument as usage shows it."""
    value = str(action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper()))
    if action.option_strings:
        return f"{action.option_strings[0]}={value}"
    return f"[{value}]" if action.nargs in ("?", "*") else value


def unknown_option(argument: str, parser: argparse.ArgumentParser) -> str:
    """What is wrong with an argument that `parser` does not know, and the option that was meant, if one is near."""
    name = argument.split("=")[0]
    close = difflib.get_close_matches(name, list(parser._option_string_actions), 1)
    return f"unknown option {name!r}; " + (f"did you mean {close[0]}?" if close else "see --help")


def options_of(cls: type, group: str, **more: Mapping[str, Any]) -> list[Option]:
    """The options for the fields of an options class; `more` adds, by field, what only a command line has."""
    said, types = descriptions(cls), typing.get_type_hints(cls)
    options = []
    for field in dataclasses.fields(cls):
        option = Option(
            name=field.name,
            help=said[field.name][0].upper() + said[field.name][1:],
            group=group,
            default=_default(field.default, types[field.name]),
            choices=TRUE_OR_FALSE
            if field.default is True or types[field.name] == bool | None
            else tuple(field.metadata.get("choices", ())),
            minimum=field.metadata.get("minimum", 0),
        )
        options.append(option._replace(**more.get(field.name, {})))
    return options


def _default(default: Any, kind: Any) -> Any:
    """A field's default in the command line's types; None becomes 0 for a number, and "" for anything else."""
    if default is True:
        return "true"
    if kind is float:
        return int(default)
    if kind == int | None:
        return default or 0
    return "" if default in (None, ()) else default


# The options of what makes vectors.
VECTORS = (
    *options_of(
        EncoderOptions, "Vectors",
        model={"help": "Model: a name that `python -m pipeline.models` lists, a TF-Hub handle, or a directory.",
               "metavar": "NAME|HANDLE|DIRECTORY"},
        preprocessor={"metavar": "HANDLE|DIRECTORY"},
        max_seq_length={"label": "Most tokens per sentence"},
        prompt={"metavar": "NAME|TEXT|none", "label": "Prompt before each sentence"},
        truncate_dim={"label": "Length of vectors (Matryoshka)"},
        model_version={"metavar": "DIGEST", "regex": VERSION_REGEX},
        allow_http={"label": "Allow http handles"},
    ),
    *options_of(
        EmbeddingOptions, "Vectors",
        model_poll_seconds={"label": "Seconds between checks for a newer model"},
        large_model={"label": "One copy of the model per machine"},
    ),
)  # fmt: skip
# Those by which a model makes the vector of a text, and by which the model is had.
_OF_A_MODEL = ("preprocessor", "pooling", "normalize", "max_seq_length", "prompt", "truncate_dim", "allow_http")
MODEL_OPTIONS = tuple(option for option in VECTORS if option.name in _OF_A_MODEL)


def add_options(parser: argparse.ArgumentParser, options: Sequence[Option]) -> None:
    """Declare `options` on `parser`, under their headings."""
    groups: dict[str, Any] = {}
    for option in options:
        group = groups.get(option.group) or parser.add_argument_group(option.group)
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


def check_values(arguments: argparse.Namespace, options: Sequence[Option]) -> None:
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


def dashed(message: str, options: Sequence[Option]) -> str:
    """A message about Python arguments with the names of the command line: "expected --pooling to be one of ..."."""
    names = sorted((option.name for option in options), key=len, reverse=True)
    compound = [name for name in names if "_" in name]
    # A name of one word counts as an option only before its value, or where a message says what was expected.
    mentioned = (
        rf"(?<![\w'\"`/.=-])"
        rf"(?:(?:{'|'.join(compound)})\b(?!['\"])|(?:{'|'.join(names)})(?==)"
        rf"|(?<=^expected )(?:{'|'.join(names)})(?= (?:as|of|to)\b))"
    )
    return re.sub(mentioned, lambda match: f"--{match[0]}", message)


_BOOLEANS = {"true": True, "false": False, "": None}


def _list(given: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, given.split(","))))


# How to convert an argument to its field's type, if it does not have it already.
_TYPED: dict[Any, Any] = {
    bool: lambda given: _BOOLEANS.get(given, given),
    bool | None: _BOOLEANS.__getitem__,
    int | None: lambda given: given or None,
    Sequence[str]: _list,
    Sequence[str] | None: lambda given: None if given == "*" else _list(given),
}


def made(cls: type[T], arguments: argparse.Namespace, **values: Any) -> T:
    """An instance of a class, from the arguments that are named like its fields, and `values` of others."""
    for name, kind in typing.get_type_hints(cls).items():
        if name not in values and hasattr(arguments, name):
            values[name] = _TYPED.get(kind, lambda given: given)(getattr(arguments, name))
    return cls(**values)
