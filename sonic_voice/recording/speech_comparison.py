"""Comparison of the user's audio with the audio of a tape, by what was said.

Compared are the samples that are louder than `QUIET_PEAK`, in their order. How the audio is cut
into payloads does not matter, and neither does how long the silence between is: a session sends
silence when its source is late, and takes it back later (`uplink_silence`).

A stream that carries a conversation on begins and ends where the session decided to renew it. Its
audio may therefore begin and end up to `MOVED_S` earlier or later than on the tape.
"""

from array import array

from ..uplink_silence import QUIET_PEAK

MOVED_S = 2.0
"""Maximum difference of the beginning and the end of a renewed stream's audio, in seconds of audio
that is not quiet."""

ALIGNED_SAMPLES = 800
"""Number of loud samples by which the beginning of a renewed stream is found on the tape: at 16 kHz
at least 50 ms of speech, which no other place repeats exactly."""

_SAMPLE_BYTES = 2


def loud_samples(pcm: bytes) -> bytes:
    """Return the samples that are compared.

    Args:
        pcm: s16le mono PCM.
    """
    if not any(pcm):
        return b""
    whole = pcm[: len(pcm) // _SAMPLE_BYTES * _SAMPLE_BYTES]
    samples = memoryview(whole).cast("h")
    return array("h", [s for s in samples if s > QUIET_PEAK or s < -QUIET_PEAK]).tobytes()


class SpeechComparison:
    """A comparison of one stream's audio while it is sent."""

    def __init__(self, expected: bytes, rate_hz: int, *, moved: bool) -> None:
        """Prepare the comparison.

        Args:
            expected: The loud samples of the tape's stream.
            rate_hz: Sample rate, in Hz.
            moved: Whether the audio may begin elsewhere than on the tape.
        """
        self._expected = expected
        self._rate_hz = rate_hz
        self._position = 0
        self._waiting = bytearray()
        self._aligned = not moved
        self._beyond = 0

    @property
    def position_s(self) -> float:
        """Length of the tape's loud audio that was found so far, in seconds."""
        return self._position / _SAMPLE_BYTES / self._rate_hz

    @property
    def missing_s(self) -> float:
        """Length of the tape's loud audio that did not come yet, in seconds."""
        return (len(self._expected) - self._position) / _SAMPLE_BYTES / self._rate_hz

    @property
    def beyond_s(self) -> float:
        """Length of the loud audio that came after the end of the tape's, in seconds."""
        return self._beyond / _SAMPLE_BYTES / self._rate_hz

    def feed(self, pcm: bytes) -> bool:
        """Compare audio, and return whether it is that of the tape.

        Audio beyond the end of the tape's is only counted.

        Args:
            pcm: s16le mono PCM.
        """
        loud = loud_samples(pcm)
        if self._aligned:
            return self._compare(loud)
        self._waiting += loud
        return self._align() if len(self._waiting) >= self._moved_bytes else True

    def finish(self) -> bool:
        """Compare what still waits at the end of the stream, and return whether it is the same."""
        return self._aligned or self._align()

    @property
    def _moved_bytes(self) -> int:
        return round(MOVED_S * self._rate_hz) * _SAMPLE_BYTES

    def _align(self) -> bool:
        """Find where the client's audio begins on the tape, and compare all that has come."""
        self._aligned = True
        client = bytes(self._waiting)
        self._waiting.clear()
        tape = self._expected
        size = min(ALIGNED_SAMPLES * _SAMPLE_BYTES, len(client), len(tape))
        if not size:
            return self._compare(client)
        later = _find(tape, client[:size], self._moved_bytes)
        earlier = _find(client, tape[:size], self._moved_bytes)
        if later is not None:
            self._position = later
        elif earlier is not None:
            client = client[earlier:]
        return self._compare(client)

    def _compare(self, loud: bytes) -> bool:
        end = self._position + len(loud)
        part = self._expected[self._position : end]
        if part == loud[: len(part)]:
            self._position += len(part)
            self._beyond += len(loud) - len(part)
            return True
        same = 0
        while part[same : same + _SAMPLE_BYTES] == loud[same : same + _SAMPLE_BYTES]:
            same += _SAMPLE_BYTES
        self._position += same
        return False


def _find(samples: bytes, part: bytes, most: int) -> int | None:
    """Return the first position of a part among samples, in bytes; None if there is none."""
    at = samples.find(part, 0, most + len(part))
    while at >= 0 and at % _SAMPLE_BYTES:
        at = samples.find(part, at + 1, most + len(part))
    return at if at >= 0 else None
