"""Session on an in-memory stream: order, silence, deadlines, faults, goodbye, cancellation."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sonic_voice import wire
from sonic_voice.config import Deadlines, SessionConfig, ToolSpec
from sonic_voice.errors import (
    ConfigError,
    ConnectionLost,
    DeadlineError,
    ErrorKind,
    OrderError,
    ServiceError,
    service_error,
)
from sonic_voice.event_queue import EVENTS_WAITING
from sonic_voice.events import Closed, Ignored, Opened, StreamExpiring, ToolCall, UserText
from sonic_voice.policies import NO_RECOVERY, NO_RENEWAL
from sonic_voice.session import EXPIRY_NOTICE_AT, Session
from sonic_voice.transport import MemoryStream, MemoryTransport
from sonic_voice.virtual_time import run_in_virtual_time

IDS = wire.Ids("s", "p", "c")
TOOL = ToolSpec("go", "Goes.", {"type": "object", "properties": {}})
QUICK = Deadlines(open_s=0.05, send_s=0.05, close_s=0.05)


async def sent(stream: MemoryStream, until: str) -> list[str]:
    """Names of what the client sent, up to and with the first `until`."""
    names: list[str] = []
    while not names or names[-1] != until:
        payload = await stream.sent.get()
        names.append(
            "end of input" if payload is None else next(iter(json.loads(payload)["event"]))
        )
    return names


async def polite(transport: MemoryTransport) -> None:
    """A service that says nothing but goodbye."""
    stream = await transport.opened.get()
    await sent(stream, "end of input")
    stream.deliver(wire.encode_output(wire.CompletionEnd(IDS)))
    stream.finish()


@pytest.fixture(params=[True, False], ids=["direct", "queued"])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[MemoryTransport]:
    """A transport on which payloads go out at once, and one on which the writer sends them."""
    transport = MemoryTransport(direct=request.param)
    yield transport
    assert all(stream.closed for stream in transport.streams)


@pytest.fixture
async def polite_service(transport: MemoryTransport) -> AsyncIterator[None]:
    service = asyncio.create_task(polite(transport))
    yield
    await service


def config(**settings: Any) -> SessionConfig:
    """The configuration of a session that ends with its first stream."""
    one_stream: dict[str, Any] = {"recovery": NO_RECOVERY, "renewal": NO_RENEWAL}
    return SessionConfig(**one_stream | settings)


async def test_phases_follow_each_other_to_a_clean_end(transport: MemoryTransport) -> None:
    async with Session.open(config(), transport) as session:
        stream = transport.streams[0]
        await session.send_audio(bytes(1024))
        assert await sent(stream, "audioInput") == [
            "sessionStart", "promptStart", "contentStart", "textInput", "contentEnd",
            "contentStart", "audioInput",
        ]  # fmt: skip
        session.finish()
        goodbye = ["contentEnd", "promptEnd", "sessionEnd", "end of input"]
        assert await sent(stream, "end of input") == goodbye
        stream.deliver(wire.encode_output(wire.CompletionEnd(IDS)))
        stream.finish()
        assert [event async for event in session] == [Closed()]


@pytest.mark.usefixtures("polite_service")
async def test_leaving_says_goodbye_by_itself(transport: MemoryTransport) -> None:
    async with Session.open(config(), transport):
        pass


async def test_the_end_of_the_stream_s_life_is_announced_once(transport: MemoryTransport) -> None:
    async with Session.open(config(stream_s=0.08), transport, clock=lambda: 0.0) as session:
        expiring = await anext(session)
        assert isinstance(expiring, StreamExpiring)
        assert (expiring.left_s, expiring.life_s) == (pytest.approx(0.01), 0.08)
        session.finish()
        transport.streams[0].finish()
        assert [event async for event in session] == [Closed()]


async def test_after_the_goodbye_no_end_is_announced(transport: MemoryTransport) -> None:
    async with Session.open(config(stream_s=0.08), transport) as session:
        session.finish()
        asyncio.get_running_loop().call_later(0.1, transport.streams[0].finish)
        assert [event async for event in session] == [Closed()]


def test_a_stream_lives_for_eight_minutes_unless_an_emulator_ends_it_earlier() -> None:
    assert config().stream_life_s == 480
    assert EXPIRY_NOTICE_AT * config().stream_life_s == 7 * 60
    with pytest.raises(ConfigError, match="stream_s"):
        config(stream_s=0.0)


async def test_an_answer_that_never_came_is_owed_after_the_end(transport: MemoryTransport) -> None:
    async with Session.open(config(), transport) as session:
        session.send_text("Are you there?")
        session.finish()
        service = asyncio.create_task(polite_end(transport.streams[0]))
        assert [event async for event in session][-1] == Closed()
        await service
        assert session.owes_answer


async def polite_end(stream: MemoryStream) -> None:
    await sent(stream, "end of input")
    stream.finish()


class PausedTransport(MemoryTransport):
    """A transport whose streams open when they are allowed to."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed = asyncio.Event()
        self.stream = CountingStream()

    async def open(self, model: str) -> MemoryStream:
        await self.allowed.wait()
        return self.stream


class CountingStream(MemoryStream):
    """A stream that counts the payloads that are sent in one step of the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.count = self.most = self.audio = 0

    def offer(self, payload: bytes) -> bool:
        self._count(payload)
        return True

    def _count(self, payload: bytes) -> None:
        if not self.count:
            asyncio.get_running_loop().call_soon(self._next_step)
        self.count += 1
        self.most = max(self.most, self.count)
        self.audio += b'"audioInput"' in payload
        if b'"sessionEnd"' in payload:
            self.finish()

    def _next_step(self) -> None:
        self.count = 0


async def test_kept_audio_is_sent_without_holding_up_the_event_loop() -> None:
    transport = PausedTransport()
    async with Session.open(config(), transport, early_audio=True) as session:
        for _ in range(200):
            await session.send_audio(bytes(1024))
        transport.allowed.set()
        assert isinstance(await anext(session), Opened)
    assert transport.stream.audio >= 5, "in pieces of about a second"
    assert transport.stream.most <= 2


def test_silence_flows_at_its_natural_pace_while_nobody_sends() -> None:
    async def run() -> None:
        loop, transport = asyncio.get_running_loop(), MemoryTransport()
        async with Session.open(config(), transport) as session:
            stream, received, began_s = transport.streams[0], bytearray(), loop.time()
            while loop.time() < began_s + 60:
                payload = await stream.sent.get()
                assert payload is not None
                record = wire.decode_input(payload)
                if isinstance(record, wire.AudioInput):
                    received += record.pcm
                    passed_s = loop.time() - began_s
                    assert config().input.seconds(len(received)) == pytest.approx(passed_s)
            assert not any(received), "it must be digital silence"
            session.finish()
            stream.finish()

    run_in_virtual_time(run())


@pytest.mark.usefixtures("polite_service")
async def test_audio_after_the_goodbye_is_refused(transport: MemoryTransport) -> None:
    async with Session.open(config(), transport) as session:
        session.finish()
        with pytest.raises(OrderError, match="closed"):
            await session.send_audio(bytes(1024))


async def test_a_service_that_does_not_take_the_stream_is_a_deadline_error(
    transport: MemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = asyncio.Event()

    async def accepted(self: MemoryStream) -> None:
        waits = [asyncio.ensure_future(never.wait()), asyncio.ensure_future(self.receive())]
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()

    monkeypatch.setattr(MemoryStream, "accepted", accepted)
    with pytest.raises(DeadlineError, match="did not answer"):
        async with Session.open(config(deadlines=QUICK), transport):
            pytest.fail("entered")


async def test_a_refusal_at_open_is_raised_there(
    transport: MemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def accepted(self: MemoryStream) -> None:
        raise service_error("ThrottlingException", "Too many", status=429)

    monkeypatch.setattr(MemoryStream, "accepted", accepted)
    with pytest.raises(ServiceError) as caught:
        async with Session.open(config(), transport):
            pytest.fail("entered")
    assert caught.value.kind is ErrorKind.THROTTLED


async def test_what_ends_the_stream_is_told_after_what_came_before_it(
    transport: MemoryTransport,
) -> None:
    async with Session.open(config(), transport) as session:
        stream = transport.streams[0]
        stream.deliver(b"unreadable")
        stream.finish(service_error("validationException", "Timed out waiting for audio bytes"))
        told: list[object] = []
        with pytest.raises(ServiceError) as caught:
            while True:
                told.append(await anext(session))
        assert isinstance(told[0], Ignored)
        assert caught.value.kind is ErrorKind.IDLE


async def test_an_end_of_stream_without_our_goodbye_is_a_fault(transport: MemoryTransport) -> None:
    async with Session.open(config(), transport) as session:
        transport.streams[0].finish()
        with pytest.raises(ConnectionLost) as caught:
            async for _ in session:
                pass
        assert caught.value.reason == "ended"


async def test_leaving_a_session_that_broke_raises_what_broke_it(
    transport: MemoryTransport,
) -> None:
    with pytest.raises(ConnectionLost):
        async with Session.open(config(), transport):
            transport.streams[0].finish()
            await asyncio.sleep(0)
            await asyncio.sleep(0)


async def test_no_events_to_transform_is_harmless_after_the_goodbye(
    transport: MemoryTransport,
) -> None:
    async with Session.open(config(), transport) as session:
        stream = transport.streams[0]
        session.finish()
        await sent(stream, "end of input")
        stream.finish(service_error("validationException", "No events to transform were found."))
        assert [event async for event in session] == [Closed()]


def hears_hello(stream: MemoryStream) -> None:
    """Have the service tell that it heard a word, to which an answer is owed."""
    for record in (
        wire.TextBlock(IDS, "u", "USER", "FINAL"),
        wire.TextOutput(IDS, "u", "hello"),
        wire.BlockEnd(IDS, "u", "TEXT", "PARTIAL_TURN"),
    ):
        stream.deliver(wire.encode_output(record))


async def test_a_service_that_never_ends_the_stream_is_a_good_end_if_it_owes_nothing(
    transport: MemoryTransport,
) -> None:
    async with Session.open(config(deadlines=QUICK), transport) as session:
        session.finish()
        assert [event async for event in session] == [Closed()]
    assert session.goodbye_timed_out


async def test_hanging_up_does_not_wait_for_a_service_that_ends_no_stream(
    transport: MemoryTransport,
) -> None:
    async with asyncio.timeout(5), Session.open(config(), transport) as session:
        session.hang_up(1.0)  # before the goodbye it does nothing
        session.finish()
        assert await transport.streams[0].sent.get() is not None
        while await transport.streams[0].sent.get() is not None:
            pass
        await asyncio.sleep(0)  # the writer notes that the goodbye is sent
        session.hang_up(1.5)
        session.hang_up(3.0)
        assert [event async for event in session] == [Closed()]
    assert session.goodbye_timed_out
    assert session.goodbye_waited_s == 1.5


async def test_hanging_up_while_an_answer_is_owed_is_a_deadline_error(
    transport: MemoryTransport,
) -> None:
    with pytest.raises(DeadlineError, match=r"within 1\.5 s"):
        async with asyncio.timeout(5), Session.open(config(), transport) as session:
            hears_hello(transport.streams[0])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            session.finish()
            session.hang_up(1.5)
            assert [event async for event in session] == []


async def test_a_service_that_never_ends_the_stream_and_owes_an_answer_is_a_deadline_error(
    transport: MemoryTransport,
) -> None:
    with pytest.raises(DeadlineError, match="goodbye"):
        async with Session.open(config(deadlines=QUICK), transport):
            hears_hello(transport.streams[0])
            await asyncio.sleep(0)
            await asyncio.sleep(0)


LOST = [ConnectionLost("The connection was lost.", reason=r) for r in ("cut", "reset", "goaway")]


@pytest.mark.parametrize("error", LOST, ids=lambda error: error.reason)
async def test_a_connection_that_is_lost_after_a_complete_goodbye_is_a_good_end(
    transport: MemoryTransport, error: ConnectionLost
) -> None:
    async with Session.open(config(), transport) as session:
        stream = transport.streams[0]
        session.finish()
        await sent(stream, "end of input")
        stream.finish(error)
        assert [event async for event in session] == [Closed()]
    assert not session.goodbye_timed_out


@pytest.mark.parametrize("error", LOST, ids=lambda error: error.reason)
async def test_a_connection_that_is_lost_while_an_answer_is_owed_is_an_error(
    transport: MemoryTransport, error: ConnectionLost
) -> None:
    with pytest.raises(ConnectionLost):
        async with Session.open(config(), transport) as session:
            stream = transport.streams[0]
            hears_hello(stream)
            session.finish()
            await sent(stream, "end of input")
            stream.finish(error)
            async for _ in session:
                pass


async def test_a_connection_that_is_lost_before_the_goodbye_is_an_error(
    transport: MemoryTransport,
) -> None:
    with pytest.raises(ConnectionLost):
        async with Session.open(config(), transport) as session:
            transport.streams[0].finish(LOST[0])
            async for _ in session:
                pass


async def test_a_network_that_takes_nothing_is_a_deadline_error(
    transport: MemoryTransport,
) -> None:
    deadlines = Deadlines(open_s=5, send_s=0.05, close_s=0.05)
    with pytest.raises(DeadlineError, match="took nothing"):
        async with Session.open(config(deadlines=deadlines), transport) as session:
            transport.streams[0].writable.clear()
            while True:
                await session.send_audio(bytes(1024))


async def test_a_blocked_send_ends_when_the_stream_does(transport: MemoryTransport) -> None:
    """A `send` that waits for ever after a cut is what ends other clients."""
    async with Session.open(config(), transport) as session:
        stream = transport.streams[0]
        stream.writable.clear()

        async def speak() -> None:
            while True:
                await session.send_audio(bytes(1024))

        speaker = asyncio.create_task(speak())
        await asyncio.sleep(0.01)
        assert not speaker.done()
        stream._answers.put_nowait(ConnectionLost("cut", reason="cut"))  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(ConnectionLost):
            await asyncio.wait_for(speaker, 1)
        with pytest.raises(ConnectionLost):
            async for _ in session:
                pass


async def test_a_tool_result_overtakes_queued_audio() -> None:
    transport = MemoryTransport(direct=False)
    async with Session.open(config(tools=(TOOL,)), transport) as session:
        stream = transport.streams[0]
        await sent(stream, "contentStart")
        stream.deliver(wire.encode_output(wire.ToolBlock(IDS, "b")))
        stream.deliver(wire.encode_output(wire.ToolUse(IDS, "b", "t1", "go", "{}")))
        assert await anext(session) == ToolCall(1, "t1", "go", "{}")
        for _ in range(4):
            await session.send_audio(bytes(1024))
        session.send_tool_result("t1", "{}")
        names = await sent(stream, "audioInput")
        assert "toolResult" in names
        session.finish()
        stream.finish()


async def test_audio_does_not_overtake_a_typed_text(transport: MemoryTransport) -> None:
    async with Session.open(config(), transport) as session:
        session.send_text("Hello.")
        await session.send_audio(bytes(1024))
        names = await sent(transport.streams[0], "audioInput")
        assert names[-4:] == ["contentStart", "textInput", "contentEnd", "audioInput"]
        session.finish()
        transport.streams[0].finish()


async def test_a_source_that_is_faster_than_a_microphone_lets_the_loop_run(
    transport: MemoryTransport,
) -> None:
    async with Session.open(config(), transport) as session:
        turns = 0

        def count() -> None:
            nonlocal turns
            turns += 1
            if not done.is_set():
                asyncio.get_running_loop().call_soon(count)

        done = asyncio.Event()
        count()
        for _ in range(100):
            await session.send_audio(bytes(1024))
        done.set()
        assert turns > 5
        session.finish()
        transport.streams[0].finish()


@pytest.mark.usefixtures("polite_service")
async def test_typed_text_is_told_like_spoken_text(transport: MemoryTransport) -> None:
    async with Session.open(config(), transport) as session:
        session.send_text("hello")
        assert await anext(session) == UserText(1, "hello", typed=True)


async def test_an_owner_who_does_not_read_holds_the_service_back_and_loses_nothing(
    transport: MemoryTransport,
) -> None:
    many = EVENTS_WAITING + 50
    async with Session.open(config(), transport) as session:
        stream = transport.streams[0]
        for _ in range(many):
            stream.deliver(b"unreadable")
        await asyncio.sleep(0.05)
        assert len(session._events) <= EVENTS_WAITING  # pyright: ignore[reportPrivateUsage]
        for _ in range(many):
            assert isinstance(await anext(session), Ignored)
        session.finish()
        stream.finish()


def busy_config() -> SessionConfig:
    return config(tools=(TOOL,), deadlines=Deadlines(open_s=1, send_s=1, close_s=0.05))


async def a_short_session(transport: MemoryTransport) -> None:
    """Touches every await of Session: open, send, receive, a tool, goodbye."""
    async with Session.open(busy_config(), transport) as session:
        stream = transport.streams[0]
        stream.deliver(wire.encode_output(wire.ToolUse(IDS, "b", "t1", "go", "{}")))
        await session.send_audio(bytes(64_000))
        await anext(session)
        session.send_tool_result("t1", "{}")
        await anext(session)
        session.finish()
        await sent(stream, "end of input")
        stream.finish()
        async for _ in session:
            pass


async def test_cancelled_at_any_await_a_session_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    steps = 0
    while True:
        transport = MemoryTransport()
        task = asyncio.create_task(a_short_session(transport))
        for _ in range(steps):
            await asyncio.sleep(0)
        was_done = task.done()
        task.cancel()
        await asyncio.wait([task])
        assert asyncio.all_tasks() == before, f"cancelled after {steps} steps"
        assert all(stream.closed for stream in transport.streams), f"after {steps} steps"
        if was_done:
            break
        steps += 1
    assert steps > 10, "the session was over before it could be cancelled"
