"""The last seconds of the user's audio, on the clock of the conversation.

A session counts the audio of its user in samples, over all its streams. This count is the clock of
the conversation: the *position* of a sample is the length of all audio before it. The ring keeps
the audio of the last seconds, so that a new stream can hear again what the old one did not answer.
Audio that was answered is released, because it is most of the memory of a session.

Audio is replayed from a silence. `voice_begins` finds the first loud window after a position; what
counts as loud depends on the quietest fifth of the ring, so that the hum of a room is no voice.
"""

from collections import deque

from .config import BYTES_PER_SAMPLE, AudioFormat

RING_S = 30.0
"""Maximum length of the audio that is kept, in seconds: 960 kB at 16 kHz."""

BACKGROUND_S = 3.0
"""Length of the audio that is kept although it was answered, in seconds. The background noise is
estimated from it."""

WINDOW_S = 0.02
"""Length of the windows in which the level is measured, in seconds."""

QUIETEST_SHARE = 0.2
"""Share of the windows that is taken for background noise, the quietest first."""

VOICE_OVER_NOISE = 4.0
"""Ratio of the level of voice to that of the background noise, in amplitude (12 dB)."""

LEAST_VOICE_LEVEL = 300
"""Amplitude of a 16-bit sample, of 32768, below which nothing is voice (-41 dB)."""

MOST_VOICE_LEVEL = 1500
"""Amplitude of a 16-bit sample, of 32768, above which everything is voice (-27 dB), so that a ring
which is full of speech has no silence in its middle only."""

VOICE_WINDOWS = 6
"""Number of windows in which voice is looked for: 120 ms, a syllable."""

LOUD_WINDOWS = 4
"""Number of these windows that must be loud. A click, or the end of a word whose rest was
transcribed, has fewer."""

PROBE_STRIDE_SAMPLES = 4
"""Stride at which the level is probed, in samples."""


class UplinkRing:
    """A ring of the user's audio.

    Args:
        format: The format of the audio.
        length_s: Length of the audio that is kept, in seconds.
    """

    def __init__(self, format: AudioFormat, length_s: float = RING_S) -> None:
        self._format = format
        self._limit = format.size(length_s)
        self._chunks: deque[bytes] = deque()
        self._begin = 0
        self.end = 0
        """Position of the next sample, in bytes of PCM since the beginning of the conversation."""

    @property
    def begin(self) -> int:
        """Position of the oldest audio that is kept, in bytes."""
        return self._begin

    def append(self, pcm: bytes) -> None:
        """Append audio, and drop the oldest above the length of the ring.

        Args:
            pcm: s16le mono PCM, a whole number of samples.
        """
        self._chunks.append(pcm)
        self.end += len(pcm)
        while self.end - self._begin > self._limit and len(self._chunks) > 1:
            self._begin += len(self._chunks.popleft())

    def release(self, position: int) -> None:
        """Drop audio that was answered, except for `BACKGROUND_S` of it.

        Args:
            position: In bytes; what comes after it is kept.
        """
        keep_from = position - self._format.size(BACKGROUND_S)
        chunks = self._chunks
        while len(chunks) > 1 and self._begin + len(chunks[0]) <= keep_from:
            self._begin += len(chunks.popleft())

    def since(self, position: int) -> bytes:
        """Return the audio from a position on.

        Args:
            position: In bytes. Audio that is no longer kept is left out.
        """
        skip = max(position, self._begin) - self._begin
        return b"".join(self._chunks)[skip:]

    def milliseconds(self, position: int) -> int:
        """Return a position in ms.

        Args:
            position: In bytes.
        """
        return round(self._format.seconds(position) * 1000)

    def position(self, milliseconds: float) -> int:
        """Return a position in bytes.

        Args:
            milliseconds: In ms.
        """
        return self._format.size(milliseconds / 1000)

    def voice_begins(self, position: int) -> int | None:
        """Return where the first voice after a position begins, in bytes; None if there is none.

        Args:
            position: In bytes.
        """
        levels = self._levels()
        threshold = _voice_threshold(levels)
        window = self._format.size(WINDOW_S)
        first = max(0, position - self._begin) // window
        loud = [level > threshold for level in levels]
        for index in range(first, len(loud)):
            # Voice that has just begun is cut off by the end of the ring.
            needed = min(LOUD_WINDOWS, len(loud) - index)
            if loud[index] and sum(loud[index : index + VOICE_WINDOWS]) >= needed:
                return max(position, self._begin + index * window)
        return None

    def quiet_s(self) -> float:
        """Return how long the newest audio has been without voice, in seconds."""
        levels = self._levels(newest_s=2.0)
        threshold = max(LEAST_VOICE_LEVEL, min(MOST_VOICE_LEVEL, _voice_threshold(levels)))
        quiet = 0
        for level in reversed(levels):
            if level > threshold:
                break
            quiet += 1
        return quiet * WINDOW_S if quiet < len(levels) else float("inf")

    def _levels(self, newest_s: float | None = None) -> list[int]:
        """Return the peak amplitude of each window, the oldest first."""
        kept = b"".join(self._chunks)
        if newest_s is not None:
            kept = kept[-self._format.size(newest_s) :]
        samples = memoryview(kept).cast("h")
        size = self._format.size(WINDOW_S) // BYTES_PER_SAMPLE
        return [
            max(map(abs, samples[start : start + size : PROBE_STRIDE_SAMPLES]))
            for start in range(0, len(samples), size)
        ]


def _voice_threshold(levels: list[int]) -> float:
    """Return the amplitude above which a window is voice."""
    if not levels:
        return LEAST_VOICE_LEVEL
    noise = sorted(levels)[int(QUIETEST_SHARE * (len(levels) - 1))]
    return max(LEAST_VOICE_LEVEL, min(MOST_VOICE_LEVEL, VOICE_OVER_NOISE * noise))
