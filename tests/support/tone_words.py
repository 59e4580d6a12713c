"""Numbered words as sound: what was said can be read from the samples, without a recogniser.

A word is a number of four digits: a sync tone and four digit tones of 80 ms each, then a pause of
80 ms. A sample that is lost or doubled inside a word changes its length, and the word is then read
as `GARBLED`. The pause is much shorter than the silence that ends an utterance.
"""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

TONE_S = 0.08
DIGITS = 4
WORD_S = (DIGITS + 1) * TONE_S
"""Length of a word without its pause, in seconds."""
PAUSE_S = 0.08
SYNC_HZ = 500.0
DIGIT_HZ = 800.0
STEP_HZ = 150.0
AMPLITUDE = 8000
LOUD = 400
"""Amplitude above which a sample belongs to a word."""
TOLERANCE_S = 0.004
"""Deviation of a word's length that is accepted: resampling and fades."""
QUIET_S = 0.02
"""Silence that separates words, in seconds; a tone crosses zero for much less."""
GARBLED = -1


def encode(numbers: Iterable[int], rate_hz: int) -> bytes:
    """Return the sound of words, s16le mono.

    Args:
        numbers: The words, each from 0 to 9999.
        rate_hz: Sample rate, in Hz.
    """
    return b"".join(_word(number, rate_hz) for number in numbers)


def decode(pcm: bytes, rate_hz: int) -> list[int]:
    """Return the words in a sound; `GARBLED` stands for sound that is no word.

    Args:
        pcm: s16le mono PCM.
        rate_hz: Sample rate, in Hz.
    """
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    loud = np.flatnonzero(np.abs(samples) > LOUD)
    if not len(loud):
        return []
    gaps = np.flatnonzero(np.diff(loud) > QUIET_S * rate_hz)
    bounds = [0, *(gaps + 1), len(loud)]
    return [
        _read(samples[loud[begin] : loud[end - 1] + 1], rate_hz) for begin, end in pairwise(bounds)
    ]


def _word(number: int, rate_hz: int) -> bytes:
    digits = [int(digit) for digit in f"{number:0{DIGITS}d}"]
    tones = [SYNC_HZ, *(DIGIT_HZ + STEP_HZ * digit for digit in digits)]
    time_s = np.arange(round(TONE_S * rate_hz)) / rate_hz
    sound = np.concatenate([AMPLITUDE * np.cos(2 * np.pi * hz * time_s) for hz in tones])
    pause = np.zeros(round(PAUSE_S * rate_hz))
    return np.concatenate([sound, pause]).astype("<i2").tobytes()


def _read(word: NDArray[np.float64], rate_hz: int) -> int:
    if abs(len(word) / rate_hz - WORD_S) > TOLERANCE_S:
        return GARBLED
    size = round(TONE_S * rate_hz)
    tones = [_frequency(word[i * size : (i + 1) * size], rate_hz) for i in range(DIGITS + 1)]
    if abs(tones[0] - SYNC_HZ) > STEP_HZ / 2:
        return GARBLED
    digits = [round((hz - DIGIT_HZ) / STEP_HZ) for hz in tones[1:]]
    if not all(0 <= digit <= 9 for digit in digits):
        return GARBLED
    return int("".join(map(str, digits)))


def _frequency(tone: NDArray[np.float64], rate_hz: int) -> float:
    middle = tone[len(tone) // 4 : -len(tone) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 4096))
    return float(np.argmax(spectrum)) * rate_hz / 4096
