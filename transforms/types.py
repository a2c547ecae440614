"""The elements that pass between stages: small NamedTuples with Row coders and a fixed schema id.

A fixed schema id keeps a streaming job's coders the same from one launch to the next; without it Beam
draws a random one. Times are microseconds since the Unix epoch, so that an element holds plain types only.
"""

from collections.abc import Mapping
from typing import NamedTuple, Optional

from apache_beam import coders

# The attribute of a CSV record that holds its file's first line.
CSV_HEADER = "csv_header"


class Record(NamedTuple):
    """What a source read, before anything was made of it.

    Attributes:
        data: the payload: a line, a file, a row as JSON, or the data of a Pub/Sub message.
        origin: where it came from ("path#offset", "path#row"), unique in a source; empty if nothing is known.
        id: the identity its source gave it (a Pub/Sub message id), or "".
        attributes: what came beside the payload: Pub/Sub attributes, the header of a CSV file.
        event_time: microseconds since the Unix epoch, or None.
    """

    data: bytes
    origin: str
    id: str
    attributes: Mapping[str, str]
    event_time: Optional[int]


class Message(NamedTuple):
    """One text to embed. `metadata` holds every field of the input that is not text, id or timestamp."""

    id: str
    text: str
    metadata: Mapping[str, str]
    event_time: Optional[int]


class Sentence(NamedTuple):
    """One sentence of a message: `message.text[begin:end] == content`, in code points."""

    id: str
    message_id: str
    sentence_index: int
    begin: int
    end: int
    content: str
    metadata: Mapping[str, str]
    event_time: Optional[int]


class SentenceEmbedding(NamedTuple):
    """A sentence and its vector.

    Attributes:
        embedding: the vector as little-endian float32 bytes.
        model: the name or handle of the model.
        model_version: a digest of the model's files; two versions never share vectors.
        precision: the precision that the encoder ran in.
        tokens: word pieces that the encoder read, special tokens included.
        truncated: whether the sentence was longer than the encoder read.
    """

    id: str
    message_id: str
    sentence_index: int
    begin: int
    end: int
    content: str
    metadata: Mapping[str, str]
    event_time: Optional[int]
    embedding: bytes
    model: str
    model_version: str
    precision: str
    tokens: int
    truncated: bool


class DeadLetter(NamedTuple):
    """An input that a stage could not use, whole, with the reason.

    Exactly one of `payload_string` and `payload_bytes` is set. A payload too large for one row comes as `parts`
    rows of one `id`, numbered from 0 by `part`.
    """

    id: str
    stage: str
    timestamp: int
    error_message: str
    stacktrace: str
    payload_string: Optional[str]
    payload_bytes: Optional[bytes]
    attributes: Mapping[str, str]
    part: int
    parts: int


_SCHEMA_ID_FIELD = "_beam_schema_id"

for _element in (Record, Message, Sentence, SentenceEmbedding, DeadLetter):
    setattr(_element, _SCHEMA_ID_FIELD, f"sentence-embeddings-{_element.__name__}-v1")
    coders.registry.register_coder(_element, coders.RowCoder)
