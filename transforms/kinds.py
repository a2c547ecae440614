"""The kinds of elements that are written: rows, dead letters and the journal, each as Arrow, as dicts and as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.schema import (
    CARRIED,
    DEAD_LETTER_COLUMNS,
    DEAD_LETTER_LAYOUT,
    EMBEDDING_COLUMNS,
    EMBEDDING_LAYOUT,
    JOURNAL_COLUMNS,
    JOURNAL_LAYOUT,
    Column,
    Partitioning,
    arrow_schema,
    datetime_of,
    is_vector,
    json_row,
    own_value,
    vector_of,
)
from transforms.types import DeadLetter, JournalEntry, SentenceEmbedding


class Kind(NamedTuple):
    """A type of elements that is written, and its columns.

    Attributes:
        element: the type.
        columns: the columns, in order.
        layout: the layout of a table of them.
        own: those of the columns that are the user's own, whose values travel in the metadata.
    """

    element: type
    columns: tuple[Column, ...]
    layout: Partitioning
    own: tuple[Column, ...] = ()

    def to_arrow(self, elements: Sequence[Any], vector: pa.DataType = pa.float32()) -> pa.Table:  # noqa: B008
        """Elements as an Arrow table of `arrow_schema(columns, vector)`; vectors are converted as a single buffer."""
        schema = arrow_schema(self.columns, vector)
        arrays = [self._array(elements, column, field.type) for column, field in zip(self.columns, schema, strict=True)]
        return pa.Table.from_arrays(arrays, schema=schema)

    def _array(self, elements: Sequence[Any], column: Column, kind: pa.DataType) -> pa.Array:
        if is_vector(column):
            values = np.frombuffer(b"".join(element.embedding for element in elements), "<f4")
            lengths = np.array([len(element.embedding) // 4 for element in elements], np.int64)
            offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
            return pa.ListArray.from_arrays(offsets, pa.array(values).cast(kind.value_type), type=kind)
        if column in self.own:
            return pa.array([own_value(element, column) for element in elements], kind)
        found = [getattr(element, column.name) for element in elements]
        return pa.array(list(map(self._pairs, found)) if column.fields else found, kind)

    def to_dict(self, element: Any) -> dict[str, Any]:
        """The element's columns, in order: a vector as floats, times as datetimes, mappings as key-value records."""
        return {column.name: self._value(element, column) for column in self.columns}

    def _value(self, element: Any, column: Column) -> Any:
        if column in self.own:
            return own_value(element, column)
        if is_vector(column):
            return vector_of(element).tolist()
        value = getattr(element, column.name)
        if column.fields:
            return self._pairs(value)
        return datetime_of(value) if column.type == "TIMESTAMP" else value

    def _pairs(self, mapping: Mapping[str, str]) -> list[dict[str, str]]:
        """A mapping as key-value records, without what travels in it."""
        return [
            {"key": key, "value": value} for key, value in mapping.items() if not (self.own and key.startswith(CARRIED))
        ]

    def to_json(self, element: Any) -> dict[str, Any]:
        """As `to_dict`, in JSON types."""
        return json_row(self.to_dict(element))


ROWS = Kind(SentenceEmbedding, EMBEDDING_COLUMNS, EMBEDDING_LAYOUT)
DEAD_LETTERS = Kind(DeadLetter, DEAD_LETTER_COLUMNS, DEAD_LETTER_LAYOUT)
JOURNAL = Kind(JournalEntry, JOURNAL_COLUMNS, JOURNAL_LAYOUT)


def rows_with(own: Sequence[Column]) -> Kind:
    """ROWS with columns of the user's own behind those of every row."""
    return ROWS._replace(columns=(*ROWS.columns, *own), own=tuple(own))
