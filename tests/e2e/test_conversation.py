"""A spoken conversation: recorded people, the production transport, the emulator, real sound."""

import asyncio
import gc
import threading
import wave
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest

from sonic_voice import (
    AudioFormat,
    AudioSink,
    Event,
    LocalService,
    Message,
    NullSink,
    Session,
    SessionConfig,
    Toolbox,
    Transport,
    WavSink,
    WavSource,
    converse,
    tool,
)
from sonic_voice.events import AssistantText, Audio, Heard, Interrupted, ToolAnswered, UserText

DEMO = cast(Path, resources.files("sonic_voice.emulator"))
OUT = AudioFormat(24_000)


@tool
def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
    """Move the robot."""
    return {"direction": direction, "meters": meters}


TOOLS = Toolbox([go])


async def demo(transport: Transport, *, speed: float, output: Path | None = None) -> list[Event]:
    """The three turns of the demonstration."""
    told: list[Event] = []
    source = WavSource(DEMO / "demo.wav", speed=speed)
    sink: AudioSink = NullSink(OUT, now=source.now)
    if output is not None:
        sink = WavSink(output, OUT, now=source.now)
    config = SessionConfig(tools=TOOLS.specs)
    async with Session.open(config, transport, clock=source.now) as session:
        await converse(session, source, sink, TOOLS, [lambda event, _: told.append(event)])
    await sink.aclose()
    await source.aclose()
    return told


def of[T](kind: type[T], events: list[Event]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.alone
async def test_three_turns_with_a_tool_and_an_interruption(tmp_path: Path) -> None:
    answer = tmp_path / "answer.wav"
    async with LocalService(DEMO / "demo.yaml") as transport:
        told = await demo(transport, speed=8, output=answer)
    assert [(text.turn, text.text) for text in of(UserText, told)] == [
        (1, "hello."),
        (2, "go forward ten meters."),
        (3, "please try again."),
    ]
    [result] = of(ToolAnswered, told)
    assert (result.name, result.result_json) == ("go", '{"direction": "forward", "meters": 10}')
    assert [event.turn for event in of(Interrupted, told)] == [2]
    [heard] = of(Heard, told)
    assert heard.planned.startswith(heard.heard)
    assert "lighthouse" in heard.heard
    assert "row" not in heard.heard
    finals = [text.text.strip() for text in of(AssistantText, told) if text.stage == "FINAL"]
    assert finals[:2] == ["Hello!", "What shall I do?"]
    _check_sound(answer, heard)


def _check_sound(answer: Path, heard: Heard) -> None:
    """The WAV is what a listener heard: speech while it answers, silence after the interruption."""
    with wave.open(str(answer)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    loud = np.abs(sound[: len(sound) // 240 * 240].reshape(-1, 240)).max(axis=1) > 300
    spoken_s = loud.sum() * 0.01
    assert 8 < spoken_s < 20
    times = np.flatnonzero(loud) * 0.01
    gaps = np.flatnonzero(np.diff(times) > 0.9)
    assert len(gaps) >= 2, "three answers have two silences between them"
    cut_s = times[gaps[-1]]
    began_s = times[gaps[-2] + 1]
    # The cut may fall into a pause between two words; nothing sounds after it.
    assert -0.6 < (cut_s - began_s) - heard.heard_ms / 1000 < 0.1


@pytest.mark.thorough
async def test_the_same_events_at_any_speed() -> None:
    """But for time: and when a turn was cut, what was heard of it is a matter of time, too."""
    told: list[list[tuple[Any, ...]]] = []
    for speed in (1, 20):
        async with LocalService(DEMO / "demo.yaml") as transport:
            events = await demo(transport, speed=speed)
        told.append([without_time(event) for event in events])
    assert told[0] == told[1]


def without_time(event: Event) -> tuple[Any, ...]:
    match event:
        case Audio(turn, pcm, rate_hz):
            return ("Audio", turn, pcm, rate_hz)
        case Heard(turn, _, _, planned):
            return ("Heard", turn, planned)
        case _:
            fields = {n: getattr(event, n) for n in getattr(event, "__slots__", ())}
            fields.pop("tool_use", None)  # an id, made anew each time
            return (type(event).__name__, *fields.items())


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000])
async def test_every_rate_goes_in_and_comes_out(rate_hz: int) -> None:
    told: list[Event] = []
    rate = AudioFormat(rate_hz)
    source = WavSource(DEMO / "demo.wav", rate, speed=20)
    config = SessionConfig(input=rate, output=rate, tools=TOOLS.specs)
    async with (
        LocalService(DEMO / "demo.yaml") as transport,
        Session.open(config, transport, clock=source.now) as session,
    ):
        sink = NullSink(rate, now=source.now)
        await converse(session, source, sink, TOOLS, [lambda event, _: told.append(event)])
    await source.aclose()
    assert len(of(UserText, told)) == 3
    assert {event.rate_hz for event in of(Audio, told)} == {rate_hz}


@pytest.mark.parametrize("model", ["amazon.nova-sonic-v1:0", "amazon.nova-2-5-sonic"])
async def test_the_other_models_converse(model: str) -> None:
    told: list[Event] = []
    source = WavSource(DEMO / "demo.wav", speed=20)
    config = SessionConfig(model=model, tools=TOOLS.specs)
    async with (
        LocalService(DEMO / "demo.yaml") as transport,
        Session.open(config, transport, clock=source.now) as session,
    ):
        sink = NullSink(OUT, now=source.now)
        await converse(session, source, sink, TOOLS, [lambda event, _: told.append(event)])
    await source.aclose()
    assert len(of(UserText, told)) == 3
    assert [event.turn for event in of(Interrupted, told)] == [2]


async def test_history_and_typed_text() -> None:
    history = (Message("USER", "my name is Ada"), Message("ASSISTANT", "Hello Ada."))
    async with (
        LocalService() as transport,
        Session.open(SessionConfig(history=history), transport) as session,
    ):
        session.send_text("what time is it?")
        answered = False
        async for event in session:
            answered = answered or isinstance(event, Audio)
            if answered:
                break
    assert answered


async def test_two_hundred_sessions_leave_nothing_behind() -> None:
    async with LocalService(DEMO / "demo.yaml") as transport:

        async def one() -> None:
            async with Session.open(SessionConfig(), transport) as session:
                await session.send_audio(bytes(1024))

        for _ in range(10):  # what is made once is made
            await one()
        before = await _footprint()
        for _ in range(200):
            await one()
        assert await _footprint() == before


async def _footprint() -> Counter[str]:
    await asyncio.sleep(0.6)  # the emulator's side of the last connection has this long to end
    gc.collect()
    return Counter(
        tasks=len(asyncio.all_tasks()),
        threads=threading.active_count(),
        files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
    )
