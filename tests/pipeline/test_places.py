"""What the names of places stand for."""

import pathlib

import pytest
from apache_beam.io.filesystems import FileSystems
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.places import literal, pattern_of, shard, shards, would_match

# Brackets, wildcards, dots and what stands for a regular expression's own signs.
PARTS = st.text("ab.-+*?[]!^", min_size=1, max_size=6).filter(lambda part: part not in (".", ".."))
PATTERNS = st.text("ab*?/", min_size=1, max_size=6).filter(lambda pattern: not pattern.startswith("/"))


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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.sets(st.sampled_from(["a", "b", "ab", "x/a", "x/b", "x/y/ab"]), min_size=1), PATTERNS)
def test_a_file_would_match_if_beam_finds_it(
    tmp_path_factory: pytest.TempPathFactory, parts: set[str], pattern: str
) -> None:
    """Without a look at the file, which need not be there yet."""
    folder = tmp_path_factory.mktemp("a [1] folder")
    for part in parts:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).touch()
    absolute = pattern_of(f"{literal(str(folder))}/{pattern}")
    found = matches(absolute)
    for part in () if (folder / pattern).exists() else parts:
        assert would_match(absolute, str(folder / part)) == (str(folder / part) in found)


def test_a_pattern_without_a_folder_is_of_the_working_directory(in_directory: pathlib.Path) -> None:
    """As a shell reads it."""
    assert would_match("*.jsonl", str(in_directory / "rows-00000-of-00001.jsonl"))
    assert not would_match("*.jsonl", "/rows-00000-of-00001.jsonl")


def test_names_of_a_bucket_are_compared_as_they_are() -> None:
    """They have no working directory."""
    assert would_match("gs://b/in/**", "gs://b/in/rows-00000-of-00001.jsonl")
    assert not would_match("gs://b/in/*", "gs://b/in/deeper/rows-00000-of-00001.jsonl")
    assert not would_match("gs://b/in/**", "/in/rows-00000-of-00001.jsonl")
