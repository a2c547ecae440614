"""Which elements of a splittable DoFn Flink gives to which of its subtasks."""

import itertools
from collections.abc import Iterator

# Flink's default, up to a parallelism of 85; it is a power of two above that, so that the spread stays even.
_KEY_GROUPS = 128
_INT = 0xFFFFFFFF


def spread_keys(count: int) -> Iterator[bytes]:
    """Elements that Flink spreads evenly: with a parallelism of `count`, each subtask gets one.

    Flink parts the elements of a splittable DoFn by the hash of their nested encoding. Of two subtasks, one would get
    both 0 and 1, as happens to any two elements with a probability of a half.
    """
    for number in range(count):
        # The middle of the subtask's range.
        wanted = (_first_group(number, count) + _first_group(number + 1, count) - 1) // 2
        # The number comes first, because more readers than groups must still differ.
        names = (b"%d.%d" % (number, attempt) for attempt in itertools.count())
        yield next(name for name in names if key_group(name) == wanted)


def _first_group(subtask: int, parallelism: int) -> int:
    return -(-subtask * _KEY_GROUPS // parallelism)


def key_group(element: bytes) -> int:
    """The key group of `element` among Flink's default number of groups, of which each subtask has a range.

    It is KeyGroupRangeAssignment.assignToKeyGroup of the java.nio.ByteBuffer that FlinkKeyUtils.encodeKey returns.
    """
    code = 1
    for byte in reversed(bytes([len(element)]) + element):
        code = 31 * code + byte & _INT
    return abs(_signed(_murmur(code))) % _KEY_GROUPS


def _murmur(code: int) -> int:
    """MathUtils.murmurHash before its sign is dropped."""
    code = _rotated(code * 0xCC9E2D51 & _INT, 15) * 0x1B873593 & _INT
    code = _rotated(code, 13) * 5 + 0xE6546B64 & _INT
    code ^= 4
    code = (code ^ code >> 16) * 0x85EBCA6B & _INT
    code = (code ^ code >> 13) * 0xC2B2AE35 & _INT
    return code ^ code >> 16


def _rotated(code: int, bits: int) -> int:
    return (code << bits | code >> 32 - bits) & _INT


def _signed(code: int) -> int:
    return code - (1 << 32) if code >> 31 else code
