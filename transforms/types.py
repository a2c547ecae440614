"""The elements that stages exchange: small NamedTuples with row coders and a fixed schema id.

The fixed schema id keeps a streaming job's coders the same from one launch to the next; by default Beam would generate
a random one. It is a UUID, as Java refuses any other. Times are microseconds since the Unix epoch, so that elements
hold only plain types.
"""

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from apache_beam import coders

# The attribute of a CSV or TSV record that holds the header line of its file.
CSV_HEADER = "csv_header"


class Record(NamedTuple):
    """The raw output of a source, before it is parsed.

    Attributes:
        data: the payload: a line, a file, a row as JSON, or the data of a Pub/Sub message.
        origin: where the payload came from: "path#offset" or "path#row", unique within a source, or a table; "" for
            Pub/Sub.
        id: the id that the source assigned (a Pub/Sub message id), or "".
        attributes: what accompanied the payload: the attributes of a Pub/Sub message, or the header of a CSV file.
        event_time: microseconds since the Unix epoch, or None.
        modified: when the file was last modified, in microseconds since the Unix epoch; None if it is no file.
    """

    data: bytes
    origin: str
    id: str
    attributes: Mapping[str, str]
    event_time: Optional[int]
    modified: Optional[int] = None


class Message(NamedTuple):
    """One text to embed.

    Attributes:
        id: what tells it from other messages; its versions share it.
        text: the text, "" if it is blank or the message is deleted.
        metadata: every input field and attribute other than the text, id and timestamp.
        event_time: microseconds since the Unix epoch, or None.
        version: which of the versions of the message is newer: the one with the greater number.
        deleted: whether this version says that the message is gone.
    """

    id: str
    text: str
    metadata: Mapping[str, str]
    event_time: Optional[int]
    version: int = 0
    deleted: bool = False


class Sentence(NamedTuple):
    """One sentence of a message: `message.text[begin:end] == content`, in code points.

    `revision` names the version of the message, as in `versions.versioned`; "" if versions are not told apart. An end
    (`is_end`) is no sentence, but follows those of a version, of which there are `sentence_index`.
    """

    id: str
    message_id: str
    sentence_index: int
    begin: int
    end: int
    content: str
    metadata: Mapping[str, str]
    event_time: Optional[int]
    revision: str = ""


class SentenceEmbedding(NamedTuple):
    """A sentence with its fields, and its vector.

    Attributes:
        embedding: the vector, as little-endian float32 bytes.
        model: the name or handle of the model.
        model_version: a digest of the model's files and of the options that change vectors.
        precision: the precision that the encoder ran in.
        tokens: the number of tokens that the encoder read, special tokens included; 0 for a text-in encoder.
        truncated: whether the encoder read only part of the sentence.
    """

    id: str
    message_id: str
    sentence_index: int
    begin: int
    end: int
    content: str
    metadata: Mapping[str, str]
    event_time: Optional[int]
    revision: str
    embedding: bytes
    model: str
    model_version: str
    precision: str
    tokens: int
    truncated: bool


def is_end(element: Any) -> bool:
    """Whether an element stands for the end of a version, behind which no more of its sentences or rows come."""
    # What a worker process has decoded has the fields of our types, but not their methods.
    if not getattr(element, "revision", ""):
        return False
    return not getattr(element, "content", element) and not getattr(element, "embedding", b"")


class JournalEntry(NamedTuple):
    """One version of a message that a model was carried through to its end.

    Attributes:
        version: which of the versions of the message is newer.
        revision: the version, together with a digest of what its rows hold.
        event_time: the message's time, in microseconds since the Unix epoch, or None.
        sentences: how many sentences the version has.
        rows: how many of them have a row.
        dead_letters: how many of them became dead letters.
        deleted: whether the version says that the message is gone.
        written_at: when this was written, after the rows, in microseconds since the Unix epoch.
    """

    message_id: str
    version: int
    revision: str
    event_time: Optional[int]
    model: str
    model_version: str
    sentences: int
    rows: int
    dead_letters: int
    deleted: bool
    written_at: int


class DeadLetter(NamedTuple):
    """An input that a stage could not process, stored whole together with the reason.

    Exactly one of `payload_string` and `payload_bytes` is set. A payload that is too large for one row is spread over
    `parts` rows with the same `id`, numbered from 0 by `part`.
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


_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://pypi.org/project/beam-sentence-embeddings/")


def schema_id(name: str) -> str:
    """The id of a schema, which depends on its name alone."""
    return str(uuid.uuid5(_NAMESPACE, name))


def register(element: type, version: int) -> None:
    """Give a NamedTuple a Row coder and a fixed schema id; `version` counts the changes of its fields."""
    element._beam_schema_id = schema_id(f"{element.__name__}-v{version}")  # type: ignore[attr-defined]
    coders.registry.register_coder(element, coders.RowCoder)


_VERSIONS = {Record: 2, Message: 2, Sentence: 2, SentenceEmbedding: 2, JournalEntry: 1, DeadLetter: 1}
for _element, _version in _VERSIONS.items():
    register(_element, _version)
