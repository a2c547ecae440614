"""Have Beam remember, from one pipeline to the next, what it reads off the classes of options and off methods.

For each pipeline it makes some 300 parsers of arguments, and inspects each method of a DoFn some twenty times: half of
the CPU of a pipeline as small as a test's. Programs that tests start have Beam as it is.
"""

import argparse
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import core

_view_as, _arguments_of = PipelineOptions.view_as, core.get_function_args_defaults
_arguments: dict[Any, tuple[list[str], list[Any]]] = {}


def hasten() -> None:
    """Begin to remember."""
    PipelineOptions.view_as = _remembered_view
    core.get_function_args_defaults = _remembered_arguments


def _remembered_view(options: PipelineOptions, cls: Any) -> PipelineOptions:
    # What a job server describes changes a class of ours.
    if options._flags is None or not cls.__module__.startswith("apache_beam."):
        return _view_as(options, cls)
    view = object.__new__(cls)
    known = _parsed(cls, tuple(options._flags))
    view._flags, view._visible_options = options._flags, argparse.Namespace(**known)
    view._all_options = options._all_options
    for name, value in known.items():
        # Each pipeline appends to lists of its own.
        view._all_options.setdefault(name, value.copy() if isinstance(value, list) else value)
    return view


@functools.cache
def _parsed(cls: Any, flags: tuple[str, ...]) -> Mapping[str, Any]:
    parsed: Mapping[str, Any] = vars(cls([*flags])._visible_options)
    return parsed


def _remembered_arguments(function: Callable[..., Any]) -> tuple[list[str], list[Any]]:
    # What a method's class has is there for the whole run.
    known = _arguments if inspect.ismethod(function) else {}
    key = getattr(function, "__func__", None)
    if key not in known:
        known[key] = _arguments_of(function)
    names, defaults = known[key]
    return [*names], [*defaults]
