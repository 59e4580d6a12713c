"""The two ends of a conversation's sound.

`AudioSource` is where the user is heard, `AudioSink` where the answer is. Microphones, files and
browsers are implementations of these two; the conversation knows nothing else of them.

The service sends an answer several times faster than it is spoken, so seconds of it wait at the
listener's side, in a sink's `playout.PlayoutBuffer`.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from ..config import AudioFormat
from ..errors import OrderError
from .playout import PlayoutBuffer, PlayoutStats

INPUT_FORMAT = AudioFormat(16_000)
"""What the service listens to, unless asked otherwise."""

OUTPUT_FORMAT = AudioFormat(24_000)
"""What the service speaks, unless asked otherwise."""


class AudioSource(Protocol):
    """The user's side. One owner reads it; pcm is s16le mono at `format.rate_hz`."""

    format: AudioFormat

    async def read(self) -> bytes:
        """The next chunk, of any length above 0, at the source's pace.

        `b""`: the source is closed and nothing more will ever come. Cancelling loses nothing.
        """
        ...

    @property
    def done(self) -> bool:
        """Whether all that was to be said has been said, as at a file's end.

        Silence may go on flowing afterwards. A microphone is never done.
        """
        ...

    def now(self) -> float:
        """The source's clock in seconds.

        A file's is the audio delivered so far, so that a conversation run at any speed lives on
        the same time line; a microphone's is `time.monotonic()`.
        """
        ...

    async def aclose(self) -> None:
        """Give back the device or file; `read` returns `b""` from then on. May be repeated."""
        ...


class AudioSink(Protocol):
    """The listener's side. One owner plays; pcm is s16le mono at `format.rate_hz`."""

    format: AudioFormat

    def play(self, turn: int, pcm: bytes) -> None:
        """Append `pcm` of `turn`. Never blocks."""
        ...

    def flush(self) -> None:
        """Barge-in: only silence remains, after a fade of a few milliseconds."""
        ...

    def played_ms(self, turn: int) -> int:
        """How much of `turn` has really sounded so far, in milliseconds."""
        ...

    @property
    def pending_s(self) -> float:
        """Seconds that have not sounded yet."""
        ...

    async def aclose(self) -> None:
        """Write what must be written, give back the device. May be repeated."""
        ...


class VirtualSpeaker:
    """A loudspeaker that exists only in time: it has sounded as far as `now()` says.

    There is no thread and no timer: each call first pulls what has become due since the last
    one, so the outcome depends on `now` alone and is the same at any speed. Time zero is `now()`
    at construction. `sound` is given every sample in order, silences included.
    """

    def __init__(
        self, format: AudioFormat, *, now: Callable[[], float], sound: Callable[[bytes], None]
    ) -> None:
        self.format = format
        self._buffer = PlayoutBuffer(format)
        self._now = now
        self._sound = sound
        self._zero_s = now()
        self._sounded = 0
        self._closed = False

    def play(self, turn: int, pcm: bytes) -> None:
        """Append `pcm` of `turn`. Raises `AudioError` on half a sample, `OrderError` if closed."""
        if self._closed:
            raise OrderError("The sink is closed.", hint="Play before aclose().")
        self._catch_up()
        self._buffer.play(turn, pcm)

    def flush(self) -> None:
        """Silence what is sounding, after a fade, and forget what waits."""
        self._catch_up()
        self._buffer.flush()

    def played_ms(self, turn: int) -> int:
        """How much of `turn` has sounded, in milliseconds. See `PlayoutBuffer.played_ms`."""
        self._catch_up()
        return self._buffer.played_ms(turn)

    @property
    def pending_s(self) -> float:
        """Seconds that have not sounded yet."""
        self._catch_up()
        return self._buffer.pending_s

    @property
    def stats(self) -> PlayoutStats:
        """The counts so far."""
        self._catch_up()
        return self._buffer.stats

    async def aclose(self, *, drain: bool = True) -> None:
        """Stop the clock. What waits is first heard to its end, or with `drain` False flushed.

        Never suspends. May be repeated.
        """
        if self._closed:
            return
        self._catch_up()
        self._closed = True
        if not drain:
            self._buffer.flush()
        self._sound_until(self._sounded + self._buffer.pending_samples)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose(drain=kind is None)

    def _catch_up(self) -> None:
        if not self._closed:
            self._sound_until(round((self._now() - self._zero_s) * self.format.rate_hz))

    def _sound_until(self, position: int) -> None:
        while self._sounded < position:
            step = min(position - self._sounded, self.format.rate_hz)  # long pauses: by the second
            self._sounded += step
            self._sound(self._buffer.pull(step))


class NullSink(VirtualSpeaker):
    """A listener who keeps nothing but time: where no output is wanted, and in tests."""

    def __init__(self, format: AudioFormat = OUTPUT_FORMAT, *, now: Callable[[], float]) -> None:
        super().__init__(format, now=now, sound=_discard)


def _discard(pcm: bytes) -> None:
    """Nobody listens."""
