"""Keys made of a terminal's bytes, however these are split over reads."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.cli.terminal.key_decoder import (
    ESCAPE_S,
    MAX_PASTE,
    MAX_SEQUENCE,
    PASTE_S,
    Key,
    KeyDecoder,
    Paste,
)


def keys_of(*reads: bytes) -> list[Key]:
    """Return the keys of reads that follow each other at once, then nothing for ten seconds."""
    decoder = KeyDecoder()
    keys = [key for typed in reads for key in decoder.feed(typed, 0.0)]
    return [*keys, *decoder.expire(10.0)]


def split(typed: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({0, len(typed), *(cut % (len(typed) + 1) for cut in cuts)})
    return [typed[a:b] for a, b in pairwise(places)]


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"mp ?", ["m", "p", " ", "?"]),
        (b"\r\n", ["Enter", "Enter"]),
        (b"\x1b", ["Escape"]),
        (b"\x1b\x1b", ["Escape", "Escape"]),
        (b"\x7f\x08", ["Backspace", "Backspace"]),
        (b"\x1b[A\x1b[D\x1bOC", ["Up", "Left", "Right"]),
        (b"\x1b[3~\x1b[H\x1b[4~", ["Delete", "Home", "End"]),
        (b"\x01\x15\x17", ["Ctrl-A", "Ctrl-U", "Ctrl-W"]),
        ("grüße 你".encode(), list("grüße 你")),
        (b"\x1b[200~one\r\ntwo\rthree\x1b[201~!", [Paste("one\ntwo\nthree"), "!"]),
        (b"\x1b[200~\x1b[201~", [Paste("")]),
        (b"\x1b[200~a\x1b[Ab\x1b[201~", [Paste("a[Ab")]),  # a paste cannot press keys
    ],
)
def test_bytes_are_keys(typed: bytes, keys: list[Key]) -> None:
    assert keys_of(typed) == keys


@pytest.mark.parametrize(
    "typed",
    [
        *(b"\x1b[15~", b"\x1b[1;5C", b"\x1bq", b"\x1b[?1;2c", b"\x00", b"\x1b[[A"),
        *(b"\x1b]11;rgb:00/00/00\x1b\\", b"\x1b]11;rgb:00/00/00\x07", b"\x1bP1$r0m\x1b\\"),
    ],
)
def test_a_sequence_of_no_key_is_swallowed_whole_and_commands_nothing(typed: bytes) -> None:
    assert keys_of(typed + b"x") == ["x"]


SEQUENCES = st.sampled_from(
    [
        *(b"\x1b", b"\x1b[", b"\x1bO", b"[", b"A", b"\x1b[A", b"3~", b"\x1b[3~", b"\x1b]", b"\x07"),
        *(b"\x1b[200~", b"\x1b[201~", b"\x1b\\", b"\r", b"\n", "à".encode(), "👩‍👧".encode()),
        *("grüße".encode(), "ü".encode()[:1], b"\xff", b"\x9b", b"\x1b[[", b"one two"),
    ]
)


@given(st.lists(SEQUENCES | st.binary(max_size=3)), st.lists(st.integers(0, 1000), max_size=20))
def test_any_split_of_the_bytes_gives_the_same_keys(
    pieces: Sequence[bytes], cuts: list[int]
) -> None:
    typed = b"".join(pieces)
    assert keys_of(*split(typed, cuts)) == keys_of(typed)


@given(st.lists(SEQUENCES | st.binary(max_size=3)))
def test_whatever_came_the_keyboard_works_again_after_the_deadlines(
    pieces: Sequence[bytes],
) -> None:
    decoder = KeyDecoder()
    decoder.feed(b"".join(pieces), 0.0)
    decoder.expire(PASTE_S)
    assert decoder.deadline_s is None
    assert decoder.feed(b"m", PASTE_S)[-1:] == ["m"]


def test_escape_alone_is_decided_by_its_deadline() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b", 5.0) == []
    assert decoder.deadline_s == 5.0 + ESCAPE_S
    assert decoder.expire(5.0 + ESCAPE_S / 2) == []
    assert decoder.expire(5.0 + ESCAPE_S) == ["Escape"]
    assert decoder.deadline_s is None
    assert decoder.feed(b"[A", 6.0) == ["[", "A"]


def test_a_sequence_whose_rest_comes_before_the_deadline_is_no_escape() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b", 5.0) == []
    assert decoder.feed(b"[", 5.08) == []
    assert decoder.expire(5.0 + ESCAPE_S) == []
    assert decoder.feed(b"A", 5.15) == ["Up"]
    assert decoder.deadline_s is None


def test_a_paste_whose_end_is_lost_is_complete_after_a_pause() -> None:
    decoder = KeyDecoder()
    decoder.feed(b"\x1b[200~one", 0.0)
    assert decoder.feed(b" two", 0.9) == []
    assert decoder.expire(PASTE_S) == []
    assert decoder.expire(0.9 + PASTE_S) == [Paste("one two")]
    assert decoder.feed(b"\x1b[201~x", 3.0) == ["x"]


def test_a_paste_is_cut_at_its_maximum_length_and_ends_where_it_ends() -> None:
    typed = b"\x1b[200~" + b"a" * (MAX_PASTE + 500) + b"\x1b[201~x"
    assert keys_of(typed) == [Paste("a" * MAX_PASTE), "x"]


@pytest.mark.parametrize("begin", [b"\x1b[", b"\x1b]"])
def test_a_sequence_without_an_end_is_given_up(begin: bytes) -> None:
    keys = keys_of(begin + b"1" * (MAX_SEQUENCE + 10))
    assert keys
    assert set(keys) == {"1"}
