"""Sending a frame takes no turn of the event loop, and receiving a packet wakes it at most once.

The turns and wake-ups of the client's loop are counted, which does not depend on the speed of the
machine. The emulator runs in another thread, so that its turns are not among them.
"""

import asyncio
import selectors
import threading
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from sonic_voice import wire
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.config import SessionConfig
from sonic_voice.emulator.server import LOCAL_KEYS, LOCAL_REGION, Emulator
from sonic_voice.emulator.server.connection_limits import ConnectionLimits
from sonic_voice.emulator.service.effects import Effect, Emit, Expiry, Finish
from sonic_voice.events import Audio
from sonic_voice.http2.connection import STREAM_WINDOW_BYTES
from sonic_voice.session import Session
from sonic_voice.uplink_writer import RUSH_S
from sonic_voice.virtual_clock import VirtualClock

FRAME = bytes(1024)
FRAMES = 20
"""Number of frames of which the turns and wake-ups are counted."""

ROUNDS = 3
"""Number of counts, of which the least holds: rare timers of the session may fire during one."""

PATIENCE_S = 60.0


class CountingSelector(selectors.DefaultSelector):
    """A selector that counts the turns of its loop, and those before which the loop slept."""

    turns = 0
    wake_ups = 0

    def select(self, timeout: float | None = None) -> Any:
        self.turns += 1
        self.wake_ups += timeout is None or timeout > 0
        return super().select(timeout)


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts the callbacks which are to run in its next turns."""

    def __init__(self) -> None:
        self.selector = CountingSelector()
        self.scheduled = 0
        super().__init__(self.selector)

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        self.scheduled += 1
        return super().call_soon(callback, *args, context=context)


@dataclass
class EchoingService:
    """A service that answers each frame with one payload of sound."""

    ids: wire.Ids = field(default_factory=lambda: wire.Ids("s", "p", "c"))
    started: bool = False

    def receive(self, payload: bytes) -> list[Effect]:
        match wire.decode_input(payload):
            case wire.PromptStart(prompt=prompt):
                self.ids = wire.Ids("s", prompt, "c")
            case wire.AudioInput() if self.started:
                return emitted(wire.AudioOutput(self.ids, "sound", FRAME))
            case wire.AudioInput():
                self.started = True
                return emitted(
                    wire.CompletionStart(self.ids),
                    wire.AudioBlock(self.ids, "sound", 24_000),
                    wire.AudioOutput(self.ids, "sound", FRAME),
                )
            case wire.PromptEnd():
                end = wire.BlockEnd(self.ids, "sound", "AUDIO", "END_TURN")
                return emitted(end, wire.CompletionEnd(self.ids))
            case wire.SessionEnd():
                return [Finish()]
            case _:
                pass
        return []

    def speech(self, key: int, pcm: bytes) -> list[Effect]:
        return []

    def words(self, key: int, text: str | None) -> list[Effect]:
        return []

    def chat_piece(self, key: int, piece: str | None) -> list[Effect]:
        return []

    def end_of_input(self) -> list[Effect]:
        return [Finish()]

    def stalled(self) -> list[Effect]:
        return []

    def expire(self, which: Expiry) -> list[Effect]:
        return [Finish()]


def emitted(*records: wire.Output) -> list[Effect]:
    return [Emit(wire.encode_output(record)) for record in records]


class EmulatorThread:
    """An emulator in a thread of its own."""

    def __init__(self) -> None:
        self.emulator: Emulator | None = None
        self._running = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        # The credit for the frames would be further packets.
        limits = ConnectionLimits(window_bytes=STREAM_WINDOW_BYTES)
        async with Emulator(lambda _: EchoingService(), limits=limits) as self.emulator:
            self._running.set()
            await self._stop.wait()

    def __enter__(self) -> Emulator:
        self._thread.start()
        assert self._running.wait(PATIENCE_S)
        assert self.emulator is not None
        return self.emulator

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


@dataclass
class Counts:
    """The counts of `FRAMES` frames, each of which was sent and answered."""

    scheduled: int = 0
    """Callbacks that sending has scheduled."""
    turns: int = 0
    wake_ups: int = 0


async def count(session: Session, loop: CountingLoop) -> Counts:
    """Send frames, and wait for the answer to each."""
    counts = Counts()
    for _ in range(FRAMES):
        await asyncio.sleep(2 * RUSH_S)  # faster than a microphone, and no file
        scheduled = loop.scheduled
        await session.send_audio(FRAME)
        counts.scheduled += loop.scheduled - scheduled
        turns, wake_ups = loop.selector.turns, loop.selector.wake_ups
        while not isinstance(await anext(session), Audio):
            pass
        counts.turns += loop.selector.turns - turns
        counts.wake_ups += loop.selector.wake_ups - wake_ups
    return counts


async def converse(emulator: Emulator) -> list[Counts]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    loop.set_debug(False)
    transport = BedrockTransport(
        region=LOCAL_REGION,
        endpoint=emulator.endpoint,
        ca_file=emulator.ca_file,
        access_key=LOCAL_KEYS.access_key,
        secret_key=LOCAL_KEYS.secret_key,
    )
    try:
        # No silence is due while the clock stands still.
        async with (
            asyncio.timeout(PATIENCE_S),
            Session.open(SessionConfig(), transport, clock=VirtualClock()) as session,
        ):
            await count(session, loop)  # until all is set up
            return [await count(session, loop) for _ in range(ROUNDS)]
    finally:
        await transport.aclose()


def test_a_frame_takes_no_turn_and_a_packet_at_most_one_wake_up() -> None:
    with (
        EmulatorThread() as emulator,
        asyncio.Runner(loop_factory=CountingLoop) as runner,
    ):
        counted = runner.run(converse(emulator))
    assert min(counts.scheduled for counts in counted) == 0
    assert min(counts.wake_ups for counts in counted) <= FRAMES
    # The turn that reads the packet, and the one in which the owner takes the event.
    assert min(counts.turns for counts in counted) <= 2 * FRAMES
