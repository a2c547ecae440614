"""What is on the disk of this machine when a function returns, and stays there if the machine stops."""

import os


def sync(path: str) -> None:
    """Waits until the data of a local file, or the names in a local folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
