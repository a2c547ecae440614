import bz2
import gzip
import io
import itertools
import json
import pathlib
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.beam import run
from transforms.io.files.lines import read_lines
from transforms.io.files.pieces import FileRange
from transforms.io.files.read import ReadFiles


def read(path: pathlib.Path | str, input_format: str, **options: Any) -> Any:
    """Records by origin, and the dead letters."""
    result = run(None, ReadFiles([str(path)], input_format, **options).with_dead_letters())
    return {record.origin: record for record in result.output}, result.dead_letters


def test_a_line_is_a_record_with_its_offset(tmp_path: pathlib.Path) -> None:
    """Two identical lines differ by where they stand; line ends of both kinds are taken off."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"same\r\nsame\n\nlast")
    records, dead = read(path, "text")
    assert {origin: r.data for origin, r in records.items()} == {
        f"{path}#0": b"same",
        f"{path}#6": b"same",
        f"{path}#11": b"",
        f"{path}#12": b"last",
    }
    assert dead == []


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"").rstrip(b"\r")), max_size=20), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_ranges_share_a_file_without_loss_or_double(tmp_path: pathlib.Path, lines: list[bytes], data: Any) -> None:
    """However a file is cut, each line is read by the range it starts in, and by no other."""
    path = tmp_path / "file"
    path.write_bytes(b"\n".join(lines))
    size = path.stat().st_size
    if size == 0:
        return
    cuts = sorted({0, size, *data.draw(st.lists(st.integers(1, size), max_size=5))})
    ranges = [FileRange(str(path), *ends) for ends in itertools.pairwise(cuts)]
    parts = [line for piece in ranges for line in read_lines(piece)]
    assert parts == list(read_lines(FileRange(str(path), 0, size)))


def test_a_large_file_is_read_once(tmp_path: pathlib.Path) -> None:
    """A file of many ranges gives each of its lines once."""
    path = tmp_path / "a.txt"
    lines = [f"line {i} {'x' * (i % 300)}" for i in range(5_000)]
    path.write_text("\n".join(lines))
    records, _ = read(path, "text")
    assert sorted(r.data.decode() for r in records.values()) == sorted(lines)


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress)])
def test_compressed_files_are_read_by_their_suffix(tmp_path: pathlib.Path, suffix: str, compress: Any) -> None:
    """Offsets are those of the text behind the compression."""
    path = tmp_path / f"a.txt.{suffix}"
    path.write_bytes(compress(b"one\ntwo\n"))
    records, dead = read(path, "text")
    assert {origin: r.data for origin, r in records.items()} == {f"{path}#0": b"one", f"{path}#4": b"two"}
    assert dead == []


@pytest.mark.parametrize("input_format", ["text", "document"])
def test_a_compressed_file_that_was_cut_short_is_a_dead_letter(tmp_path: pathlib.Path, input_format: str) -> None:
    """Beam reads such a file as one that ends there; here it says so."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"line\n" * 10_000)[:-12])
    _, dead = read(path, input_format)
    assert [letter.attributes["origin"] for letter in dead] == [str(path)]
    assert "ends before its end-of-stream marker" in dead[0].error_message


def test_a_csv_line_brings_its_files_header(tmp_path: pathlib.Path) -> None:
    """Each file has its own header, read in every range of it."""
    for name, header in (("a", "id,text"), ("b", "text,id")):
        (tmp_path / f"{name}.csv").write_bytes(b"\xef\xbb\xbf" + f"{header}\n1,x\n".encode())
    records, _ = read(tmp_path / "*.csv", "csv")
    found = {pathlib.Path(r.origin).name: (r.data, r.attributes["csv_header"]) for r in records.values()}
    assert found == {"a.csv#11": (b"1,x", "id,text"), "b.csv#11": (b"1,x", "text,id")}


def test_csv_records_may_span_lines_on_request(tmp_path: pathlib.Path) -> None:
    """A quoted line end stays in its field, and the row's number tells where it was."""
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text\r\n1,"two\r\nlines"\r\n2,\xff\r\n')
    records, _ = read(path, "csv", csv_multiline=True)
    assert {origin: r.data for origin, r in records.items()} == {
        f"{path}#1": b'1,"two\r\nlines"',
        f"{path}#2": b"2,\xff",
    }


def test_a_document_is_a_file(tmp_path: pathlib.Path) -> None:
    """Line ends stay inside, compressed or not, whatever the length."""
    text = b"First line.\nSecond.\n" * 200_000
    (tmp_path / "a.txt").write_bytes(text)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(text))
    records, _ = read(tmp_path / "*", "document")
    assert [r.data for r in records.values()] == [text, text]


ROWS = [{"text": "One.", "n": 1}, {"text": "Two.", "n": None}]


def write_parquet(path: pathlib.Path) -> None:
    """Write ROWS."""
    pq.write_table(pa.Table.from_pylist(ROWS), path)


def write_avro(path: pathlib.Path) -> None:
    """Write ROWS."""
    fields = [{"name": "text", "type": "string"}, {"name": "n", "type": ["null", "long"]}]
    buffer = io.BytesIO()
    fastavro.writer(buffer, {"type": "record", "name": "Row", "fields": fields}, ROWS)
    path.write_bytes(buffer.getvalue())


@pytest.mark.parametrize(("input_format", "write"), [("parquet", write_parquet), ("avro", write_avro)])
def test_rows_become_json_with_their_number(tmp_path: pathlib.Path, input_format: str, write: Any) -> None:
    """Each row is a record whose payload a dead letter can hold."""
    write(tmp_path / "a")
    records, _ = read(tmp_path / "a", input_format)
    assert {origin[-2:]: json.loads(r.data) for origin, r in records.items()} == {"#0": ROWS[0], "#1": ROWS[1]}


@pytest.mark.parametrize(("input_format", "write"), [("parquet", write_parquet), ("avro", write_avro)])
def test_an_unreadable_file_is_one_dead_letter(tmp_path: pathlib.Path, input_format: str, write: Any) -> None:
    """Its neighbours are read all the same."""
    write(tmp_path / "good")
    (tmp_path / "bad").write_bytes(b"this is something else")
    records, dead = read(tmp_path / "*", input_format)
    assert len(records) == 2
    assert [letter.payload_string for letter in dead] == [str(tmp_path / "bad")]


def test_a_row_that_is_no_text_is_a_dead_letter_alone(tmp_path: pathlib.Path) -> None:
    """With its origin; its neighbours are read."""
    pq.write_table(pa.table({"text": pa.array([b"One.", b"Caf\xe9.", b"Three."], pa.binary())}), tmp_path / "a")
    records, (letter,) = read(tmp_path / "a", "parquet")
    assert [json.loads(record.data)["text"] for record in records.values()] == ["One.", "Three."]
    assert letter.attributes["origin"] == f"{tmp_path}/a#1"
    assert letter.payload_string == '{"text": {"base64": "Q2Fm6S4="}}'


def test_a_path_can_have_another_name(tmp_path: pathlib.Path) -> None:
    """Standard input is "-" in an id, wherever it was spooled."""
    (tmp_path / "spool").write_text("x")
    records, _ = read(tmp_path / "spool", "text", names={str(tmp_path / "spool"): "-"})
    assert list(records) == ["-#0"]
