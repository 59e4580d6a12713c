"""converse() between a scripted service on an in-memory stream and a listener that keeps notes."""

import asyncio
import io
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sonic_voice.conversation
from sonic_voice import wire
from sonic_voice.audio.ports import NullSink
from sonic_voice.cli.story import JsonLines, PrintedTranscript
from sonic_voice.config import AudioFormat, Deadlines, SessionConfig
from sonic_voice.conversation import QUIET_BEFORE_GOODBYE_S, converse
from sonic_voice.errors import ConfigError, ConnectionLost, ServiceError, service_error
from sonic_voice.events import (
    AssistantText,
    Closed,
    Event,
    Heard,
    Ignored,
    Interrupted,
    ToolAnswered,
    TurnEnded,
)
from sonic_voice.history import Message
from sonic_voice.metrics import Metrics
from sonic_voice.policies import NO_RECOVERY
from sonic_voice.session import Session
from sonic_voice.tools.toolbox import Toolbox, tool
from sonic_voice.transport import MemoryStream, MemoryTransport

from ..unit.test_protocol_nonsense import events

IDS = wire.Ids("s", "p", "c")
IN, OUT = AudioFormat(16_000), AudioFormat(24_000)
FRAME_S = 0.032


class Speaker:
    """A source on a clock of its own: each frame is 32 ms, delivered as fast as it is read."""

    format = IN

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.position_s = 0.0
        self.closed = asyncio.Event()

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        if self.closed.is_set():
            return b""
        self.frames -= 1
        self.position_s += FRAME_S
        return bytes(IN.size(FRAME_S))

    @property
    def done(self) -> bool:
        return self.frames <= 0

    def now(self) -> float:
        return self.position_s

    async def aclose(self) -> None:
        self.closed.set()


class Listener:
    """A sink that has heard a share, half at first, of whatever it was given."""

    format = OUT
    share = 0.5

    def __init__(self) -> None:
        self.heard: dict[int, float] = {}
        self.flushed = 0

    def play(self, turn: int, pcm: bytes) -> None:
        self.heard[turn] = self.heard.get(turn, 0.0) + OUT.seconds(len(pcm))

    def flush(self) -> None:
        self.flushed += 1

    def played_ms(self, turn: int) -> int:
        return round(self.heard.get(turn, 0.0) * 1000 * self.share)

    @property
    def pending_s(self) -> float:
        return 0.0

    async def aclose(self) -> None: ...


class Speakers(NullSink):
    """A sink that takes only what a real one takes."""

    def __init__(self, session: Session) -> None:
        super().__init__(OUT, now=session.now)


async def until(condition: Callable[[], bool]) -> None:
    """Let the other tasks run until it holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


class Service:
    """Plays its part when the client has sent so much audio; says goodbye when it does."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self.names: list[str] = []

    async def until(self, name: str) -> wire.Input:
        """Read what the client sends, up to the next event `name`."""
        while (payload := await self.stream.sent.get()) is not None:
            self.names.append(next(iter(json.loads(payload)["event"])))
            if self.names[-1] == name:
                return wire.decode_input(payload)
        pytest.fail(f"the client went without {name}")

    def say(self, *records: wire.Output) -> None:
        for record in records:
            self.stream.deliver(wire.encode_output(record))

    def text(self, role: str, text: str, stage: wire.Stage = "FINAL") -> None:
        self.say(
            wire.TextBlock(IDS, f"{role}{text}", role, stage),
            wire.TextOutput(IDS, f"{role}{text}", text),
            wire.BlockEnd(IDS, f"{role}{text}", "TEXT", "PARTIAL_TURN"),
        )

    def answer(self, text: str, seconds: float = 0.5, *, end: bool = True) -> None:
        self.text("ASSISTANT", text, "SPECULATIVE")
        self.say(
            wire.AudioBlock(IDS, f"s{text}", OUT.rate_hz),
            wire.AudioOutput(IDS, f"s{text}", bytes(OUT.size(seconds))),
        )
        if end:
            self.say(wire.BlockEnd(IDS, f"s{text}", "AUDIO", "END_TURN"))

    async def goodbye(self) -> None:
        await self.until("sessionEnd")
        self.stream.finish()


type Script = Callable[[Service], object]


@asynccontextmanager
async def conversation(
    script: Script, source: Speaker, config: SessionConfig | None = None
) -> AsyncGenerator[Session]:
    transport = MemoryTransport()

    async def serve() -> None:
        service = Service(await transport.opened.get())
        await service.until("audioInput")
        played = script(service)
        if asyncio.iscoroutine(played):
            await played
        await service.goodbye()

    serving = asyncio.create_task(serve())
    try:
        config = config or SessionConfig(recovery=NO_RECOVERY, deadlines=Deadlines(close_s=1))
        async with Session.open(config, transport, clock=source.now) as session:
            yield session
    finally:
        if serving.done():
            serving.result()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


class Notes:
    """An observer."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.times: list[float] = []

    def __call__(self, event: Event, now: float) -> None:
        self.events.append(event)
        self.times.append(now)

    def of[T](self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


async def test_a_conversation_ends_by_itself_after_the_last_answer() -> None:
    source, sink, notes = Speaker(10), Listener(), Notes()

    def script(service: Service) -> None:
        service.text("USER", "hello")
        service.answer("Hi.")

    async with conversation(script, source) as session:
        await converse(session, source, sink, observers=[notes])
    assert notes.of(TurnEnded) == [TurnEnded(1)]
    assert notes.events[-1] == Closed()
    assert sink.heard == {1: pytest.approx(0.5)}
    assert source.position_s > QUIET_BEFORE_GOODBYE_S, (
        "it left before the last FINAL texts could come"
    )
    assert notes.times == sorted(notes.times)


async def test_it_waits_for_an_answer_that_is_owed() -> None:
    source, notes = Speaker(1), Notes()

    async def script(service: Service) -> None:
        service.text("USER", "hello")
        for _ in range(int(2 * QUIET_BEFORE_GOODBYE_S / FRAME_S)):
            await service.until("audioInput")
        service.answer("Hi.")

    async with conversation(script, source) as session:
        await converse(session, source, Listener(), observers=[notes])
    assert notes.of(TurnEnded)


async def test_barge_in_flushes_once_and_tells_what_was_heard() -> None:
    source, sink, notes = Speaker(10), Listener(), Notes()

    def script(service: Service) -> None:
        service.text("USER", "tell me a story")
        service.answer("Once upon a time there was a house.", 2.0)
        service.say(wire.UserSpeechStart(IDS, 100), wire.UserSpeechEnd(IDS, 200, 300))
        service.text("ASSISTANT", '{ "interrupted" : true }')

    async with conversation(script, source) as session:
        await converse(session, source, sink, observers=[notes])
        assert session.transcript.lines[1].text == "Once upon a time"
    assert sink.flushed == 1
    assert notes.of(Interrupted) == [Interrupted(1, "userSpeechStart")]
    assert notes.of(Heard) == [
        Heard(1, 1000, "Once upon a time", "Once upon a time there was a house.")
    ]


STORY = "Once upon a time there was a house."


def _fails(service: Service, _: Speaker) -> None:
    service.stream.finish(service_error("modelTimeoutException", "Model has timed out"))


def _is_cut(service: Service, _: Speaker) -> None:
    service.stream.finish(ConnectionLost("cut", reason="cut"))


async def _leaves(_: Service, source: Speaker) -> None:
    await source.aclose()


@pytest.mark.parametrize(
    ("end", "raised"), [(_fails, ServiceError), (_is_cut, ConnectionLost), (_leaves, None)]
)
async def test_a_conversation_that_ends_in_an_answer_keeps_only_what_was_heard(
    end: Callable[[Service, Speaker], Any], raised: type[Exception] | None
) -> None:
    source, sink, notes = Speaker(10**9), Listener(), Notes()

    async def script(service: Service) -> None:
        service.text("USER", "tell me a story")
        service.answer(STORY, 2.0, end=False)
        service.text("ASSISTANT", " Nobody lived there.", "SPECULATIVE")
        await until(lambda: len(notes.of(AssistantText)) == 2)
        ended = end(service, source)
        if asyncio.iscoroutine(ended):
            await ended

    async with conversation(script, source) as session:
        with pytest.raises(raised) if raised else nullcontext():
            await converse(session, source, sink, observers=[notes])
        assert sink.flushed == 1, "nothing waits to be played"
    [heard] = notes.of(Heard)
    assert heard == Heard(1, 1000, "Once upon a time", f"{STORY} Nobody lived there.")
    assert session.transcript.messages == (
        Message("USER", "tell me a story"),
        Message("ASSISTANT", "Once upon a time"),
    )
    assert raised or notes.events[-1] == Closed()


async def test_a_conversation_that_is_cancelled_keeps_only_what_was_heard() -> None:
    """What the service still tells while we say goodbye is not heard, either."""
    source, sink, notes = Speaker(10**9), Listener(), Notes()

    async def script(service: Service) -> None:
        service.text("USER", "tell me a story")
        service.answer(STORY, 2.0)
        await service.until("promptEnd")
        service.answer("A late answer.")
        service.text("ASSISTANT", STORY)

    async with conversation(script, source) as session:
        talking = asyncio.create_task(converse(session, source, sink, observers=[notes]))
        await until(lambda: bool(notes.of(TurnEnded)))
        talking.cancel()
        await asyncio.wait([talking])
        assert talking.cancelled()
    assert [line.text for line in session.transcript.lines] == [
        "tell me a story",
        "Once upon a time",
    ]
    assert [heard.heard for heard in notes.of(Heard)] == ["Once upon a time"]


async def test_an_answer_of_which_no_sound_came_is_not_in_the_transcript() -> None:
    source, notes = Speaker(10**9), Notes()

    async def script(service: Service) -> None:
        service.text("USER", "hello")
        service.text("ASSISTANT", "Hi.", "SPECULATIVE")
        await until(lambda: bool(notes.of(AssistantText)))
        _is_cut(service, source)

    async with conversation(script, source) as session:
        with pytest.raises(ConnectionLost):
            await converse(session, source, Listener(), observers=[notes])
    assert [line.role for line in session.transcript.lines] == ["USER"]
    assert notes.of(Heard) == [Heard(1, 0, "", "Hi.")]


async def test_an_answer_that_was_heard_to_its_end_is_told_whole() -> None:
    source, sink, notes = Speaker(10), Listener(), Notes()
    sink.share = 1.0

    def script(service: Service) -> None:
        service.text("USER", "hello")
        service.answer("Hi.")

    async with conversation(script, source) as session:
        await converse(session, source, sink, observers=[notes])
    assert session.transcript.messages[-1] == Message("ASSISTANT", "Hi.")
    assert not notes.of(Heard)
    assert sink.flushed == 0


async def test_events_that_make_no_sense_do_not_end_a_conversation() -> None:
    source, notes = Speaker(10), Notes()
    lines = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")

    def script(service: Service) -> None:
        service.text("USER", "hello")
        service.say(
            wire.TextBlock(IDS, "t", "ASSISTANT", "SPECULATIVE"),
            wire.AudioOutput(IDS, "t", bytes(480)),
            wire.AudioBlock(IDS, "zero", 0),
            wire.AudioOutput(IDS, "zero", bytes(480)),
            wire.AudioBlock(IDS, "odd", OUT.rate_hz),
            wire.AudioOutput(IDS, "odd", bytes(3)),
            wire.UserSpeechStart(IDS, 10**400),
            wire.UsageEvent(IDS, wire.Tokens(10**400), wire.Tokens(10**400)),
        )
        service.stream.deliver(b"[" * 100_000)
        service.stream.deliver(b'{"event":{"odd\\ud800":{}}}')
        service.answer("Hi.")

    async with conversation(script, source) as session:
        sink = Speakers(session)
        metrics = Metrics(session, sink)
        observers = [notes, metrics, JsonLines(lines), PrintedTranscript(lines, metrics)]
        await converse(session, source, sink, observers=observers)
    assert notes.of(TurnEnded)
    assert len(notes.of(Ignored)) >= 8
    assert session.transcript.messages[-1] == Message("ASSISTANT", "Hi.")


@settings(max_examples=min(40, settings().max_examples))
@given(st.lists(events(), max_size=40))
def test_no_events_of_any_kind_end_a_conversation(payloads: list[bytes]) -> None:
    async def talk() -> None:
        source, notes = Speaker(10), Notes()
        lines = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")

        def script(service: Service) -> None:
            for payload in payloads:
                service.stream.deliver(payload)

        async with conversation(script, source) as session:
            sink = Speakers(session)
            metrics = Metrics(session, sink)
            observers = [notes, metrics, JsonLines(lines), PrintedTranscript(lines, metrics)]
            await converse(session, source, sink, observers=observers)
            assert metrics.snapshot.cost_usd is not None
        assert notes.events[-1] == Closed()

    asyncio.run(talk())


async def test_tools_run_beside_the_sound_and_in_parallel() -> None:
    """Two tools that wait for each other: one after the other they would never end."""
    met = asyncio.Barrier(2)

    @tool
    async def meet(who: str) -> dict[str, str]:
        """Wait for the other one."""
        await met.wait()
        return {"met": who}

    source, notes, tools = Speaker(10), Notes(), Toolbox([meet])

    async def script(service: Service) -> None:
        service.say(
            wire.ToolBlock(IDS, "b1"),
            wire.ToolUse(IDS, "b1", "t1", "meet", '{"who":"Ada"}'),
            wire.ToolBlock(IDS, "b2"),
            wire.ToolUse(IDS, "b2", "t2", "meet", '{"who":"Bob"}'),
        )
        results = {await service.until("toolResult") for _ in range(2)}
        assert {r.result_json for r in results if isinstance(r, wire.ToolResult)} == {
            '{"met": "Ada"}',
            '{"met": "Bob"}',
        }
        service.answer("You both met.")

    config = SessionConfig(tools=tools.specs, recovery=NO_RECOVERY, deadlines=Deadlines(close_s=1))
    async with conversation(script, source, config) as session:
        await converse(session, source, Listener(), tools, [notes])
    assert sorted(answered.tool_use for answered in notes.of(ToolAnswered)) == ["t1", "t2"]


async def test_an_unknown_tool_is_answered_with_an_error() -> None:
    source, notes = Speaker(10), Notes()

    async def script(service: Service) -> None:
        service.say(wire.ToolUse(IDS, "b", "t1", "fly", "{}"))
        await service.until("toolResult")
        service.answer("I cannot fly.")

    async with conversation(script, source) as session:
        await converse(session, source, Listener(), observers=[notes])
    [answered] = notes.of(ToolAnswered)
    assert "error" in json.loads(answered.result_json)


async def test_a_source_that_is_closed_ends_the_conversation() -> None:
    source = Speaker(10**9)

    async def script(service: Service) -> None:
        await source.aclose()

    async with conversation(script, source) as session:
        await converse(session, source, Listener())


async def test_what_ends_the_session_is_raised_as_itself() -> None:
    source = Speaker(10**9)

    def script(service: Service) -> None:
        service.stream.finish(service_error("throttlingException", "Too many"))

    async with conversation(script, source) as session:
        with pytest.raises(ServiceError):
            await converse(session, source, Listener())


async def test_what_a_sink_raises_ends_the_conversation() -> None:
    class BrokenSink(Listener):
        def play(self, turn: int, pcm: bytes) -> None:
            raise ValueError("broken")

    source = Speaker(200)
    with pytest.raises(ValueError, match="broken"):
        async with conversation(lambda service: service.answer("Hello."), source) as session:
            await converse(session, source, BrokenSink())


async def test_a_cut_while_a_send_waits_ends_the_conversation() -> None:
    source = Speaker(10**9)

    async def script(service: Service) -> None:
        service.stream.writable.clear()
        for _ in range(50):  # the outbox fills, and the uplink waits
            await asyncio.sleep(0)
        service.stream.finish(ConnectionLost("cut", reason="cut"))

    async with conversation(script, source) as session:
        with pytest.raises(ConnectionLost):
            await converse(session, source, Listener())


async def test_formats_that_do_not_fit_are_refused() -> None:
    source = Speaker(1)
    config = SessionConfig(input=AudioFormat(8_000), deadlines=Deadlines(close_s=1))
    async with conversation(lambda _: None, source, config) as session:
        with pytest.raises(ConfigError, match="16000 Hz and the session 8000 Hz"):
            await converse(session, source, Listener())


async def a_short_conversation() -> None:
    """Touches every await of converse: sound, barge-in, a tool, the farewell."""
    source = Speaker(5)

    @tool
    async def rest() -> None:
        """Take a few turns of the loop."""
        for _ in range(3):
            await asyncio.sleep(0)

    tools = Toolbox([rest])

    def script(service: Service) -> None:
        service.text("USER", "hello")
        service.say(wire.ToolUse(IDS, "b", "t1", "rest", "{}"))
        service.answer("Once.", 0.1)
        service.say(wire.UserSpeechStart(IDS, 100), wire.UserSpeechEnd(IDS, 100, 200))

    config = SessionConfig(
        tools=tools.specs, recovery=NO_RECOVERY, deadlines=Deadlines(close_s=0.05)
    )
    async with conversation(script, source, config) as session:
        await converse(session, source, Listener(), tools)


async def test_cancelled_at_any_await_a_conversation_leaves_no_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sonic_voice.conversation, "QUIET_BEFORE_GOODBYE_S", 2 * FRAME_S)
    monkeypatch.setattr(sonic_voice.conversation, "OWED_ANSWER_TIMEOUT_S", 20 * FRAME_S)
    before = asyncio.all_tasks()
    steps = 0
    while True:
        task = asyncio.create_task(a_short_conversation())
        for _ in range(steps):
            await asyncio.sleep(0)
        was_done = task.done()
        task.cancel()
        await asyncio.wait([task])
        assert asyncio.all_tasks() == before, f"cancelled after {steps} steps"
        if was_done:
            task.result()
            break
        steps += 1 if steps < 60 else steps // 4
    assert steps > 30, "the conversation was over before it could be cancelled"
