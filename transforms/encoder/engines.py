"""The engines that run an encoder: TensorFlow or OpenVINO, in float32 or bfloat16.

Because a wrong vector is worse than none, each engine is compared with the original model, run by TensorFlow in
float32, when the model is loaded. The engine runs a few sentences as one batch, in rows that they share if it can do
that; the reference runs each sentence alone. If the options allow several engines, the fastest of those that agree is
chosen.
"""

import concurrent.futures
import functools
import importlib.util
import logging
import os
import queue
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from transforms.encoder.options import PRECISIONS
from transforms.encoder.packing import Batch, lay_out
from transforms.encoder.reasons import reason_of

if TYPE_CHECKING:
    from transforms.encoder.preprocessor import Preprocessor
    from transforms.encoder.saved_model import BertVectors, VectorFunction

Array = np.ndarray[Any, Any]

# The minimum agreement with TensorFlow in float32, on the worst probe.
AGREEMENT = {"float32": 0.9999, "bfloat16": 0.9995}
# The minimum agreement between the optimized graph and the model whose weights it has, both in float32.
_SAME = 0.99999
PROBES = (
    "",
    "Thanks!",
    "The staff were friendly and the food was good.",
    "It doesn't matter: 1,234 people (or more) saw http://example.com on 5/6/2020 — çà et là.",
    "A long sentence is here so that all the others are padded, for an engine that is right on a full row may still "
    "take padding for words, and what it gives then is of the right shape and length, but not the right vector.",
)

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """An encoder with its pooling, ready to run; it may be called from `streams()` threads at once.

    Attributes:
        name: "tensorflow" or "openvino".
        precision: the precision of its matrix products, "float32" or "bfloat16".
        shares_rows: whether several texts may share a row.
    """

    name: str
    precision: str
    shares_rows: bool

    def __call__(self, ids: Array, segments: Array, positions: Array) -> Array:
        """Vectors, float32 [texts, dimension], from the parts of a Batch."""


class TensorFlowEngine:
    """A TensorFlow function, run on the device that TensorFlow chooses."""

    name = "tensorflow"

    def __init__(self, function: "VectorFunction", precision: str = "float32") -> None:
        self.precision, self.shares_rows = precision, function.shares_rows
        self._function = function

    def __call__(self, ids: Array, segments: Array, positions: Array) -> Array:
        """The vectors of a micro-batch."""
        return self._function(ids, segments, positions)


class OpenVinoEngine:
    """A TensorFlow function compiled by OpenVINO, with one stream per core.

    Raises:
        ImportError: if OpenVINO is not installed.
        ValueError: if OpenVINO does not support `precision` on this processor.
    """

    name = "openvino"

    def __init__(self, function: "VectorFunction", precision: str = "float32") -> None:
        import openvino
        import tensorflow as tf

        core, hint = openvino.Core(), {"float32": "f32", "bfloat16": "bf16"}[precision]
        with tempfile.TemporaryDirectory() as directory:
            # OpenVINO reads a SavedModel in about a second, but takes about a minute to convert a function in memory.
            tf.saved_model.save(function, directory, signatures=function.concrete)
            read = core.read_model(directory)
        compiled = core.compile_model(
            read,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": hint,
                "NUM_STREAMS": str(streams()),
                "INFERENCE_NUM_THREADS": str(streams()),
            },
        )
        used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if used != hint:
            raise ValueError(f"expected a processor that multiplies in {precision}, got one on which it takes {used}")
        self.precision, self.shares_rows = precision, function.shares_rows
        # A graph may not read every part of a batch.
        self._names = [port.get_any_name() for port in compiled.inputs]
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(streams() + 1):
            self._requests.put(compiled.create_infer_request())

    def __call__(self, ids: Array, segments: Array, positions: Array) -> Array:
        """The vectors of a micro-batch."""
        given = {"ids": ids, "segments": segments, "positions": positions}
        request = self._requests.get()
        try:
            request.infer({name: given[name] for name in self._names}, share_inputs=True)
            return np.array(request.get_output_tensor().data, np.float32)
        finally:
            self._requests.put(request)


def streams() -> int:
    """The number of micro-batches to run in parallel: one for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def agreement(found: Array, expected: Array) -> float:
    """The agreement of the worst row: 1 - |a - b|² / 2|b|², which is the cosine if both vectors have the same norm."""
    error = ((found - expected) ** 2).sum(axis=1) / np.maximum((expected**2).sum(axis=1), 1e-30)
    # NaN agrees with nothing.
    return float(np.nan_to_num(1 - error / 2, nan=-1).min())


class Probes:
    """The texts PROBES, truncated to `max_seq_length` tokens each, on which engines are compared."""

    def __init__(self, preprocessor: "Preprocessor", max_seq_length: int) -> None:
        texts = [tokens[: max_seq_length - 2] for tokens in preprocessor.tokenize(PROBES)]
        rows = lay_out([len(tokens) + 2 for tokens in texts], sys.maxsize, shares_rows=True)
        self._texts = [texts[place] for row in rows for place in row]
        self._arrange = preprocessor.arrange
        self._shared = self._arrange([[texts[place] for place in row] for row in rows])
        self._padded = self._arrange([[text] for text in self._texts])

    def batch(self, function: "Engine | VectorFunction") -> Batch:
        """One batch of all the texts for `function`, in rows that they share if it can do that."""
        return self._shared if function.shares_rows else self._padded

    def alone(self, function: Callable[..., Array]) -> Array:
        """The vectors of the texts in the order of the batch, each run alone and without padding."""
        return np.concatenate([function(*self._arrange([[text]])) for text in self._texts])


# An engine's name, its precision, and a function that creates it.
Maker = tuple[str, str, Callable[[], Engine]]


def choose(makers: Sequence[Maker], expected: Array, probes: Probes) -> Engine:
    """The fastest of the engines that agree with `expected` on `probes`.

    An engine that cannot be created, or that disagrees, is skipped with a one-line warning.

    Raises:
        ValueError: if no engine is left; the message says why the last one was skipped.
    """
    agreed, reason = [], "there is none"
    for name, precision, make in makers:
        try:
            engine = make()
            reached = agreement(engine(*probes.batch(engine)), expected)
        # A third-party converter or compiler may raise any exception.
        except Exception as error:
            reason = f"{name} in {precision} cannot run this model: {reason_of(error, -1)}"
            _log.warning("%s", reason)
            continue
        if reached >= AGREEMENT[precision]:
            agreed.append(engine)
        else:
            reason = (
                f"refused {name} in {precision}: expected agreement of at least {AGREEMENT[precision]} with "
                f"TensorFlow in float32, got {reached:.5f}"
            )
            _log.warning("%s", reason)
    if not agreed:
        raise ValueError(reason)
    if len(agreed) == 1:
        return agreed[0]
    fastest = min(agreed, key=lambda engine: _seconds(engine, probes))
    _log.warning("chose %s in %s, the fastest of %d engines that agree", fastest.name, fastest.precision, len(agreed))
    return fastest


def _seconds(engine: Engine, probes: Probes) -> float:
    """The time, in seconds, for a few large micro-batches on every stream, after a warm-up."""
    batch = [np.ascontiguousarray(np.tile(part, (4, 1))) for part in probes.batch(engine)]
    count = streams()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:

        def run(times: int) -> float:
            start = time.perf_counter()
            list(pool.map(lambda _: engine(*batch), range(times * count)))
            return time.perf_counter() - start

        run(1)
        return min(run(2) for _ in range(2))


def plain_graph(model: "BertVectors", expected: Array, probes: Probes) -> "VectorFunction":
    """The optimized graph of `model` in float32, after comparing its vectors with `expected`, the original model's.

    Raises:
        ValueError: if the model is not a known kind of BERT, or its vectors differ from those of the graph.
    """
    plain = model.lifted()
    reached = agreement(plain(*probes.batch(plain)), expected)
    if reached < _SAME:
        raise ValueError(f"its vectors have agreement {reached:.6f} with the optimized graph's")
    return plain


def load_engine(model: "BertVectors", name: str, engine: str, precision: str, probes: Probes) -> Engine:
    """The engine that runs `model`: the fastest that `engine` and `precision` allow, among those that agree.

    It runs the optimized graph where there is one for the model, and the original graph otherwise.

    Raises:
        ValueError: if `engine` and `precision` leave no engine.
    """
    function, expected = model.original, probes.alone(model.original)
    unknown = ""
    try:
        function = plain_graph(model, expected, probes)
    except ValueError as error:
        unknown = str(error)
        _log.warning("%s runs without the optimized graph: %s", name, unknown)

    def tensorflow(precision: str) -> Engine:
        if precision == "float32":
            return TensorFlowEngine(function)
        if unknown:
            raise ValueError(f"not a known kind of BERT, {unknown}; use precision=float32")
        return TensorFlowEngine(model.lifted(precision), precision)

    makers: list[Maker] = []
    for each in PRECISIONS[:2] if precision == "auto" else (precision,):
        if engine != "openvino" and (not unknown or each == "float32" or precision != "auto"):
            makers.append(("tensorflow", each, functools.partial(tensorflow, each)))
        if engine == "openvino" or (engine == "auto" and importlib.util.find_spec("openvino")):
            makers.append(("openvino", each, functools.partial(OpenVinoEngine, function, each)))
    try:
        return choose(makers, expected, probes)
    except ValueError as error:
        raise ValueError(f"engine={engine} and precision={precision} leave no engine for {name}: {error}") from error
