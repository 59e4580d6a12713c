"""The silence of the uplink: what is sent while no audio arrives, and what is taken back later.

The service measures time only in samples (reference 4). Its clock has to follow real time, or else
the offsets of its events mean other moments than they name, and the response latency is wrong. So
when no audio has arrived for `SILENCE_AFTER_S`, silence is sent for the whole gap, and from then on
at its natural pace.

Audio may only be late: a network that stalled delivers in one burst what was spoken meanwhile. A
shorter stall than `SILENCE_AFTER_S` causes no silence, and the burst brings the service's clock
back to real time. After a longer one the silence was sent in addition to the audio that it stood
for, and the service is ahead:

    surplus = min(silence sent, silence and audio sent - time passed)      since the first gap

The surplus is removed where the audio itself is silent, and nowhere else: no speech is ever
dropped. Silence is removed only where the service does not notice the end of speech later for it:

- at the beginning of late audio, whose place the silence has taken;
- in a pause of more than `PAUSE_OVER_S`, in which the service has noticed the end of speech.

Until then `surplus_s` says how far the service is ahead. Until the first gap nothing is counted,
and audio passes unchanged whatever its pace is: a recording is sent at any speed.
"""

from .config import BYTES_PER_SAMPLE, AudioFormat

SILENCE_AFTER_S = 0.5
"""Time without audio after which silence is sent, in seconds: longer than most stalls of a wireless
network, and well below the 55 s after which the service ends the stream (reference 1.9). The
service does not wait longer for its answer: the silence sent first is that of the whole gap."""

SILENCE_CHUNK_S = 0.032
"""Length of each further payload of silence, in seconds: the frame that the documentation
recommends (reference 2.6)."""

PAUSE_OVER_S = 2.5
"""Length of a pause after which silence may be removed from it, in seconds. The service notices the
end of speech within 2 s (reference 2.2)."""

QUIET_PEAK = 32
"""Maximum magnitude of the 16-bit samples of a chunk that counts as silence: -60 dBFS. Nobody
speaks as softly, not even far from the microphone."""


class UplinkSilence:
    """The account of one service stream: when silence is due, and which audio it stood for."""

    def __init__(self, format: AudioFormat, now: float) -> None:
        """Begin the first gap.

        Args:
            format: Format of the audio.
            now: When the service began to take audio, in monotonic seconds.
        """
        self.surplus_s = 0.0
        """Time by which the service's clock is ahead of real time, in seconds."""
        self._format = format
        self._arrived_s = now
        self._gap_filled_s = 0.0
        """Part of the gap since the last audio that was filled, in seconds."""
        self._counted_from_s = now
        self._sent_bytes = 0
        """Silence and audio sent since `_counted_from_s`, the beginning of the first gap."""
        self._silence_bytes = 0
        """Silence in it that may have been in addition to late audio."""
        self._pause_filled_bytes = 0
        """Silence that was sent in the pause that the service hears now."""
        self._pause_s = 0.0
        """Length of that pause, in seconds."""

    @property
    def due_s(self) -> float:
        """Time at which the next silence is due if no audio arrives, in monotonic seconds."""
        return self._arrived_s + max(SILENCE_AFTER_S, self._gap_filled_s + SILENCE_CHUNK_S)

    def fill(self, now: float) -> float:
        """Return how much silence to send now, and count it as sent.

        Args:
            now: Monotonic seconds, `due_s` or later.

        Returns:
            Its length, in seconds; `SILENCE_AFTER_S` at most, after which more may be due at once.
        """
        if not self._silence_bytes:
            self._counted_from_s, self._sent_bytes = self._arrived_s, 0
        missing_s = now - self._arrived_s - self._gap_filled_s
        size = self._format.size(max(SILENCE_CHUNK_S, min(SILENCE_AFTER_S, missing_s)))
        seconds = self._format.seconds(size)
        self._sent_bytes += size
        self._silence_bytes += size
        self._pause_filled_bytes += size
        self._pause_s += seconds
        self._gap_filled_s += seconds
        return seconds

    def admit(self, pcm: bytes, now: float) -> bytes:
        """Return what to send of a chunk of audio: all of it, unless silence has taken its place.

        Args:
            pcm: s16le mono PCM.
            now: When it arrived, in monotonic seconds.

        Returns:
            The chunk, or the rest of a silent one, which may be empty.
        """
        self._arrived_s, self._gap_filled_s = now, 0.0
        if not self._silence_bytes or len(pcm) % BYTES_PER_SAMPLE:
            return pcm
        self._sent_bytes += len(pcm)
        surplus = self._sent_bytes - self._format.size(now - self._counted_from_s)
        surplus = max(0, min(self._silence_bytes, surplus))
        self.surplus_s = self._format.seconds(surplus)
        if not _is_quiet(pcm):
            self._pause_filled_bytes, self._pause_s = 0, 0.0
            return pcm
        if self._pause_s < PAUSE_OVER_S:
            surplus = min(surplus, self._pause_filled_bytes)
        removed = min(len(pcm), surplus)
        self._sent_bytes -= removed
        self._silence_bytes -= removed
        self._pause_filled_bytes = max(0, self._pause_filled_bytes - removed)
        self.surplus_s -= self._format.seconds(removed)
        self._pause_s += self._format.seconds(len(pcm) - removed)
        return pcm[removed:]


def _is_quiet(pcm: bytes) -> bool:
    """Return whether no sample of `pcm` is louder than `QUIET_PEAK`."""
    if not any(pcm):
        return True
    samples = memoryview(pcm[: len(pcm) // 2 * 2]).cast("h")
    return max(samples) <= QUIET_PEAK and min(samples) >= -QUIET_PEAK
