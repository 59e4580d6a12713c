"""The caller's voice: text spoken by the local voice, and sound files."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from ..audio.decoding import open_recording
from ..audio.pauses import with_short_pauses, without_trailing_silence
from ..audio.pcm import Resampler
from ..config import AudioFormat
from ..emulator.speech import synthesizer
from ..errors import AudioError
from .records import ScriptedTurn

MAX_RECORDING_S = 120
"""Maximum length of a sound file of a turn, in seconds."""

LONGEST_PAUSE_S = 0.25
"""Longest pause within a turn that the local voice speaks, in seconds. It pauses for half a second
between two sentences, where the service ends an utterance after 0.28 to 0.48 s of silence: the
second sentence would be a turn of its own."""

type Synthesize = Callable[[str, str, int], bytes]
"""Returns the speech of `(text, voice, rate_hz)` as s16le mono PCM."""


class CallerVoice:
    """A voice that speaks the turns of callers.

    Args:
        format: Format of the audio.
        synthesize: Speaks texts; None for the light voices of this machine.
    """

    def __init__(self, format: AudioFormat, synthesize: Synthesize | None = None) -> None:
        self.format = format
        self._synthesize = synthesize or synthesizer("light")

    async def speak(self, turn: ScriptedTurn, voice: str) -> bytes:
        """Return the audio of a turn, which ends with its last word.

        Args:
            turn: The turn.
            voice: The voice of the service whose local counterpart speaks.

        Raises:
            AudioError: The sound file cannot be read, or there is nothing to speak.
        """
        loop = asyncio.get_running_loop()
        if turn.play is not None:
            pcm = await loop.run_in_executor(None, read_recording, turn.play, self.format)
            return without_trailing_silence(pcm, self.format.rate_hz)
        rate_hz = self.format.rate_hz
        pcm = await loop.run_in_executor(None, self._synthesize, turn.say, voice, rate_hz)
        if not pcm:
            raise AudioError(
                f"There is nothing to speak in {turn.say!r}.", hint="Write words, or `play` a file."
            )
        return with_short_pauses(without_trailing_silence(pcm, rate_hz), rate_hz, LONGEST_PAUSE_S)


def read_recording(path: Path, format: AudioFormat) -> bytes:
    """Return a sound file as mono PCM.

    Args:
        path: The file: WAV, FLAC, Ogg, MP3 or AIFF.
        format: The format to return.

    Raises:
        AudioError: It cannot be read, or is longer than `MAX_RECORDING_S`.
    """
    recording = open_recording(path)
    try:
        length_s = recording.frames / recording.rate_hz
        if length_s > MAX_RECORDING_S:
            raise AudioError(
                f"{path} is {length_s:.0f} s long, and a turn {MAX_RECORDING_S} s at most.",
                hint="Cut it.",
            )
        resampler = Resampler(recording.rate_hz, format.rate_hz)
        return resampler.feed(recording.read(max(1, recording.frames))) + resampler.finish()
    finally:
        recording.close()
