"""The BigQuery writers against an emulator, with the faults that BigQuery has."""

import json
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.metrics.metric import Lineage
from apache_beam.testing.util import assert_that, equal_to
from google.cloud import bigquery

from pipeline.letters import read_letters
from tests.integration.fault_proxy import FAULTS, FaultProxy
from tests.sql import newest_rows_view
from transforms.counters import process_counts
from transforms.dead_letters import dead_letters, element_json
from transforms.io.bigquery import storage_write, streaming_inserts
from transforms.io.bigquery.read import ReadTable
from transforms.io.bigquery.write import METHODS, STAGE, WriteDeadLettersToBigQuery, WriteRowsToBigQuery
from transforms.known import KEY_COLUMNS
from transforms.schema import vector_of
from transforms.types import DeadLetter, SentenceEmbedding

pytestmark = pytest.mark.parametrize("method", METHODS)

BIG = "x" * 9_500_000


def embedding(number: int, content: str = "", dimension: int = 8, **fields: Any) -> SentenceEmbedding:
    """A row, the same for the same arguments."""
    vector = np.random.default_rng(number).standard_normal(dimension, np.float32)
    row = SentenceEmbedding(
        id=f"id-{number}",
        message_id=f"message-{number // 3}",
        sentence_index=number % 3,
        begin=0,
        end=7,
        content=content or f"Größe {number} 😀",
        metadata={"source": "a\nb", "page": str(number)},
        event_time=1_700_000_000_000_001 + number,
        revision="",
        embedding=vector.astype("<f4").tobytes(),
        model="minilm",
        model_version="v1",
        precision="float32",
        tokens=5,
        truncated=False,
    )
    return row._replace(**fields)


def write(rows: Sequence[SentenceEmbedding], table: str, letters: Sequence[DeadLetter] = (), **options: Any) -> None:
    """Writes `rows` as one bundle, and checks which dead letters come of it, by their stage and what they hold."""
    with beam.Pipeline("FnApiRunner") as pipeline:
        sink = WriteRowsToBigQuery(table, **{"retry_for_seconds": 60, **options})
        written = pipeline | one_bundle(rows) | "Sink" >> sink.with_dead_letters()
        held = written.dead_letters | beam.Map(lambda letter: (letter.stage, letter.payload_string))
        assert_that(held, equal_to([(letter.stage, letter.payload_string) for letter in letters]))


def one_bundle(elements: Sequence[Any]) -> beam.PTransform:
    """`elements` in one bundle, whatever the runner thinks of it."""
    chunks = beam.Create([list(elements)], reshuffle=False)
    return "Rows" >> beam.ptransform_fn(lambda begin: begin | chunks | beam.FlatMap(list))()


def letters_of(*rows: SentenceEmbedding) -> list[DeadLetter]:
    """What the writer makes of rows that are refused."""
    return [letter for row in rows for letter in dead_letters(STAGE, "", element_json(row), {})]


def ids(client: bigquery.Client, table: str) -> list[str]:
    """The ids of all rows of a table or view, sorted."""
    return [row["id"] for row in client.query(f"SELECT id FROM `{table}` ORDER BY id").result()]


def ids_of(rows: Sequence[SentenceEmbedding]) -> list[str]:
    """The ids of `rows`, sorted."""
    return sorted(row.id for row in rows)


@pytest.fixture
def counted() -> Callable[[str], int]:
    """Tells by how much a counter has grown since the test began."""
    before = process_counts()
    return lambda name: process_counts().get(name, 0) - before.get(name, 0)


def test_every_row_arrives_once_as_it_was(method: str, dataset: str, client: bigquery.Client) -> None:
    """All columns survive; a float32 vector comes back as the same numbers."""
    rows = [embedding(number) for number in range(300)]
    rows += [embedding(300, event_time=None, metadata={}, content="\x00\u2028\"'\\")]
    write(rows, f"{dataset}.rows", method=method)
    got = {row["id"]: row for row in client.query(f"SELECT * FROM `{dataset}.rows`").result()}
    assert ids(client, f"{dataset}.rows") == ids_of(rows)
    for row in rows:
        read = got[row.id]
        assert np.array_equal(np.array(read["embedding"], np.float32), vector_of(row))
        assert (read["content"], read["tokens"], read["truncated"]) == (row.content, row.tokens, row.truncated)
        assert {pair["key"]: pair["value"] for pair in read["metadata"]} == row.metadata
        micros = read["event_time"] and round(read["event_time"].timestamp() * 1_000_000)
        assert micros == row.event_time


@pytest.mark.parametrize("fault", FAULTS)
def test_an_outage_is_waited_out(
    method: str, fault: str, dataset: str, client: bigquery.Client, proxy: FaultProxy, counted: Callable[[str], int]
) -> None:
    """Transient errors lose no row, write none twice, and make no dead letter."""
    rows = [embedding(number) for number in range(50)]
    proxy.fail_next(3, fault)
    write(rows, f"{dataset}.rows", method=method)
    assert proxy.failed == 3
    assert counted("write_retries") == proxy.failed
    assert counted("rows_written") == 50
    assert ids(client, f"{dataset}.rows") == ids_of(rows)


def test_an_outage_that_outlasts_patience_fails_the_bundle(method: str, dataset: str, proxy: FaultProxy) -> None:
    """The runner sees the bundle fail, so that nothing is acknowledged."""
    proxy.fail_next(1000, "unavailable")
    with pytest.raises(Exception, match=r"expected BigQuery table .* to take rows within 1 s of retries"):
        write([embedding(1)], f"{dataset}.rows", method=method, retry_for_seconds=1)


@pytest.mark.parametrize("as_a", ["row", "batch"])
def test_a_refused_row_alone_is_a_dead_letter(
    method: str, as_a: str, dataset: str, client: bigquery.Client, proxy: FaultProxy, counted: Callable[[str], int]
) -> None:
    """Whether BigQuery names the row or refuses its whole batch, the others are written."""
    rows = [embedding(number, "poison" if number in (13, 77) else "") for number in range(100)]
    proxy.refuse("poison", as_a)
    write(rows, f"{dataset}.rows", letters_of(rows[13], rows[77]), method=method)
    assert ids(client, f"{dataset}.rows") == ids_of([row for row in rows if row.content != "poison"])
    assert (counted("rows_written"), counted("rows_refused")) == (98, 2)


def rename(client: bigquery.Client, name: str, column: str, to: str) -> None:
    """Renames a column in what the emulator says of the table; ALTER TABLE would not change that."""
    table = client.get_table(name)
    fields = [field.to_api_repr() for field in table.schema]
    table.schema = [field | {"name": to} if field["name"] == column else field for field in fields]
    client.update_table(table, ["schema"])


@pytest.mark.slow
@pytest.mark.parametrize("as_a", ["row", "batch"])
def test_a_renamed_column_is_waited_out(
    method: str, as_a: str, dataset: str, client: bigquery.Client, proxy: FaultProxy, counted: Callable[[str], int]
) -> None:
    """No row is at fault, so none is a dead letter, and few requests are made until the column is back."""
    rows = [embedding(number, "text") for number in range(2048)]
    rename(client, f"{dataset}.rows", "content", "sentence")
    # The emulator itself does not mind an unknown column.
    proxy.refuse("text", as_a)

    def mend() -> None:
        # Rows that are refused while the schema fits would be at fault.
        proxy.refuse("")
        rename(client, f"{dataset}.rows", "sentence", "content")

    timer = threading.Timer(2, mend)
    timer.start()
    write(rows, f"{dataset}.rows", method=method)
    timer.join()
    assert ids(client, f"{dataset}.rows") == ids_of(rows)
    assert (counted("rows_written"), counted("rows_refused")) == (2048, 0)
    assert proxy.writes < 20


@pytest.mark.parametrize("fault", ["renamed", "unknown"])
def test_a_table_that_refuses_every_row_fails_the_bundle_at_last(
    method: str, fault: str, dataset: str, client: bigquery.Client, proxy: FaultProxy
) -> None:
    """Even if its schema does not tell why; the line says what is wrong."""
    if fault == "renamed":
        rename(client, f"{dataset}.rows", "content", "sentence")
    proxy.refuse("text", "batch")
    reason = "no column 'content'" if fault == "renamed" else "it rejects every row"
    with pytest.raises(
        Exception, match=rf"expected BigQuery table .* to take rows within 1 s of retries, got {reason}"
    ):
        write(
            [embedding(number, "text") for number in range(2048)], f"{dataset}.rows", method=method, retry_for_seconds=1
        )
    assert proxy.writes < 35


def test_a_refused_row_without_dead_letters_fails_the_pipeline(method: str, dataset: str, proxy: FaultProxy) -> None:
    """As Beam's own transforms do."""
    proxy.refuse("poison")
    with pytest.raises(Exception, match="Write rows could not use an input"), beam.Pipeline("FnApiRunner") as pipeline:
        pipeline | one_bundle([embedding(1, "poison")]) | "Sink" >> WriteRowsToBigQuery(f"{dataset}.rows", method)


def test_a_row_too_large_for_bigquery_is_a_dead_letter(
    method: str, dataset: str, client: bigquery.Client, proxy: FaultProxy
) -> None:
    """At once: BigQuery would refuse it for ever; it never leaves the machine."""
    rows = [embedding(0), embedding(1, BIG), embedding(2)]
    write(rows, f"{dataset}.rows", letters_of(rows[1]), method=method)
    assert ids(client, f"{dataset}.rows") == ["id-0", "id-2"]
    assert proxy.writes == 2


def test_a_row_that_has_no_such_form_is_a_dead_letter(method: str, dataset: str, client: bigquery.Client) -> None:
    """Three bytes are no float32."""
    rows = [embedding(0), embedding(1, embedding=b"abc"), embedding(2)]
    write(rows, f"{dataset}.rows", letters_of(rows[1]), method=method)
    assert ids(client, f"{dataset}.rows") == ["id-0", "id-2"]


def test_a_large_bundle_goes_in_several_requests(
    method: str, dataset: str, client: bigquery.Client, proxy: FaultProxy
) -> None:
    """Requests stay below BigQuery's 10 MB."""
    rows = [embedding(number, dimension=100_000) for number in range(12)]
    write(rows, f"{dataset}.rows", method=method)
    assert ids(client, f"{dataset}.rows") == ids_of(rows)
    assert proxy.writes > 1
    assert proxy.largest < 10_000_000


def test_a_cut_connection_is_opened_again(
    method: str, dataset: str, client: bigquery.Client, proxy: FaultProxy
) -> None:
    """Between two writes: no row is lost, and none is there twice."""
    write([embedding(1)], f"{dataset}.rows", method=method)
    assert proxy.cut() > 0
    write([embedding(2)], f"{dataset}.rows", method=method)
    assert ids(client, f"{dataset}.rows") == ["id-1", "id-2"]
    assert proxy.streams == (2 if method == "STORAGE_WRITE_ARROW" else 0)


def test_an_acknowledgement_that_does_not_come_is_not_waited_for(
    method: str, dataset: str, client: bigquery.Client, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a time the write is tried again, on another connection."""
    monkeypatch.setattr(storage_write, "ACKNOWLEDGE_SECONDS", 0.5)
    monkeypatch.setattr(streaming_inserts, "RESPONSE_SECONDS", 0.5)
    proxy.ignore_next_write(60)
    begin = time.monotonic()
    write([embedding(1)], f"{dataset}.rows", method=method)
    assert time.monotonic() - begin < 50
    assert proxy.writes == 2
    assert ids(client, f"{dataset}.rows") == ["id-1"]


def test_a_lost_acknowledgement_leaves_doubles_that_the_view_hides(
    method: str, dataset: str, client: bigquery.Client, proxy: FaultProxy
) -> None:
    """Rows are written at least once; BigQuery may drop doubles of streaming inserts itself, the emulator does not."""
    rows = [embedding(number) for number in range(10)]
    proxy.cut_after_next_write()
    write(rows, f"{dataset}.rows", method=method)
    client.query(newest_rows_view(f"{dataset}.newest", f"{dataset}.rows")).result()
    assert ids(client, f"{dataset}.rows") == sorted(2 * ids_of(rows))
    assert ids(client, f"{dataset}.newest") == ids_of(rows)


def test_a_retried_bundle_doubles_rows_and_the_view_shows_the_newest(
    method: str, dataset: str, client: bigquery.Client
) -> None:
    """One row for each id and model: two models of a sentence are two rows, a later message replaces an earlier one."""
    rows = [embedding(number) for number in range(10)]
    later = rows[3]._replace(content="later", event_time=(rows[3].event_time or 0) + 1)
    other = rows[4]._replace(model="other")
    write(rows, f"{dataset}.rows", method=method)
    write([*rows, later, other], f"{dataset}.rows", method=method)
    client.query(newest_rows_view(f"{dataset}.newest", f"{dataset}.rows")).result()
    seen = list(client.query(f"SELECT id, model, content FROM `{dataset}.newest`").result())
    assert len(ids(client, f"{dataset}.rows")) - len(seen) == 10 + 1
    assert sorted((row["id"], row["model"]) for row in seen) == sorted((row.id, row.model) for row in [*rows, other])
    assert [row["content"] for row in seen if row["id"] == later.id] == ["later"]


def test_dead_letters_are_rows_too(method: str, dataset: str, client: bigquery.Client) -> None:
    """Text and bytes come back as they were, a large payload in its parts."""
    payloads = [b"text", b"\xff\x00bytes", "Ж".encode() * 3_000_000]
    letters = [letter for payload in payloads for letter in dead_letters("Parse", "no", payload, {"origin": "a#1"})]
    write_letters(letters, f"{dataset}.letters", method)
    read = list(client.query(f"SELECT * FROM `{dataset}.letters` ORDER BY id, part").result())
    assert len(read) == len(letters) == 2 + 2
    expected = sorted(letters, key=lambda letter: (letter.id, letter.part))
    for row, letter in zip(read, expected, strict=True):
        assert (row["payload_string"], row["payload_bytes"]) == (letter.payload_string, letter.payload_bytes)
        assert (row["parts"], row["attributes"]) == (letter.parts, [{"key": "origin", "value": "a#1"}])


def test_a_refused_dead_letter_is_spilled(
    method: str, dataset: str, client: bigquery.Client, tmp_path: pathlib.Path, counted: Callable[[str], int]
) -> None:
    """Whole, in the folder that was named for it, and the others are written."""
    letters = [*dead_letters("Parse", "no", b"good", {}), *dead_letters("Parse", "bad json", b"bad", {"a": BIG})]
    write_letters(letters, f"{dataset}.letters", method, spill_dir=str(tmp_path / "spill"))
    assert [row["payload_string"] for row in client.query(f"SELECT * FROM `{dataset}.letters`").result()] == ["good"]
    names = ("dead_letters_written", "dead_letters_refused", "dead_letters_spilled")
    assert tuple(map(counted, names)) == (1, 1, 1)
    (path,) = (tmp_path / "spill").iterdir()
    (spilled,) = read_letters("jsonl", str(path))
    assert spilled._replace(timestamp=letters[1].timestamp) == letters[1]


def test_a_refused_dead_letter_that_can_be_kept_nowhere_fails_its_bundle(method: str, dataset: str) -> None:
    """So that its message comes again; a dead letter must not be lost."""
    letters = dead_letters("Parse", "bad json", b"bad", {"a": BIG})
    with pytest.raises(Exception, match=r"refused the dead letter .* of Parse: .*spill_dir"):
        write_letters(letters, f"{dataset}.letters", method)


def test_lineage_names_the_tables(method: str, dataset: str) -> None:
    """As Beam's own read and write do."""
    write([embedding(1)], f"{dataset}.rows", method=method)
    with beam.Pipeline("FnApiRunner") as pipeline:
        pipeline | ReadTable(f"{dataset}.rows", KEY_COLUMNS)
        pipeline | one_bundle([embedding(2)]) | WriteRowsToBigQuery(f"{dataset}.rows", method)
    metrics = pipeline.result.metrics()
    assert Lineage.query(metrics, Lineage.SOURCE) == {f"bigquery:{dataset}.rows"}
    assert Lineage.query(metrics, Lineage.SINK) == {f"bigquery:{dataset}.rows"}


def write_letters(letters: Sequence[DeadLetter], table: str, method: str, **options: Any) -> None:
    """Writes `letters` as one bundle."""
    with beam.Pipeline("FnApiRunner") as pipeline:
        pipeline | one_bundle(letters) | "Sink" >> WriteDeadLettersToBigQuery(table, method, **options)


def test_refused_rows_keep_their_timestamps(method: str, dataset: str, proxy: FaultProxy) -> None:
    """A dead letter has its row's time and window, though it comes at the bundle's end."""

    class Times(beam.DoFn):
        def process(
            self, letter: DeadLetter, time: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
        ) -> Iterator[tuple[str, int, int]]:
            content = json.loads(letter.payload_string or "")["content"]
            yield content, time.micros // 1_000_000, window.start.micros // 1_000_000

    proxy.refuse("poison")
    rows = [embedding(1, "poison a"), embedding(2), embedding(3, "poison b")]
    with beam.Pipeline("FnApiRunner") as pipeline:
        timed = (
            pipeline
            | one_bundle(rows)
            | beam.Map(lambda row: beam.window.TimestampedValue(row, int(row.id[3:]) * 100))
            | beam.WindowInto(beam.window.FixedWindows(60))
        )
        written = timed | "Sink" >> WriteRowsToBigQuery(f"{dataset}.rows", method).with_dead_letters()
        assert_that(
            written.dead_letters | beam.ParDo(Times()), equal_to([("poison a", 100, 60), ("poison b", 300, 300)])
        )
