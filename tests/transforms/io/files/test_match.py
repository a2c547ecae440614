import os
import pathlib
from collections.abc import Sequence

import pytest
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.gcp.gcsfilesystem import GCSFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.io.files.match import match, partitions, printable, would_read
from transforms.types import CSV_HEADER


def make(folder: pathlib.Path, *names: str) -> None:
    """Make empty files under `folder`."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(place: pathlib.Path | str) -> tuple[set[str], set[str]]:
    """The paths of the files that a place stands for, and of those left out."""
    matched = match(str(place))
    return {file.path for file in matched.files}, {file.path for file in matched.left_out}


def below(folder: pathlib.Path, *names: str) -> set[str]:
    """These paths under `folder`."""
    return {str(folder / name) for name in names}


@pytest.mark.parametrize(
    ("name", "other"), [("a[1].txt", "a1.txt"), ("a*.txt", "ab.txt"), ("a?.txt", "ab.txt"), ("[!a].txt", "b.txt")]
)
def test_a_file_that_exists_wins_over_its_reading_as_a_pattern(tmp_path: pathlib.Path, name: str, other: str) -> None:
    """Without it, it is a pattern."""
    make(tmp_path, name, other)
    assert found(tmp_path / name) == (below(tmp_path, name), set())
    (tmp_path / name).unlink()
    assert found(tmp_path / name) == (below(tmp_path, other), set())


@pytest.mark.parametrize("folder", ["notes [2024]", "n*", "n?", "[", "a]b["])
@pytest.mark.parametrize("end", ["", "/", "/*.txt", "/*", "/**"])
def test_a_folder_that_exists_wins_over_its_reading_as_a_pattern(tmp_path: pathlib.Path, folder: str, end: str) -> None:
    """Alone, or at the beginning of a pattern; what is inside has such names too."""
    make(tmp_path, f"{folder}/a.txt", f"{folder}/b[1].txt", "notes 2/c.txt", "na/c.txt")
    assert found(f"{tmp_path / folder}{end}") == (below(tmp_path, f"{folder}/a.txt", f"{folder}/b[1].txt"), set())


def test_a_folder_is_read_at_any_depth(tmp_path: pathlib.Path) -> None:
    """Its files have the same paths however its own path ends."""
    make(tmp_path, "a", "deep/er/b", "deep/[x]/c")
    for place in (str(tmp_path), f"{tmp_path}/", f"{tmp_path}/**"):
        assert found(place) == (below(tmp_path, "a", "deep/er/b", "deep/[x]/c"), set())


def test_a_pattern_may_be_of_folders(tmp_path: pathlib.Path) -> None:
    """As Beam reads it: * stays in a folder, ** does not, and a last slash stands for all below."""
    make(tmp_path, "in/a/x.txt", "in/b/y.txt", "in/b/c/z.txt")
    assert found(tmp_path / "in/*/*.txt")[0] == below(tmp_path, "in/a/x.txt", "in/b/y.txt")
    assert found(tmp_path / "in/**.txt")[0] == below(tmp_path, "in/a/x.txt", "in/b/y.txt", "in/b/c/z.txt")
    assert found(f"{tmp_path}/in/b*/")[0] == below(tmp_path, "in/b/y.txt", "in/b/c/z.txt")


def test_patterns_and_folders_may_be_relative(in_directory: pathlib.Path) -> None:
    """Paths are relative then."""
    make(in_directory, "a.txt", "d/b.txt")
    assert found("*.txt") == ({"a.txt"}, set())
    assert found("./*.txt") == ({"./a.txt"}, set())
    assert found(".") == ({"./a.txt", "./d/b.txt"}, set())
    assert found("d") == ({"d/b.txt"}, set())


@pytest.mark.parametrize("place", ["no/such/file", "no/such/*.txt", "no*", "no/", "a.txt/", ""])
def test_what_does_not_exist_is_nothing(in_directory: pathlib.Path, place: str) -> None:
    """Whatever else there is."""
    make(in_directory, "a.txt")
    assert found(place) == (set(), set())


HIDDEN = [
    ".part-0.crc",
    "_SUCCESS",
    ".DS_Store",
    "_temporary/0/part-1",
    ".git/config",
    "k=1/.x",
    "k=1/_delta_log/0.json",
]


def test_hidden_names_are_left_out(tmp_path: pathlib.Path) -> None:
    """In a folder, and in a pattern that matches them; a partition is not hidden by its key."""
    make(tmp_path, *HIDDEN, "part-0", "k=1/part-1", "_k=2/part-2")
    expected = below(tmp_path, "part-0", "k=1/part-1", "_k=2/part-2"), below(tmp_path, *HIDDEN)
    assert found(tmp_path) == found(tmp_path / "**") == expected
    assert found(tmp_path / "*") == (below(tmp_path, "part-0"), below(tmp_path, *HIDDEN[:3]))
    assert found(tmp_path / "_*") == (set(), below(tmp_path, "_SUCCESS"))


@pytest.mark.parametrize("name", HIDDEN)
def test_a_hidden_file_is_read_if_it_is_named(tmp_path: pathlib.Path, name: str) -> None:
    """Itself, or the hidden folder that it is in."""
    make(tmp_path, name)
    assert found(tmp_path / name) == (below(tmp_path, name), set())


@pytest.mark.parametrize("folder", ["_temporary", ".git"])
@pytest.mark.parametrize("end", ["", "/", "/*"])
def test_a_hidden_folder_is_read_if_it_is_named(tmp_path: pathlib.Path, folder: str, end: str) -> None:
    """What is hidden in it is left out all the same."""
    make(tmp_path, f"{folder}/a", f"{folder}/.b")
    assert found(f"{tmp_path / folder}{end}") == (below(tmp_path, f"{folder}/a"), below(tmp_path, f"{folder}/.b"))


def test_what_is_not_a_file_is_left_out(tmp_path: pathlib.Path) -> None:
    """A pipe would be waited for without end, and a linked folder may be read under its own name."""
    make(tmp_path, "in/a", "in/b/c")
    os.mkfifo(tmp_path / "in/pipe")
    for name, to in (("linked", "b"), ("broken", "nothing"), ("loop", ".")):
        (tmp_path / "in" / name).symlink_to(to)
    left_out = below(tmp_path, "in/pipe", "in/linked", "in/broken", "in/loop")
    assert found(tmp_path / "in") == (below(tmp_path, "in/a", "in/b/c"), left_out)


def test_a_pipe_by_its_path_is_refused(tmp_path: pathlib.Path) -> None:
    """It could be read only once, and by one worker."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="got '.*/pipe', a pipe or device; copy it to a file$"):
        match(str(tmp_path / "pipe"))


@given(st.lists(st.binary(min_size=1, max_size=6), min_size=2, max_size=2), st.integers(0, 3))
def test_no_two_paths_are_printed_alike(names: list[bytes], times: int) -> None:
    """Not even a name that is another's escape, or the escape of its escape."""
    paths = [os.fsdecode(name) for name in names]
    escaped = paths[0]
    for _ in range(times):
        escaped = printable(escaped) if escaped != printable(escaped) else escaped.replace("%", "%25")
    for other in (paths[1], escaped):
        printable(other).encode()
        assert (printable(paths[0]) == printable(other)) == (paths[0] == other)


@pytest.mark.parametrize("path", ["a.txt", "Köln %20 100%.txt", "caf%C3%A9.txt", "%25.txt", "x#1\n.txt"])
def test_most_paths_are_printed_as_they_are(path: str) -> None:
    """Ids are made of them."""
    assert printable(path) == path


@pytest.mark.parametrize("name", [b"caf\xe9.txt", b"100%\xff [1].txt", b"caf%E9.txt", b"caf%25E9.txt", b"\xed\xa0\x80"])
def test_a_file_is_found_by_its_printed_name(tmp_path: pathlib.Path, name: bytes) -> None:
    """And so is a folder."""
    path = os.path.join(tmp_path, os.fsdecode(name))
    make(tmp_path, path)
    assert found(printable(path)) == ({path}, set())
    os.unlink(path)
    make(tmp_path, f"{path}/x")
    assert found(printable(path)) == ({f"{path}/x"}, set())


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("in/lang=en/part-0.parquet", {"lang": "en"}),
        ("gs://b/year=2024/month=01/x", {"year": "2024", "month": "01"}),
        ("in/at=2024-01-02 03%3A04%3A05/x", {"at": "2024-01-02 03:04:05"}),
        ("in/a%2Fb=c%3Dd%25/x", {"a/b": "c=d%"}),
        ("in/place=K%C3%B6ln/x", {"place": "Köln"}),
        ("in/formula=a=b/x", {"formula": "a=b"}),
        ("in/empty=/x", {"empty": ""}),
        ("in/caf%E9=1/x", {"caf%E9": "1"}),
        ("in/lang=__HIVE_DEFAULT_PARTITION__/n=1/x", {"n": "1"}),
        ("in/=x/x=y.txt", {}),
        ("lang=en", {}),
    ],
)
def test_folders_tell_what_their_files_are_of(path: str, values: dict[str, str]) -> None:
    """As Hive and Spark write them."""
    assert partitions(path) == values


@pytest.mark.parametrize("path", ["k=1/k=2/x", "k=1/k=1/x", "k=__HIVE_DEFAULT_PARTITION__/k=1/x", f"{CSV_HEADER}=1/x"])
def test_folders_that_would_need_one_place_are_refused(path: str) -> None:
    """Whatever their values."""
    with pytest.raises(ValueError, match="^expected folders with different keys"):
        partitions(path)


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names in an object store, for a test to fill: no server, as only its listing counts here."""
    names: list[str] = []

    def listed(store: GCSFileSystem, prefix: str) -> Sequence[FileMetadata]:
        return [FileMetadata(name, 1) for name in names if name.startswith(prefix)]

    monkeypatch.setattr(GCSFileSystem, "_list", listed)
    monkeypatch.setattr(GCSFileSystem, "exists", lambda store, path: path in names)
    monkeypatch.setattr(GCSFileSystem, "metadata", lambda store, path: FileMetadata(path, 1))
    return names


def test_an_object_store_is_matched_alike(objects: list[str]) -> None:
    """Its folders are no objects, save for the marks of consoles."""
    objects += [
        f"gs://b/{name}" for name in ("x[1]", "x1", "d[1]/", "d[1]/a", "d[1]/_b", "d[1]/c/.d/e", "d1/f", ".h/i")
    ]
    assert found("gs://b/x[1]") == ({"gs://b/x[1]"}, set())
    assert found("gs://b/d[1]/") == ({"gs://b/d[1]/a"}, {"gs://b/d[1]/_b", "gs://b/d[1]/c/.d/e"})
    assert found("gs://b/d[1]/*") == ({"gs://b/d1/f"}, set())
    assert found("gs://b/*/") == (
        {"gs://b/d[1]/a", "gs://b/d1/f"},
        {"gs://b/d[1]/_b", "gs://b/d[1]/c/.d/e", "gs://b/.h/i"},
    )
    assert found("gs://b/.h/*") == found("gs://b/.h/") == ({"gs://b/.h/i"}, set())
    assert found("gs://b/x2") == (set(), set())


NAMES_BELOW = st.sets(st.sampled_from(["a", "b", "ab", "_a", "x/a", "x/b", ".x/a", "x/y/ab", "_k=v/a"]), min_size=1)
PATTERNS_BELOW = st.text("ab*?/", max_size=6).filter(lambda pattern: not pattern.startswith("/"))


@given(NAMES_BELOW, PATTERNS_BELOW)
@settings(max_examples=50)
def test_a_file_that_is_not_there_yet_would_be_read_if_it_were(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], pattern: str
) -> None:
    """By a folder, and by any pattern."""
    folder = tmp_path_factory.mktemp("a [1] folder")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    place = f"{folder}/{pattern}"
    found = {file.path for file in match(place).files}
    for name in names:
        assert would_read(place, str(folder / name)) == (str(folder / name) in found)


def test_a_pattern_without_a_folder_is_of_the_working_directory(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a shell reads it."""
    monkeypatch.chdir(tmp_path)
    assert would_read("*.jsonl", str(tmp_path / "rows.jsonl"))
    assert not would_read("*.jsonl", "/rows.jsonl")


def test_names_of_a_bucket_are_compared_as_they_are() -> None:
    """They have no working directory."""
    assert would_read("gs://b/in/", "gs://b/in/rows-00000-of-00001.jsonl")
    assert not would_read("gs://b/in/*", "gs://b/in/deeper/rows-00000-of-00001.jsonl")
    assert not would_read("gs://b/in/**", "/in/rows-00000-of-00001.jsonl")


def test_a_link_to_a_file_that_is_read_is_left_out(tmp_path: pathlib.Path) -> None:
    """So are a second link to one file, and a link to a link; a link to a file elsewhere is read."""
    (tmp_path / "elsewhere").touch()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "2024.csv").touch()
    for link, target in {"latest.csv": "2024.csv", "newest.csv": "latest.csv", "a": "../elsewhere", "b": "a"}.items():
        (tmp_path / "in" / link).symlink_to(target)
    found = match(str(tmp_path / "in"))
    assert len(found.files) == 2
    assert {pathlib.Path(file.path).resolve().name for file in found.files} == {"2024.csv", "elsewhere"}
    assert len(found.left_out) == 3
