"""Errors of libraries in one line."""


def reason_of(error: BaseException, line: int = 0) -> str:
    r"""A line of an error's text, by default the first, or the name of its type if it has no text.

    >>> reason_of(ValueError("first\nlast"), -1)
    'last'
    >>> reason_of(MemoryError())
    'MemoryError'
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[line]
