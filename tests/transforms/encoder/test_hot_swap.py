import logging
import pathlib
import shutil
import time
from collections.abc import Callable

import pytest

from transforms.encoder.catalogue import newest_version
from transforms.encoder.hot_swap import CurrentEncoder
from transforms.encoder.options import EncoderOptions


def wait_for(condition: Callable[[], bool]) -> bool:
    """Whether `condition` comes true within half a minute."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not condition():
        time.sleep(0.05)
    return condition()


@pytest.fixture
def versions(tmp_path: pathlib.Path, tiny_bert: pathlib.Path) -> pathlib.Path:
    """A directory of versions with one in it."""
    shutil.copytree(tiny_bert, tmp_path / "model" / "1")
    return tmp_path / "model"


def test_the_highest_number_is_in_use(versions: pathlib.Path) -> None:
    """As TensorFlow Serving has it: 10 comes after 9, and other names do not count."""
    for name in ("9", "10", "notes"):
        (versions / name).mkdir()
    assert newest_version(str(versions))[0] == str(versions / "10")


def test_a_new_version_is_taken_up_and_its_rows_say_so(versions: pathlib.Path, other_tiny_bert: pathlib.Path) -> None:
    """The name stays, the version changes, and no call waits for it."""
    current = CurrentEncoder(EncoderOptions(str(versions), max_seq_length=40), 0.05)
    before = current.get()
    shutil.copytree(other_tiny_bert, versions / "2")
    assert wait_for(lambda: current.get().version != before.version)
    assert current.get().name == before.name == "model"


def test_a_broken_version_is_refused_with_one_line(versions: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """The one in use stays, and the broken one is not tried over and over."""
    caplog.set_level(logging.ERROR)
    current = CurrentEncoder(EncoderOptions(str(versions), max_seq_length=40), 0.05)
    before = current.get()
    # Broken before it is there: the watcher must not see a whole one.
    shutil.copytree(versions / "1", versions.parent / "broken")
    (versions.parent / "broken" / "encoder" / "variables" / "variables.data-00000-of-00001").write_bytes(b"broken")
    (versions.parent / "broken").rename(versions / "2")

    def refused() -> bool:
        current.get()
        return "refused the model version" in caplog.text

    assert wait_for(refused)
    for _ in range(20):
        assert current.get() is before
        time.sleep(0.05)
    assert caplog.text.count("refused the model version") == 1


def test_a_version_of_another_dimension_is_refused(
    versions: pathlib.Path, text_encoder: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A table's vectors are all of one length."""
    caplog.set_level(logging.ERROR)
    current = CurrentEncoder(EncoderOptions(str(versions), max_seq_length=40), 0.05)
    shutil.copytree(text_encoder, versions / "2")

    def refused() -> bool:
        current.get()
        return "expected vectors of 16 numbers, got 4" in caplog.text

    assert wait_for(refused)


def test_without_watching_the_version_stays(versions: pathlib.Path) -> None:
    """By default a run uses one version from its beginning to its end."""
    current = CurrentEncoder(EncoderOptions(str(versions), max_seq_length=40))
    shutil.copytree(versions / "1", versions / "2")
    before = current.get()
    time.sleep(0.2)
    assert current.get() is before
