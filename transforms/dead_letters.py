"""Dead letters: one schema for what any stage could not use, and the way a transform hands them out."""

import base64
import json
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import apache_beam as beam

from transforms.ids import stable_id
from transforms.types import DeadLetter

TAG = "dead_letters"
# BigQuery and Pub/Sub refuse rows and messages near 10 MB; base64 and JSON escapes count towards that.
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
_MAX_STACKTRACE = 16_384
_MAX_ERROR_MESSAGE = 2_048

T = TypeVar("T")


def dead_letters(
    stage: str, error: BaseException | str, payload: bytes, attributes: Mapping[str, str]
) -> list[DeadLetter]:
    """The rows of one dead letter: one, or several if the payload is past MAX_PAYLOAD_BYTES when encoded.

    Args:
        stage: name of the stage that refused the input; replay enters there.
        error: what went wrong, or one line that says so.
        payload: the input, whole.
        attributes: what came beside it, kept as it is.
    """
    try:
        parts: Sequence[str | bytes] = _halves(payload.decode("utf-8"), _json_size)
    except UnicodeDecodeError:
        parts = _halves(payload, _base64_size)
    trace = ""
    if isinstance(error, BaseException):
        trace = "".join(traceback.format_exception(error))[-_MAX_STACKTRACE:]
        error = f"{type(error).__name__}: {error}"
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


def payload_of(parts: Sequence[DeadLetter]) -> bytes:
    """The input behind all rows of one dead letter, byte for byte.

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
    """A stage's element as the JSON that a dead letter holds; bytes become base64."""
    return json.dumps(element._asdict(), ensure_ascii=True, default=_jsonable).encode()


def _jsonable(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"expected plain types in an element, got {type(value).__name__}")


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
    """What `.with_dead_letters()` gives: the output, and a PCollection of DeadLetter."""

    output: "beam.PCollection[T]"
    dead_letters: "beam.PCollection[DeadLetter]"


class DeadLetterTransform(beam.PTransform):
    """A transform whose inputs can fail one by one.

    As it is, a failing input fails the pipeline, as Beam's transforms do. `.with_dead_letters()` makes it give
    `WithDeadLetters(output, dead_letters)` instead.
    """

    _hand_out = False

    def with_dead_letters(self) -> "DeadLetterTransform":
        """Give failing inputs as a second PCollection instead of failing on them."""
        self._hand_out = True
        return self

    def expand(self, pcoll: Any) -> Any:
        """Wires `expand_with_dead_letters` for either use."""
        result = self.expand_with_dead_letters(pcoll)
        if self._hand_out:
            return result
        result.dead_letters | "Fail on dead letters" >> beam.ParDo(_Fail())
        return result.output

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Any]:
        """What a subclass gives for `pcoll`."""
        raise NotImplementedError


def split_dead_letters(pcoll: Any, step: str, dofn: beam.DoFn, output_type: type) -> WithDeadLetters[Any]:
    """Both outputs of `dofn`, which tags its dead letters with TAG, run as the step `step`."""
    apply = beam.ParDo(dofn).with_output_types(output_type, **{TAG: DeadLetter})
    outputs = pcoll | step >> apply.with_outputs(TAG, main="output")
    return WithDeadLetters(outputs["output"], outputs[TAG])


class _Fail(beam.DoFn):
    def process(self, letter: DeadLetter) -> None:
        raise ValueError(
            f"{letter.stage} could not use {letter.attributes.get('origin', 'an input')}: {letter.error_message}; "
            "use .with_dead_letters() to go on without it"
        )
