"""A function of the user's own, which every message's fields go through between decoding and parsing.

Its file is read where the pipeline is built, and its source travels with the pipeline: workers need not have the file.
"""

import dataclasses
import functools
import linecache
import sys
import threading
import traceback
import types
from collections.abc import Callable, Mapping
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.fields import Fields, Number
from transforms.ids import stable_id

# A pipeline's description may have 10 MB on Dataflow, and the source is a part of it.
_MOST_BYTES = 1_000_000
# Python refuses to convert longer integers.
_MOST_DIGITS = 4000

_loading = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Udf:
    """The function `function` of the file `path`, with the text of that file."""

    path: str
    function: str
    source: str

    def load(self) -> Callable[[Fields], Any]:
        """The function; its file runs once per process.

        Raises:
            ValueError: if the file does not run, or has no such function.
        """
        with _loading:
            return _loaded(self)

    def __call__(self, fields: Mapping[str, Any]) -> list[Fields] | Fields | None:
        """What the function makes of the fields of one message: those of another, of several, or None to leave it out.

        Numbers are handed to it as int and float, and those that it returns unchanged keep their literal.

        Raises:
            ValueError: if it fails, or returns anything else; or as in `load`.
            MemoryError: if there is too little memory, which is not the fault of any message.
        """
        function = self.load()
        try:
            found = function({name: _opened(value) for name, value in fields.items()})
        except MemoryError:
            raise
        # It is the user's code, which may raise anything; sys.exit() must not end a worker.
        except (Exception, SystemExit) as error:
            raise ValueError(f"udf_function {self.function} failed{self._line_of(error)}: {_said(error)}") from error
        if found is None:
            return None
        try:
            return [_fields(each) for each in found] if isinstance(found, list) else _fields(found)
        except ValueError as error:
            raise ValueError(
                f"expected udf_function {self.function} to return fields as JSON has them, {error}"
            ) from None

    def _line_of(self, error: BaseException) -> str:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self.path]
        if isinstance(error, SyntaxError) and error.filename == self.path:
            return f" at line {error.lineno} of {self.path}"
        return f" at line {frames[-1].lineno} of {self.path}" if frames else ""


def read_udf(path: str, function: str) -> Udf:
    """Reads and runs the file at `path`, local or of a file system that Beam knows, such as gs://.

    Raises:
        ValueError: if it cannot be read, is larger than 1 MB, does not run, or has no such function.
    """
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            data = file.read(_MOST_BYTES + 1)
        source = data.decode()
    # What is raised depends on the file system.
    except Exception as error:
        raise ValueError(f"expected udf to be a Python file in UTF-8, could not read {path}: {_said(error)}") from error
    if len(data) > _MOST_BYTES:
        raise ValueError(f"expected udf to be a file of at most {_MOST_BYTES:,} bytes, got more in {path}")
    udf = Udf(path, function, source)
    udf.load()
    return udf


@functools.lru_cache(maxsize=16)
def _loaded(udf: Udf) -> Callable[[Fields], Any]:
    module = types.ModuleType(f"udf_{stable_id(udf.path, udf.source)}")
    module.__file__ = udf.path
    # A traceback shows the lines, and a dataclass looks for its module.
    linecache.cache[udf.path] = (len(udf.source), None, udf.source.splitlines(keepends=True), udf.path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(udf.source, udf.path, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"expected udf to be a Python file that runs, failed{udf._line_of(error)}: {_said(error)}"
        ) from error
    function = vars(module).get(udf.function)
    if not callable(function):
        has = ", ".join(name for name, value in vars(module).items() if isinstance(value, types.FunctionType)) or "none"
        raise ValueError(f"expected udf_function to be a function of {udf.path}, got {udf.function!r}; it has {has}")
    return function  # type: ignore[no-any-return]


def _said(error: BaseException) -> str:
    try:
        said = " ".join(str(error).split())
    # So may the text of a user's own exception.
    except Exception:
        said = "its text cannot be shown"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


class _Integer(int):
    """An integer of a JSON text, with its literal."""

    literal: str


class _Float(float):
    """Any other number of a JSON text, with its literal."""

    literal: str


def _opened(value: Any) -> Any:
    """A value with Python's numbers."""
    if isinstance(value, Number):
        literal = value.literal
        is_integer = literal.removeprefix("-").isdecimal() and len(literal) <= _MOST_DIGITS
        number = _Integer(literal) if is_integer else _Float(literal)
        number.literal = literal
        return number
    if isinstance(value, dict):
        return {name: _opened(each) for name, each in value.items()}
    return [_opened(each) for each in value] if isinstance(value, list) else value


def _text(value: str, what: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"got a lone surrogate in {what}") from None
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"got {value!r} as the name of a field")
    return _text(value, "the name of a field")


def _fields(found: Any) -> Fields:
    """What a function returned for one message, with the numbers of JSON.

    Raises:
        ValueError: if it is no dict of names and values of JSON.
    """
    if not isinstance(found, dict):
        raise ValueError(f"got {type(found).__name__}; return a dict, a list of them, or None")
    return {_name(name): _closed(value, name) for name, value in found.items()}


def _closed(value: Any, field: str) -> Any:
    """A value with the numbers of JSON."""
    if isinstance(value, _Integer | _Float):
        return Number(value.literal)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _text(value, f"the field {field!r}")
    if isinstance(value, dict):
        return {_name(name): _closed(each, field) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_closed(each, field) for each in value]
    raise ValueError(f"got {type(value).__name__} in the field {field!r}")
