"""The demonstration, recorded on a tape: a tool call, a barge-in and a renewal in 25 s."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sonic_voice.audio.ports import NullSink
from sonic_voice.audio.wav import WavSource
from sonic_voice.config import SessionConfig
from sonic_voice.conversation import converse
from sonic_voice.demo import DEMO_SCENARIO, DEMO_WAV
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.events import Event, TurnEnded
from sonic_voice.recording import Recorder, Tape, read_tape
from sonic_voice.session import Session
from sonic_voice.tools.toolbox import Toolbox, tool
from sonic_voice.virtual_service import VirtualService
from sonic_voice.virtual_time import run_in_virtual_time

STREAM_S = 24.0
"""Life of a stream, in seconds: the conversation moves to its second one after 19 s."""

TOOL_S = 0.7
"""Time that the tool takes, in seconds."""


@tool
async def go(direction: str, meters: int) -> dict[str, str | int]:
    """Move the robot."""
    await asyncio.sleep(TOOL_S)
    return {"direction": direction, "meters": meters}


TOOLS = Toolbox([go])
CONFIG = SessionConfig(tools=TOOLS.specs, stream_s=STREAM_S)


@dataclass(frozen=True)
class RecordedDemo:
    """The demonstration as it was recorded."""

    path: Path
    tape: Tape
    events: list[tuple[float, Event]]
    """The events that the session had, each with its time."""


def record_demo(path: Path, *, faults: Sequence[str] = (), typed: str = "") -> RecordedDemo:
    """Hold the conversation of the demonstration with the emulator, and record it.

    Args:
        path: The tape.
        faults: Faults of the emulator.
        typed: A text that the user types after the first turn.
    """
    events: list[tuple[float, Event]] = []

    async def run() -> None:
        behaviour = Behaviour(faults=tuple(faults))
        async with VirtualService(DEMO_SCENARIO, behaviour=behaviour) as transport:
            source = WavSource(DEMO_WAV)
            recorder = Recorder(transport, path, CONFIG, clock=source.now)
            session = Session.open(CONFIG, recorder, clock=source.now)
            async with source, recorder, session:
                sink = recorder.sink(NullSink(CONFIG.output, now=source.now))

                def keep(event: Event, now: float) -> None:
                    events.append((now, event))
                    if typed and event == TurnEnded(1):
                        session.send_text(typed)

                await converse(session, source, sink, TOOLS, [recorder.observer, keep])

    run_in_virtual_time(run())
    return RecordedDemo(path, read_tape(path), events)


def without_observer(tape: Tape) -> Tape:
    """Return a tape as it is made by the transport alone."""
    kept = [r for r in tape.records if type(r).__name__ not in ("SessionEvent", "Played")]
    return Tape(replace(tape.header, config={}), kept)
