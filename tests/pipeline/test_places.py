"""What the names of places stand for."""

import pathlib
from typing import Any

import pytest
from apache_beam.io.filesystems import FileSystems
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.names import Place, place_of
from pipeline.places import literal, shard, shards

# Brackets, wildcards, dots and what stands for a regular expression's own signs.
PARTS = st.text("ab.-+*?[]!^", min_size=1, max_size=6).filter(lambda part: part not in (".", ".."))


def matches(pattern: pathlib.Path | str) -> list[str]:
    """The paths that Beam finds."""
    return [file.path for file in FileSystems.match([str(pattern)])[0].metadata_list]


@settings(max_examples=50)
@given(st.sets(PARTS, min_size=2, max_size=4))
def test_a_literal_matches_one_file(tmp_path_factory: pytest.TempPathFactory, parts: set[str]) -> None:
    """The one that it names, whatever its name means as a pattern."""
    folder = tmp_path_factory.mktemp("literal")
    for part in parts:
        (folder / part).touch()
    for part in parts:
        assert matches(literal(str(folder / part))) == [str(folder / part)]


@settings(max_examples=50)
@given(PARTS)
def test_the_files_of_a_prefix_are_found(tmp_path_factory: pytest.TempPathFactory, part: str) -> None:
    """All of any number of shards, and no others."""
    folder = tmp_path_factory.mktemp("shards") / part
    folder.mkdir()
    files = [shard(str(folder / part), number, 2, "avro") for number in range(2)]
    for path in (*files, f"{folder}/{part}-alpha-of-omega.avro", f"{folder}/{part}-00000-of-00002.jsonl"):
        pathlib.Path(path).touch()
    assert sorted(matches(shards(str(folder / part), "avro"))) == files


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("out/rows-00000-of-00001.parquet", ("out/rows", "parquet", True)),
        ("rows-20261126T081500-0123456789ab.jsonl", ("rows", "jsonl", True)),
        ("/out/rows-20261126T081500-0123456789ab-00001-of-00002.avro", ("/out/rows", "avro", True)),
        ("out/a-00000-of-00001-00000-of-00001.parquet", ("out/a-00000-of-00001", "parquet", True)),
        ("out/all.parquet", ("out/all", "parquet", False)),
        ("out/all", ("out/all", "", False)),
    ],
)
def test_the_name_of_a_file_says_its_place(name: str, place: Any) -> None:
    """Whoever of the pipeline's writers made it."""
    assert place_of(name) == Place(*place)


def test_the_names_of_a_batch_are_understood() -> None:
    """As `places` makes them."""
    assert place_of(shard("/out/rows", 3, 12, "avro")) == Place("/out/rows", "avro", True)
