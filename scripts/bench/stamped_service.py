"""An emulated service that answers frames with stamped frames, and its process.

It has no engines, so that the emulator keeps up with many sessions: TLS, signatures and framing are
the emulator's own. Every `ECHO_EVERY`th frame is answered with one frame of audio, and every
`INTERRUPTED_EVERY`th one with an interruption.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import count

from scripts.bench.common import OUTPUT_FORMAT, Kind, Stamp
from sonic_voice import wire
from sonic_voice.emulator.service.effects import Effect, Emit, Expiry, Finish

ECHO_EVERY = 2
"""Number of input frames for one output frame: the model speaks about half of the time."""

INTERRUPTED_EVERY = 100
"""Number of input frames for one interruption: 3.2 s at 32 ms a frame."""


@dataclass(slots=True)
class ServiceReport:
    """The emulator's measurements of one run."""

    chunk_ns: list[int] = field(default_factory=lambda: list[int]())
    """Latency of each counted frame from the client, in nanoseconds."""
    open_ns: list[int] = field(default_factory=lambda: list[int]())
    """Time from the opening of each session to its first frame, in nanoseconds."""
    lost: int = 0
    """Number of frames that did not arrive."""
    first_s: tuple[float, float] = (0.0, 0.0)
    """Time of the first counted frame: monotonic seconds and CPU seconds."""
    last_s: tuple[float, float] = (0.0, 0.0)
    """Time of the last counted frame: monotonic seconds and CPU seconds."""

    def add(self, stamp: Stamp, now_ns: int) -> None:
        """Record the arrival of a frame.

        Args:
            stamp: The stamp of the frame.
            now_ns: Time of its arrival, in nanoseconds.
        """
        if stamp.kind == Kind.OPENED:
            self.open_ns.append(now_ns - stamp.at_ns)
        if stamp.kind != Kind.COUNTED:
            return
        self.chunk_ns.append(now_ns - stamp.at_ns)
        self.last_s = (now_ns / 1e9, time.process_time())
        if len(self.chunk_ns) == 1:
            self.first_s = self.last_s

    @property
    def share_of_core(self) -> float:
        """CPU load of the emulator's process in the client's window; 1.0 is a whole core."""
        wall_s, cpu_s = (
            last - first for first, last in zip(self.first_s, self.last_s, strict=True)
        )
        return cpu_s / wall_s if wall_s else 0.0


class StampedService:
    """The service of one stream that answers with stamped frames, an `effects.Service`.

    Args:
        report: Function that returns the report of the current run.
    """

    def __init__(self, report: Callable[[], ServiceReport]) -> None:
        self._report = report
        self._ids = wire.Ids("session", completion="completion")
        self._frames = 0
        self._sounds = 0
        self._names = (f"block-{number}" for number in count())
        self._block = ""
        self._marker_ns = 0

    def receive(self, payload: bytes) -> list[Effect]:
        """See `Service`."""
        now_ns = time.monotonic_ns()
        match wire.decode_input(payload):
            case wire.AudioInput(pcm=pcm):
                return self.receive_audio(pcm, now_ns)
            case wire.PromptStart(prompt=prompt):
                self._ids = wire.Ids("session", prompt, "completion")
            case wire.PromptEnd():
                end = wire.BlockEnd(self._ids, self._block, "AUDIO", "END_TURN")
                return _emit(end, wire.CompletionEnd(self._ids))
            case wire.SessionEnd():
                return self.end_of_input()
            case _:
                pass
        return []

    def receive_audio(self, pcm: bytes, now_ns: int) -> list[Effect]:
        """Record the arrival of a frame, and return what the service sends because of it.

        Args:
            pcm: The frame; audio without a stamp is ignored.
            now_ns: Time of its arrival, in nanoseconds.
        """
        stamp = Stamp.of(pcm)
        if stamp is None:
            return []
        report = self._report()
        report.add(stamp, now_ns)
        report.lost += stamp.number - self._frames
        self._frames = stamp.number + 1
        if stamp.number == 0:
            return _emit(wire.CompletionStart(self._ids), *self._begin_turn())
        effects: list[Effect] = []
        echoes, interruptions = self.answers_due(pcm)
        for _ in range(interruptions):
            effects += self._interrupt()
        for _ in range(echoes):
            effects += self._emit_audio(stamp.kind)
        return effects

    def answers_due(self, pcm: bytes) -> tuple[int, int]:
        """Return the numbers of frames of audio and of interruptions that a frame causes.

        Args:
            pcm: The frame.
        """
        echo = self._frames % ECHO_EVERY == 0
        return int(echo), int(self._frames % INTERRUPTED_EVERY == 0)

    def _emit_audio(self, kind: int) -> list[Effect]:
        stamp = Stamp(kind, self._sounds, time.monotonic_ns(), self._marker_ns)
        self._sounds, self._marker_ns = self._sounds + 1, 0
        return _emit(wire.AudioOutput(self._ids, self._block, stamp.frame(OUTPUT_FORMAT)))

    def _interrupt(self) -> list[Effect]:
        self._marker_ns = time.monotonic_ns()
        # The text marker comes first, because some clients know only this form of interruption.
        return _emit(
            *self._text("ASSISTANT", "FINAL", '{ "interrupted" : true }', "INTERRUPTED"),
            wire.BlockEnd(self._ids, self._block, "AUDIO", "INTERRUPTED"),
            *self._begin_turn(),
        )

    def _begin_turn(self) -> list[wire.Output]:
        """Return the records before the audio of a turn."""
        heard = self._text("USER", "FINAL", "Say that again.", "PARTIAL_TURN")
        planned = self._text("ASSISTANT", "SPECULATIVE", "As you like.", "PARTIAL_TURN")
        self._block = next(self._names)
        return [*heard, *planned, wire.AudioBlock(self._ids, self._block, OUTPUT_FORMAT.rate_hz)]

    def _text(self, role: str, stage: wire.Stage, text: str, stop: str) -> list[wire.Output]:
        block = next(self._names)
        return [
            wire.TextBlock(self._ids, block, role, stage),
            wire.TextOutput(self._ids, block, text, role),
            wire.BlockEnd(self._ids, block, "TEXT", stop),
        ]

    def speech(self, key: int, pcm: bytes) -> list[Effect]:
        """See `Service`. No speech is synthesized."""
        return []

    def words(self, key: int, text: str | None) -> list[Effect]:
        """See `Service`. No speech is recognized."""
        return []

    def chat_piece(self, key: int, piece: str | None) -> list[Effect]:
        """See `Service`. No model is asked."""
        raise AssertionError("the service asks no model")

    def end_of_input(self) -> list[Effect]:
        """See `Service`."""
        return [Finish()]

    def stalled(self) -> list[Effect]:
        """See `Service`."""
        return []

    def expire(self, which: Expiry) -> list[Effect]:
        """See `Service`."""
        return self.end_of_input()


def _emit(*records: wire.Output) -> list[Effect]:
    return [Emit(wire.encode_output(record)) for record in records]


async def serve_reports(service: Callable[[Callable[[], ServiceReport]], StampedService]) -> None:
    """Run an emulator until the standard input ends, as the process of a benchmark.

    It first prints its environment variables as JSON, and then, for each line of the input, the
    report of the run since the last line.

    Args:
        service: Function that creates the service of a stream.
    """
    from sonic_voice.emulator.server import Emulator

    report = ServiceReport()
    async with Emulator(lambda _: service(lambda: report)) as emulator:
        print(json.dumps(emulator.environment()), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            finished, report = report, ServiceReport()
            print(json.dumps(asdict(finished)), flush=True)
