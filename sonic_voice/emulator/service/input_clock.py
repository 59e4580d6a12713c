"""The input clock: the user's audio, cut into windows, and the speech that was found in them.

Time is the input audio. It is cut into windows of 32 ms, and the clock moves by one whole window at
a time. Therefore one recording gives one sequence of windows and speech events, however it is cut
into chunks and however fast it comes.

The clock counts the audio of all containers. The endpointing of a container counts from its
beginning; `InputClock.position_ms` converts.

    no container ──open_container──► container open ──open_container──► the next container
                                           └──close──► no container

When the client sends nothing, the clock stands still. While it is *flushed*, everything that waits
for a position counts as due, until input comes.
"""

from collections import deque
from dataclasses import dataclass, field

from .answers import pcm_bytes
from .endpointing import WINDOW_MS, Endpointer, SpeechBegan, SpeechDetector, SpeechEnded

type SpeechEvent = SpeechBegan | SpeechEnded
"""An onset or an end of speech, in milliseconds since the audio container began."""


@dataclass(frozen=True, slots=True)
class InputWindow:
    """A window of the user's audio by which the clock has moved."""

    pcm: bytes
    """Mono s16le samples, 32 ms long."""
    rate_hz: int
    """Their sample rate, in hertz."""
    events: tuple[SpeechEvent, ...]
    """The speech events at the end of the window, none in most cases."""


@dataclass(slots=True)
class _AudioContainer:
    """An open audio container: its format, its endpointing, and the audio not yet in a window."""

    rate_hz: int
    window_bytes: int
    """The length of a window, in bytes."""
    detector: SpeechDetector
    endpointer: Endpointer
    began_ms: int
    """Position on the input clock at which the container began."""
    pcm: bytearray = field(default_factory=bytearray)
    """Samples that were received and are not part of a window yet."""


class InputClock:
    """The input clock of one prompt.

    Args:
        endpoint_ms: Silence that ends an utterance, in milliseconds.
        notice_ms: Delay from an onset of speech to its event, in milliseconds.
    """

    def __init__(self, endpoint_ms: int, notice_ms: int) -> None:
        self.now_ms = 0
        """Milliseconds of audio in windows so far, over all containers."""
        self._endpoint_ms = endpoint_ms
        self._notice_ms = notice_ms
        self._container: _AudioContainer | None = None
        self._events: deque[SpeechEvent] = deque()
        self._flushed = False

    def open_container(self, rate_hz: int, detector: SpeechDetector) -> None:
        """Begin an audio container. A part of a window that the last one left is dropped.

        Args:
            rate_hz: The sample rate of its audio, in hertz.
            detector: A new voice activity detector for that rate.
        """
        self._container = _AudioContainer(
            rate_hz,
            pcm_bytes(WINDOW_MS, rate_hz),
            detector,
            Endpointer(self._endpoint_ms, self._notice_ms),
            self.now_ms,
        )

    def close(self) -> None:
        """Close the audio container, if one is open. The clock stands still from now on."""
        self._container = None

    def receive(self, pcm: bytes) -> None:
        """Take audio of the user. Ignored while no container is open.

        Args:
            pcm: Mono s16le samples at the rate of the container.
        """
        if self._container is not None:
            self._container.pcm += pcm

    def take_window(self) -> InputWindow | None:
        """Move the clock by one window, and add its speech events to those that wait.

        Returns:
            The window, or None if no whole one was received.
        """
        container = self._container
        if container is None or len(container.pcm) < container.window_bytes:
            return None
        pcm = bytes(container.pcm[: container.window_bytes])
        del container.pcm[: container.window_bytes]
        self.now_ms += WINDOW_MS
        events = container.endpointer.feed(container.detector.probability(pcm))
        self._events.extend(events)
        return InputWindow(pcm, container.rate_hz, tuple(events))

    def take_event(self) -> SpeechEvent | None:
        """Return the next speech event that was not taken yet, or None."""
        return self._events.popleft() if self._events else None

    @property
    def event_waits(self) -> bool:
        """True while a speech event was not taken yet."""
        return bool(self._events)

    @property
    def user_speaks(self) -> bool:
        """True while the user speaks, also before the onset is an event."""
        return self._container is not None and self._container.endpointer.speaking

    @property
    def received_ms(self) -> float:
        """Milliseconds of audio received. A part of a window counts once it is all that is left."""
        container = self._container
        if container is None or len(container.pcm) >= container.window_bytes:
            return self.now_ms
        return self.now_ms + len(container.pcm) * WINDOW_MS / container.window_bytes

    def position_ms(self, offset_ms: int) -> int:
        """Return the position on the clock of an offset in the container, in milliseconds.

        Args:
            offset_ms: Milliseconds since the container began.
        """
        began_ms = 0 if self._container is None else self._container.began_ms
        return began_ms + offset_ms

    def is_due(self, position_ms: float) -> bool:
        """Return whether the clock has passed a position, or is flushed.

        Args:
            position_ms: The position, in milliseconds.
        """
        return self._flushed or position_ms <= self.now_ms

    def flush(self) -> None:
        """Let every position count as due, until `resume`."""
        self._flushed = True

    def resume(self) -> None:
        """Let positions be due by the clock again: the client has sent something."""
        self._flushed = False
