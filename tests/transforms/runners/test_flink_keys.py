"""Which readers Flink gives to which subtasks."""

import collections

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.runners.flink_keys import key_group, spread_keys


@pytest.mark.parametrize(
    ("element", "group"),
    [(b"0", 77), (b"1", 103), (b"2", 85), (b"3", 53), (b"0.86", 32), (b"1.118", 96), (b"3.33", 28), (b"299.350", 23)],
)
def test_key_groups_are_those_of_flink(element: bytes, group: int) -> None:
    """Recorded from Flink 1.19's own KeyGroupRangeAssignment."""
    assert key_group(element) == group


@settings(max_examples=20)
@given(st.integers(1, 85))
def test_each_subtask_gets_one_of_as_many_readers(parallelism: int) -> None:
    """A subtask has a range of key groups; up to this parallelism there are 128 of them by default."""
    subtasks = [key_group(key) * parallelism // 128 for key in spread_keys(parallelism)]
    assert sorted(subtasks) == list(range(parallelism))


@settings(max_examples=20)
@given(st.integers(1, 300), st.data())
def test_readers_differ_and_are_shared_out_evenly(count: int, data: st.DataObject) -> None:
    """Among fewer subtasks than readers, none gets a third more than its share and one."""
    parallelism = data.draw(st.integers(1, min(count, 85)))
    keys = list(spread_keys(count))
    shares = collections.Counter(key_group(key) * parallelism // 128 for key in keys)
    assert len(set(keys)) == count
    assert max(shares.values()) <= 4 * count / parallelism / 3 + 1
