"""Tapes of conversations in which a reasoner thought: replayed, the client sends the same."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from sonic_voice import (
    DEFAULT_MODEL,
    Message,
    NullSink,
    Recorder,
    Session,
    SessionConfig,
    WavSource,
    converse,
    read_tape,
    reasoner_tool,
)
from sonic_voice.events import Event, Interrupted, ToolAnswered
from sonic_voice.recording.rerun import replay_tape
from sonic_voice.virtual_service import VirtualService
from sonic_voice.virtual_time import VirtualTimeLoop

DEMO = Path(__file__).parents[2] / "sonic_voice" / "emulator"
STORY = "This is a very long story about a house that nobody ever lived in, by a sea without ships."


async def _think(messages: Sequence[Message]) -> AsyncGenerator[str]:
    yield f"You said: {messages[-1].text}"
    await asyncio.sleep(0.7)
    if "forward" in messages[-1].text:
        yield STORY
        await asyncio.Event().wait()
    yield "That is all."


async def _record(path: Path) -> list[Event]:
    events: list[Event] = []
    source = WavSource(DEMO / "demo.wav")
    config = SessionConfig(tools=(reasoner_tool(DEFAULT_MODEL),))
    async with (
        VirtualService(DEMO / "demo.yaml") as transport,
        Recorder(transport, path, config, clock=source.now) as recorder,
        Session.open(config, recorder, clock=source.now) as session,
    ):
        sink = recorder.sink(NullSink(config.output, now=source.now))

        def keep(event: Event, now: float) -> None:
            events.append(event)

        observers = [recorder.observer, keep]
        await converse(session, source, sink, None, observers, reasoner=_think)
    await source.aclose()
    return events


def test_a_tape_with_a_reasoner_is_replayed_with_its_sentences(tmp_path: Path) -> None:
    path = tmp_path / "reasoner.tape"
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        events = runner.run(_record(path))
    answers = [event for event in events if isinstance(event, ToolAnswered)]
    assert len(answers) == 3
    assert STORY in answers[1].result_json
    assert [event.turn for event in events if isinstance(event, Interrupted)] == [2]
    again = replay_tape(read_tape(path))
    assert again.error is None
    repeated = [event for _, event in again.events if isinstance(event, ToolAnswered)]
    assert [event.result_json for event in repeated] == [event.result_json for event in answers]
