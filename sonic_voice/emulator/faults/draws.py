"""Seeded draws: numbers that look random and depend on nothing but their arguments."""

from collections.abc import Sequence
from hashlib import sha256

_BITS = 53
"""Bits of a draw: as many as the fraction of a `float` has."""


def draw(*key: object) -> float:
    """Return a number from 0 up to, but not including, 1, evenly distributed over keys.

    Args:
        key: The values that decide the number, such as a seed and the number of a stream. Equal
            texts of the values give the same number, on every machine.
    """
    digest = sha256("\x1f".join(map(str, key)).encode()).digest()
    return (int.from_bytes(digest[:8]) >> (64 - _BITS)) / 2**_BITS


def draw_one[T](choices: Sequence[T], *key: object) -> T:
    """Return one of several values, all equally likely over keys.

    Args:
        choices: The values, at least one.
        key: The values that decide; see `draw`.
    """
    return choices[int(draw(*key) * len(choices))]
