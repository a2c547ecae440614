"""Options classes: how functions accept their fields as keyword arguments, and how their fields are described.

An options class is a frozen dataclass that checks its own values and describes its fields under "Attributes:" in its
docstring. A function that takes the fields as `**options` shows them in its signature, from which `help()` and Beam
YAML read them; the command line takes them, with their descriptions, from the class.
"""

import dataclasses
import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def takes(*classes: type) -> Callable[[F], F]:
    """Decorates a function with `**options` so that its signature shows the fields of `classes` instead.

    Where the function also takes `*fields`, the fields that a class takes by position are shown as positional.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        kinds = {each.kind for each in signature.parameters.values()}
        own = [each for each in signature.parameters.values() if each.kind not in _VARIADIC]
        names = {each.name for each in own}
        fields = [
            each if inspect.Parameter.VAR_POSITIONAL in kinds else each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for cls in classes
            for each in inspect.signature(cls).parameters.values()
            if each.name not in names
        ]
        function.__signature__ = signature.replace(parameters=sorted([*own, *fields], key=_kind))  # type: ignore[attr-defined]
        return function

    return decorate


def _kind(parameter: inspect.Parameter) -> int:
    return parameter.kind


def sort_out(given: Mapping[str, Any], *classes: type) -> list[Any]:
    """An instance of each class, made from those of the `given` options that are its fields.

    Raises:
        TypeError: if an option is not a field of any of the classes.
        ValueError: if an option has an invalid value.
    """
    names = [{field.name for field in dataclasses.fields(cls)} for cls in classes]
    for name in given:
        if not any(name in each for each in names):
            close = difflib.get_close_matches(name, set().union(*names), 1)
            hint = f"did you mean {close[0]}?" if close else f"they are {', '.join(sorted(set().union(*names)))}"
            raise TypeError(f"expected a known option, got {name!r}; {hint}")
    return [
        cls(**{name: value for name, value in given.items() if name in each})
        for cls, each in zip(classes, names, strict=True)
    ]


def descriptions(cls: type, heading: str = "Attributes") -> dict[str, str]:
    """The description of each name under `heading` in a class's docstring, such as an option's, each on one line."""
    _, _, text = (inspect.getdoc(cls) or "").partition(f"\n{heading}:\n")
    attributes, _, _ = text.partition("\n\n")
    found = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", attributes, re.M)
    return {name: re.sub(r"\s+", " ", said) for name, said in found}
