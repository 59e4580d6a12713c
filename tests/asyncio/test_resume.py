"""A session that continues from a snapshot of another one, over in-memory streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sonic_voice import wire
from sonic_voice.audio.ports import NullSink
from sonic_voice.config import SessionConfig, ToolSpec
from sonic_voice.conversation import LOST_CALL, converse
from sonic_voice.errors import ConfigError, ConnectionLost, OrderError
from sonic_voice.events import AssistantText, ToolAnswered, ToolCall, Usage, UserText
from sonic_voice.handover import late_result_text
from sonic_voice.policies import NO_RECOVERY
from sonic_voice.session import Session
from sonic_voice.snapshot import SessionSnapshot
from sonic_voice.transport import MemoryStream, MemoryTransport

IDS = wire.Ids("s", "p", "c")
TOOL = ToolSpec("go", "Goes.", {"type": "object", "properties": {}})
CONFIG = SessionConfig(tools=(TOOL,), recovery=NO_RECOVERY)
V1 = SessionConfig(model="amazon.nova-sonic-v1:0", tools=(TOOL,), recovery=NO_RECOVERY)
VOICE = b"\x00\x40" * 1600
ANSWER = b"\x00\x40" * 2400


@pytest.fixture
async def transport() -> AsyncIterator[MemoryTransport]:
    transport = MemoryTransport()
    yield transport
    assert all(stream.closed for stream in transport.streams)


def deliver(stream: MemoryStream, *records: wire.Output) -> None:
    for record in records:
        stream.deliver(wire.encode_output(record))


def said(text: str) -> list[wire.Output]:
    return text_block("USER", "FINAL", text)


def text_block(role: str, stage: wire.Stage, text: str) -> list[wire.Output]:
    return [
        wire.TextBlock(IDS, "t", role, stage),
        wire.TextOutput(IDS, "t", text),
        wire.BlockEnd(IDS, "t", "TEXT", "PARTIAL_TURN"),
    ]


def answered(text: str) -> list[wire.Output]:
    return [
        *text_block("ASSISTANT", "SPECULATIVE", text),
        wire.AudioBlock(IDS, "a", 24_000),
        wire.AudioOutput(IDS, "a", ANSWER),
        wire.BlockEnd(IDS, "a", "AUDIO", "END_TURN"),
    ]


def called(tool_use: str) -> list[wire.Output]:
    return [
        wire.ToolBlock(IDS, "c"),
        wire.ToolUse(IDS, "c", tool_use, "go", '{"far":true}'),
        wire.BlockEnd(IDS, "c", "TOOL", "TOOL_USE"),
    ]


def used(number: int) -> wire.UsageEvent:
    tokens = wire.Tokens(number, number, number, number)
    return wire.UsageEvent(IDS, tokens, tokens)


async def until[E](session: Session, kind: type[E]) -> E:
    async for event in session:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__}")


async def texts_until(stream: MemoryStream, last: str) -> list[str]:
    """Return the texts that the client sent, up to and with `last`."""
    texts: list[str] = []
    async with asyncio.timeout(5):
        while last not in texts:
            payload = await stream.sent.get()
            event: dict[str, Any] = json.loads(payload or b'{"event":{}}')["event"]
            if "textInput" in event:
                texts.append(event["textInput"]["content"])
    return texts


async def audio_sent(stream: MemoryStream, size: int) -> bytes:
    """The first audio that the client sent, of `size` bytes or more."""
    pcm = b""
    async with asyncio.timeout(5):
        while len(pcm) < size:
            record = wire.decode_input(await stream.sent.get() or b"")
            if isinstance(record, wire.AudioInput):
                pcm += record.pcm
    return pcm


def close(stream: MemoryStream) -> None:
    """Let the service end the stream, so that leaving the session does not wait."""
    stream.finish(ConnectionLost("The test is over.", reason="cut"))


async def talked(transport: MemoryTransport, *records: wire.Output) -> SessionSnapshot:
    """The snapshot of a conversation in which the service sent `records`."""
    snapshot: SessionSnapshot | None = None
    with pytest.raises(ConnectionLost):
        async with Session.open(CONFIG, transport) as session:
            deliver(transport.streams[-1], *records, used(5))
            await until(session, Usage)
            snapshot = session.snapshot()
            close(transport.streams[-1])
            async for _ in session:
                pass
    assert snapshot is not None
    return SessionSnapshot.from_json(snapshot.to_json())


async def test_turns_tokens_transcript_and_history_continue(transport: MemoryTransport) -> None:
    first = [*said("Hello."), *answered("Good day."), *said("How are you?"), *answered("Well.")]
    snapshot = await talked(transport, *first)
    with pytest.raises(ConnectionLost):
        async with Session.open(CONFIG, transport, resume=snapshot) as session:
            assert session.tokens == wire.Tokens(5, 5, 5, 5)
            assert [line.text for line in session.transcript.lines] == [
                *("Hello.", "Good day.", "How are you?", "Well.")
            ]
            stream = transport.streams[-1]
            session.send_text("What did I say?")
            sent = await texts_until(stream, "What did I say?")
            assert sent[1:-1] == ["Hello.", "Good day.", "How are you?", "Well."]
            assert await until(session, UserText) == UserText(3, "What did I say?", typed=True)
            deliver(stream, *answered("Hello."), used(2))
            assert (await until(session, AssistantText)).turn == 3
            assert (await until(session, Usage)).total == wire.Tokens(7, 7, 7, 7)
            again = session.snapshot()
            assert (again.turn, again.tokens) == (3, wire.Tokens(7, 7, 7, 7))
            assert [message.text for message in again.history][-2:] == ["What did I say?", "Hello."]
            close(stream)
            async for _ in session:
                pass


async def test_a_call_without_a_result_is_answered_later_as_text(
    transport: MemoryTransport,
) -> None:
    snapshot = await talked(transport, *said("Go."), *called("use"))
    call = ToolCall(1, "use", "go", '{"far":true}')
    assert snapshot.calls == (call,)
    with pytest.raises(ConnectionLost):
        async with Session.open(CONFIG, transport, resume=snapshot) as session:
            assert session.resumed_calls == (call,)
            session.send_tool_result("use", '{"went":1}')
            assert session.resumed_calls == ()
            assert (await until(session, ToolAnswered)).tool_use == "use"
            with pytest.raises(OrderError, match="No tool call"):
                session.send_tool_result("use", "{}")
            await texts_until(transport.streams[-1], late_result_text(call, '{"went":1}'))
            assert session.snapshot().calls == ()
            assert session.snapshot().history[0].text == 'Go.\n[go returned {"went":1}]'
            close(transport.streams[-1])
            async for _ in session:
                pass


class _Silence:
    """A source of silence that lasts until it is cancelled."""

    format = CONFIG.input
    done = False

    async def read(self) -> bytes:
        await asyncio.sleep(0.01)
        return bytes(320)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def aclose(self) -> None:
        pass


async def test_converse_answers_an_inherited_call_with_an_error_and_runs_no_tool(
    transport: MemoryTransport,
) -> None:
    snapshot = await talked(transport, *said("Go."), *called("use"))
    told: list[Any] = []
    with pytest.raises(ConnectionLost):
        async with Session.open(CONFIG, transport, resume=snapshot) as session:

            def observe(event: object, now: float) -> None:
                told.append(event)
                if isinstance(event, ToolAnswered):
                    close(transport.streams[-1])

            sink = NullSink(CONFIG.output, now=session.now)
            await converse(session, _Silence(), sink, None, [observe])
    results = [event.result_json for event in told if isinstance(event, ToolAnswered)]
    assert [json.loads(result) for result in results] == [{"error": LOST_CALL}]


async def test_words_without_an_answer_are_asked_again(transport: MemoryTransport) -> None:
    snapshot = await talked(
        transport, *said("Hello."), *answered("Good day."), *said("Where am I?")
    )
    assert snapshot.owed
    with pytest.raises(ConnectionLost):
        async with Session.open(CONFIG, transport, resume=snapshot) as session:
            stream = transport.streams[-1]
            sent = await texts_until(stream, "Where am I?")
            assert sent[1:] == ["Hello.", "Good day.", "Where am I?"]
            assert session.owes_answer
            assert session.snapshot().owed
            deliver(stream, *said("Where am I?"), *answered("At home."))
            answer = await until(session, AssistantText)
            assert (answer.turn, answer.text) == (3, "At home.")
            assert not session.snapshot().owed
            assert [line.text for line in session.transcript.lines][-2:] == [
                *("Where am I?", "At home.")
            ]
            close(stream)
            async for _ in session:
                pass


async def test_audio_is_kept_on_request_only_and_replayed(transport: MemoryTransport) -> None:
    session = Session.open(CONFIG, transport)
    with pytest.raises(ConnectionLost):
        async with session:
            await session.send_audio(VOICE)
            close(transport.streams[-1])
            async for _ in session:
                pass
    without, taken = session.snapshot(), session.snapshot(audio=True)
    assert without.audio == b""
    assert taken.audio == VOICE
    snapshot = SessionSnapshot.from_json(taken.to_json())
    with pytest.raises(ConnectionLost):
        async with Session.open(CONFIG, transport, resume=snapshot) as session:
            assert await audio_sent(transport.streams[-1], len(VOICE)) == VOICE
            assert session.snapshot(audio=True).audio.startswith(VOICE)
            close(transport.streams[-1])
            async for _ in session:
                pass


async def test_a_model_without_text_hears_the_history_only(transport: MemoryTransport) -> None:
    snapshot = await talked(transport, *said("Hello."), *answered("Hi."), *said("Who are you?"))
    with pytest.raises(ConnectionLost):
        async with Session.open(V1, transport, resume=snapshot) as session:
            texts = await texts_until(transport.streams[-1], "Who are you?")
            assert texts[1:] == ["Hello.", "Hi.", "Who are you?"]
            close(transport.streams[-1])
            async for _ in session:
                pass


async def test_a_snapshot_that_does_not_fit_is_refused_before_anything_is_opened(
    transport: MemoryTransport,
) -> None:
    snapshot = await talked(transport, *said("word " * 9000))
    opened = len(transport.streams)
    with pytest.raises(ConfigError, match="history"):
        Session.open(V1, transport, resume=snapshot)
    assert len(transport.streams) == opened


async def test_a_session_that_was_not_entered_has_no_snapshot(transport: MemoryTransport) -> None:
    with pytest.raises(OrderError, match="not open"):
        Session.open(CONFIG, transport).snapshot()
