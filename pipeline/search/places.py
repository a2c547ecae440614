"""What every place of rows offers a search."""

import datetime
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

Vector = np.ndarray[tuple[int], np.dtype[np.float32]]


class Filters(NamedTuple):
    """Which rows are searched.

    Attributes:
        metadata: what their metadata has, by its key.
        since: the earliest event time; None for any.
        until: the time before which their event time is; None for any. A row without one is in no such span.
    """

    metadata: Mapping[str, str] = {}
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None


EVERYTHING = Filters()


class Found(NamedTuple):
    """A sentence that was found.

    Attributes:
        score: how well it fits; comparable with the others of its search only.
        content: the sentence.
        message_id: the message that it is of.
        metadata: the message's metadata.
    """

    score: float
    content: str
    message_id: str
    metadata: Mapping[str, str]


class Rows(Protocol):
    """A place where rows can be searched."""

    def models(self) -> list[tuple[str, str]]:
        """Name and version of each model that made a row."""

    def nearest(self, query: Vector, version: str, limit: int) -> list[Found]:
        """The rows of a version nearest to a vector by cosine, best first, each content once."""

    def with_words(self, words: Sequence[str], version: str, limit: int) -> list[Found]:
        """The rows of a version that have one of the words and fit them best, best first, each content once."""
