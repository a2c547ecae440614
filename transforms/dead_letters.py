"""Dead letters: one schema for the inputs that a stage could not process, and the transforms that return them."""

import base64
import json
import re
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Self, TypeVar

import apache_beam as beam

from transforms.counters import Counters
from transforms.ids import stable_id
from transforms.types import DeadLetter

TAG = "dead_letters"
# BigQuery and Pub/Sub reject rows and messages of about 10 MB; base64 and JSON escapes count towards that limit.
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
_MAX_STACKTRACE = 16_384
_MAX_ERROR_MESSAGE = 2_048
# What tells apart two messages of one cause: quoted texts, paths and numbers.
_DETAILS = re.compile(r"'[^']*'|\"[^\"]*\"|\S*/\S+|\d[\d.,]*")
# Counters of causes begin with this; a process counts only so many, each by the beginning of its first message.
REASON_PREFIX = "refused: "
_MOST_REASONS = 100
_REASON_LENGTH = 200

T = TypeVar("T")


def dead_letters(
    stage: str, error: BaseException | str, payload: bytes, attributes: Mapping[str, str]
) -> list[DeadLetter]:
    """The rows of one dead letter: a single row, or several if the encoded payload exceeds MAX_PAYLOAD_BYTES.

    Args:
        stage: the name of the stage that could not process the input; a replay re-enters the pipeline there.
        error: the exception, or a one-line message.
        payload: the whole input.
        attributes: the attributes that came with the input, stored unchanged.
    """
    try:
        parts: Sequence[str | bytes] = _halves(payload.decode("utf-8"), _json_size)
    except UnicodeDecodeError:
        parts = _halves(payload, _base64_size)
    trace = ""
    if isinstance(error, BaseException):
        trace = "".join(traceback.format_exception(error))[-_MAX_STACKTRACE:]
        error = f"{type(error).__name__}: {error}"
    _count_reason(error)
    identity = stable_id(stage, payload, *(text for item in sorted(attributes.items()) for text in item))
    return [
        DeadLetter(
            id=identity,
            stage=stage,
            timestamp=time.time_ns() // 1000,
            error_message=_printable(error)[:_MAX_ERROR_MESSAGE],
            stacktrace=_printable(trace),
            payload_string=part if isinstance(part, str) else None,
            payload_bytes=part if isinstance(part, bytes) else None,
            attributes=attributes,
            part=number,
            parts=len(parts),
        )
        for number, part in enumerate(parts)
    ]


def refused(
    counter: str, stage: str, error: BaseException | str, payload: bytes, attributes: Mapping[str, str]
) -> Iterator[beam.pvalue.TaggedOutput]:
    """The output of a DoFn for an input that it could not process: the rows of a dead letter, which `counter` counts.

    The other arguments are those of `dead_letters`.
    """
    Counters().count(counter)
    for letter in dead_letters(stage, error, payload, attributes):
        yield beam.pvalue.TaggedOutput(TAG, letter)


def cause_of(error_message: str) -> str:
    """The first line of a message without its details, which is the same for all letters of one cause."""
    return _DETAILS.sub("…", error_message.splitlines()[0] if error_message else "")


_lock = threading.Lock()
_reasons: dict[str, str] = {}


def _count_reason(error_message: str) -> None:
    example = _printable(error_message[:_REASON_LENGTH]).partition("\n")[0]
    cause = cause_of(example)
    with _lock:
        if len(_reasons) < _MOST_REASONS:
            _reasons.setdefault(cause, example)
    Counters().count(REASON_PREFIX + _reasons.get(cause, "other reasons"))


def forget_reasons() -> None:
    """Lets the next run of this process choose examples of its own for the counters of causes."""
    with _lock:
        _reasons.clear()


def payload_of(parts: Sequence[DeadLetter]) -> bytes:
    """The original input, byte for byte, from all the rows of one dead letter.

    Raises:
        ValueError: if a part is missing.
    """
    ordered = sorted(parts, key=lambda letter: letter.part)
    if [letter.part for letter in ordered] != list(range(ordered[0].parts)):
        raise ValueError(
            f"dead letter {ordered[0].id}: expected parts 0 to {ordered[0].parts - 1}, "
            f"got {[letter.part for letter in ordered]}; read all of its rows"
        )
    return b"".join(
        letter.payload_bytes if letter.payload_bytes is not None else (letter.payload_string or "").encode()
        for letter in ordered
    )


def element_json(element: Any) -> bytes:
    """Serializes an element as the JSON that a dead letter holds; bytes become base64, and what JSON lacks text."""
    return json.dumps(element._asdict(), ensure_ascii=True, default=jsonable).encode()


def jsonable(value: object) -> object:
    """What stands for a value that JSON lacks, in a dead letter."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return dict(value) if isinstance(value, Mapping) else str(value)


def _halves(payload: Any, size: Any) -> list[Any]:
    if size(payload) <= MAX_PAYLOAD_BYTES:
        return [payload]
    middle = len(payload) // 2
    return _halves(payload[:middle], size) + _halves(payload[middle:], size)


def _json_size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())


def _base64_size(data: bytes) -> int:
    return (len(data) + 2) // 3 * 4


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


class WithDeadLetters(NamedTuple, Generic[T]):
    """The result of a transform with `.with_dead_letters()`: its output, and a PCollection of DeadLetter."""

    output: "beam.PCollection[T]"
    dead_letters: "beam.PCollection[DeadLetter]"


class DeadLetterTransform(beam.PTransform):
    """A transform whose inputs can fail individually.

    By default a failing input fails the pipeline, as in Beam's own transforms. With `.with_dead_letters()` the
    transform returns `WithDeadLetters(output, dead_letters)` instead.
    """

    _hand_out = False

    def with_dead_letters(self) -> Self:
        """Returns failing inputs as a second PCollection instead of failing the pipeline."""
        self._hand_out = True
        return self

    def expand(self, pcoll: Any) -> Any:
        """Applies `expand_with_dead_letters`, and returns both outputs or fails on the first dead letter."""
        result = self.expand_with_dead_letters(pcoll)
        if self._hand_out:
            return result
        result.dead_letters | "Fail on dead letters" >> beam.ParDo(_Fail())
        return result.output

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Any]:
        """The output and the dead letters for `pcoll`; subclasses implement this."""
        raise NotImplementedError


def split_dead_letters(pcoll: Any, step: str, dofn: beam.DoFn, output_type: type) -> WithDeadLetters[Any]:
    """Applies `dofn`, which tags its dead letters with TAG, as the step `step`, and returns both of its outputs."""
    apply = beam.ParDo(dofn).with_output_types(output_type, **{TAG: DeadLetter})
    outputs = pcoll | step >> apply.with_outputs(TAG, main="output")
    return WithDeadLetters(outputs["output"], outputs[TAG])


def add_dead_letters(result: WithDeadLetters[T], *letters: Any) -> WithDeadLetters[T]:
    """`result` with further PCollections of dead letters among its own."""
    if not letters:
        return result
    return result._replace(dead_letters=(result.dead_letters, *letters) | "Add dead letters" >> beam.Flatten())


class _Fail(beam.DoFn):
    def process(self, letter: DeadLetter) -> None:
        raise ValueError(
            f"{letter.stage} could not use {letter.attributes.get('origin', 'an input')}: {letter.error_message}; "
            "use .with_dead_letters() to go on without it"
        )
