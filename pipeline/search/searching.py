"""Search: sentences by meaning, by words, or by both."""

from pipeline.search.fusion import fused, words_of
from pipeline.search.places import Found, Rows
from pipeline.search.query import ModelVersion, QueryEncoder
from transforms.encoder.options import EncoderOptions

# The least length of rankings that are fused: what is low in one may be high in the other.
_DEPTH = 100


class Search:
    """Finds sentences; the encoder is loaded once.

    Args:
        rows: where to search.
        options: those of the rows' encoder; the model "" stands for the one whose name the rows carry.
        cleanup: that of the rows.
        query_prompt: as in TextEncoder.encode_query.

    Attributes:
        name: the name of the model whose rows are searched.
        version: its version.

    Raises:
        ValueError: if `options` and `cleanup` did not make the rows, there are none, or the prompt has no such name.
    """

    def __init__(self, rows: Rows, options: EncoderOptions, cleanup: str = "disabled", query_prompt: str = "") -> None:
        self._rows = rows
        models = [ModelVersion(*found) for found in rows.models()]
        self._encoder = QueryEncoder(models, options, cleanup, query_prompt)
        self.name, self.version = self._encoder.name, self._encoder.version

    def __call__(self, query: str, limit: int = 5, hybrid: bool = False) -> list[Found]:
        """The `limit` sentences nearest to `query`, best first, each content once.

        With `hybrid`, those of its words count as much as those of its meaning.
        """
        if not hybrid:
            return self._nearest(query, limit)
        return fused(list(self.rankings(query, max(limit, _DEPTH)).values()), limit)

    def rankings(self, query: str, depth: int) -> dict[str, list[Found]]:
        """The best `depth` sentences by vectors, and those by words."""
        return {
            "vectors": self._nearest(query, depth),
            "words": self._rows.with_words(words_of(query), self.version, depth),
        }

    def _nearest(self, query: str, limit: int) -> list[Found]:
        return self._rows.nearest(self._encoder.vector(query), self.version, limit)
