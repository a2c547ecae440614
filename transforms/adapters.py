"""Adapters between this package's elements and those of other Beam programs: strings, rows and `ml.rag` items."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import apache_beam as beam
from apache_beam.ml.rag.types import Content, EmbeddableItem, Embedding

from transforms.counters import Counters
from transforms.ids import stable_id
from transforms.parsing import check_names, parse_time, take_first
from transforms.schema import vector_of
from transforms.types import Message, Sentence, SentenceEmbedding


class AsMessages(beam.PTransform):
    """Converts strings, rows (beam.Row, NamedTuple or dict) or EmbeddableItems to PCollection[Message].

    All other fields of a row become metadata. Null and blank texts are counted ("messages_blank") and left out.
    SplitSentences applies this transform by itself, with the default field names.

    >>> AsMessages(text_field="body").text_field
    'body'

    Args:
        text_field: the field of a row that holds the text.
        id_field: the field that holds the message's id; without one, the id is a hash of the text and the metadata.
        timestamp_field: the field that holds the event time, as RFC 3339 or milliseconds since the Unix epoch.

    Raises:
        ValueError: if `text_field` is "", or two of the fields are the same.
    """

    def __init__(self, text_field: str = "text", id_field: str = "id", timestamp_field: str = "") -> None:
        super().__init__()
        check_names(text_field=text_field, id_field=id_field, timestamp_field=timestamp_field)
        self.text_field, self.id_field, self.timestamp_field = text_field, id_field, timestamp_field

    def expand(self, pcoll: Any) -> Any:
        """Wires the adapter."""
        dofn = _AsMessage(self.text_field, self.id_field, self.timestamp_field)
        return pcoll | "Take texts" >> beam.ParDo(dofn).with_output_types(Message)


class AsSentences(beam.PTransform):
    """Converts Messages, or anything that AsMessages accepts, to PCollection[Sentence], one sentence per text.

    An EmbeddableItem keeps its id and index. EmbedSentences applies this transform by itself, with the default field
    names.

    Args:
        text_field: as in AsMessages.
        id_field: as in AsMessages.
        timestamp_field: as in AsMessages.

    Raises:
        ValueError: as in AsMessages.
    """

    def __init__(self, text_field: str = "text", id_field: str = "id", timestamp_field: str = "") -> None:
        super().__init__()
        check_names(text_field=text_field, id_field=id_field, timestamp_field=timestamp_field)
        self._fields = (text_field, id_field, timestamp_field)

    def expand(self, pcoll: Any) -> Any:
        """Wires the adapter."""
        return pcoll | "Take texts whole" >> beam.ParDo(_AsSentence(*self._fields)).with_output_types(Sentence)


class AsEmbeddableItems(beam.PTransform):
    """Converts PCollection[SentenceEmbedding] to PCollection[EmbeddableItem], the input of Beam's `ml.rag` writers."""

    def expand(self, pcoll: Any) -> Any:
        """Wires the adapter."""
        return pcoll | "Make items" >> beam.Map(embeddable_item).with_output_types(EmbeddableItem)


def as_messages(pcoll: Any) -> Any:
    """`pcoll` as a PCollection[Message]; one that already is a PCollection[Message] is returned unchanged."""
    return pcoll if pcoll.element_type is Message else pcoll | "As messages" >> AsMessages()


def as_sentences(pcoll: Any) -> Any:
    """`pcoll` as a PCollection[Sentence]; one that already is a PCollection[Sentence] is returned unchanged."""
    return pcoll if pcoll.element_type is Sentence else pcoll | "As sentences" >> AsSentences()


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
        return Message(element.id, element.content.text or "", _strings(element.metadata), None)
    fields = dict(element if isinstance(element, Mapping) else element._asdict())
    for name in filter(None, (text_field, timestamp_field)):
        if name not in fields:
            raise ValueError(
                f"expected the field {name!r} in a row, got {sorted(fields)}; name it, as in AsMessages({name!r})"
            )
    text = fields.pop(text_field)
    if text is not None and not isinstance(text, str):
        raise ValueError(f"expected text in the field {text_field!r}, got {type(text).__name__}")
    time = take_first((fields, timestamp_field))
    id = take_first((fields, id_field))
    metadata = _strings(fields)
    return Message(
        id=_string(id.value) if id else stable_id(text or "", json.dumps(metadata, sort_keys=True)),
        text=text or "",
        metadata=metadata,
        event_time=parse_time(time.value, time.name) if time else None,
    )


class _AsMessage(beam.DoFn):
    def __init__(self, *fields: str) -> None:
        self._fields = fields
        self._counters = Counters()

    def process(self, element: Any) -> Iterator[Message]:
        message = self._message(element)
        if message is not None:
            yield message

    def _message(self, element: Any) -> Optional[Message]:
        # The elements may be messages even if the type of the PCollection is unknown.
        message = element if _has(element, Message) else message_of(element, *self._fields)
        if not message.text.strip():
            self._counters.count("messages_blank")
            return None
        self._counters.count("messages")
        return message


class _AsSentence(_AsMessage):
    def process(self, element: Any) -> Iterator[Any]:
        message = None if _has(element, Sentence) else self._message(element)
        if message is None:
            if _has(element, Sentence):
                yield element
            return
        id, index = stable_id(message.id, "0", message.text), 0
        if _is_item(element):
            id, index = element.id, element.index
        yield Sentence(id, message.id, index, 0, len(message.text), message.text, message.metadata, message.event_time)


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
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
