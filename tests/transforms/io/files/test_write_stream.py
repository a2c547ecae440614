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
    row = SentenceEmbedding(*sentence("Hi."), b"\0" * 4, "model", "v1", "float32", 3, False)
    write.process(row, Timestamp(5), GlobalWindow())
    assert list(write.finish_bundle()) == [WindowedValue(row, Timestamp(5), (GlobalWindow(),))]
    (path,) = tmp_path.iterdir()
    assert calls == [("sync", f".{path.name}.{os.getpid()}.part"), ("rename", path.name), ("sync", tmp_path.name)]
