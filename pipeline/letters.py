"""Dead letters for a replay: read back, chosen, and made into the elements that their stages refused."""

import base64
import collections
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.places import looking_at
from pipeline.written import READERS
from transforms import adapters, embedding, parsing, reembedding, splitting
from transforms.dead_letters import cause_of, payload_of
from transforms.fields import as_text
from transforms.io.bigquery import write as bigquery
from transforms.io.bigquery.tables import parse_table
from transforms.io.files import read as files
from transforms.io.files.match import match
from transforms.io.google_clients import bigquery_client
from transforms.io.pubsub import write as pubsub
from transforms.schema import CARRIED
from transforms.times import parse_time
from transforms.types import DeadLetter, JournalEntry, Message, Record, Sentence, SentenceEmbedding

FORMATS = ("bigquery", *READERS)


class Entry(NamedTuple):
    """Where the letters of a stage enter the pipeline again.

    Attributes:
        element: what the stage takes; str for the name of a file to read again.
        make: makes one of a letter's payload and attributes; a ValueError says why it cannot.
    """

    element: type
    make: Callable[[bytes, Mapping[str, str]], Any]


def _file(payload: bytes, attributes: Mapping[str, str]) -> str:
    """The file of a letter, which is about the whole of it or about one of its records."""
    origin = attributes["origin"]
    name = origin if payload == origin.encode() else origin.rpartition("#")[0]
    try:
        found = match(name).files
    except OSError as error:
        raise ValueError(f"expected the file {name!r} to read it again, could not look at it: {error}") from error
    if not found:
        raise ValueError(f"expected the file {name!r} to read it again, it is not there")
    return name


def _element(kind: Callable[..., Any]) -> Callable[[bytes, Mapping[str, str]], Any]:
    def make(payload: bytes, attributes: Mapping[str, str]) -> Any:
        fields = json.loads(payload)
        if "embedding" in fields:
            # Letters of earlier releases name no revision.
            fields = {"revision": ""} | fields | {"embedding": base64.b64decode(fields["embedding"])}
        return kind(**fields)

    return make


def _message(payload: bytes, attributes: Mapping[str, str]) -> Message:
    fields = json.loads(payload)
    # Letters of earlier releases name no version.
    return Message(**({"version": fields["event_time"] or 0} | fields))


def _row(payload: bytes, attributes: Mapping[str, str]) -> Record:
    record = parsing.record_of(payload, attributes)
    if not record.origin:
        raise ValueError("expected a row with its sentence, which was not stored; run the pipeline on the messages")
    return record


def _published(payload: bytes, attributes: Mapping[str, str]) -> SentenceEmbedding:
    row = json.loads(payload)
    vector = np.array(row["embedding"], "<f4").tobytes()
    columns = SentenceEmbedding._fields[len(Sentence._fields) + 1 :]
    sentence = reembedding.sentence_of(payload)
    own = {name: row[name] for name in row.keys() - set(SentenceEmbedding._fields) if row[name] is not None}
    carried = {CARRIED + name: as_text(value) for name, value in own.items()}
    sentence = sentence._replace(metadata={**sentence.metadata, **carried})
    return SentenceEmbedding(*sentence, vector, *(row[column] for column in columns))


ENTRIES = {
    files.STAGE: Entry(str, _file),
    parsing.STAGE: Entry(Record, parsing.record_of),
    splitting.STAGE: Entry(Message, _message),
    reembedding.STAGE: Entry(Record, _row),
    embedding.STAGE: Entry(Sentence, _element(Sentence)),
    bigquery.STAGE: Entry(SentenceEmbedding, _element(SentenceEmbedding)),
    bigquery.JOURNAL_STAGE: Entry(JournalEntry, _element(JournalEntry)),
    pubsub.STAGE: Entry(SentenceEmbedding, _published),
}
# The stages that this program does not have, and why their letters cannot be played by it.
NO_ENTRY = {
    adapters.STAGE: "expected a letter of this program, got one of a Beam program that alone knows its elements",
}


class Choice(NamedTuple):
    """Which dead letters to play.

    Attributes:
        stages: the stages that refused them; empty for all.
        since: the earliest time of a refusal, in microseconds since the Unix epoch; None for any.
        until: the time before which they were refused; None for any.
        reason: what their error message contains; None for anything.
    """

    stages: Sequence[str] = ()
    since: int | None = None
    until: int | None = None
    reason: re.Pattern[str] | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether a letter is to be played, as far as this row of it tells."""
        return (
            (not self.stages or letter.stage in self.stages)
            and (self.since is None or letter.timestamp >= self.since)
            and (self.until is None or letter.timestamp < self.until)
            and (self.reason is None or bool(self.reason.search(letter.error_message)))
        )


class Chosen(NamedTuple):
    """The outcome of a choice.

    Attributes:
        elements: what to play, by the stage that refused it.
        left_out: the ids of letters that cannot be played, by their stage and an example of the reason.
        passed_over: the number of letters that were not asked for.
    """

    elements: dict[str, list[Any]]
    left_out: dict[tuple[str, str], list[str]]
    passed_over: int


ALL = Choice()


def choose(letters: Iterable[DeadLetter], choice: Choice = ALL, without: Mapping[str, str] = {}) -> Chosen:
    """Joins the parts of letters, each of which counts once, and makes of those chosen what their stages refused.

    Args:
        letters: all rows of the letters.
        choice: which of them to play.
        without: further stages whose letters cannot be played, each with the reason.
    """
    no_entry = {**NO_ENTRY, **without}
    parts: dict[str, list[DeadLetter]] = collections.defaultdict(list)
    for letter in letters:
        parts[letter.id].append(letter)
    elements: dict[str, list[Any]] = {}
    left_out: dict[tuple[str, str], list[str]] = {}
    examples: dict[tuple[str, str], str] = {}
    passed_over = 0
    for identity, found in parts.items():
        if not any(map(choice.takes, found)):
            passed_over += 1
            continue
        stage = found[0].stage
        try:
            if stage in no_entry:
                raise ValueError(no_entry[stage])
            if stage not in ENTRIES:
                raise ValueError(f"expected a stage of this program, {', '.join(ENTRIES)}, got {stage!r}")
            # A letter that was refused again has the same parts again.
            payload = payload_of(list({letter.part: letter for letter in found}.values()))
            element = ENTRIES[stage].make(payload, found[0].attributes)
        # A letter may be of another version, with other fields.
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = str(error) if type(error) is ValueError else f"expected an element of {stage!r}, got {error!r}"
            example = examples.setdefault((stage, cause_of(reason)), reason)
            left_out.setdefault((stage, example), []).append(identity)
        else:
            elements.setdefault(stage, []).append(element)
    return Chosen(elements, left_out, passed_over)


def read_letters(letters_format: str, place: str) -> Iterator[DeadLetter]:
    """The rows of dead letters in files or a table.

    Raises:
        ValueError: if there are none, or they are not dead letters.
    """
    if letters_format == "bigquery":
        name = parse_table(place)
        with looking_at("letters", place):
            yield from (_letter(place, row) for row in bigquery_client(name.project).list_rows(str(name)))
        return
    for path in _files(place):
        try:
            with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
                rows = list(READERS[letters_format](file))
        # What a damaged file raises depends on its format.
        except Exception as error:
            raise ValueError(
                f"expected dead letters in {path} as {letters_format}, could not read it: {error}"
            ) from error
        yield from (_letter(path, row) for row in rows)


def _files(pattern: str) -> list[str]:
    paths = sorted(file.path for file in match(pattern).files)
    if not paths:
        raise ValueError(f"expected --letters to match files, {pattern!r} matches none; check the path")
    return paths


def _letter(place: str, row: Mapping[str, Any]) -> DeadLetter:
    try:
        payload, time = row["payload_bytes"], row["timestamp"]
        return DeadLetter(
            **{
                **row,
                "attributes": {pair["key"]: pair["value"] for pair in row["attributes"]},
                "payload_bytes": base64.b64decode(payload) if isinstance(payload, str) else payload,
                "timestamp": parse_time(time if isinstance(time, str) else time.isoformat(), "timestamp"),
            }
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"expected dead letters in {place}, got a row that is none: {error!r}") from error
