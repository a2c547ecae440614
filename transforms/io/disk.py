"""The file system of this machine: which paths are on it, and what is on its disk when a function returns."""

import os

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
