"""The sound that a sink really played, found by asking it how far each turn has been played.

    play(turn, pcm) ──► queue of the turn ──► take(played_ms, now) ──► Played(t_s, turn, pcm)

Every sink answers `played_ms`, whether it is a loudspeaker, a file or a page. The samples are those
that it was given. It is asked with each chunk of the user's sound, some 30 times a second, so that
dates are exact to about 30 ms; the samples of an interrupted answer are exact to 1 ms.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..config import BYTES_PER_SAMPLE, AudioFormat
from .records import Played

PIECE_S = 0.1
"""Length of a record of played sound, in seconds. Shorter ones come at the end of a turn."""

TURNS_REMEMBERED = 16
"""Number of turns that may still be played. Answers are played one after the other."""


@dataclass(slots=True)
class _Turn:
    queued: bytearray = field(default_factory=bytearray)
    """Sound that was not reported as played."""
    taken_bytes: int = 0
    """Size of the sound that was."""


class PlayedSound:
    """The sound that a sink was given, by turn, as far as it was not played yet.

    Args:
        format: The format of the sink.
    """

    def __init__(self, format: AudioFormat) -> None:
        self.queued_bytes = 0
        """Size of the sound that was not played yet, in bytes."""
        self._format = format
        self._turns: dict[int, _Turn] = {}

    def play(self, turn: int, pcm: bytes) -> None:
        """Add sound that the sink was given.

        Args:
            turn: Number of its turn.
            pcm: s16le mono PCM.
        """
        if turn not in self._turns and len(self._turns) >= TURNS_REMEMBERED:
            self.queued_bytes -= len(self._turns.pop(next(iter(self._turns))).queued)
        self.queued_bytes += len(pcm)
        self._turns.setdefault(turn, _Turn()).queued += pcm

    def take(
        self, played_ms: Callable[[int], int], now: float, *, all: bool = False
    ) -> Iterator[Played]:
        """Remove and yield what was played since the last call.

        Args:
            played_ms: Returns how much of a turn was played, in ms.
            now: The time, in seconds since the beginning of the tape.
            all: Whether to yield pieces that are shorter than `PIECE_S`, too.
        """
        for number, turn in self._turns.items():
            if not turn.queued:
                continue
            size = self._played_bytes(turn, played_ms(number)) - turn.taken_bytes
            is_end = size >= len(turn.queued)
            if size <= 0 or not (all or is_end or size >= self._format.size(PIECE_S)):
                continue
            pcm = bytes(turn.queued[:size])
            del turn.queued[:size]
            self.queued_bytes -= len(pcm)
            turn.taken_bytes += len(pcm)
            yield Played(max(0.0, now - self._format.seconds(len(pcm))), number, pcm)

    def drop(self) -> None:
        """Forget what was not played, because the sink was flushed."""
        self.queued_bytes = 0
        for turn in self._turns.values():
            turn.queued.clear()

    def _played_bytes(self, turn: _Turn, played_ms: int) -> int:
        """Return the size of the sound of a turn that was played.

        Milliseconds are rounded down. A sink that has played the last whole one is at the end.
        """
        total = turn.taken_bytes + len(turn.queued)
        if played_ms >= total // BYTES_PER_SAMPLE * 1000 // self._format.rate_hz:
            return total
        return self._format.size(played_ms / 1000)
