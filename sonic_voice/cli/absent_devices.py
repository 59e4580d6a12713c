"""Stand-ins for a microphone or a loudspeaker that a user does without.

A user who types has no microphone, and one who reads has no loudspeaker. The conversation stays
one of voices: while the source has nothing, the service stream sends silence.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from ..audio.ports import NullSink
from ..config import AudioFormat
from ..echo import ReferenceBlock

TURNS_REMEMBERED = 64
"""Number of turns whose length is kept, as in a playout buffer; nobody asks for older ones."""


class AbsentMicrophone:
    """An audio source that delivers nothing until it is closed."""

    done = False

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self._closed = asyncio.Event()

    def now(self) -> float:
        """See `AudioSource`: the clock of a microphone."""
        return time.monotonic()

    async def read(self) -> bytes:
        """Wait until the source is closed."""
        await self._closed.wait()
        return b""

    async def aclose(self) -> None:
        """Let `read` end. May be called again."""
        self._closed.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class AbsentSpeaker:
    """An audio sink for an answer that is read: what has come counts as heard at once.

    A text is shown as soon as it comes, so a reader has often finished it long before the voice
    would have. Otherwise a typed turn would cut off an answer that was read to its end.

    Args:
        format: Format of the samples.
        now: Returns the time in seconds, if an answer is to take the time of its voice after all.
    """

    def __init__(self, format: AudioFormat, now: Callable[[], float] | None = None) -> None:
        self.format = format
        self._clocked = NullSink(format, now=now) if now else None
        self._received_bytes: dict[int, int] = {}

    def play(self, turn: int, pcm: bytes) -> None:
        """See `AudioSink`."""
        if self._clocked:
            self._clocked.play(turn, pcm)
            return
        received = self._received_bytes.pop(turn, 0) + len(pcm)
        self._received_bytes[turn] = received
        if len(self._received_bytes) > TURNS_REMEMBERED:
            del self._received_bytes[next(iter(self._received_bytes))]

    def flush(self) -> None:
        """See `AudioSink`."""
        if self._clocked:
            self._clocked.flush()

    def played_ms(self, turn: int) -> int:
        """See `AudioSink`."""
        if self._clocked:
            return self._clocked.played_ms(turn)
        return round(self.format.seconds(self._received_bytes.get(turn, 0)) * 1000)

    @property
    def pending_s(self) -> float:
        """Length of the sound that waits, in seconds."""
        return self._clocked.pending_s if self._clocked else 0.0

    def drain_played(self) -> Sequence[ReferenceBlock]:
        """Return what was played: nothing, so that there is no echo to remove."""
        return ()

    def duck(self, gain: float, ramp_ms: float) -> None:
        """Do nothing: no sound is played."""

    def release(self, ramp_ms: float) -> None:
        """Do nothing: no sound is played."""

    async def aclose(self) -> None:
        """Do nothing: there is no device. May be called again."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
