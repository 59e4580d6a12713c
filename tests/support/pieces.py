"""Data that arrives in pieces."""

from collections.abc import Sequence
from itertools import pairwise


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Return data, cut at some positions.

    Args:
        data: The data.
        cuts: Any numbers; each is a position modulo the length.
    """
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]
