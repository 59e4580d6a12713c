"""A microphone that can be shut, and a loudspeaker that can be hushed, between them and `converse`.

A shut microphone is never a silent line: the service ends a session that hears nothing for 55 s,
and answers only what is followed by silence. So silence of the same length flows instead.

    OPEN ◄── mute ──► MUTED                  the person is heard, or not
      ▲ │               │
      │ └──────┬────────┘
      │   push_to_talk
      │        ▼
      └── WAITING ◄── talk ──► TALKING       heard only between two presses of a key

Hushing is local. The protocol has no word for it: the service takes the whole answer for heard and
goes on sending it. What still comes of a hushed turn is dropped here.
"""

from enum import Enum, auto

from ..transcript import PLAYBACK_TAIL_MS
from .ports import AudioSink, AudioSource


class Gate(Enum):
    """Whether the person is heard, and what would change it."""

    OPEN = auto()
    MUTED = auto()
    WAITING = auto()
    """Push-to-talk: shut until `talk`."""
    TALKING = auto()
    """Push-to-talk: open until the next `talk`. A terminal does not tell when a key is let go."""


SHUT = (Gate.MUTED, Gate.WAITING)
"""The gates behind which nobody is heard."""

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
"""What is not in the table changes nothing."""


class MutableSource:
    """`source`, or silence in its place and at its pace, as `gate` says.

    Around an echo canceller, not inside: the canceller has to go on hearing the room. Belongs to
    the task that reads it; closing it closes `source`.
    """

    def __init__(self, source: AudioSource) -> None:
        self.format = source.format
        self.gate = Gate.OPEN
        self._source = source

    def mute(self) -> None:
        """Be heard no more, or again."""
        self._turn("mute")

    def push_to_talk(self) -> None:
        """Be heard only between two calls of `talk`, or always again."""
        self._turn("push_to_talk")

    def talk(self) -> None:
        """With push-to-talk: be heard from now on, or no more."""
        self._turn("talk")

    def _turn(self, switch: str) -> None:
        self.gate = _NEXT.get((self.gate, switch), self.gate)

    @property
    def done(self) -> bool:
        """The source's."""
        return self._source.done

    def now(self) -> float:
        """The source's clock, in seconds."""
        return self._source.now()

    async def read(self) -> bytes:
        """The source's next chunk, or as much silence. Cancelling loses nothing."""
        pcm = await self._source.read()
        return bytes(len(pcm)) if self.gate in SHUT else pcm

    async def aclose(self) -> None:
        """Close the source. May be repeated."""
        await self._source.aclose()


class HushableSink:
    """`sink`, with a way to cut an answer off here, whatever the service does.

    Belongs to the thread of `sink`; closing it closes `sink`.
    """

    def __init__(self, sink: AudioSink) -> None:
        self.format = sink.format
        self._sink = sink
        self._sound_bytes: dict[int, int] = {}
        self._hushed: set[int] = set()

    def play(self, turn: int, pcm: bytes) -> None:
        """Append `pcm` of `turn`, unless it is hushed. Never blocks."""
        if turn in self._hushed:
            return
        if turn not in self._sound_bytes:
            self._sound_bytes = {unheard: self._sound_bytes[unheard] for unheard in self._unheard()}
        self._sink.play(turn, pcm)
        self._sound_bytes[turn] = self._sound_bytes.get(turn, 0) + len(pcm)

    def hush(self) -> dict[int, int]:
        """Silence all that sounds or waits, and what is still to come of it.

        Returns how many milliseconds were heard of each turn that was cut; empty if none was.
        """
        if self._sink.pending_s <= 0:
            return {}
        cut = self._unheard()
        self._hushed |= cut.keys()
        self.flush()
        return cut

    def flush(self) -> None:
        """Barge-in: only silence remains, after a fade of a few milliseconds."""
        self._sink.flush()
        self._sound_bytes.clear()

    def played_ms(self, turn: int) -> int:
        """How much of `turn` has really sounded so far, in milliseconds."""
        return self._sink.played_ms(turn)

    @property
    def pending_s(self) -> float:
        """Seconds that have not sounded yet."""
        return self._sink.pending_s

    async def aclose(self) -> None:
        """Close the sink. May be repeated."""
        await self._sink.aclose()

    def _unheard(self) -> dict[int, int]:
        """The turns of which something is still to sound, and what has sounded."""
        heard_ms = {turn: self._sink.played_ms(turn) for turn in self._sound_bytes}
        return {
            turn: ms
            for turn, ms in heard_ms.items()
            if ms + PLAYBACK_TAIL_MS < self.format.seconds(self._sound_bytes[turn]) * 1000
        }
