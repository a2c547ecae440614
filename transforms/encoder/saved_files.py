"""SavedModels read without TensorFlow, whose import takes seconds: protocol buffers, and the tables of variables.

Sources: protobuf.dev/programming-guides/encoding; tensor_bundle.proto and lib/io/table_format.txt in tensorflow.
"""

import functools
import os
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

# Where a SavedModel keeps its graph, and its weights, as the prefix of their files.
GRAPH = "saved_model.pb"
WEIGHTS = ("variables", "variables")

_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
# The footer of a table ends in the magic number; a block is followed by its compression and a checksum.
_FOOTER = 48
_FLOAT, _STRING = 1, 7


def fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer, each as its number and its value: an integer, or bytes as a view."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind, size = key & 7, 0
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}[kind]
        yield key >> 3, message[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """The integer at a place, and the place behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
        if byte < 128:
            return value, at


class _Entry(NamedTuple):
    """Where the value of a variable is."""

    type: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int


class Variables:
    """The variables of the SavedModel in a local directory, by their paths from its root object, such as "layers/0".

    Raises:
        ValueError: if their index is not one of TensorFlow's.
        OSError: if it cannot be read.
    """

    def __init__(self, directory: str) -> None:
        self._prefix = os.path.join(directory, *WEIGHTS)
        self._entries: dict[str, _Entry] = {}
        with open(f"{self._prefix}.index", "rb") as file:
            index = memoryview(file.read())
        if bytes(index[-len(_MAGIC) :]) != _MAGIC:
            raise ValueError(f"expected an index of variables, {self._prefix}.index is none")
        footer = index[-_FOOTER:]
        # The first handle is that of a block of metadata.
        _, start = _handle(footer)
        for _, block in _pairs(index, *_handle(footer[start:])[0]):
            for key, value in _pairs(index, *_handle(block)[0]):
                if not key:
                    self._shards = dict(fields(value)).get(1, 1)
                elif key.endswith(b"/.ATTRIBUTES/VARIABLE_VALUE"):
                    self._entries[key.decode().rsplit("/", 2)[0]] = _entry(value)

    @property
    def names(self) -> set[str]:
        """The paths of all variables."""
        return set(self._entries)

    def floats(self, name: str) -> Array:
        """A variable of float32, of its own shape, as a read-only view of the file.

        Raises:
            ValueError: if it is missing, of another type, or cut short.
            OSError: if its file cannot be read.
        """
        entry = self._entries.get(name)
        if entry is None or entry.type != _FLOAT:
            raise ValueError(f"expected a variable {name!r} of float32 in {self._prefix}.index")
        return self._bytes(entry).view("<f4").reshape(entry.shape)

    def string(self, name: str) -> bytes | None:
        """A variable that holds one string; None if there is none of that name.

        Raises:
            ValueError: if it is of another type, or cut short.
            OSError: if its file cannot be read.
        """
        entry = self._entries.get(name)
        if entry is None:
            return None
        if entry.type != _STRING or entry.shape:
            raise ValueError(f"expected a string in the variable {name!r} of {self._prefix}.index")
        data = memoryview(self._bytes(entry).tobytes())
        size, at = _varint(data, 0)
        # Lengths have a checksum of their own.
        return bytes(data[at + 4 : at + 4 + size])

    def _bytes(self, entry: _Entry) -> Array:
        found = self._shard(entry.shard)[entry.offset : entry.offset + entry.size]
        if len(found) < entry.size:
            raise ValueError(f"expected {entry.size} bytes of a variable in {self._prefix}, its file is cut short")
        return found

    @functools.cache  # noqa: B019
    def _shard(self, number: int) -> Array:
        return np.memmap(f"{self._prefix}.data-{number:05}-of-{self._shards:05}", np.uint8, "r")


def _handle(data: memoryview) -> tuple[tuple[int, int], int]:
    """The offset and size of a block, and how long its handle is."""
    offset, at = _varint(data, 0)
    size, at = _varint(data, at)
    return (offset, size), at


def _pairs(table: memoryview, offset: int, size: int) -> Iterator[tuple[bytes, memoryview]]:
    """The keys and values of a block, whose keys share what they begin with."""
    if table[offset + size] != 0:
        raise ValueError("expected an index of variables that is not compressed")
    block = table[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    at, end, key = 0, size - 4 * (restarts + 1), b""
    while at < end:
        shared, at = _varint(block, at)
        unshared, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + bytes(block[at : at + unshared])
        at += unshared
        yield key, block[at : at + length]
        at += length


def _entry(value: memoryview) -> _Entry:
    found = dict(fields(value))
    # A dimension of size 0 has no field.
    shape = tuple(dict(fields(size)).get(1, 0) for _, size in fields(found.get(2, memoryview(b""))))
    return _Entry(found[1], shape, found.get(3, 0), found.get(4, 0), found.get(5, 0))
