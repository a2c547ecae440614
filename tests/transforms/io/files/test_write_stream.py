"""Files of a stream: one a bundle, on the disk before its messages are acknowledged."""

import os
import pathlib

import pytest
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from tests.conftest import sentence
from transforms.io.files.write_stream import _Write
from transforms.kinds import ROWS
from transforms.types import SentenceEmbedding

ROW = SentenceEmbedding(*sentence("Hi."), b"\0" * 4, "model", "v1", "float32", 3, False)


@pytest.mark.parametrize("file_format", ["jsonl", "parquet", "avro"])
def test_a_bundle_that_cannot_be_written_leaves_no_part_of_a_file(tmp_path: pathlib.Path, file_format: str) -> None:
    """It comes again and again, and a disk that is full would never be less so."""
    write = _Write(str(tmp_path / "rows"), file_format, ROWS)
    write.start_bundle()
    write.process(ROW._replace(content="\ud800"), Timestamp(5), GlobalWindow())
    with pytest.raises(UnicodeEncodeError):
        list(write.finish_bundle())
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_on_the_disk_when_its_bundle_ends(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First its data, then its name, because a machine may stop at any time."""
    calls = []
    sync, rename = os.fsync, os.rename

    def spy_sync(descriptor: int) -> None:
        calls.append(("sync", pathlib.Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        sync(descriptor)

    def spy_rename(before: str, after: str) -> None:
        calls.append(("rename", pathlib.Path(after).name))
        rename(before, after)

    monkeypatch.setattr(os, "fsync", spy_sync)
    monkeypatch.setattr(os, "rename", spy_rename)
    write = _Write(str(tmp_path / "rows"), "jsonl", ROWS)
    write.start_bundle()
    write.process(ROW, Timestamp(5), GlobalWindow())
    assert list(write.finish_bundle()) == [WindowedValue(ROW, Timestamp(5), (GlobalWindow(),))]
    (path,) = tmp_path.iterdir()
    (_, part), *after = calls
    assert part.startswith(f".{path.name}.")
    assert after == [("rename", path.name), ("sync", tmp_path.name)]
