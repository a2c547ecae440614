"""What the soak publishes, the sinks in which it looks for it, and the account of what became of each message."""

import base64
import collections
import itertools
import json
import pathlib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from google.cloud import bigquery

from tests.sql import newest_rows_view

POISON = (
    b'{"id": "%d", "text": "cut',
    b'{"id": "%d", "text": "bad \xff\xfe UTF-8"}',
    b'{"id": "%d", "body": "no text"}',
    b'{"id": "%d", "text": "raise the model"}',
)
_SENTENCES = ("Message number %s.", "It has two sentences.")
# A letter's payload is the message, or the sentence or row that was made of it.
_NUMBER = re.compile(rb'"(?:message_id|id)": ?"(\d+)"')


def message(number: int) -> bytes:
    """The message of this number: JSON with an id and a text of two sentences, or one in twenty as poison."""
    if is_poison(number):
        return POISON[number // 20 % len(POISON)] % number
    return json.dumps({"id": str(number), "text": " ".join(_SENTENCES) % number}).encode()


def is_poison(number: int) -> bool:
    """Whether the message of this number is poison."""
    return number % 20 == 7


class Row(NamedTuple):
    """A row of a sink, with the first value of its vector, which is the length of its content."""

    id: str
    message_id: str
    sentence_index: int
    content: str
    length: float


class Letter(NamedTuple):
    """A dead letter: what it holds, and why."""

    payload: bytes
    error: str


class Account(NamedTuple):
    """What became of the messages.

    Attributes:
        messages: how many were published.
        rows: how many rows a reader sees, each id once.
        letters: how many messages have a dead letter.
        lost: how many have not all of their rows, and no letter.
        refused: how many have a letter although they are good.
        wrong: how many rows differ from what they should be.
        doubled: how many rows a reader sees more than once.
    """

    messages: int
    rows: int
    letters: int
    lost: int
    refused: int
    wrong: int
    doubled: int

    def is_clean(self) -> bool:
        """Whether each message became its rows once, or a dead letter if it is poison."""
        return not (self.lost or self.refused or self.wrong or self.doubled)


def account(messages: int, rows: Iterable[Row], letters: Iterable[Letter]) -> Account:
    """The account of the messages 0 to `messages` - 1, from the rows that a reader sees and the letters."""
    found: dict[str, set[int]] = collections.defaultdict(set)
    seen = wrong = 0
    ids = set()
    for row in rows:
        seen += 1
        ids.add(row.id)
        found[row.message_id].add(row.sentence_index)
        wrong += not _is_right(row, messages)
    dead = {int(numbers[1]) for letter in letters if (numbers := _NUMBER.search(letter.payload))}
    lost = sum(number not in dead and (is_poison(number) or found[str(number)] != {0, 1}) for number in range(messages))
    refused = sum(not is_poison(number) for number in dead)
    return Account(messages, seen, len(dead), lost, refused, wrong, seen - len(ids))


def _is_right(row: Row, messages: int) -> bool:
    number, index = row.message_id, row.sentence_index
    if not number.isdecimal() or int(number) >= messages or is_poison(int(number)) or index not in (0, 1):
        return False
    content = _SENTENCES[index].replace("%s", number)
    return row.content == content and row.length == len(content)


def refused(letters: Iterable[Letter]) -> list[Letter]:
    """The letters of messages that are good."""
    return [letter for letter in letters if (found := _NUMBER.search(letter.payload)) and not is_poison(int(found[1]))]


class Sink(Protocol):
    """Where a stream writes rows and dead letters."""

    def count(self) -> int:
        """How many rows there are, doubles included."""

    def rows(self) -> list[Row]:
        """The rows that a reader sees."""

    def letters(self) -> list[Letter]:
        """The dead letters."""


class BigQuerySink:
    """The tables rows and letters of a dataset, and the view of the newest rows."""

    def __init__(self, client: bigquery.Client, dataset: str) -> None:
        self._client = client
        self._dataset = dataset
        client.query(newest_rows_view(f"{dataset}.newest", f"{dataset}.rows")).result()

    def count(self) -> int:
        """How many rows there are, doubles included."""
        return int(next(iter(self._client.query(f"SELECT COUNT(*) FROM `{self._dataset}.rows`").result()))[0])

    def rows(self) -> list[Row]:
        """The rows of the view."""
        columns = "id, message_id, sentence_index, content, embedding[OFFSET(0)]"
        return [Row(*row) for row in self._client.query(f"SELECT {columns} FROM `{self._dataset}.newest`").result()]

    def letters(self) -> list[Letter]:
        """The dead letters."""
        sql = f"SELECT payload_string, payload_bytes, error_message FROM `{self._dataset}.letters`"
        found = self._client.query(sql).result()
        return [Letter(string.encode() if string else data, error) for string, data, error in found]


class FileSink:
    """JSONL files PREFIX-* with rows, and others with dead letters; a reader leaves out ids that it has seen."""

    def __init__(self, rows: pathlib.Path, letters: pathlib.Path) -> None:
        self._places = rows, letters
        self._count = 0
        self._rows: dict[str, Row] = {}
        self._read: set[pathlib.Path] = set()

    def count(self) -> int:
        """How many rows there are, doubles included."""
        for path in set(self._places[0].parent.glob(f"{self._places[0].name}-*")) - self._read:
            self._read.add(path)
            for line in map(json.loads, path.read_text().splitlines()):
                row = Row(**{name: line[name] for name in Row._fields[:4]}, length=line["embedding"][0])
                self._count += 1
                self._rows.setdefault(row.id, row)
        return self._count

    def rows(self) -> list[Row]:
        """The rows, each id once."""
        self.count()
        return list(self._rows.values())

    def letters(self) -> list[Letter]:
        """The dead letters."""
        paths = self._places[1].parent.glob(f"{self._places[1].name}-*")
        lines = itertools.chain.from_iterable(path.read_text().splitlines() for path in paths)
        return [Letter(_payload(letter), letter["error_message"]) for letter in map(json.loads, lines)]


def _payload(letter: dict[str, Any]) -> bytes:
    return (letter["payload_string"] or "").encode() or base64.b64decode(letter["payload_bytes"] or "")
