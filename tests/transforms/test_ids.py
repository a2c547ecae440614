from hypothesis import given
from hypothesis import strategies as st

from transforms.ids import stable_id


def test_an_id_is_the_same_at_every_run() -> None:
    """An id is a function of its parts, written down here."""
    assert stable_id("message", "0", "Hello.") == "65a135e3e61268079dc7796179f6ecdd"


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_different_parts_have_different_ids(one: list[str], other: list[str]) -> None:
    """Where a part ends matters, not only what the parts are end to end."""
    assert (stable_id(*one) == stable_id(*other)) == (one == other)


def test_a_lone_surrogate_has_an_id() -> None:
    """Any str has an id."""
    assert stable_id("\ud800") != stable_id("\ud801")
