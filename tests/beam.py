"""`run`: a Beam transform on a list, as a list, so that a Beam test is one line."""

import collections
import itertools
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from transforms.dead_letters import WithDeadLetters

_collected: dict[str, list[Any]] = collections.defaultdict(list)
_names = itertools.count()


def _collect(element: Any, name: str) -> None:
    _collected[name].append(element)


def run(elements: Any, transform: Any, element_type: Any = None) -> Any:
    """What `transform` makes of `elements` (None for a source): a list, or WithDeadLetters of two lists."""
    number = next(_names)
    # Without options of its own, a pipeline reads the test runner's command line.
    with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([])) as pipeline:
        create = beam.Create(elements or [])
        if element_type:
            create = create.with_output_types(element_type)
        source = pipeline if elements is None else pipeline | "Elements" >> create
        result = source | "Under test" >> transform
        pair = result if isinstance(result, WithDeadLetters) else (result,)
        for part, pcoll in enumerate(pair):
            pcoll | f"Collect {part}" >> beam.Map(_collect, f"{number}/{part}")
    lists = [_collected.pop(f"{number}/{part}", []) for part in range(len(pair))]
    return WithDeadLetters(*lists) if len(lists) == 2 else lists[0]
