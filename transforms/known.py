"""What earlier runs made and this one need not: versions that are written, and vectors of contents that recur."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Optional

import apache_beam as beam
import numpy as np

from transforms.counters import Counters
from transforms.encoder.cleanup import version_with
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import name_and_version
from transforms.ids import stable_id
from transforms.schema import EMBEDDING_COLUMNS, JOURNAL_COLUMNS, Column
from transforms.times import parse_time
from transforms.types import Record, Sentence, SentenceEmbedding, is_end
from transforms.versions import digest_of

# What an encoder has not yet made of a sentence.
_NOTHING: dict[str, Any] = {
    "embedding": b"",
    "model": "",
    "model_version": "",
    "precision": "",
    "tokens": 0,
    "truncated": False,
}


def _columns(columns: Iterable[Column], *names: str) -> tuple[Column, ...]:
    return tuple(column for column in columns if column.name in (*names, "model", "model_version"))


# The columns of an entry that tell which version is written, and those of a row that tell which sentence is.
VERSION_COLUMNS = _columns(JOURNAL_COLUMNS, "message_id", "version", "revision", "written_at")
KEY_COLUMNS = _columns(EMBEDDING_COLUMNS, "id")
# The columns of a row that make up its vector.
VECTOR_COLUMNS = _columns(EMBEDDING_COLUMNS, "content", "embedding", "precision", "tokens", "truncated")

# What tells that a version is written: its number, when it was, and its revision.
_Written = tuple[int, int, str]


class WholeVersions(beam.PTransform):
    """Returns the sentences of each version together, in order and with its end behind them, if they are not written.

    The input is a tuple of a PCollection of Sentence or SentenceEmbedding and, to leave out what is written, of a
    PCollection[Record], as JSON. With versions, these are entries of a journal, and a version is left out whole if it
    has one of the model that will embed it. Without, they are rows, and a sentence is left out if it has a row of its
    id. Sentences left out are counted ("sentences_written"); of a sentence that comes twice, one goes on
    ("sentences_doubled").

    The model's version covers all that changes vectors but for engine and precision, which are not compared. The
    inputs are joined by key, and neither has to fit into memory. A record of another kind fails the pipeline, because
    no sentence is at fault.

    Args:
        encoder: the options of the encoder; its version is computed on the worker, from the files of the model.
        cleanup: as in EmbedSentences.
        with_versions: whether sentences have a revision.
        by_content: whether a version is left out, too, that differs only by its number from the newest one that is
            written. This is for numbers that tell when a file was modified, not when what is in it was.
    """

    def __init__(
        self,
        encoder: EncoderOptions,
        cleanup: str = "disabled",
        with_versions: bool = True,
        by_content: bool = False,
    ) -> None:
        super().__init__()
        self._take = _TakeVersions(_MadeBy(encoder, cleanup)) if with_versions else _TakeIds(_MadeBy(encoder, cleanup))
        self._key = "message_id" if with_versions else "id"
        self._by_content = by_content

    def expand(self, pcolls: Any) -> Any:
        """Groups the sentences, and joins them with what is written."""
        sentences, *written = pcolls
        keyed: Any = tuple[str, tuple[Optional[sentences.element_type], Optional[_Written]]]  # type: ignore[name-defined]
        sides = [sentences | "Key" >> beam.Map(_by, self._key).with_output_types(keyed)]
        sides += [records | "Take keys" >> beam.ParDo(self._take).with_output_types(keyed) for records in written]
        # CoGroupByKey would pickle each value.
        grouped = sides | "Join" >> beam.Flatten() | "Group" >> beam.GroupByKey()
        return grouped | "Leave out" >> beam.ParDo(_LeaveOut(self._by_content)).with_output_types(
            sentences.element_type
        )


class ReuseVectors(beam.PTransform):
    """Returns PCollection[SentenceEmbedding], with a vector where one of its content is known, in no order.

    The input is a pair of PCollection[Sentence], ends of versions included, and of PCollection[Record] of rows as JSON.
    A row's vector is of use if it was made by the model, and version of it, that will embed the sentences, and in the
    precision that is asked for; its tokens, `truncated` and precision come with it. Sentences that have got a vector
    are counted ("vectors_reused"); the `embedding` of the others is empty, for EmbedSentences to compute.

    One vector of each content is joined with its sentences, however many rows or sentences have it, and neither input
    has to fit into memory. A record that is not a row fails the pipeline, because no sentence is at fault.

    Args:
        encoder: the options of the encoder, as in WholeVersions.
        cleanup: as in EmbedSentences.
    """

    def __init__(self, encoder: EncoderOptions, cleanup: str = "disabled") -> None:
        super().__init__()
        self._take_vectors = _TakeVectors(_MadeBy(encoder, cleanup), encoder.precision)

    def expand(self, pcolls: Any) -> Any:
        """Joins the pair (sentences, rows)."""
        sentences, rows = pcolls
        keyed = tuple[str, SentenceEmbedding]
        pending = sentences | "Key by content" >> beam.Map(_by_content).with_output_types(keyed)
        known = (
            rows
            | "Take vectors" >> beam.ParDo(self._take_vectors).with_output_types(keyed)
            | "Take one of each" >> beam.CombinePerKey(_one).with_output_types(keyed)
        )
        grouped = (pending, known) | "Join" >> beam.Flatten() | "Group by content" >> beam.GroupByKey()
        return grouped | "Reuse" >> beam.ParDo(_Reuse()).with_output_types(SentenceEmbedding)


class _MadeBy:
    """Which rows and entries are of the model that will embed the sentences."""

    def __init__(self, encoder: EncoderOptions, cleanup: str) -> None:
        self._encoder = encoder
        self._cleanup = cleanup

    def rows(self, record: Record, columns: Sequence[Column]) -> Iterator[dict[str, Any]]:
        """The record as a row, if it is of the model.

        Raises:
            ValueError: if it lacks one of the columns.
        """
        names = [column.name for column in columns]
        try:
            row = json.loads(record.data)
            found = {name: row[name] for name in names}
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"expected what an earlier run wrote, with {', '.join(map(repr, names))}, got {record.data[:80]!r} in "
                f"{record.origin}; name rows only"
            ) from error
        name, version = name_and_version(self._encoder)
        if (found["model"], found["model_version"]) == (name, version_with(version, self._cleanup)):
            yield found


def _by(sentence: Any, name: str) -> tuple[str, tuple[Any, None]]:
    return getattr(sentence, name), (sentence, None)


class _TakeIds(beam.DoFn):
    def __init__(self, made_by: _MadeBy) -> None:
        self._made_by = made_by

    def process(self, record: Record) -> Iterator[tuple[str, tuple[None, _Written]]]:
        for row in self._made_by.rows(record, KEY_COLUMNS):
            yield row["id"], (None, (0, 0, ""))


class _TakeVersions(_TakeIds):
    def process(self, record: Record) -> Iterator[tuple[str, tuple[None, _Written]]]:
        for entry in self._made_by.rows(record, VERSION_COLUMNS):
            written_at = parse_time(entry["written_at"], "written_at")
            yield entry["message_id"], (None, (entry["version"], written_at, entry["revision"]))


class _LeaveOut(beam.DoFn):
    def __init__(self, by_content: bool) -> None:
        self._by_content = by_content
        self._counters = Counters()

    def process(self, group: tuple[str, Iterable[tuple[Any, Optional[_Written]]]]) -> Iterator[Any]:
        _, found = group
        written = sorted(known for _, known in found if known is not None)
        revisions = {revision for _, _, revision in written}
        newest = digest_of(written[-1][-1]) if written and self._by_content else ""
        # By revision, and with the end last, as its index is the number of sentences.
        once: dict[tuple[str, int, str], Any] = {}
        for sentence, _ in found:
            if sentence is None:
                continue
            digest = digest_of(sentence.revision)
            if sentence.revision in revisions or (digest and digest == newest):
                self._count("sentences_written", sentence)
                continue
            place = sentence.revision, sentence.sentence_index, sentence.id
            if place in once:
                self._count("sentences_doubled", sentence)
            once[place] = sentence
        yield from (once[place] for place in sorted(once))

    def _count(self, name: str, sentence: Any) -> None:
        if not is_end(sentence):
            self._counters.count(name)


def _by_content(sentence: Sentence) -> tuple[str, SentenceEmbedding]:
    # An end has no content, but its own id, so that not all of them meet in one group.
    key = stable_id(sentence.content) if sentence.content else sentence.id
    return key, _row(*sentence)


def _row(*fields: Any, **made: Any) -> SentenceEmbedding:
    """A row without what the encoder makes, unless that is given."""
    return SentenceEmbedding(*fields, **(_NOTHING | made))


class _TakeVectors(beam.DoFn):
    def __init__(self, made_by: _MadeBy, precision: str) -> None:
        self._made_by = made_by
        self._precision = precision

    def process(self, record: Record) -> Iterator[tuple[str, SentenceEmbedding]]:
        for row in self._made_by.rows(record, VECTOR_COLUMNS):
            content, vector = row.pop("content"), row.pop("embedding")
            if content and self._precision in ("auto", row["precision"]):
                no_sentence = Sentence("", "", 0, 0, 0, "", {}, None)
                yield stable_id(content), _row(*no_sentence, **row, embedding=np.array(vector, "<f4").tobytes())


def _one(rows: Iterable[SentenceEmbedding]) -> SentenceEmbedding:
    """The same one of rows with one content, in whatever order they come."""
    return min(rows, key=lambda row: (row.precision, row.embedding))


class _Reuse(beam.DoFn):
    def __init__(self) -> None:
        self._counters = Counters()

    def process(self, group: tuple[str, Iterable[SentenceEmbedding]]) -> Iterator[SentenceEmbedding]:
        _, rows = group
        known = next((row for row in rows if row.embedding), None)
        made = {} if known is None else dict(list(known._asdict().items())[len(Sentence._fields) :])
        for row in rows:
            if row.embedding:
                continue
            if made:
                self._counters.count("vectors_reused")
            yield row._replace(**made)
