"""The current state of a BigQuery table, on an emulator: readers see what a rebuild of the live messages gives."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from apache_beam.transforms.window import GlobalWindow
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from pipeline.search.bigquery import BigQueryRows
from pipeline.search.places import EVERYTHING
from tests.integration.fault_proxy import FaultProxy
from tests.integration.tables import Tables
from tests.integration.test_sql import ExactClient, cosines, for_emulator, shipped
from tests.templates.test_sql import asserted
from transforms.io.bigquery import write
from transforms.io.bigquery.tables import parse_table
from transforms.io.bigquery.write import METHODS
from transforms.io.bundle_writer import BundleWriter
from transforms.schema import vector_of
from transforms.splitter import SentenceSplitter
from transforms.splitting import sentences
from transforms.types import Message, SentenceEmbedding, is_end
from transforms.versions import KeepJournal, versioned

MODELS = ("old", "new")
TEXTS = ("", "One.", "One. Two.", "One. Two. Three.", "One. Four.")
Row = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Step:
    """A bundle.

    Attributes:
        model: by which its messages are embedded.
        messages: one version of each.
        times: how often it is run to its end.
        killed_after: after how many rows it is killed instead; None if it is not.
        deletes: whether retired rows are deleted between its rows and its entries.
    """

    model: str
    messages: tuple[Message, ...]
    times: int
    killed_after: int | None
    deletes: bool


message = st.builds(
    Message,
    id=st.sampled_from("ab"),
    text=st.sampled_from(TEXTS),
    metadata=st.sampled_from([{}, {"k": "v"}]),
    event_time=st.sampled_from([None, 0, 86_400_000_000]),
    version=st.integers(-1, 1),
    deleted=st.sampled_from([False, False, False, True]),
).map(lambda made: made._replace(text="" if made.deleted else made.text))
step = st.builds(
    Step,
    model=st.sampled_from(MODELS),
    messages=st.lists(message, min_size=1, max_size=2, unique_by=lambda made: made.id).map(tuple),
    times=st.sampled_from([1, 1, 2]),
    killed_after=st.none() | st.integers(0, 2),
    deletes=st.sampled_from([False, False, True]),
)


def rows_of(one: Message, model: str) -> list[SentenceEmbedding]:
    """The rows of a message, and their end, as they come from an encoder."""
    found = versioned(one, sentences(one, SentenceSplitter())[0])
    return [
        SentenceEmbedding(*each, b"" if is_end(each) else b"12345678", model, f"{model}-1", "float32", 3, False)
        for each in found
    ]


def seen(row: SentenceEmbedding) -> Row:
    """What a reader sees of a row."""
    metadata = tuple(row.metadata.items())
    return row.message_id, row.model, row.sentence_index, row.content, row.revision, row.event_time, metadata


class Table:
    """A table and its journal, written as the program's sinks write them, and what is known of them."""

    def __init__(self, client: bigquery.Client, dataset: str, method: str) -> None:
        self.name = f"{dataset}.embeddings"
        self._client = client
        self._dataset = dataset
        rows, journal = (parse_table(f"{dataset}.{name}") for name in ("embeddings", "embeddings_journal"))
        self._rows = _opened(write._WriteRows(rows, method))
        self._journal = _opened(write._WriteJournal(journal, method))
        self._newest: dict[tuple[str, str], tuple[int, Sequence[SentenceEmbedding]]] = {}
        self._ended: set[tuple[str, str, str]] = set()

    def clear(self) -> None:
        """Forget all rows and entries."""
        self._newest.clear()
        self._ended.clear()
        for table in ("embeddings", "embeddings_journal"):
            self._client.query(f"DELETE FROM `{self._dataset}.{table}` WHERE TRUE").result()

    def write(self, rows: Sequence[SentenceEmbedding], deletes: bool = False) -> None:
        """Write a bundle of rows and ends, and their entries, with a deletion of retired rows in between or not."""
        keep = KeepJournal()
        keep.start_bundle()
        written = _bundle(self._rows, rows)
        if deletes:
            self.delete_retired()
        _bundle(self._journal, [entry for row in written for entry in keep.process(row)])

    def take(self, step: Step) -> None:
        """Write a bundle."""
        rows = [row for one in step.messages for row in rows_of(one, step.model)]
        if step.killed_after is not None:
            _bundle(self._rows, [row for row in rows if not is_end(row)][: step.killed_after])
            return
        for _ in range(step.times):
            self.write(rows, step.deletes and not self._wins_back(step))
        for one in step.messages:
            made = rows_of(one, step.model)
            self._ended.add((one.id, step.model, made[-1].revision))
            version, _ = self._newest.get((one.id, step.model), (one.version, []))
            if one.version >= version:
                self._newest[one.id, step.model] = one.version, made

    def _wins_back(self, step: Step) -> bool:
        """Whether a version comes again that another one of the same number has retired, the one case that is open."""
        for one in step.messages:
            version, newest = self._newest.get((one.id, step.model), (None, []))
            revision = rows_of(one, step.model)[-1].revision
            has_lost = version == one.version and newest[-1].revision != revision
            if has_lost and (one.id, step.model, revision) in self._ended:
                return True
        return False

    def rebuilt(self) -> list[Row]:
        """The rows that a run over the live messages writes, by each model over those that it has seen."""
        return sorted(map(seen, (row for _, rows in self._newest.values() for row in rows if not is_end(row))), key=str)

    def read(self, table: str) -> list[Row]:
        """What is in a table or view."""
        columns = "message_id, model, sentence_index, content, revision, UNIX_MICROS(event_time) AS time, metadata"
        found = self._client.query(f"SELECT {columns} FROM `{self._dataset}.{table}`").result()
        rows = [
            (*list(row.values())[:-1], tuple((pair["key"], pair["value"]) for pair in row["metadata"])) for row in found
        ]
        return sorted(rows, key=str)

    def delete_retired(self) -> None:
        """The statements for a schedule, some hours later."""
        sql = shipped("delete_retired.sql", self._dataset)
        now = sql.replace("INTERVAL 2 HOUR", "INTERVAL 0 HOUR").replace("INTERVAL 7 DAY", "INTERVAL 0 HOUR")
        for statement in now.split(";\n")[:2]:
            self._client.query(statement).result()
        self._ended = {(*key, rows[-1].revision) for key, (_, rows) in self._newest.items()}

    def is_retired(self, row: Row) -> bool:
        """Whether a row that is not current has ended, or is of a version that is older than one that has."""
        message_id, model, *_, revision, _, _ = row
        version, _ = self._newest.get((message_id, model), (-2, []))
        return int(revision.rpartition("-")[0]) < version or (message_id, model, revision) in self._ended


def _opened(sink: Any) -> BundleWriter:
    writer = BundleWriter(sink, 60)
    writer.setup()
    return writer


def _bundle(writer: BundleWriter, elements: Sequence[Any]) -> list[Any]:
    writer.start_bundle()
    for element in elements:
        list(writer.process(element, 0, GlobalWindow()))
    return [written.value for written in writer.finish_bundle()]


@pytest.fixture
def table(request: pytest.FixtureRequest, dataset: str, client: bigquery.Client) -> Table:
    """The tables and the view of the shipped statements; the parameter is the method of writing."""
    for file in ("embeddings.sql", "journal.sql", "current_embeddings.sql"):
        client.query(for_emulator(shipped(file, dataset))).result()
    return Table(client, dataset, getattr(request, "param", METHODS[0]))


@pytest.mark.slow
@pytest.mark.parametrize("table", METHODS, indirect=True)
@settings(max_examples=12, phases=[Phase.explicit, Phase.generate], database=None)
@example([Step("old", (Message("a", text, {}, None, version=0),), 1, None, deletes=True) for text in TEXTS])
@given(steps=st.lists(step, min_size=1, max_size=8))
def test_after_every_bundle_the_view_shows_what_a_rebuild_writes(table: Table, steps: list[Step]) -> None:
    """Whatever the order, the repetitions and the kills, and whether retired rows are deleted in between or not."""
    table.clear()
    for taken in steps:
        table.take(taken)
        assert table.read("current_embeddings") == table.rebuilt()
    table.delete_retired()
    assert table.read("current_embeddings") == table.rebuilt()
    kept = [row for row in table.read("embeddings") if row not in table.rebuilt()]
    assert not any(map(table.is_retired, kept))


def test_status_counts_what_a_model_lacks(table: Table, client: bigquery.Client, dataset: str) -> None:
    """Deleted messages are not missing; a model that has not seen a deletion is stale."""
    versions = {
        "old": [
            ("a", 1, "One."),
            ("b", 1, "One."),
            ("b", 2, "Two."),
            ("c", 1, "One."),
            ("d", 1, "One."),
            ("e", 1, "One."),
        ],
        "new": [("a", 1, "One."), ("b", 1, "One."), ("d", 1, "One."), ("a", 1, "Other.")],
    }
    for model, taken in versions.items():
        for id, version, text in taken:
            table.take(bundle(model, Message(id, text, {}, 1_000_000, version)))
    for id in "de":
        table.take(bundle("old", Message(id, "", {}, 1_000_000, 2, deleted=True)))
    found = {row["model"]: dict(row) for row in client.query(shipped("status.sql", dataset)).result()}
    counts = ("messages", "complete", "missing", "stale", "dead_lettered", "version_conflicts")
    assert [found["old"][name] for name in counts] == [3, 3, 0, 0, 0, 0]
    assert [found["new"][name] for name in counts] == [3, 1, 1, 2, 0, 1]
    assert all(0 <= time.time() - 1 - found["old"][name] < 60 for name in ("freshness_p50", "freshness_p99"))


def test_the_switch_is_refused_while_anything_is_missing(table: Table, client: bigquery.Client, dataset: str) -> None:
    """A message without an entry, with an older one, or one whose deletion the new model has not seen."""

    def switch() -> None:
        sql = asserted(shipped("switch_model.sql", dataset).replace("NEW_VERSION", "new-1"))
        check, view = sql.split(";\n\n")
        client.query(check).result()
        client.query(view).result()

    first, second = Message("a", "One.", {}, None, 1), Message("a", "Two.", {}, None, 2)
    gone = Message("b", "", {}, None, 2, deleted=True)
    table.take(bundle("old", first))
    with pytest.raises(GoogleAPICallError, match="expected new-1 to have the newest version of each message"):
        switch()
    table.take(bundle("new", first))
    table.take(bundle("old", gone))
    switch()
    table.take(bundle("old", second))
    with pytest.raises(GoogleAPICallError, match="expected new-1"):
        switch()
    table.take(bundle("new", second))
    table.take(bundle("new", gone._replace(text="One.", version=1, deleted=False)))
    with pytest.raises(GoogleAPICallError, match="expected new-1"):
        switch()
    table.take(bundle("new", gone))
    switch()
    assert [row[:4] for row in table.read("current_embeddings")] == [("a", "new", 0, "Two.")]


def bundle(model: str, *messages: Message) -> Step:
    """What a model writes of `messages`, once."""
    return Step(model, messages, times=1, killed_after=None, deletes=False)


def versions_around(query: Any) -> list[SentenceEmbedding]:
    """Four versions of each of 40 messages: all but the last are nearer to `query` than any that is current."""
    random = np.random.default_rng(3)
    rows = []
    for number in range(40):
        for version in range(4):
            vector = query + random.standard_normal(8, np.float32) * (3 if version == 3 else 0.1)
            (row, end) = rows_of(Message(f"m{number}", f"Sentence {number} of {version}.", {}, None, version), "old")
            rows += [row._replace(embedding=vector.astype("<f4").tobytes()), end]
    return rows


def nearest(rows: Sequence[SentenceEmbedding], query: Any) -> list[str]:
    """What the current rows of `versions_around` say, nearest first."""
    current = [row for row in rows if row.content and row.revision.startswith("3-")]
    return [current[i].content for i in np.argsort(-cosines(current, query))]


def test_a_search_finds_what_is_nearest_of_the_view(table: Table, client: bigquery.Client) -> None:
    """However many retired rows are nearer: more than are fetched at first."""
    query = np.random.default_rng(1).standard_normal(8, np.float32)
    rows = versions_around(query)
    table.write(rows)
    best = nearest(rows, query)
    assert sorted(row[3] for row in table.read("current_embeddings")) == sorted(best)

    def contents(**options: Any) -> list[str]:
        source = BigQueryRows(table.name, EVERYTHING, client=ExactClient(client), **options)
        return [content for _, content, _, _ in source.nearest(query, "old-1", 5)]

    assert contents() == best[:5]
    assert not set(contents(all_versions=True)) & set(best)
    table.delete_retired()
    assert contents(all_versions=True) == best[:5]


def test_the_shipped_search_finds_what_is_nearest_of_the_view(table: Table, client: bigquery.Client) -> None:
    """The sentence itself first, each once, however often it was written; none of another version of the model."""
    query = np.ones(8, np.float32)
    rows = versions_around(query)
    for _ in range(2):
        table.write(rows)
    table.write([row._replace(model="new", model_version="new-1") for row in rows])
    (own,) = (row for row in rows if row.content == "Sentence 7 of 3.")
    sql = for_emulator(shipped("vector_search.sql", table.name.removesuffix(".embeddings")))
    # More rows than these are nearer: its top_k is too small here.
    sql = sql.replace("<= 100", "<= 1000")
    parameters = {"id": own.id, "model_version": own.model_version}
    made = [bigquery.ScalarQueryParameter(name, "STRING", value) for name, value in parameters.items()]
    found = [dict(row) for row in client.query(sql, bigquery.QueryJobConfig(query_parameters=made)).result()]
    assert [row["content"] for row in found] == nearest(rows, vector_of(own))[:10]
    assert found[0]["distance"] == pytest.approx(0, abs=1e-6)


def test_a_journal_that_is_not_there_is_refused_if_it_was_named(table: Table, client: bigquery.Client) -> None:
    """Without a name, a table that has none is searched as it is."""
    rows = BigQueryRows(table.name, EVERYTHING, f"{table.name}_nothing", client=ExactClient(client))
    with pytest.raises(ValueError, match="expected to search --bigquery=.*embeddings: .*Not found"):
        rows.nearest(np.ones(8, np.float32), "old-1", 5)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_writes_rows_and_then_their_journal(
    tables: Tables, text_encoder: pathlib.Path, method: str, dataset: str, client: bigquery.Client, proxy: FaultProxy
) -> None:
    """A row that the table refuses is a dead letter of its version; a blank message is a version without rows."""
    proxy.refuse("poison")
    texts = [
        {"id": "a", "text": "Good. Bad.", "at": 5},
        {"id": "b", "text": "Good. This is poison.", "at": 6},
        {"id": "c", "text": " ", "at": 7},
        {"id": "d", "gone": True, "at": 8},
    ]
    how: dict[str, Any] = {"bigquery_write_method": method, "max_dead_letters": "5", "delete_field": "gone"}
    tables.embed("embeddings", texts, model=text_encoder, **how)
    journal = client.query(f"SELECT * FROM `{dataset}.embeddings_journal` ORDER BY message_id").result()
    assert [
        (row["message_id"], row["version"], row["sentences"], row["rows"], row["dead_letters"], row["deleted"])
        for row in journal
    ] == [
        ("a", 5000, 2, 2, 0, False),
        ("b", 6000, 2, 1, 1, False),
        ("c", 7000, 0, 0, 0, False),
        ("d", 8000, 0, 0, 0, True),
    ]
    client.query(shipped("current_embeddings.sql", dataset)).result()
    found = client.query(f"SELECT content FROM `{dataset}.current_embeddings` ORDER BY content").result()
    assert [row["content"] for row in found] == ["Bad.", "Good.", "Good."]
