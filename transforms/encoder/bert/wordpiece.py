"""The tokens of the preprocessors that export writes, without TensorFlow, from the vocabulary in their graph.

Sources: export._Tokenize; fast_wordpiece_tokenizer_utils.h and darts_clone_trie_wrapper.h in tensorflow/text.
"""

import os
import re
import struct
import unicodedata
from collections.abc import Iterator
from typing import Any

from transforms.encoder.saved_files import GRAPH, fields

# The operations on text in the graph of a preprocessor of export's: with letters as they are, and in lower case.
_CASED = {
    ("FastBertNormalize",),
    ("FastWordpieceTokenizeWithOffsets",),
    ("StaticRegexReplace", r"[\t\n\r\p{Z}]", " "),
    ("StaticRegexReplace", r"[\p{C}\x{FFFD}]", ""),
}
_UNCASED = _CASED | {
    ("NormalizeUTF8", "NFD"),
    ("StaticRegexReplace", r"\p{Mn}", ""),
    ("StaticRegexReplace", "\u03a3", "\u03c3"),
    ("StringLower", "utf-8"),
}
_SHOWN = ("pattern", "rewrite", "normalization_form", "encoding")
_TOKENIZE = b"FastWordpieceTokenizeWithOffsets"
_SPECIAL = b"__inference_<lambda>_"
_UINT8 = 4

_LEFT_OUT = {"Cc", "Cf", "Co"}
# A character of these is a word, as punctuation is.
_CHINESE = re.compile(
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ceaf\U0002f800-\U0002fa1f]"
)
# A longer word is unknown, in bytes of UTF-8.
_LONGEST_WORD = 100


class WordPiece:
    """The tokenizer of the SavedModel in a local directory.

    Attributes:
        start: the id of the token that begins a sequence.
        end: the id of the token that ends a segment.

    Raises:
        ValueError: if it is not a preprocessor that export writes.
        OSError: if it cannot be read.
    """

    def __init__(self, directory: str) -> None:
        with open(os.path.join(directory, GRAPH), "rb") as file:
            graph = _one(_one(memoryview(file.read()), 2), 2)
        functions = [bytes(function) for number, function in fields(_one(graph, 2)) if number == 1]
        tokenizing = [function for function in functions if _TOKENIZE in function]
        special = [function for function in functions if _SPECIAL in function[:64]]
        operations = {_described(node) for function in tokenizing for node in _nodes(function)} - {()}
        models = [tensor[4] for tensor in map(_constant, _all(graph, 1)) if tensor.get(1) == _UINT8 and 4 in tensor]
        if operations not in (_CASED, _UNCASED) or len(special) != 1 or not models:
            raise ValueError(f"expected a preprocessor as export writes it, {directory} is another")
        self._lower_case = operations == _UNCASED
        # The special tokens are constants in the order of export's table.
        self.start, self.end = (_int(_constant(node)) for node in _nodes(special[0])[:2])
        # The other one is that of the normalizer, of some kilobytes.
        self._trie = _Trie(max(models, key=len))

    def tokenize(self, text: str) -> list[int]:
        """The token ids of `text`, without special tokens."""
        return [token for word in self._words(text) for token in self._pieces(word.encode())]

    def _words(self, text: str) -> list[str]:
        shown = (" " if _is_space(each) else each for each in text if each != "\ufffd")
        text = "".join(each for each in shown if unicodedata.category(each) not in _LEFT_OUT)
        if self._lower_case:
            text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
            text = text.replace("\u03a3", "\u03c3").lower()
        return "".join(f" {each} " if _is_word(each) else each for each in text).split(" ")

    def _pieces(self, word: bytes) -> list[int]:
        found: list[int] = []
        begin = 0
        while begin < len(word):
            token, end = self._trie.longest(word, begin)
            if end == begin or len(word) > _LONGEST_WORD:
                return [self._trie.unknown]
            found.append(token)
            begin = end
        return found


def _is_space(character: str) -> bool:
    return character in "\t\n\r" or unicodedata.category(character)[0] == "Z"


def _is_word(character: str) -> bool:
    """Whether a character is a word of its own: punctuation, or what BERT takes for it."""
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return unicodedata.category(character)[0] == "P" or bool(_CHINESE.match(character))


def _all(message: Any, number: int) -> Iterator[Any]:
    return (value for found, value in fields(message) if found == number)


def _one(message: Any, number: int) -> Any:
    return next(_all(message, number), b"")


def _nodes(function: bytes) -> list[memoryview]:
    return list(_all(memoryview(function), 3))


def _attributes(node: Any) -> dict[str, dict[int, Any]]:
    pairs = map(dict, map(fields, _all(node, 5)))
    return {bytes(pair[1]).decode(): dict(fields(pair[2])) for pair in pairs}


def _described(node: Any) -> tuple[str, ...]:
    """A node's operation on text, with what it is told; () for other operations."""
    operation = bytes(_one(node, 2)).decode()
    if operation not in {known for known, *_ in _UNCASED} and "Regex" not in operation and "UTF8" not in operation:
        return ()
    attributes = _attributes(node)
    return operation, *(bytes(attributes[name][2]).decode() for name in _SHOWN if name in attributes)


def _constant(node: Any) -> dict[int, Any]:
    """The tensor of a constant; an empty one of any other node."""
    if bytes(_one(node, 2)) != b"Const":
        return {}
    return dict(fields(_attributes(node)["value"][8]))


def _int(tensor: dict[int, Any]) -> int:
    """The value of a constant of one integer."""
    found = tensor[7]
    return found if isinstance(found, int) else next(iter(fields(memoryview(b"\x08" + bytes(found)))))[1]


class _Trie:
    """The vocabulary of a FastWordpieceTokenizer, as a double array: the unit of a node says where its children are."""

    def __init__(self, model: memoryview) -> None:
        (table,) = struct.unpack_from("<I", model)
        self._units = _numbers(model, _field(model, table, 0))
        self.unknown: int = struct.unpack_from("<I", model, _field(model, table, 7))[0]
        (self._suffixes,) = struct.unpack_from("<I", model, _field(model, table, 3))

    def longest(self, word: bytes, begin: int) -> tuple[int, int]:
        """The longest token that begins at a place of a word, and where it ends: at `begin` if there is none."""
        node, found = self._suffixes if begin else 0, (self.unknown, begin)
        for end, byte in enumerate(word[begin:], begin + 1):
            node = self._child(node, byte)
            if node < 0:
                break
            unit = self._units[node]
            if unit >> 8 & 1:
                found = (self._units[node ^ _offset(unit)] & 0x3FFFFFFF) >> 8, end
        return found

    def _child(self, node: int, byte: int) -> int:
        """The child of a node by a byte; -1 if there is none."""
        child = node ^ _offset(self._units[node]) ^ byte
        return child if self._units[child] & 0x800000FF == byte else -1


def _offset(unit: int) -> int:
    return unit >> 10 << ((unit & 0x200) >> 6)


def _field(model: memoryview, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table is; 0 if it is not there."""
    described = table - struct.unpack_from("<i", model, table)[0]
    (offset,) = struct.unpack_from("<H", model, described + 4 + 2 * number)
    return table + offset if offset else 0


def _numbers(model: memoryview, at: int) -> memoryview:
    """The vector of 32-bit numbers that the field at a place refers to."""
    at += struct.unpack_from("<I", model, at)[0]
    (length,) = struct.unpack_from("<I", model, at)
    return model[at + 4 : at + 4 + 4 * length].cast("I")
