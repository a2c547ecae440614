"""Ids that depend only on the input, so that a retry gives the same ids."""

import hashlib


def stable_id(*parts: str | bytes) -> str:
    """A 32-digit hexadecimal digest of `parts` in order; ("ab", "c") and ("a", "bc") have different digests."""
    framed = []
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        framed += [len(data).to_bytes(8, "little"), data]
    return hashlib.blake2b(b"".join(framed), digest_size=16).hexdigest()
