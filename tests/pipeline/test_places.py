"""What the names of places stand for."""

import pathlib

import pytest
from apache_beam.io.filesystems import FileSystems
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.places import literal, shard, shards

# Brackets, wildcards, dots and what stands for a regular expression's own signs.
PARTS = st.text("ab.-+*?[]!^", min_size=1, max_size=6).filter(lambda part: part not in (".", ".."))


def matches(pattern: pathlib.Path | str) -> list[str]:
    """The paths that Beam finds."""
    return [file.path for file in FileSystems.match([str(pattern)])[0].metadata_list]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.sets(PARTS, min_size=2, max_size=4))
def test_a_literal_matches_one_file(tmp_path_factory: pytest.TempPathFactory, parts: set[str]) -> None:
    """The one that it names, whatever its name means as a pattern."""
    folder = tmp_path_factory.mktemp("literal")
    for part in parts:
        (folder / part).touch()
    for part in parts:
        assert matches(literal(str(folder / part))) == [str(folder / part)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(PARTS)
def test_the_files_of_a_prefix_are_found(tmp_path_factory: pytest.TempPathFactory, part: str) -> None:
    """All of any number of shards, and no others."""
    folder = tmp_path_factory.mktemp("shards") / part
    folder.mkdir()
    files = [shard(str(folder / part), number, 2, "avro") for number in range(2)]
    for path in (*files, f"{folder}/{part}-alpha-of-omega.avro", f"{folder}/{part}-00000-of-00002.jsonl"):
        pathlib.Path(path).touch()
    assert sorted(matches(shards(str(folder / part), "avro"))) == files
