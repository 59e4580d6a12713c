"""The two audio ports of a conversation.

`AudioSource` delivers what the user says, `AudioSink` plays the answer. Microphones, files and
browsers implement these two; the conversation knows nothing else of them.

The service sends an answer several times faster than it is spoken, so seconds of it wait on the
listener's side, in the `playout.PlayoutBuffer` of a sink.
"""

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from ..config import AudioFormat
from ..errors import OrderError

if TYPE_CHECKING:
    from .playout import PlayoutStats

INPUT_FORMAT = AudioFormat(16_000)
"""Format of the audio sent to the service, unless the configuration says otherwise."""

OUTPUT_FORMAT = AudioFormat(24_000)
"""Format of the audio received from the service, unless the configuration says otherwise."""


class AudioSource(Protocol):
    """A source of the user's audio: s16le mono at `format.rate_hz`. One owner reads it."""

    format: AudioFormat

    async def read(self) -> bytes:
        """Wait for the next chunk, which comes at the source's pace.

        A source delivers only what it has. While it has nothing it waits, and the service stream
        sends silence.

        Cancelling loses nothing.

        Returns:
            A chunk of any length above 0; `b""` when the source is closed, after which nothing
            more comes.
        """
        ...

    @property
    def done(self) -> bool:
        """True if the source has delivered all its speech, as at the end of a file.

        Silence may go on flowing afterwards. A microphone is never done.
        """
        ...

    def now(self) -> float:
        """Return the time of the source's clock, in seconds.

        The clock of a file is the audio delivered so far, so that a conversation has the same
        times at any speed; that of a microphone is `time.monotonic()`.
        """
        ...

    async def aclose(self) -> None:
        """Release the device or file. `read` then returns `b""`. May be called again."""
        ...


class AudioSink(Protocol):
    """A player of the answer: s16le mono at `format.rate_hz`. One owner calls it."""

    format: AudioFormat

    def play(self, turn: int, pcm: bytes) -> None:
        """Queue audio. Never blocks.

        Args:
            turn: Number of the turn that the audio belongs to.
            pcm: Whole samples of it.
        """
        ...

    def flush(self) -> None:
        """Drop what is queued, for a barge-in: silence follows after a fade of a few ms."""
        ...

    def played_ms(self, turn: int) -> int:
        """Return how much of a turn has really been played so far.

        Args:
            turn: Number of the turn.

        Returns:
            Milliseconds; 0 for an unknown turn.
        """
        ...

    @property
    def pending_s(self) -> float:
        """Length of the audio that has not been played yet, in seconds."""
        ...

    async def aclose(self) -> None:
        """Write what must be written, and release the device. May be called again."""
        ...


class VirtualSpeaker:
    """A loudspeaker without a device, which plays by the clock that it is given.

    There is no thread and no timer: each call first plays what has become due since the last
    one, so that the result depends on `now` alone and is the same at any speed. Time zero is
    `now()` at construction.
    """

    def __init__(
        self, format: AudioFormat, *, now: Callable[[], float], on_played: Callable[[bytes], None]
    ) -> None:
        """Start the clock.

        Args:
            format: Format of the samples.
            now: Returns the time in seconds.
            on_played: Is called with all samples in order when they are due, silences included.
        """
        from .playout import PlayoutBuffer  # needs NumPy, which the ports alone do not

        self.format = format
        self._buffer = PlayoutBuffer(format)
        self._now = now
        self._on_played = on_played
        self._zero_s = now()
        self._played = 0
        self._closed = False

    def play(self, turn: int, pcm: bytes) -> None:
        """Queue audio.

        Args:
            turn: Number of the turn that the audio belongs to.
            pcm: Whole samples of it.

        Raises:
            AudioError: `pcm` ends inside a sample.
            OrderError: The speaker is closed.
        """
        if self._closed:
            raise OrderError("The sink is closed.", hint="Play before aclose().")
        self._catch_up()
        self._buffer.play(turn, pcm)

    def flush(self) -> None:
        """Drop what is queued, and fade out what is being played."""
        self._catch_up()
        self._buffer.flush()

    def played_ms(self, turn: int) -> int:
        """Return how much of `turn` has been played, in ms. See `PlayoutBuffer.played_ms`."""
        self._catch_up()
        return self._buffer.played_ms(turn)

    @property
    def pending_s(self) -> float:
        """Length of the audio that has not been played yet, in seconds."""
        self._catch_up()
        return self._buffer.pending_s

    @property
    def stats(self) -> "PlayoutStats":
        """The playout counts so far."""
        self._catch_up()
        return self._buffer.stats

    async def aclose(self, *, drain: bool = True) -> None:
        """Stop the clock. Never suspends. May be called again.

        Args:
            drain: Whether queued audio is first played to its end; it is flushed otherwise.
        """
        if self._closed:
            return
        self._catch_up()
        self._closed = True
        if not drain:
            self._buffer.flush()
        self._play_until(self._played + self._buffer.pending_samples)

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
            self._play_until(round((self._now() - self._zero_s) * self.format.rate_hz))

    def _play_until(self, position: int) -> None:
        while self._played < position:
            step = min(position - self._played, self.format.rate_hz)  # long pauses: by the second
            self._played += step
            self._on_played(self._buffer.pull(step))


class NullSink(VirtualSpeaker):
    """A virtual speaker that keeps nothing but time, for no output and for tests."""

    def __init__(self, format: AudioFormat = OUTPUT_FORMAT, *, now: Callable[[], float]) -> None:
        super().__init__(format, now=now, on_played=_discard)


def _discard(pcm: bytes) -> None:
    """Ignore what was played."""
