"""When the words of a text sound in a recording of it, by CMU Sphinx's forced alignment.

What a recogniser writes down of a sentence that was cut off is no measure of where: it completes
the last word ("guard" for "gar"), or the phrase. Here the text is known, and only the times are
looked for.
"""

from typing import Any

from sonic_voice.audio.pcm import Resampler
from sonic_voice.emulator.speech.installed import LIGHT_EXTRA, engine
from sonic_voice.emulator.speech.pronunciation import sounds, words

SPHINX_HZ = 16_000
FRAME_S = 0.01
LEAD_S = 0.2
"""Of silence before and after: a text that begins at once is aligned a little late."""


def middles_s(text: str, pcm: bytes, rate_hz: int) -> list[float]:
    """The middle of each word of `text` (as `str.split` has them) in `pcm`, s16le, in seconds.

    Raises `ValueError` if the two do not fit each other.
    """
    resampler = Resampler(rate_hz, SPHINX_HZ)
    silence = bytes(2 * round(LEAD_S * SPHINX_HZ))
    sound = silence + resampler.feed(pcm) + resampler.finish() + silence
    decoder: Any = engine("pocketsphinx", LIGHT_EXTRA).Decoder(
        loglevel="FATAL", lm=None, samprate=SPHINX_HZ
    )
    spoken = [words(word) for word in text.split()]
    for word in {word for parts in spoken for word in parts}:
        if decoder.lookup_word(word) is None:
            decoder.add_word(word, sounds(word))
    decoder.set_align_text(" ".join(word for parts in spoken for word in parts))
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()
    found = [part for part in decoder.seg() or () if part.word[0] not in "<("]
    if len(found) != sum(len(parts) for parts in spoken):
        raise ValueError(f"Not heard as it is written: {text}")
    middles: list[float] = []
    for parts in spoken:
        first, last = found[0], found[len(parts) - 1]
        middles.append((first.start_frame + last.end_frame + 1) / 2 * FRAME_S - LEAD_S)
        del found[: len(parts)]
    return middles
