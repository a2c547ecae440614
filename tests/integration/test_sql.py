"""The SQL that is shipped, on an emulator with rows of the writers: what each statement gives.

What the emulator has no notion of is written in other words for it, and a test fails once it takes our own.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import sqlglot
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery
from sqlglot import expressions

from pipeline.search.bigquery import BigQueryRows, search_sql
from pipeline.search.places import Filters
from tests.integration.test_bigquery import embedding, write, write_letters
from tests.templates.test_sql import DIRECTORY
from transforms.dead_letters import dead_letters
from transforms.schema import vector_of
from transforms.types import DeadLetter, SentenceEmbedding

METHOD = "STORAGE_WRITE_ARROW"
TABLES = ("embeddings.sql", "error_records.sql", "error_records_pubsub.sql", "newest_embeddings.sql")
# What the emulator lacks, and the same in words that it has.
IN_OTHER_WORDS = {
    "key STRING NOT NULL": "key STRING",
    "STRING_AGG(payload_bytes, b'' ORDER BY part)": "FROM_HEX(STRING_AGG(TO_HEX(payload_bytes), '' ORDER BY part))",
    "STRING_AGG(COALESCE(payload_bytes, CAST(payload_string AS BYTES)), b'' ORDER BY part)": (
        "FROM_HEX(STRING_AGG(COALESCE(TO_HEX(payload_bytes), TO_HEX(payload_string)), '' ORDER BY part))"
    ),
}
DAY = 24 * 3600 * 1_000_000


def shipped(file: str, dataset: str) -> str:
    """The statement of a file on `dataset`, "project.dataset", without comments: the emulator counts their @names."""
    text = (DIRECTORY / file).read_text().replace("PROJECT.DATASET", dataset)
    return "\n".join(line for line in text.splitlines() if not line.startswith("--"))


def for_emulator(sql: str) -> str:
    """`sql` in words that the emulator has."""
    for ours, other in IN_OTHER_WORDS.items():
        sql = sql.replace(ours, other)
    return exact(sql) if "VECTOR_SEARCH" in sql else sql


def exact(sql: str) -> str:
    """`sql` with each distance computed in the place of VECTOR_SEARCH: the same columns, the same rows, no index."""
    parsed = sqlglot.parse_one(sql, dialect="bigquery")
    for search in list(parsed.find_all(expressions.VectorSearch)):
        assert search.parent is not None
        column = search.args["column_to_search"].name
        base, query = search.this.sql("bigquery"), search.args["query_table"].sql("bigquery")
        stand_in = f"""
            (SELECT {_struct("found", search.this.this, column)} AS base,
              {_struct("query", search.args["query_table"].this, "")} AS query,
              COSINE_DISTANCE(found.{column}, query.{column}) AS distance
            FROM {base} AS found CROSS JOIN {query} AS query
            QUALIFY ROW_NUMBER() OVER (PARTITION BY query.{column} ORDER BY distance)
              <= {search.args["top_k"].expression.sql()})"""
        made = sqlglot.parse_one(f"SELECT * FROM {stand_in}", dialect="bigquery").find(expressions.Subquery)
        search.parent.replace(made)
    return str(parsed.sql("bigquery"))


def _struct(table: str, select: Any, left_out: str) -> str:
    """The columns of a table that is searched, or of the queries, in one, as VECTOR_SEARCH gives them."""
    kept = [name for name in select.named_selects if name != left_out] or [left_out]
    return f"STRUCT({', '.join(f'{table}.{name} AS {name}' for name in kept)})"


@pytest.fixture
def tables(dataset: str, client: bigquery.Client) -> str:
    """A dataset with the tables and the view that the shipped statements make."""
    for file in TABLES:
        client.query(for_emulator(shipped(file, dataset))).result()
    return dataset


@pytest.fixture
def run(tables: str, client: bigquery.Client) -> Callable[..., list[dict[str, Any]]]:
    """Runs a shipped query with parameters, and gives its rows."""

    def run(file: str, **parameters: str) -> list[dict[str, Any]]:
        made = [bigquery.ScalarQueryParameter(name, "STRING", value) for name, value in parameters.items()]
        job = client.query(for_emulator(shipped(file, tables)), bigquery.QueryJobConfig(query_parameters=made))
        return [dict(row.items()) for row in job.result()]

    return run


def refused(payload: bytes, stage: str = "Parse messages", error: str = "no", **fields: Any) -> list[DeadLetter]:
    """The rows of a dead letter, with an attribute; `fields` replace some of each."""
    return [letter._replace(**fields) for letter in dead_letters(stage, error, payload, {"origin": "a#1"})]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("embeddings.sql", "NOT"),
        ("error_records_payloads.sql", r"listagg\(BLOB, BLOB\)"),
        ("vector_index.sql", 'syntax error at or near "VECTOR"'),
        ("vector_search.sql", "name vector_search does not exist"),
    ],
)
def test_the_emulator_still_lacks_it(file: str, reason: str, dataset: str, client: bigquery.Client) -> None:
    """Once it does not, the statement itself can be run here."""
    for made_first in ("error_records.sql", "journal.sql"):
        client.query(for_emulator(shipped(made_first, dataset))).result()
    made = [bigquery.ScalarQueryParameter(name, "STRING", "x") for name in ("id", "model_version")]
    parameters = made if file == "vector_search.sql" else []
    with pytest.raises(BadRequest, match=reason):
        client.query(shipped(file, dataset), bigquery.QueryJobConfig(query_parameters=parameters)).result()


def test_payloads_are_whole_and_once(tables: str, run: Callable[..., list[dict[str, Any]]]) -> None:
    """Text and bytes, of one part and of several, byte for byte, however often they were written."""
    payloads = [b"text", b"", b"\xff\x00bytes", "Ж".encode() * 2_200_000, b"\xff\x00\x01" * 1_100_000]
    letters = [letter for payload in payloads for letter in refused(payload)]
    assert len(letters) > len(payloads) + 1
    for _ in range(2):
        write_letters(letters, f"{tables}.embeddings_error_records", METHOD)
    rows = run("error_records_payloads.sql")
    whole = [row["payload_bytes"] if row["payload_string"] is None else row["payload_string"].encode() for row in rows]
    assert sorted(whole) == sorted(payloads)
    assert [row["attributes"] for row in rows] == [[{"key": "origin", "value": "a#1"}]] * len(payloads)


def test_the_view_has_the_columns_of_googles_templates(tables: str, client: bigquery.Client) -> None:
    """Each letter once and whole, text as both text and bytes."""
    payloads = [b"text", b"\xff\x00bytes", "Ж".encode() * 2_200_000]
    letters = [letter for payload in payloads for letter in refused(payload, error="no text")]
    for _ in range(2):
        write_letters(letters, f"{tables}.embeddings_error_records", METHOD)
    rows = [
        dict(row.items()) for row in client.query(f"SELECT * FROM {tables}.embeddings_error_records_pubsub").result()
    ]
    columns = ["timestamp", "payloadString", "payloadBytes", "attributes", "errorMessage", "stacktrace"]
    assert [list(row) for row in rows] == [columns] * len(payloads)
    assert sorted(row["payloadBytes"] for row in rows) == sorted(payloads)
    texts = {row["payloadBytes"]: row["payloadString"] for row in rows}
    assert texts == {payloads[0]: "text", payloads[1]: None, payloads[2]: payloads[2].decode()}
    assert {row["errorMessage"] for row in rows} == {"no text"}


def test_a_payload_that_lacks_a_part_is_left_out(tables: str, run: Callable[..., list[dict[str, Any]]]) -> None:
    """So are other stages' elements, which are no messages, and letters older than a day."""
    letters = refused("Ж".encode() * 2_200_000)[1:] + refused(b"{}", "Embed sentences") + refused(b"kept")
    letters += refused(b"old", timestamp=time.time_ns() // 1000 - 2 * DAY)
    write_letters(letters, f"{tables}.embeddings_error_records", METHOD)
    assert [row["payload_string"] for row in run("error_records_payloads.sql")] == ["kept"]


def test_reasons_are_counted_by_letters(tables: str, run: Callable[..., list[dict[str, Any]]]) -> None:
    """Numbers in a reason are all one; a letter of several parts, or written twice, counts once."""
    letters = [letter for n in range(3) for letter in refused(b"%d" % n, error=f"expected 1 field, got {n}")]
    letters += refused("Ж".encode() * 2_200_000, error="too large")
    letters += refused(b"old", error="too old", timestamp=time.time_ns() // 1000 - 2 * DAY)
    write_letters([*letters, letters[0]], f"{tables}.embeddings_error_records", METHOD)
    found = [(row["stage"], row["reason"], row["dead_letters"]) for row in run("error_records_by_reason.sql")]
    assert found == [
        ("Parse messages", "expected N field, got N", 3),
        ("Parse messages", "too large", 1),
    ]


def test_the_view_shows_the_newest_once(tables: str, client: bigquery.Client) -> None:
    """Doubles are hidden, a later message wins over an earlier one and over one without a time, models stay apart."""
    rows = [embedding(number) for number in range(5)]
    later = rows[1]._replace(content="later", event_time=rows[1].event_time + 1)  # type: ignore[operator]
    timeless = rows[2]._replace(content="timeless", event_time=None)
    other = rows[3]._replace(model="other")
    write([*rows, later, timeless, other, *rows], f"{tables}.embeddings")
    seen = client.query(f"SELECT id, model, content FROM `{tables}.newest_embeddings`").result()
    expected = [rows[0], later, rows[2], rows[3], other, rows[4]]
    assert sorted((row["id"], row["model"], row["content"]) for row in seen) == sorted(
        (row.id, row.model, row.content) for row in expected
    )


def test_the_view_can_be_of_one_version(tables: str, client: bigquery.Client) -> None:
    """Of two versions at one time the greater digest wins, be it the older; WHERE TRUE is where one is chosen."""
    rows = [embedding(number, model_version=version) for number in range(3) for version in ("f-old", "a-new")]
    write(rows[:-1], f"{tables}.embeddings")
    count = f"SELECT model_version, COUNT(*) AS n FROM `{tables}.newest_embeddings` GROUP BY 1"
    assert [tuple(row.values()) for row in client.query(count).result()] == [("f-old", 3)]
    view = shipped("newest_embeddings.sql", tables)
    assert view.count("WHERE TRUE") == 1
    client.query(view.replace("WHERE TRUE", "WHERE model_version = 'a-new'")).result()
    assert [tuple(row.values()) for row in client.query(count).result()] == [("a-new", 2)]


def test_recall_is_what_the_index_finds_of_the_nearest(
    tables: str, client: bigquery.Client, run: Callable[..., list[dict[str, Any]]]
) -> None:
    """All of it for an exact search, doubles and ties included; for an index that lost rows, the share that is left."""
    rows = [embedding(number) for number in range(40)]
    doubled = [*rows, *rows[:20]]
    write([*doubled, embedding(50, model_version="v0")], f"{tables}.embeddings")
    assert run("index_recall.sql", model_version="v1") == [{"queries": 40, "recall": 1, "least": 1}]
    before, after = shipped("index_recall.sql", tables).split("by_index AS (")
    lossy = after.replace("model_version = @model_version", "model_version = 'v1' AND sentence_index < 2", 1)
    made = [bigquery.ScalarQueryParameter("model_version", "STRING", "v1")]
    sql = for_emulator(f"{before}by_index AS ({lossy}")
    (found,) = client.query(sql, bigquery.QueryJobConfig(query_parameters=made)).result()
    distances = 1 - np.stack([cosines(doubled, vector_of(row)) for row in rows])
    farthest = np.sort(distances, axis=1)[:, 9:10]
    nearest = np.sort(distances[:, [row.sentence_index < 2 for row in doubled]], axis=1)[:, :10]
    recalls = np.mean(nearest <= farthest + 1e-6, axis=1)
    assert (found["recall"], found["least"]) == pytest.approx((recalls.mean(), recalls.min()))
    assert recalls.mean() < 0.9


class ExactClient:
    """A client of the emulator that computes distances where BigQuery would look into an index."""

    def __init__(self, client: bigquery.Client) -> None:
        self._client = client
        self.get_table = client.get_table

    def query(self, sql: str, job_config: bigquery.QueryJobConfig) -> Any:
        """The job of `sql` in words that the emulator has."""
        return self._client.query(for_emulator(sql), job_config)


def cosines(rows: Sequence[SentenceEmbedding], query: Any) -> Any:
    """The cosine of each row's vector to `query`."""
    vectors = np.stack([vector_of(row) for row in rows])
    return vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)


def test_a_search_finds_what_is_nearest(tables: str, client: bigquery.Client) -> None:
    """As NumPy does: among rows of the version and the metadata only, each content once."""
    rows = [embedding(number, metadata={"genre": "mail" if number % 2 else "blog"}) for number in range(60)]
    others = [embedding(number, model_version="v0", content="of another version") for number in range(10)]
    write([*rows, *rows, *others], f"{tables}.embeddings")
    query = np.random.default_rng(1).standard_normal(8, np.float32)
    mail = rows[1::2]
    score = cosines(mail, query)
    best = np.argsort(-score)[:5]
    source = BigQueryRows(f"{tables}.embeddings", Filters({"genre": "mail"}), client=ExactClient(client))
    assert sorted(source.models()) == [("minilm", "v0"), ("minilm", "v1")]
    found = source.nearest(query, "v1", 5)
    assert [content for _, content, _, _ in found] == [mail[i].content for i in best]
    np.testing.assert_allclose([row[0] for row in found], score[best], atol=1e-6)
    assert found[0][2:] == (mail[best[0]].message_id, {"genre": "mail"})
    assert source.nearest(query, "v2", 5) == []


def test_the_stand_in_is_of_the_search_that_is_sent() -> None:
    """Nothing of a statement but VECTOR_SEARCH itself is replaced."""
    ours, replaced = (
        search_sql("p.d.t", Filters({"a": "b"}), 5, 50),
        exact(search_sql("p.d.t", Filters({"a": "b"}), 5, 50)),
    )
    assert "VECTOR_SEARCH" not in replaced
    assert [name for name in ("@query", "@model_version", "@key0", "@value0", "<= 50") if name not in replaced] == []
    assert ours.split("QUALIFY")[-1].split() == replaced.split("QUALIFY")[-1].split()
