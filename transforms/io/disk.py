"""The file system of this machine: which paths are on it, and what is on its disk, whole, when a function returns."""

import contextlib
import os
import pathlib
import uuid
from collections.abc import Iterator

from apache_beam.io.filesystems import FileSystems


def is_local(path: str) -> bool:
    """Whether `path`, of a file, folder or pattern, is on the file system of this machine."""
    return FileSystems.get_scheme(path) is None


def sync(path: str) -> None:
    """Waits until the data of a local file, or the names in a local folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def whole_file(folder: str, name: str) -> Iterator[str]:
    """A path to write a file to, which is `name` in `folder` when the block ends, and on the disk if it is local.

    Until then, a leading dot hides it from readers that match the beginning of its name. A local one is removed if the
    block raises.
    """
    # Another thread may write a file of the same name.
    part = FileSystems.join(folder, f".{name}.{uuid.uuid4().hex}.part")
    here = is_local(folder)
    try:
        yield part
        if here:
            sync(part)
        FileSystems.rename([part], [FileSystems.join(folder, name)])
    except BaseException:
        # A disk that is full would stay full, as what was to be written comes again.
        if here:
            pathlib.Path(part).unlink(missing_ok=True)
        raise
    if here:
        sync(folder)
