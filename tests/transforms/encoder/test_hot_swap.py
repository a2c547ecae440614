import gc
import logging
import os
import pathlib
import shutil
import time
import weakref
from collections.abc import Callable

import pytest

from transforms import EmbedSentences
from transforms.encoder.catalogue import newest_version
from transforms.encoder.hot_swap import CurrentEncoder, current_encoder, load_unshared
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import TextEncoder, load_encoder


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


def test_a_refused_version_that_is_mended_in_place_is_taken_up(
    versions: pathlib.Path, text_encoder: pathlib.Path, other_tiny_bert: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its files are read again, though a model of its path was loaded once."""
    caplog.set_level(logging.ERROR)
    current = CurrentEncoder(EncoderOptions(str(versions), max_seq_length=40), 0.05)
    before = current.get().version
    shutil.copytree(text_encoder, versions / "2")
    assert wait_for(lambda: bool(current.get()) and "refused the model version" in caplog.text)
    shutil.rmtree(versions / "2")
    shutil.copytree(other_tiny_bert, versions / "2")
    assert wait_for(lambda: current.get().version != before)


def test_files_that_keep_their_size_and_time_are_seen_to_change(versions: pathlib.Path) -> None:
    """A copy that keeps times is a change."""
    weights = versions / "1" / "encoder" / "variables" / "variables.data-00000-of-00001"
    before, stat = newest_version(str(versions)), weights.stat()
    weights.write_bytes(weights.read_bytes()[::-1])
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert newest_version(str(versions)) != before


def test_what_is_not_in_use_is_freed(
    versions: pathlib.Path, text_encoder: pathlib.Path, other_tiny_bert: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The version that another replaced, and the one that was refused; memory holds one model."""
    caplog.set_level(logging.ERROR)
    loaded: list[weakref.ref[TextEncoder]] = []

    def load(options: EncoderOptions) -> TextEncoder:
        encoder = load_unshared(options)
        loaded.append(weakref.ref(encoder))
        return encoder

    current = CurrentEncoder(EncoderOptions(str(versions), max_seq_length=40), 0.05, load)
    before = current.get().version
    shutil.copytree(text_encoder, versions / "2")
    assert wait_for(lambda: bool(current.get()) and "refused the model version" in caplog.text)
    shutil.copytree(other_tiny_bert, versions / "3")
    assert wait_for(lambda: current.get().version != before)
    assert wait_for(lambda: gc.collect() >= 0 and [ref() is not None for ref in loaded] == [False, False, True])


def test_a_watched_model_is_shared_in_a_process(versions: pathlib.Path) -> None:
    """By all stages that watch it, and no other cache holds its versions."""
    options = EncoderOptions(str(versions), max_seq_length=40)
    shared = current_encoder(options, 5)
    assert current_encoder(EncoderOptions(str(versions), max_seq_length=40), 5) is shared
    assert load_encoder(EncoderOptions(str(versions / "1"), max_seq_length=40)) is not shared.get()


def test_an_error_without_text_is_told_by_its_name(versions: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """As Python's own MemoryError comes."""
    caplog.set_level(logging.ERROR)

    def load(options: EncoderOptions) -> TextEncoder:
        if options.model.endswith("/2"):
            raise MemoryError
        return load_encoder(options)

    current = CurrentEncoder(EncoderOptions(str(versions), max_seq_length=40), 0.05, load)
    shutil.copytree(versions / "1", versions / "2")
    assert wait_for(lambda: bool(current.get()) and "refused the model version" in caplog.text)
    assert f"keeping {versions}/1: MemoryError" in caplog.text


@pytest.mark.parametrize("model", ["gs://bucket/model", "https://tfhub.dev/x/1", "minilm", "unversioned"])
def test_only_a_directory_of_versions_is_watched(in_directory: pathlib.Path, model: str) -> None:
    """Anything else would never have another version, without a word."""
    (in_directory / "unversioned" / "encoder").mkdir(parents=True)
    with pytest.raises(ValueError, match=f"^expected model as a local directory of numbered .*, got '{model}'"):
        EmbedSentences(model, model_poll_seconds=60)
    with pytest.raises(ValueError, match="^expected model as a local directory of numbered"):
        CurrentEncoder(EncoderOptions(model), 60)


def test_a_directory_that_only_workers_have_may_be_watched() -> None:
    """What a machine cannot look at is looked at where it is loaded."""
    assert EmbedSentences("/only/on/workers", model_poll_seconds=60)
