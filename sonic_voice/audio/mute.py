"""Wrappers for mute: a source that can be shut, and a sink that can be hushed.

They stand between the devices and `converse`. A muted source still delivers audio: the service
ends a session that receives none for 55 s, and answers only speech that is followed by silence. So
silence of the same length flows instead.

    OPEN ◄── mute ──► MUTED                  the user is heard, or not
      ▲ │               │
      │ └──────┬────────┘
      │   push_to_talk
      │        ▼
      └── WAITING ◄── talk ──► TALKING       heard only between two presses of a key

Hushing is local. The protocol has no event for it: the service assumes that the whole answer was
heard, and goes on sending it. Audio of a hushed turn that still arrives is dropped here.
"""

from enum import Enum, auto

from ..transcript import PLAYBACK_TAIL_MS
from .ports import AudioSink, AudioSource


class Gate(Enum):
    """The state of a muted source: whether the user is heard, and what would change it."""

    OPEN = auto()
    """The user is heard."""
    MUTED = auto()
    """The user is not heard until `mute`."""
    WAITING = auto()
    """Push-to-talk: the user is not heard until `talk`."""
    TALKING = auto()
    """Push-to-talk: the user is heard until the next `talk`. A terminal does not report the
    release of a key."""
    ABSENT = auto()
    """There is no microphone: the user types. No switch changes this."""


SHUT = (Gate.MUTED, Gate.WAITING)
"""The states in which the user is not heard."""

_NEXT = {
    (Gate.OPEN, "mute"): Gate.MUTED,
    (Gate.MUTED, "mute"): Gate.OPEN,
    (Gate.TALKING, "mute"): Gate.WAITING,
    (Gate.OPEN, "push_to_talk"): Gate.WAITING,
    (Gate.MUTED, "push_to_talk"): Gate.WAITING,
    (Gate.WAITING, "push_to_talk"): Gate.OPEN,
    (Gate.TALKING, "push_to_talk"): Gate.OPEN,
    (Gate.WAITING, "talk"): Gate.TALKING,
    (Gate.TALKING, "talk"): Gate.WAITING,
}
"""The next state by state and switch. A pair that is not in the table changes nothing."""


class MutableSource:
    """A source that can be muted: it delivers `source`, or silence at its pace, as `gate` says.

    It belongs around an echo canceller, not inside: the canceller has to go on hearing the room.
    Use it from the task that reads it. Closing it closes `source`.
    """

    def __init__(self, source: AudioSource, gate: Gate = Gate.OPEN) -> None:
        """Wrap a source.

        Args:
            source: The source.
            gate: The state in which it begins.
        """
        self.format = source.format
        self.gate = gate
        self._source = source

    def mute(self) -> None:
        """Mute the user, or end that."""
        self._turn("mute")

    def push_to_talk(self) -> None:
        """Begin or end push-to-talk: the user is heard only between two calls of `talk`."""
        self._turn("push_to_talk")

    def talk(self) -> None:
        """Open or shut the source during push-to-talk."""
        self._turn("talk")

    def _turn(self, switch: str) -> None:
        self.gate = _NEXT.get((self.gate, switch), self.gate)

    @property
    def done(self) -> bool:
        """See `AudioSource`."""
        return self._source.done

    def now(self) -> float:
        """See `AudioSource`."""
        return self._source.now()

    async def read(self) -> bytes:
        """See `AudioSource`. While muted, return as much silence."""
        pcm = await self._source.read()
        return bytes(len(pcm)) if self.gate in SHUT else pcm

    async def aclose(self) -> None:
        """Close the source. May be called again."""
        await self._source.aclose()


class HushableSink:
    """A sink that can cut an answer off locally, whatever the service does.

    Use it from the thread of `sink`. Closing it closes `sink`.
    """

    def __init__(self, sink: AudioSink) -> None:
        self.format = sink.format
        self._sink = sink
        self._sound_bytes: dict[int, int] = {}
        self._hushed: set[int] = set()

    def play(self, turn: int, pcm: bytes) -> None:
        """See `AudioSink`. Audio of a hushed turn is dropped."""
        if turn in self._hushed:
            return
        if turn not in self._sound_bytes:
            self._sound_bytes = {unheard: self._sound_bytes[unheard] for unheard in self._unheard()}
        self._sink.play(turn, pcm)
        self._sound_bytes[turn] = self._sound_bytes.get(turn, 0) + len(pcm)

    def hush(self) -> dict[int, int]:
        """Drop all audio that is being played or queued, and the rest of its turns when it arrives.

        Returns:
            Milliseconds that were heard of each turn that was cut, by turn; empty if none was.
        """
        if self._sink.pending_s <= 0:
            return {}
        cut = self._unheard()
        self._hushed |= cut.keys()
        self.flush()
        return cut

    def flush(self) -> None:
        """See `AudioSink`."""
        self._sink.flush()
        self._sound_bytes.clear()

    def played_ms(self, turn: int) -> int:
        """See `AudioSink`."""
        return self._sink.played_ms(turn)

    @property
    def pending_s(self) -> float:
        """See `AudioSink`."""
        return self._sink.pending_s

    async def aclose(self) -> None:
        """Close the sink. May be called again."""
        await self._sink.aclose()

    def _unheard(self) -> dict[int, int]:
        """Return the turns that have audio left to play, and the milliseconds heard of each."""
        heard_ms = {turn: self._sink.played_ms(turn) for turn in self._sound_bytes}
        return {
            turn: ms
            for turn, ms in heard_ms.items()
            if ms + PLAYBACK_TAIL_MS < self.format.seconds(self._sound_bytes[turn]) * 1000
        }
