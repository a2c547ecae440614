from hypothesis import given
from hypothesis import strategies as st

from transforms.encoder.packing import lay_out

LENGTHS = st.lists(st.integers(0, 128), max_size=60)


def size(rows: list[list[int]], lengths: list[int]) -> int:
    """The tokens of a batch with these rows, padding included."""
    return len(rows) * max((sum(lengths[place] for place in row) for row in rows), default=0)


@given(LENGTHS, st.integers(1, 2048), st.booleans())
def test_no_text_comes_twice_and_the_budget_holds(lengths: list[int], budget: int, shares_rows: bool) -> None:
    """Only the first text, alone, may be longer than the budget; it is never left out."""
    rows = lay_out(lengths, budget, shares_rows)
    places = [place for row in rows for place in row]
    assert len(set(places)) == len(places)
    assert set(places) <= set(range(len(lengths)))
    assert size(rows, lengths) <= budget or len(rows) == 1
    assert not lengths or 0 in places


@given(LENGTHS, st.booleans())
def test_a_large_budget_leaves_no_text_out(lengths: list[int], shares_rows: bool) -> None:
    """Whatever the lengths."""
    rows = lay_out(lengths, 128 * 128, shares_rows)
    assert sorted(place for row in rows for place in row) == list(range(len(lengths)))


@given(LENGTHS)
def test_a_text_has_a_row_of_its_own_where_rows_are_not_shared(lengths: list[int]) -> None:
    """As graphs that are not our own need it."""
    assert all(len(row) == 1 for row in lay_out(lengths, 1024, shares_rows=False))


@given(LENGTHS)
def test_shared_rows_have_no_more_padding_than_others(lengths: list[int]) -> None:
    """For the same texts."""
    shared, own = (size(lay_out(lengths, 128 * 128, shares_rows), lengths) for shares_rows in (True, False))
    assert shared <= own


def test_few_texts_of_different_lengths_leave_little_padding() -> None:
    """Where each text had a row of its own, two thirds would be padding."""
    lengths = [46, 25, 20, 18, 16, 12, 11, 9, 7, 6]
    rows = lay_out(lengths, 1024, shares_rows=True)
    assert size(rows, lengths) <= 1.1 * sum(lengths)
