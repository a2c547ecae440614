import numpy as np

from transforms.encoder.cache import MAX_CHARACTERS, Known, VectorCache


def test_the_text_not_looked_up_for_longest_is_forgotten() -> None:
    """The bound is on entries; looking a text up keeps it."""
    cache = VectorCache(entries=2)
    known = Known(np.zeros(2, np.float32), 3, False)
    for text in ("a", "b"):
        cache.keep({text: known})
    cache.find(["a"])
    cache.keep({"c": known})
    assert [found is not None for found in cache.find(["a", "b", "c"])] == [True, False, True]


def test_a_long_text_is_not_kept() -> None:
    """Else the bound on entries would be none on memory."""
    cache = VectorCache()
    cache.keep({"x" * (MAX_CHARACTERS + 1): Known(np.zeros(2, np.float32), 3, True)})
    assert cache.find(["x" * (MAX_CHARACTERS + 1)]) == [None]


def test_what_is_no_number_is_not_kept() -> None:
    """It may be the fault of a moment, and is asked for again."""
    cache = VectorCache()
    cache.keep({"a": Known(np.array([1, np.nan], np.float32), 3, False)})
    assert cache.find(["a"]) == [None]


def test_a_kept_vector_does_not_hold_its_batch() -> None:
    """What is kept is a copy of the row."""
    cache, batch = VectorCache(), np.ones((1000, 2), np.float32)
    cache.keep({"a": Known(batch[0], 3, False)})
    batch[0] = 7
    found = cache.find(["a"])[0]
    assert found is not None
    assert found.vector.base is None
    assert found.vector.tolist() == [1, 1]
