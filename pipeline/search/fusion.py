"""The words of a query, and rankings of sentences made into one."""

import unicodedata
from collections.abc import Sequence

from pipeline.search.places import Found

# How far down a rank counts (Cormack, Clarke and Buettcher, 2009).
_RANKS = 60
_PARTS_OF_WORDS = "LNM"
# A sentence fits words if those that it has are of at least this share of the rarity of them all: not if it has "the".
LEAST_SHARE = 0.5


def words_of(text: str) -> list[str]:
    """The words of a text, each once: its letters, digits and marks, without their case.

    >>> words_of("Order INV-2024, order!")
    ['order', 'inv', '2024']
    """
    lower = text.lower()
    kept = (each if each == "_" or unicodedata.category(each)[0] in _PARTS_OF_WORDS else " " for each in lower)
    return list(dict.fromkeys("".join(kept).split()))


def fused(rankings: Sequence[Sequence[Found]], limit: int) -> list[Found]:
    """The `limit` sentences that are high in several rankings, or very high in one, by their reciprocal ranks."""
    scores: dict[tuple[str, str], float] = {}
    sentences: dict[tuple[str, str], Found] = {}
    for ranking in rankings:
        for rank, found in enumerate(ranking, 1):
            # Rows that hold no content differ by their message.
            key = (found.content, "" if found.content else found.message_id)
            sentences.setdefault(key, found)
            scores[key] = scores.get(key, 0) + 1 / (_RANKS + rank)
    best = sorted(scores, key=lambda key: -scores[key])[:limit]
    return [sentences[key]._replace(score=scores[key]) for key in best]
