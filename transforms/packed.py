"""What data is that is no text: told by its first bytes."""

# What a file that is no text begins with, what it is, and what to do with it.
_MAGICS = {
    b"PK\x03\x04": ("a zip file", "unpack it"),
    b"\x1f\x8b\x08": ("a gzip file", "give its name the suffix .gz"),
    b"BZh91AY&SY": ("a bzip2 file", "give its name the suffix .bz2"),
    b"\xfd7zXZ\0": ("an xz file", "give its name the suffix .xz"),
    b"\x28\xb5\x2f\xfd": ("a Zstandard file", "give its name the suffix .zst"),
    b"\x04\x22\x4d\x18": ("an LZ4 file", "unpack it"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z file", "unpack it"),
    b"Rar!\x1a\x07": ("a RAR file", "unpack it"),
    b"PAR1": ("a Parquet file", "read it as input_format=parquet"),
    b"Obj\x01": ("an Avro file", "read it as input_format=avro"),
    b"ARROW1\0\0": ("an Arrow file", "write it as Parquet"),
    b"%PDF-1.": ("a PDF file", "extract its text"),
    b"%PDF-2.": ("a PDF file", "extract its text"),
    b"{\\rtf1": ("an RTF file", "extract its text"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("a file of an old version of Office", "extract its text"),
}
_TAR = b"ustar"
_TAR_AT = 257
HEAD_BYTES = _TAR_AT + len(_TAR)


def packed_as(head: bytes) -> tuple[str, str] | None:
    """What begins with `head`, HEAD_BYTES of it or all, if that is known to be no text, and what to do with it.

    >>> packed_as(b"PAR1...")
    ('a Parquet file', 'read it as input_format=parquet')
    """
    if head.startswith(_TAR, _TAR_AT):
        return "a tar file", "unpack it"
    return next((known for magic, known in _MAGICS.items() if head.startswith(magic)), None)
