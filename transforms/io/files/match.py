"""Which files a path, a folder or a pattern stands for, what they are called, and what their folders say of them."""

import os
import re
import stat
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional

from apache_beam.io.filesystem import FileMetadata, FileSystem
from apache_beam.io.filesystems import FileSystems

from transforms.io.disk import is_local
from transforms.types import CSV_HEADER

_GLOB = re.compile(r"[\[*?]")
_PARTITION = re.compile(r"([^=]+)=(.*)", re.DOTALL)
# How the folders begin that a killed run of Beam's own file sinks leaves.
_BEAM_TEMP = "beam-temp-"
# How Hive and Spark write a null.
_NULL = "__HIVE_DEFAULT_PARTITION__"


class File(NamedTuple):
    """A path that was found.

    Attributes:
        path: the path.
        size: its size in bytes; None if it cannot be opened as a file.
        modified: when it was last modified, in microseconds since the Unix epoch; None if that is not known.
        inode: what tells it from one that is put in its place, if it is local; 0 if not.
    """

    path: str
    size: Optional[int]
    modified: Optional[int] = None
    inode: int = 0


class Matched(NamedTuple):
    """What a place stands for.

    Attributes:
        files: the files to read.
        left_out: what else was found: hidden files, links to files that were found too, links to folders, and pipes.
    """

    files: list[File]
    left_out: list[File]


def match(place: str) -> Matched:
    """The files that a path, a folder or a pattern of Beam's stands for.

    A file that exists is meant by its path, whatever characters its name has. So is a folder, which stands for all
    files below it, at any depth; only what does not exist is a pattern. In a folder or a pattern, names that begin with
    "." or "_" are left out, as in Hadoop, and with a folder of such a name all that is below it, save "_key=value"; so
    are the temporary folders of Beam's own sinks.
    A file is also found by the name that `printable` gives it.

    Raises:
        BeamIOError: if a place cannot be looked at.
        ValueError: if there is no file system of its scheme, or it is a pipe or a device.
    """
    found = _match(place)
    raw = urllib.parse.unquote(place, errors="surrogateescape")
    if not any(found) and raw != place and printable(raw) == place:
        return _match(raw)
    return found


def _match(place: str) -> Matched:
    here = is_local(place)
    if not place.endswith("/") and not (here and os.path.isdir(place)) and FileSystems.exists(place):
        file = _file(place) if here else _object(FileSystems.get_filesystem(place).metadata(place))
        if file.size is None:
            raise ValueError(f"expected a file, folder or pattern, got {place!r}, a pipe or device; copy it to a file")
        return Matched([file], [])
    root, found = _local(place) if here else _remote(place)
    matched = Matched([], [])
    for file in found:
        hidden = is_hidden(file.path.removeprefix(root))
        (matched.left_out if hidden or file.size is None else matched.files).append(file)
    return _without_doubles(matched) if here else matched


def _without_doubles(matched: Matched) -> Matched:
    """What was found, without links to files that were found too."""
    links = {file.path: os.path.realpath(file.path) for file in matched.files if os.path.islink(file.path)}
    if not links:
        return matched
    found = {os.path.realpath(file.path) for file in matched.files if file.path not in links}
    doubles = set()
    for link, target in links.items():
        if target in found:
            doubles.add(link)
        found.add(target)
    files = [file for file in matched.files if file.path not in doubles]
    return Matched(files, [*matched.left_out, *(file for file in matched.files if file.path in doubles)])


def is_hidden(path: str) -> bool:
    """Whether a file is left out, given its path below a folder that is read."""
    *folders, name = path.split("/")
    return name.startswith((".", "_")) or any(
        folder.startswith((".", _BEAM_TEMP)) or (folder.startswith("_") and "=" not in folder) for folder in folders
    )


def would_read(place: str, path: str) -> bool:
    """Whether a read of `place`, as in `match`, would read the file `path`, which need not exist yet."""
    if not is_local(place) or not is_local(path):
        pattern = place + "**" if place.endswith("/") else place
        return bool(re.match(FileSystem.translate_pattern(pattern), path))
    path = os.path.realpath(path)
    if os.path.exists(place) and not os.path.isdir(place):
        return os.path.realpath(place) == path
    root, rest = _root(place)
    folder = os.path.join(os.path.realpath(root or "."), "")
    below = path.removeprefix(folder)
    found = below != path and rest and re.match(FileSystem.translate_pattern(rest), below)
    return bool(found) and not is_hidden(below)


def _root(place: str) -> tuple[str, str]:
    """The folder that a local folder or pattern begins with, and the pattern of files below it; "" if it has none."""
    root, rest = "", f"{place.rstrip('/')}/" if os.path.isdir(place) else place
    while (end := rest.find("/") + 1) and os.path.isdir(root + rest[:end]):
        root, rest = root + rest[:end], rest[end:]
    if (root and not rest) or rest.endswith("/"):
        rest += "**"
    glob = _GLOB.search(rest)
    return root, "" if not glob or "/" in rest[: glob.start()] else rest


def _local(place: str) -> tuple[str, Iterable[File]]:
    """The folder that a folder or a pattern begins with, and what of the things below it matches the rest."""
    root, rest = _root(place)
    matches = re.compile(FileSystem.translate_pattern(rest)).match
    return root, (_file(path) for path in _walk(root) if matches(path.removeprefix(root))) if rest else ()


def _file(path: str) -> File:
    try:
        found = os.stat(path)
    except OSError:
        # A link to nothing, or a file that has been removed since it was listed.
        return File(path, None)
    size = found.st_size if stat.S_ISREG(found.st_mode) else None
    return File(path, size, found.st_mtime_ns // 1000, found.st_ino)


def _object(found: FileMetadata) -> File:
    seconds = found.last_updated_in_seconds
    return File(found.path, found.size_in_bytes, int(seconds * 1_000_000) if seconds else None)


def _walk(root: str) -> Iterator[str]:
    """All paths below a folder, "" for the current one, save folders that were looked into."""
    closed: list[str] = []
    for folder, below, names in os.walk(root or ".", onerror=lambda error: closed.append(error.filename)):
        # A link is not followed: what it points to may be read under its own name, or contain the link.
        links = [name for name in below if os.path.islink(os.path.join(folder, name))]
        for name in (*names, *links):
            path = os.path.join(folder, name)
            yield path if root else path.removeprefix("./")
    yield from closed


def _remote(place: str) -> tuple[str, Iterable[File]]:
    """As _local, in an object store, which has no folders but names that share a beginning."""
    if place.endswith("/"):
        # Beam's patterns have no escapes, so that a pattern for any characters is narrowed down afterwards.
        below = [file for file in _objects(_GLOB.sub("?", place) + "**") if file.path.startswith(place)]
        if below:
            return place, below
        place += "**"
    glob = _GLOB.search(place)
    root = place[: glob.start()].rpartition("/")[0] if glob else place
    return f"{root}/", _objects(place)


def _objects(pattern: str) -> Iterator[File]:
    for file in FileSystems.match([pattern])[0].metadata_list:
        # Consoles mark a folder by an empty object.
        if not file.path.endswith("/"):
            yield _object(file)


def printable(path: str) -> str:
    r"""A path as text, by which `match` finds it: percent-escaped if its bytes are not UTF-8.

    >>> printable(os.fsdecode(b"caf\xe9.txt"))
    'caf%E9.txt'

    No two paths get the same text: one that looks like an escape is escaped as well. All others stay as they are.
    """
    read = path
    while _is_text(read) and (further := urllib.parse.unquote(read, errors="surrogateescape")) != read:
        read = further
    if _is_text(read):
        return path
    return re.sub("[\udc80-\udcff]", lambda found: f"%{ord(found[0]) - 0xDC00:02X}", path.replace("%", "%25"))


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def absolute(path: str) -> str:
    """A local path from the root, and any other unchanged."""
    return os.path.abspath(path) if is_local(path) else path


def partitions(path: str) -> dict[str, str]:
    """What the folders of a path say of its records: the value of each key in key=value, as Hive and Spark write them.

    >>> partitions("in/year=2024/place=K%C3%B6ln/part-0.parquet")
    {'year': '2024', 'place': 'Köln'}

    All folders of the path count, however it was given, so that a file's records are the same by whatever path.
    A null has no value.

    Raises:
        ValueError: if two folders have the same key, or one has a key that is not for users.
    """
    values: dict[str, str] = {}
    for folder in path.split("/")[:-1]:
        if pair := _PARTITION.fullmatch(folder):
            key, value = map(_unescaped, pair.groups())
            if key in values or key == CSV_HEADER:
                raise ValueError(f"expected folders with different keys, none of them {CSV_HEADER!r}, got {path!r}")
            values[key] = value
    return {key: value for key, value in values.items() if value != _NULL}


def _unescaped(text: str) -> str:
    try:
        return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError:
        return text
