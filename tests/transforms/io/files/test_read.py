import bz2
import functools
import gzip
import io
import itertools
import json
import lzma
import os
import pathlib
import tarfile
import zlib
from collections.abc import Callable
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from apache_beam.pvalue import TaggedOutput
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.beam import run
from transforms.counters import process_counts
from transforms.dead_letters import payload_of
from transforms.io.files.encodings import known_encoding
from transforms.io.files.lines import Table, read_document, read_lines, read_multiline, read_separated_lines
from transforms.io.files.match import match
from transforms.io.files.pieces import FileRange, Piece, Pieces, Unreadable
from transforms.io.files.read import ReadFiles, _ranges, _Read
from transforms.packed import packed_as
from transforms.separated import SEPARATED
from transforms.types import CSV_HEADER


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
    assume(size and not packed_as(b"\n".join(lines)))
    cuts = sorted({0, size, *data.draw(st.lists(st.integers(1, size), max_size=5))})
    ranges = [FileRange(str(path), *ends) for ends in itertools.pairwise(cuts)]
    found = [line for piece in ranges for line in read_lines(piece)]
    assert found == list(read_lines(FileRange(str(path), 0, size)))


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


# The readers of text, without Beam around them.
TEXT_READERS: dict[str, Callable[..., Pieces]] = {
    "lines": read_lines,
    "separated": functools.partial(read_separated_lines, table=Table(SEPARATED["csv"])),
    "multiline": functools.partial(read_multiline, table=Table(SEPARATED["csv"])),
    "document": read_document,
}


def parts(path: pathlib.Path, reader: str = "lines", encoding: str = "utf-8") -> tuple[list[Piece], list[Unreadable]]:
    """What a reader finds in a whole file: records, and what is unreadable."""
    found = list(TEXT_READERS[reader](FileRange(str(path), 0, max(path.stat().st_size, 1)), encoding=encoding))
    return [x for x in found if isinstance(x, Piece)], [x for x in found if isinstance(x, Unreadable)]


def data_of(records: dict[str, Any]) -> list[bytes]:
    """The payloads, in the order of their positions."""
    return [record.data for _, record in sorted(records.items(), key=lambda item: int(item[0].rpartition("#")[2]))]


ENDED_BY_CR = {
    "text": (b"One.\rTwo.\r", [b"One.", b"Two."]),
    "jsonl": (b'{"text": "One."}\r{"text": "Two."}', [b'{"text": "One."}', b'{"text": "Two."}']),
    "csv": (b"id,text\r1,One.\r2,Two.\r", [b"1,One.", b"2,Two."]),
    "tsv": (b"\xef\xbb\xbfid\ttext\r1\tOne.\r2\tTwo.\r", [b"1\tOne.", b"2\tTwo."]),
}


@pytest.mark.parametrize("input_format", ENDED_BY_CR)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_lines_may_end_with_cr_alone(tmp_path: pathlib.Path, input_format: str, suffix: str) -> None:
    """As old Macs wrote them, and some exports still do."""
    data, expected = ENDED_BY_CR[input_format]
    (tmp_path / f"a{suffix}").write_bytes(gzip.compress(data) if suffix else data)
    records, dead = read(tmp_path / f"a{suffix}", input_format)
    assert (data_of(records), dead) == (expected, [])


def test_multiline_records_may_end_with_cr_alone(tmp_path: pathlib.Path) -> None:
    """A CR inside quotes stays."""
    (tmp_path / "a").write_bytes(b'id,text\r1,"One.\rTwo."\r2,Three.\r')
    records, _ = read(tmp_path / "a", "csv", csv_multiline=True)
    assert data_of(records) == [b'1,"One.\rTwo."', b"2,Three."]


@pytest.mark.parametrize("input_format", ["text", "csv"])
def test_a_large_file_of_cr_lines_is_read_once(tmp_path: pathlib.Path, input_format: str) -> None:
    """By the first of its many ranges."""
    lines = [b"%d,%s" % (i, b"x" * (i % 300)) for i in range(5_000)]
    (tmp_path / "a").write_bytes(b"\r".join(lines))
    records, _ = read(tmp_path / "a", input_format)
    assert data_of(records) == lines[input_format == "csv" :]


@pytest.mark.parametrize("data", [b"10%\r100%\nDone.\n", b"x" * 100_000 + b"\ry\nDone.\n"])
def test_a_cr_in_a_file_with_lf_ends_no_line(tmp_path: pathlib.Path, data: bytes) -> None:
    """Wherever the first LF is."""
    (tmp_path / "a").write_bytes(data)
    records, _ = read(tmp_path / "a", "text")
    assert data_of(records) == data.split(b"\n")[:-1]


@pytest.mark.parametrize("input_format", ["csv", "tsv"])
@pytest.mark.parametrize("csv_multiline", [False, True])
def test_a_header_that_cannot_be_decoded_is_the_dead_letter_of_its_file(
    tmp_path: pathlib.Path, input_format: str, csv_multiline: bool
) -> None:
    """One for all of its ranges, which says how to name the encoding."""
    (tmp_path / "a").write_bytes(b"caf\xe9,text\n" + b"1,One.\n" * 20_000)
    records, dead = read(tmp_path / "a", input_format, csv_multiline=csv_multiline)
    assert records == {}
    (letter,) = dead
    assert letter.payload_string == str(tmp_path / "a")
    assert "name its encoding, as in encoding=latin-1" in letter.error_message


def test_a_header_in_another_encoding_is_read_by_its_name(tmp_path: pathlib.Path) -> None:
    """And so are the lines below it."""
    (tmp_path / "a").write_bytes("café,text\nthé,Été.\n".encode("latin-1"))
    records, _ = read(tmp_path / "a", "csv", encoding="latin-1")
    (record,) = records.values()
    assert (record.data.decode(), record.attributes) == ("thé,Été.", {CSV_HEADER: "café,text"})


MARKED = ["utf-16", "utf-32", "utf-8-sig", *(f"utf-{bits}-{end}" for bits in (16, 32) for end in ("le", "be"))]


def marked(text: str, encoding: str) -> bytes:
    """`text` with the mark of `encoding`."""
    return text.encode(encoding) if encoding in MARKED[:3] else ("\ufeff" + text).encode(encoding)


@pytest.mark.parametrize("encoding", MARKED)
@pytest.mark.parametrize("reader", TEXT_READERS)
def test_a_mark_tells_the_encoding(tmp_path: pathlib.Path, reader: str, encoding: str) -> None:
    """Whatever the option says, and compressed or not, the records are those of the same file in UTF-8."""
    text = "id,text\n1,One.\n\n2,Zwölf 😀.\n"
    (tmp_path / "plain").write_bytes(text.encode())
    (tmp_path / "marked").write_bytes(marked(text, encoding))
    (tmp_path / "marked.gz").write_bytes(gzip.compress(marked(text, encoding)))
    expected = [piece[1:] for piece in parts(tmp_path / "plain", reader)[0]]
    for path, option in (("marked", "utf-8"), ("marked", "latin-1"), ("marked.gz", "utf-8")):
        pieces, unreadable = parts(tmp_path / path, reader, option)
        assert ([piece[1:] for piece in pieces], unreadable) == (expected, [])


@pytest.mark.parametrize("input_format", ["text", "csv"])
def test_a_large_file_with_a_mark_is_read_once(tmp_path: pathlib.Path, input_format: str) -> None:
    """No range takes bytes of UTF-16 for lines; positions are those of the text as UTF-8."""
    lines = [f"{i},ਅ{'ä' * (i % 300)}" for i in range(3_000)]
    (tmp_path / "a").write_bytes("\n".join(lines).encode("utf-16"))
    records, _ = read(tmp_path / "a", input_format)
    assert [data.decode() for data in data_of(records)] == lines[input_format == "csv" :]
    origin, record = max(records.items(), key=lambda item: int(item[0].rpartition("#")[2]))
    assert origin == f"{tmp_path}/a#{len(chr(10).join(lines).encode()) - len(record.data)}"


@given(
    st.sampled_from(
        ["utf-16-le", "utf-16-be", "utf-32-le", "shift_jis", "gb18030", "euc_kr", "cp1252", "cp037", "utf-7"]
    ),
    st.lists(st.text(st.sampled_from("aZ,.é日本\U0001f600 가"), max_size=20), max_size=20),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_lines_in_any_encoding_are_those_of_their_text(tmp_path: pathlib.Path, codec: str, lines: list[str]) -> None:
    """Text that the codec has comes out as it went in."""
    kept = [line.encode(codec, "ignore").decode(codec) for line in lines]
    (tmp_path / "a").write_bytes("".join(f"{line}\n" for line in kept).encode(codec))
    pieces, _ = parts(tmp_path / "a", encoding=known_encoding(codec))
    assert [piece.data.decode() for piece in pieces] == kept


@pytest.mark.parametrize(
    ("encoding", "bad"),
    [
        ("cp1252", b"caf\x81"),
        ("ascii", b"caf\xe9"),
        ("shift_jis", b"caf\xff"),
        ("utf-16", b"\x00\xd8"),
        ("utf-16-be", b"\xdc\x00"),
    ],
)
@pytest.mark.parametrize("reader", ["lines", "separated", "multiline"])
def test_bytes_that_an_encoding_does_not_allow_cost_their_line_only(
    tmp_path: pathlib.Path, reader: str, encoding: str, bad: bytes
) -> None:
    """The bytes are kept as they were."""
    codec = known_encoding(encoding)
    (tmp_path / "a").write_bytes(
        "\n".encode(codec).join(["id".encode(codec), "One.".encode(codec), bad, "Two.".encode(codec)])
    )
    pieces, unreadable = parts(tmp_path / "a", reader, codec)
    assert [piece.data for piece in pieces][-2:] == [b"One.", b"Two."]
    assert [each.data for each in unreadable] == [bad]
    assert f"expected text in the encoding {codec}" in str(unreadable[0].error)


def test_what_an_encoding_does_not_allow_is_a_dead_letter(tmp_path: pathlib.Path) -> None:
    """With its bytes and its place; of a document, all of it."""
    (tmp_path / "a").write_bytes(b"One.\ncaf\x81")
    for input_format, expected in (("text", b"caf\x81"), ("document", b"One.\ncaf\x81")):
        _, dead = read(tmp_path / "a", input_format, encoding="cp1252")
        assert [payload_of([letter]) for letter in dead] == [expected]
        assert dead[0].attributes["origin"].startswith(f"{tmp_path}/a#")


def test_a_character_that_is_cut_short_keeps_the_lines_before_it(tmp_path: pathlib.Path) -> None:
    """An odd byte at the end of UTF-16: nobody knows what its line was."""
    (tmp_path / "a").write_bytes("One.\nTwo.".encode("utf-16") + b"\n")
    records, dead = read(tmp_path / "a", "text")
    assert data_of(records) == [b"One."]
    assert [letter.payload_string for letter in dead] == [str(tmp_path / "a")]


@pytest.mark.parametrize("encoding", ["latin-2000", "base64", "rot13", "hex", "", "undefined", "a\0b"])
def test_what_is_no_encoding_of_text_is_refused(encoding: str) -> None:
    """Before anything is read."""
    with pytest.raises(ValueError, match="^expected encoding to be one of Python's text encodings, .* got ") as error:
        ReadFiles(["x"], encoding=encoding)
    assert "\n" not in str(error.value)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
    "deflate": zlib.compress,
}


def written(folder: pathlib.Path, suffix: str, *parts: bytes) -> pathlib.Path:
    """A file of these parts."""
    path = folder / f"a.{suffix}"
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize("suffix", COMPRESS)
def test_all_members_of_a_compressed_file_are_read(tmp_path: pathlib.Path, suffix: str) -> None:
    """A line may begin in one and end in another; empty ones and zeros between them are nothing."""
    compress = COMPRESS[suffix]
    members = [compress(data) for data in (b"One.\nTw", b"", b"o.\n", b"Three.")]
    path = written(tmp_path, suffix, *members[:2], b"\0" * 512, *members[2:], b"\0" * 70_000)
    records, dead = read(path, "text")
    assert (data_of(records), dead) == ([b"One.", b"Two.", b"Three."], [])


@given(
    st.sampled_from(sorted(COMPRESS)),
    st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 9)), min_size=1, max_size=5),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_members_give_the_lines_of_their_data(
    tmp_path: pathlib.Path, suffix: str, members: list[tuple[bytes, int]]
) -> None:
    """However the data is cut into members, and however many zeros are behind each."""
    path = written(tmp_path, suffix, *(COMPRESS[suffix](data) + b"\0" * zeros for data, zeros in members))
    plain = b"".join(data for data, _ in members)
    assume(not packed_as(plain))
    (tmp_path / "plain").write_bytes(plain)
    assert parts(path) == parts(tmp_path / "plain")


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("reader", TEXT_READERS)
@pytest.mark.parametrize("behind", [b"\r\n", b"\n", b"\x1f", b"<html>not found</html>" * 9_000])
def test_what_stands_behind_compressed_data_costs_no_record(
    tmp_path: pathlib.Path, suffix: str, reader: str, behind: bytes
) -> None:
    """It is kept with its offset in the file, for which zeros before it count."""
    (tmp_path / "plain").write_bytes(text := b"text\nOne.\nTwo.")
    member = COMPRESS[suffix](text)
    pieces, unreadable = parts(written(tmp_path, suffix, member, b"\0\0", behind), reader)
    assert pieces == parts(tmp_path / "plain", reader)[0]
    assert [each[:2] for each in unreadable] == [(len(member) + 2, behind)]


def test_what_stands_behind_compressed_data_is_one_dead_letter(tmp_path: pathlib.Path) -> None:
    """It names the file and the place in it."""
    member = gzip.compress(b"One.\nTwo.\n")
    path = written(tmp_path, "gz", member, b"\r\n")
    records, dead = read(path, "text")
    assert data_of(records) == [b"One.", b"Two."]
    assert [(letter.attributes["origin"], letter.payload_string) for letter in dead] == [
        (f"{path}#{len(member)}", "\r\n")
    ]
    assert f"at byte {len(member)}, got something else" in dead[0].error_message


@given(st.sampled_from(sorted(COMPRESS)), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_a_member_cut_short_gives_no_part_of_a_line(tmp_path: pathlib.Path, suffix: str, data: Any) -> None:
    """Wherever it is cut, what it gives are whole lines from its beginning, and then it raises."""
    lines = [b"%d" % i * 5 for i in range(200)]
    whole = COMPRESS[suffix](b"\n".join(lines))
    path = written(tmp_path, suffix, whole[: data.draw(st.integers(0, len(whole) - 1))])
    found: list[bytes] = []
    with pytest.raises(EOFError, match="ends before its end-of-stream marker"):
        found += (piece.data for piece in read_lines(FileRange(str(path), 0, 1)))
    assert found == lines[: len(found)]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_file_of_another_kind_than_its_suffix_says_is_a_dead_letter(tmp_path: pathlib.Path, suffix: str) -> None:
    """One, which names it."""
    path = written(tmp_path, suffix, b"text\nOne.\nTwo.\n")
    records, dead = read(path, "text")
    assert (records, [letter.payload_string for letter in dead]) == ({}, [str(path)])


def test_skippable_frames_of_zstandard_are_skipped(tmp_path: pathlib.Path) -> None:
    """Wherever they are: pzstd begins with one."""
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    frames = [COMPRESS["zst"](data) for data in (b"One.\n", b"Two.\n")]
    records, dead = read(written(tmp_path, "zst", skippable, frames[0], skippable, frames[1], skippable), "text")
    assert (data_of(records), dead) == ([b"One.", b"Two."], [])


@pytest.mark.parametrize("input_format", ["text", "parquet"])
def test_folders_of_a_path_are_attributes(tmp_path: pathlib.Path, input_format: str) -> None:
    """Each file has its own; a column of the file stays in its record."""
    for lang in ("en", "de"):
        (tmp_path / f"lang={lang}").mkdir()
        path = tmp_path / f"lang={lang}" / "part-0"
        path.write_text("One.") if input_format == "text" else write_parquet(path)
    records, _ = read(tmp_path, input_format)
    found = {(pathlib.Path(record.origin).parent.name, record.attributes["lang"]) for record in records.values()}
    assert found == {("lang=en", "en"), ("lang=de", "de")}


def test_folders_beside_a_header_are_attributes(tmp_path: pathlib.Path) -> None:
    """Both come with each line."""
    (tmp_path / "k=v").mkdir()
    (tmp_path / "k=v" / "a.csv").write_text("text\nOne.\n")
    records, _ = read(tmp_path, "csv")
    assert [dict(record.attributes) for record in records.values()] == [{CSV_HEADER: "text", "k": "v"}]


@pytest.mark.parametrize("folder", ["k=1/k=2", f"{CSV_HEADER}=x"])
def test_folders_that_no_record_can_have_are_one_dead_letter(tmp_path: pathlib.Path, folder: str) -> None:
    """For the file, however many ranges it has."""
    path = tmp_path / folder / "a.txt"
    path.parent.mkdir(parents=True)
    path.write_text("One.\n" * 20_000)
    records, dead = read(tmp_path, "text")
    assert (records, [letter.payload_string for letter in dead]) == ({}, [str(path)])
    assert "expected folders with different keys" in dead[0].error_message


def test_a_name_that_is_not_utf8_is_escaped_in_origins(tmp_path: pathlib.Path) -> None:
    """By folder, by pattern, by its bytes, and by its origin, the records are the same."""
    path = os.fsencode(tmp_path) + b"/caf\xe9 #1\n.txt"
    with open(path, "w") as file:
        file.write("One.\nTwo.\n")
    places: list[pathlib.Path | str] = [tmp_path, tmp_path / "*.txt", os.fsdecode(path), f"{tmp_path}/caf%E9 #1\n.txt"]
    for place in places:
        records, dead = read(place, "text")
        assert (list(records), dead) == ([f"{tmp_path}/caf%E9 #1\n.txt#0", f"{tmp_path}/caf%E9 #1\n.txt#5"], [])


def test_a_name_that_is_not_utf8_is_escaped_in_dead_letters(tmp_path: pathlib.Path) -> None:
    """As everywhere."""
    with open(os.fsencode(tmp_path) + b"/caf\xe9.gz", "w") as file:
        file.write("no gz")
    _, dead = read(tmp_path, "text")
    assert [letter.payload_string for letter in dead] == [f"{tmp_path}/caf%E9.gz"]


def test_files_are_counted(tmp_path: pathlib.Path) -> None:
    """Those that are read once each, however many ranges or records they have, and those that are left out."""
    (tmp_path / "a").write_text("One.\n" * 20_000)
    (tmp_path / "empty").touch()
    (tmp_path / "_SUCCESS").touch()
    before = process_counts()
    read(tmp_path, "text")
    counts = {name: count - before.get(name, 0) for name, count in process_counts().items()}
    assert {name: counts[name] for name in ("files", "files_left_out", "records")} == {
        "files": 2,
        "files_left_out": 1,
        "records": 20_000,
    }


@pytest.mark.parametrize(
    ("header", "input_format"),
    [(b"2,Two.", "csv"), (b"id,texts", "csv"), (b"id\ttext\r1\tOne.", "tsv"), (b"", "csv"), (b'"id\ntext",x', "csv")],
)
def test_a_file_whose_header_lacks_the_texts_is_a_dead_letter(
    tmp_path: pathlib.Path, header: bytes, input_format: str
) -> None:
    """As the first line may be a record, which nothing else would hold."""
    path = tmp_path / "file"
    path.write_bytes(header + b"\n" + b"3,Three.\n" * 20_000)
    records, (letter,) = read(path, input_format, text_column="text")
    assert records == {}
    assert letter.payload_string == str(path)
    assert "expected a column 'text' in the header, the first line" in letter.error_message


@pytest.mark.parametrize("csv_multiline", [False, True])
def test_a_header_may_have_a_mark_and_quotes(tmp_path: pathlib.Path, csv_multiline: bool) -> None:
    """Spreadsheets write both."""
    (tmp_path / "a").write_bytes(b'\xef\xbb\xbf"text","id"\n"One.",1\n')
    records, dead = read(tmp_path / "a", "csv", text_column="text", csv_multiline=csv_multiline)
    assert (data_of(records), dead) == ([b'"One.",1'], [])


def test_a_quoted_header_over_lines_is_read_with_csv_multiline(tmp_path: pathlib.Path) -> None:
    """Even behind a mark."""
    (tmp_path / "a").write_bytes(b'\xef\xbb\xbf"Ticket\nid",text\n1,One.\n')
    records, dead = read(tmp_path / "a", "csv", text_column="text", csv_multiline=True)
    assert (data_of(records), dead) == ([b"1,One."], [])


def test_lines_that_a_quoted_field_joins_are_one_dead_letter(tmp_path: pathlib.Path) -> None:
    """Whole, and none of them is taken for a record."""
    record = b'1,"Hello there.\nSee you, Bob.\n""Yes"", he said."'
    (tmp_path / "a").write_bytes(b"id,text\n0,Zero.\n" + record + b"\n2,Two.\n")
    records, (letter,) = read(tmp_path / "a", "csv")
    assert data_of(records) == [b"0,Zero.", b"2,Two."]
    assert letter.payload_string == record.decode()
    assert "a quoted field over 3 lines; set csv_multiline" in letter.error_message


def test_a_quote_that_is_never_closed_costs_its_line_only(tmp_path: pathlib.Path) -> None:
    """However many lines follow, whatever quotes they have."""
    lines = [f'{n},"open' for n in range(3000)]
    lines[2000] = '2000,"closed"'
    (tmp_path / "a").write_text("id,text\n" + "\n".join(lines))
    records, _ = read(tmp_path / "a", "csv")
    assert data_of(records) == [line.encode() for line in lines]


def test_quotes_are_text_in_tsv(tmp_path: pathlib.Path) -> None:
    """No line is joined with another by them."""
    (tmp_path / "a").write_bytes(b'id\ttext\n1\t"open\n2\tend"\n')
    records, dead = read(tmp_path / "a", "tsv", text_column="text")
    assert (data_of(records), dead) == ([b'1\t"open', b'2\tend"'], [])


def tarred(files: dict[str, bytes]) -> bytes:
    """A tar file of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


PACKED = {
    "a zip file; unpack it": b"PK\x03\x04",
    "a gzip file; give its name the suffix .gz": gzip.compress(b"One."),
    "a bzip2 file; give": bz2.compress(b"One."),
    "a Parquet file; read it as input_format=parquet": b"PAR1",
    "a tar file; unpack it": tarred({"a.csv": b"text\nOne.\n", "b.csv": b"text\nTwo.\n"}),
    "a PDF file; extract its text": b"%PDF-1.7\n1 0 obj\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("input_format", ["text", "document", "csv"])
@pytest.mark.parametrize("what", PACKED)
def test_a_file_that_is_no_text_is_one_dead_letter(
    tmp_path: pathlib.Path, what: str, input_format: str, encoding: str
) -> None:
    """Even in an encoding in which all bytes are text."""
    (tmp_path / "a").write_bytes(PACKED[what] + b"\n" * 100_000)
    records, (letter,) = read(tmp_path / "a", input_format, encoding=encoding)
    assert records == {}
    assert what in letter.error_message


@pytest.mark.parametrize("input_format", ["text", "document", "csv"])
@pytest.mark.parametrize("what", PACKED)
def test_compressed_data_that_is_no_text_is_one_dead_letter(
    tmp_path: pathlib.Path, what: str, input_format: str
) -> None:
    """As tar.gz is, and what was compressed twice."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(PACKED[what] + b"\n" * 100_000))
    records, (letter,) = read(tmp_path / "a.gz", input_format)
    assert records == {}
    assert f"{what.partition(';')[0]} in gzip; unpack it" in letter.error_message


NUMBERED = b"".join(b"%d\n" % number for number in range(20_000))


def read_late(path: pathlib.Path, change: Callable[[], object], input_format: str = "text") -> Any:
    """The records and dead letters of a file that changes between its listing and its reading."""
    reader = ReadFiles([], input_format)
    ranges = [piece for file in match(str(path)).files for piece in _ranges(file, reader._splittable)]
    change()
    found = [each for piece in ranges for each in _Read(reader._read, {}).process(piece)]
    letters = [each.value for each in found if isinstance(each, TaggedOutput)]
    return [each.data for each in found if not isinstance(each, TaggedOutput)], letters


@pytest.mark.parametrize("suffix", ["", ".cr", ".16"])
@pytest.mark.parametrize("left", [0, 1, 40_000, 100_000])
def test_a_file_that_is_cut_after_it_was_listed_is_a_dead_letter(
    tmp_path: pathlib.Path, suffix: str, left: int
) -> None:
    """As by logrotate's copytruncate; the whole lines before the cut are records, a part of one is not."""
    data = NUMBERED.replace(b"\n", b"\r") if suffix == ".cr" else NUMBERED
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data.decode().encode("utf-16") if suffix == ".16" else data)
    records, letters = read_late(path, lambda: os.truncate(path, left))
    assert records == [b"%d" % number for number in range(len(records))]
    assert {letter.payload_string for letter in letters} == {str(path)}
    assert {"bytes, as when the file was listed, got fewer" in letter.error_message for letter in letters} == {True}


def test_a_document_that_is_cut_after_it_was_listed_is_a_dead_letter(tmp_path: pathlib.Path) -> None:
    """No part of it is taken for the whole."""
    (tmp_path / "a").write_bytes(NUMBERED)
    records, letters = read_late(tmp_path / "a", lambda: os.truncate(tmp_path / "a", 9), "document")
    assert (records, len(letters)) == ([], 1)


def test_a_large_file_that_is_replaced_after_it_was_listed_is_a_dead_letter(tmp_path: pathlib.Path) -> None:
    """Its ranges would be of two files, with lines lost, doubled and torn between them."""
    (tmp_path / "b").write_bytes(NUMBERED * 2)
    (tmp_path / "a").write_bytes(NUMBERED)
    os.utime(tmp_path / "a", (1, 1))
    records, letters = read_late(tmp_path / "a", lambda: os.replace(tmp_path / "b", tmp_path / "a"))
    assert (records, {letter.payload_string for letter in letters}) == ([], {str(tmp_path / "a")})
    assert "got another one in its place; read it again" in letters[0].error_message


def test_a_file_whose_inode_alone_changes_is_read(tmp_path: pathlib.Path) -> None:
    """As below FUSE, which may number inodes anew at each look."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(NUMBERED)
        os.utime(tmp_path / name, (1, 1))
    records, letters = read_late(tmp_path / "a", lambda: os.replace(tmp_path / "b", tmp_path / "a"))
    assert (len(records), letters) == (20_000, [])


@pytest.mark.parametrize("size", [1, 20_000])
def test_a_file_that_grows_after_it_was_listed_is_read_to_where_it_ended(tmp_path: pathlib.Path, size: int) -> None:
    """Nobody cut or replaced it, and a small one is read at once, whichever it is."""
    path = tmp_path / "a"
    path.write_bytes(b"%d\n" % 7 * size)
    assert read_late(path, lambda: path.open("ab").write(b"8\n")) == ([b"7"] * size, [])


def test_a_small_file_that_is_replaced_is_read_as_it_is(tmp_path: pathlib.Path) -> None:
    """It has one range, so that all its lines are of one file."""
    (tmp_path / "a").write_bytes(b"One.\n")
    (tmp_path / "b").write_bytes(b"Two.\n")
    assert read_late(tmp_path / "a", lambda: os.replace(tmp_path / "b", tmp_path / "a")) == ([b"Two."], [])


@pytest.mark.parametrize("input_format", ["text", "csv", "tsv", "jsonl"])
def test_a_line_may_end_with_several_cr_before_its_lf(tmp_path: pathlib.Path, input_format: str) -> None:
    """Windows writes CR LF as CR CR LF to a file that was opened as text."""
    (tmp_path / "a").write_bytes(b"text\ttag\r\r\nOne.\t1\r\r\nTwo.\t2\r\r\n")
    records, dead = read(tmp_path / "a", input_format)
    assert (data_of(records)[-2:], dead) == ([b"One.\t1", b"Two.\t2"], [])


def test_a_damaged_row_group_costs_only_itself(tmp_path: pathlib.Path) -> None:
    """The rows of the groups before and behind it are read, with their numbers in the file."""
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"Row {n}." for n in range(2000)]})
    pq.write_table(table, path, row_group_size=500, compression="zstd", use_dictionary=False)
    offset = pq.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(data)
    records, (letter,) = read(path, "parquet")
    numbers = sorted(int(origin.rpartition("#")[2]) for origin in records)
    assert numbers == [*range(1000), *range(1500, 2000)]
    assert letter.attributes["origin"] == f"{path}#1000"
    assert "row group 2" in letter.payload_string


def test_what_follows_an_open_quote_is_read_to_the_end_of_the_file(tmp_path: pathlib.Path) -> None:
    """Where the search for its end comes to the end of the file, the lines that it saw are still to be read."""
    (tmp_path / "a").write_bytes(b'text\n"\nOne.\nTwo.\n')
    records, dead = read(tmp_path / "a", "csv")
    assert (data_of(records), dead) == ([b'"', b"One.", b"Two."], [])


def test_a_file_of_nothing_but_a_mark_is_empty(tmp_path: pathlib.Path) -> None:
    """It has no first line."""
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf")
    assert read(tmp_path / "a", "csv", text_column="text") == ({}, [])
