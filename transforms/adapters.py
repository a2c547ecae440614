"""Adapters between this package's elements and those of other Beam programs: strings, rows and `ml.rag` items."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import apache_beam as beam
import numpy as np
from apache_beam.ml.rag.types import Content, EmbeddableItem, Embedding

from transforms.counters import Counters
from transforms.dead_letters import DeadLetterTransform, WithDeadLetters, jsonable, refused, split_dead_letters
from transforms.fields import ABSENT, has, remove, take_first, value_of
from transforms.ids import stable_id
from transforms.parsing import check_names
from transforms.schema import vector_of
from transforms.times import parse_time
from transforms.types import Message, Sentence, SentenceEmbedding
from transforms.values import is_null, time_text

STAGE = "Take texts"


class AsMessages(DeadLetterTransform):
    """Converts strings, rows (beam.Row, NamedTuple or dict) or EmbeddableItems to PCollection[Message].

    All other fields of a row that are not null become metadata: strings unchanged, times as RFC 3339, and other values
    as JSON. Null and blank texts are counted ("messages_blank") and left out. What cannot be a message becomes a dead
    letter. SplitSentences applies this transform by itself, with the default field names.

    >>> AsMessages(text_field="body").text_field
    'body'

    Args:
        text_field: the field of a row that holds the text; like the others, by its name or by a path to it, such as
            a.b[0].c.
        id_field: the field that holds the message's id; without one, the id is a hash of the text and the metadata.
        timestamp_field: the field that holds the event time, as RFC 3339 or milliseconds since the Unix epoch.

    Raises:
        ValueError: if `text_field` is "", or two of the fields are the same.
    """

    def __init__(self, text_field: str = "text", id_field: str = "id", timestamp_field: str = "") -> None:
        super().__init__()
        check_names(text_field=text_field, id_field=id_field, timestamp_field=timestamp_field)
        self.text_field, self.id_field, self.timestamp_field = text_field, id_field, timestamp_field

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Any]:
        """The messages, and as dead letters the elements that have no text, or a time that cannot be parsed."""
        dofn = _AsMessage(self.text_field, self.id_field, self.timestamp_field)
        return split_dead_letters(pcoll, STAGE, dofn, Message)


class AsSentences(AsMessages):
    """Converts Messages, or anything that AsMessages accepts, to PCollection[Sentence], one sentence per text.

    An EmbeddableItem keeps its id and index. EmbedSentences applies this transform by itself, with the default field
    names. The arguments are those of AsMessages.
    """

    def expand_with_dead_letters(self, pcoll: Any) -> WithDeadLetters[Any]:
        """The sentences, and as dead letters the elements that have no text, or a time that cannot be parsed."""
        dofn = _AsSentence(self.text_field, self.id_field, self.timestamp_field)
        return split_dead_letters(pcoll, f"{STAGE} whole", dofn, Sentence)


class AsEmbeddableItems(beam.PTransform):
    """Converts PCollection[SentenceEmbedding] to PCollection[EmbeddableItem], the input of Beam's `ml.rag` writers."""

    def expand(self, pcoll: Any) -> Any:
        """Wires the adapter."""
        return pcoll | "Make items" >> beam.Map(embeddable_item).with_output_types(EmbeddableItem)


def as_messages(pcoll: Any) -> tuple[Any, tuple[Any, ...]]:
    """`pcoll` as a PCollection[Message], and those of dead letters; none if it already is a PCollection[Message]."""
    if pcoll.element_type is Message:
        return pcoll, ()
    taken = pcoll | "As messages" >> AsMessages().with_dead_letters()
    return taken.output, (taken.dead_letters,)


def as_sentences(pcoll: Any) -> tuple[Any, tuple[Any, ...]]:
    """`pcoll` as a PCollection[Sentence], and those of dead letters; none if it already is one, with vectors or not."""
    if pcoll.element_type in (Sentence, SentenceEmbedding):
        return pcoll, ()
    taken = pcoll | "As sentences" >> AsSentences().with_dead_letters()
    return taken.output, (taken.dead_letters,)


def embeddable_item(row: SentenceEmbedding) -> EmbeddableItem:
    """The row as an `ml.rag` item; its message, offsets and model are stored in the metadata, as strings."""
    beside = {name: str(getattr(row, name)) for name in ("message_id", "begin", "end", "model", "model_version")}
    return EmbeddableItem(
        content=Content(text=row.content),
        id=row.id,
        index=row.sentence_index,
        metadata={**row.metadata, **beside},
        embedding=Embedding(dense_embedding=vector_of(row).tolist()),
    )


def message_of(element: Any, text_field: str = "text", id_field: str = "id", timestamp_field: str = "") -> Message:
    """Converts a string, row or EmbeddableItem to a Message; a null text becomes "".

    Raises:
        ValueError: if a row lacks one of the named fields, the text is not a string, or the time cannot be parsed.
    """
    if isinstance(element, str):
        return Message(stable_id(element), element, {}, None)
    if _is_item(element):
        if element.content.text is None and element.content.image is not None:
            raise ValueError(f"expected text in the EmbeddableItem {element.id}, got an image")
        return Message(element.id, element.content.text or "", _strings(element.metadata or {}), None)
    if not isinstance(element, Mapping) and not hasattr(element, "_asdict"):
        raise ValueError(f"expected a string, a row or an EmbeddableItem, got {type(element).__name__}")
    fields = dict(element if isinstance(element, Mapping) else element._asdict())
    for name in filter(None, (text_field, timestamp_field)):
        if not has(fields, name):
            raise ValueError(
                f"expected the field {name!r} in a row, got {sorted(map(str, fields))}; name it, "
                f"as in AsMessages({name!r})"
            )
    fields = {name: value for name, value in fields.items() if not is_null(value)}
    text = value_of(fields, text_field)
    remove(fields, text_field)
    if text is ABSENT or is_null(text):
        text = ""
    if not isinstance(text, str):
        raise ValueError(f"expected text in the field {text_field!r}, got {type(text).__name__}")
    time = take_first((fields, timestamp_field))
    id = take_first((fields, id_field))
    metadata = _strings(fields)
    return Message(
        id=_string(id.value) if id else stable_id(text, json.dumps(metadata, sort_keys=True)),
        text=text,
        metadata=metadata,
        event_time=parse_time(time_text(time.value) or time.value, time.name) if time else None,
    )


class _AsMessage(beam.DoFn):
    def __init__(self, *fields: str) -> None:
        self._fields = fields
        self._counters = Counters()

    def process(self, element: Any) -> Iterator[Any]:
        try:
            taken = self._take(element)
        # A row of another program may raise anything, and must not stop the others.
        except Exception as error:
            yield from refused("dead_letters_take", STAGE, error, _whole(element), {})
            return
        if taken is not None:
            yield taken

    def _take(self, element: Any) -> Any:
        return self._message(element)

    def _message(self, element: Any) -> Optional[Message]:
        # The elements may be messages even if the type of the PCollection is unknown.
        message = element if _has(element, Message) else message_of(element, *self._fields)
        if not message.text.strip():
            self._counters.count("messages_blank")
            return None
        self._counters.count("messages")
        return message


class _AsSentence(_AsMessage):
    def _take(self, element: Any) -> Any:
        if _has(element, Sentence):
            return element
        message = self._message(element)
        if message is None:
            return None
        id, index = stable_id(message.id, "0", message.text), 0
        if _is_item(element):
            id, index = element.id, element.index
        return Sentence(id, message.id, index, 0, len(message.text), message.text, message.metadata, message.event_time)


def _whole(element: Any) -> bytes:
    """An element as a dead letter holds it: a string as it is, anything else as JSON."""
    if isinstance(element, str):
        return element.encode("utf-8", "surrogatepass")
    if not isinstance(element, Mapping) and hasattr(element, "_asdict"):
        element = element._asdict()
    return json.dumps(element, default=jsonable).encode()


def _has(element: Any, kind: Any) -> bool:
    return all(hasattr(element, field) for field in kind._fields)


def _is_item(element: Any) -> bool:
    return hasattr(getattr(element, "content", None), "text")


def _strings(fields: Mapping[str, Any]) -> dict[str, str]:
    texts = {str(key): _string(value) for key, value in fields.items()}
    if len(texts) < len(fields):
        raise ValueError(f"expected fields whose names differ as text, got {list(fields)}; rename one")
    return texts


def _string(value: Any) -> str:
    """A string, a time or what JSON lacks as text, and any other value as JSON."""
    plain = value if isinstance(value, bool | int | float | list | tuple | dict) else _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic) and not isinstance(value, np.datetime64):
        return value.tolist()
    if isinstance(value, Mapping) or hasattr(value, "_asdict"):
        return dict(value if isinstance(value, Mapping) else value._asdict())
    return value.decode() if isinstance(value, bytes) else time_text(value) or str(value)
