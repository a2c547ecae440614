"""Versions of messages, written to files by the steps of a stream, without its runner."""

import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp

from pipeline.names import journal_beside
from transforms.io.files.write_stream import _Write
from transforms.kinds import JOURNAL, ROWS, Kind
from transforms.splitter import SentenceSplitter
from transforms.splitting import sentences
from transforms.types import Message, Sentence, SentenceEmbedding, is_end
from transforms.versions import KeepJournal, versioned

SPLITTER = SentenceSplitter("en")


def version(number: int, text: str | None, message: str = "m") -> Message:
    """A version of a message; without a text, its deletion."""
    return Message(message, text or "", {"n": str(number)}, number, number, text is None)


def embedded(sentence: Sentence, model: str) -> SentenceEmbedding:
    """The row or the end that an encoder would make, with a vector that depends on the text and the model."""
    digest = hashlib.sha256(f"{model} {sentence.content}".encode()).digest()
    vector = np.frombuffer(digest[:4], np.uint8).astype("<f4").tobytes()
    return SentenceEmbedding(*sentence, b"" if is_end(sentence) else vector, model, f"{model}-1", "float32", 3, False)


def rows_of(message: Message, model: str = "model") -> list[SentenceEmbedding]:
    """The rows of a message and its end."""
    return [embedded(each, model) for each in versioned(message, sentences(message, SPLITTER)[0])]


def write_bundle(prefix: pathlib.Path, *messages: Message, model: str = "model", file_format: str = "parquet") -> None:
    """Write a bundle of messages: rows, and then the journal."""
    write_journal(prefix, write_rows(prefix, *messages, model=model, file_format=file_format), file_format)


def write_rows(
    prefix: pathlib.Path, *messages: Message, model: str = "model", file_format: str = "parquet"
) -> list[SentenceEmbedding]:
    """Write the rows of a bundle, as far as kill -9 lets it come; what is written, and the ends."""
    # A run makes the folder of the journal before its start.
    _journal(prefix, file_format).parent.mkdir(parents=True, exist_ok=True)
    return _written(prefix, file_format, ROWS, [row for message in messages for row in rows_of(message, model)])


def write_journal(prefix: pathlib.Path, written: Sequence[SentenceEmbedding], file_format: str = "parquet") -> None:
    """Write the journal of a bundle behind its rows."""
    keep = KeepJournal()
    keep.start_bundle()
    entries = [entry for element in written for entry in keep.process(element)]
    _written(_journal(prefix, file_format), file_format, JOURNAL, entries)


def _journal(prefix: pathlib.Path, file_format: str) -> pathlib.Path:
    return pathlib.Path(journal_beside(str(prefix), file_format))


def _written(prefix: pathlib.Path, file_format: str, kind: Kind, elements: Sequence[Any]) -> list[Any]:
    write = _Write(str(prefix), file_format, kind)
    write.start_bundle()
    for element in elements:
        write.process(element, Timestamp(0), GlobalWindow())
    return [each.value for each in write.finish_bundle()]
