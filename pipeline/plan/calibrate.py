"""The rate of this machine, measured with a user's own messages."""

import argparse
import os
import pathlib
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow.dataset as ds
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline import checks, console, graph, stopping
from pipeline.inputs import Inputs, open_inputs
from pipeline.options import OPTIONS
from pipeline.outputs import make_outputs
from pipeline.places import check_files, is_pipe
from pipeline.plan.sizing import Encoder
from pipeline.settings import Settings, settings_of
from pipeline.summary import counters_of, distributions_of, why_no_rows
from transforms.counters import Counters
from transforms.encoder.hot_swap import current_encoder
from transforms.runners.local import local_runner
from transforms.types import Record


class Calibration(NamedTuple):
    """What was measured.

    Attributes:
        encoder: the rate, the memory and the sizes of rows.
        sentences_per_message: on average, over all records of the file, those without text included.
        message_bytes: bytes of a record, on average.
        sentences: how many sentences were embedded.
        seconds: in what time.
        cpus: on how many CPUs.
    """

    encoder: Encoder
    sentences_per_message: float
    message_bytes: float
    sentences: int
    seconds: float
    cpus: int


class _Sizes(beam.DoFn):
    def __init__(self) -> None:
        self._counters = Counters()

    def process(self, record: Record) -> Iterator[Any]:
        self._counters.observe("record_bytes", len(record.data))
        yield from ()


def calibrate(arguments: argparse.Namespace) -> Calibration:
    """Run the pipeline over the messages of `arguments.calibrate`, from its files to Parquet, and time it.

    `arguments` have the options of reading, splitting and embedding, with the names and defaults of the pipeline's.

    Raises:
        ValueError: if an option is wrong, or the file has no sentence.
    """
    if not is_pipe(arguments.calibrate):
        check_files("calibrate", arguments.calibrate)
    with tempfile.TemporaryDirectory(prefix="sentence-embeddings-") as folder:
        given = {option.name: option.default for option in OPTIONS} | vars(arguments)
        places = {"input": arguments.calibrate, "output": f"{folder}/rows", "output_format": "parquet"}
        settings = settings_of(argparse.Namespace(**given | places))
        if settings.parser is None:
            raise ValueError(
                f"expected --calibrate with messages, got --input_format={settings.input_format} of rows that are "
                "split already; name a file of messages"
            )
        checks.check_stages(settings)
        make_outputs(settings)
        with open_inputs(settings, native=False) as inputs:
            return _measure(settings, inputs, pathlib.Path(folder))


def _measure(settings: Settings, inputs: Inputs, folder: pathlib.Path) -> Calibration:
    sizing = _pipeline()
    graph.read_files(sizing, settings, inputs).output | "Take sizes" >> beam.ParDo(_Sizes())
    sizes = distributions_of(_run(sizing)).get("record_bytes")
    if sizes is None:
        raise ValueError(f"expected messages in --calibrate={settings.input}, got none")
    console.import_tensorflow()
    current_encoder(settings.encoder)
    pipeline = _pipeline()
    graph.build(pipeline, settings, inputs)
    clock = time.monotonic()
    counters = counters_of(_run(pipeline))
    seconds = time.monotonic() - clock
    sentences = counters.get("rows", 0)
    if not sentences:
        raise ValueError(f"expected sentences in --calibrate={settings.input}, got none: {why_no_rows(counters)}")
    rows = ds.dataset(sorted(map(str, folder.glob("rows-*.parquet"))), format="parquet")
    others = rows.to_table([name for name in rows.schema.names if name != "embedding"]).nbytes / sentences
    (vector,) = rows.head(1, columns=["embedding"])["embedding"].to_pylist()
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Calibration(
        Encoder(sentences / seconds / cpus, peak / 1e9, len(vector), others),
        sentences / sizes.count,
        max(1.0, sizes.sum / sizes.count),
        sentences,
        seconds,
        cpus,
    )


def _pipeline() -> beam.Pipeline:
    options = PipelineOptions([])
    return beam.Pipeline(runner=local_runner(options), options=options)


def _run(pipeline: beam.Pipeline) -> Any:
    def run() -> Any:
        result = pipeline.run()
        result.wait_until_finish()
        return result

    return stopping.left_behind(run)
