"""What a reader of files reads, and what it yields."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Optional


class FileRange(NamedTuple):
    """A range of a file that one worker reads: the records that start in [start, stop), in bytes.

    `modified` is when the file was last modified, in microseconds since the Unix epoch, if that is known. `size`, in
    bytes, and `inode` are what it had when it was listed; 0 if that is not known.
    """

    path: str
    start: int
    stop: int
    modified: Optional[int] = None
    size: int = 0
    inode: int = 0


class Piece(NamedTuple):
    """A record as a file holds it.

    Attributes:
        position: the byte offset of a line in the uncompressed data, as UTF-8; the number of a row; or 0 for a whole
            file.
        data: the payload of the record.
        attributes: what accompanies it.
    """

    position: int
    data: bytes
    attributes: Mapping[str, str]


class Unreadable(NamedTuple):
    """A part of a file that cannot be read, while its other records can.

    Attributes:
        position: as in Piece; of what stands behind the compressed data, the offset in the file.
        data: the part as far as it is known.
        error: why it cannot be read.
    """

    position: int
    data: bytes
    error: Exception


Pieces = Iterator[Piece | Unreadable]
