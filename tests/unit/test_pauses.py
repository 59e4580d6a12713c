"""Pauses of speech that is known as a whole."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.audio.pauses import with_short_pauses, without_trailing_silence

RATE_HZ = 16_000


def sound(*lengths_ms: int) -> bytes:
    """Return tones and silences in turn, of whole windows."""
    parts = [
        np.full(16 * ms, 0 if index % 2 else 5000, "<i2") for index, ms in enumerate(lengths_ms)
    ]
    return b"".join(part.tobytes() for part in parts)


def test_silence_at_the_end_is_removed_and_silence_before_it_stays() -> None:
    assert without_trailing_silence(sound(0, 300, 200, 400), RATE_HZ) == sound(0, 300, 200)
    assert without_trailing_silence(sound(0, 100), RATE_HZ) == sound(0, 100)
    assert without_trailing_silence(b"", RATE_HZ) == b""


def test_long_pauses_are_cut_and_short_ones_are_not() -> None:
    assert with_short_pauses(sound(100, 500, 100, 200, 50), RATE_HZ, 0.25) == sound(
        100, 250, 100, 200, 50
    )


@given(st.lists(st.integers(1, 60), max_size=8), st.integers(0, 30))
def test_no_sound_is_lost_with_the_pauses(lengths: list[int], longest: int) -> None:
    whole = sound(*(10 * length for length in lengths))
    short = with_short_pauses(whole, RATE_HZ, longest / 100)
    assert short.replace(b"\0\0", b"") == whole.replace(b"\0\0", b"")
    assert short == sound(
        *(
            10 * (min(length, longest) if at % 2 and at < len(lengths) - 1 else length)
            for at, length in enumerate(lengths)
        )
    )
