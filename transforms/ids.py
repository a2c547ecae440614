"""Identities that depend on nothing but the input, so that a retry never makes a new one."""

import hashlib


def stable_id(*parts: str | bytes) -> str:
    """A 32-digit hexadecimal digest of `parts` in their order; ("ab", "c") and ("a", "bc") differ."""
    framed = []
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        framed += [len(data).to_bytes(8, "little"), data]
    return hashlib.blake2b(b"".join(framed), digest_size=16).hexdigest()
