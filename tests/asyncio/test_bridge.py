"""A browser session over a socket in memory: what its page is sent when, and what it leaves."""

import asyncio
import json
import weakref
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sonic_voice import wire
from sonic_voice.bridge import Access, Bridge, BridgeLimits, Close
from sonic_voice.config import Deadlines
from sonic_voice.errors import ConnectionLost
from sonic_voice.history import Message
from sonic_voice.reasoning.expert import Reasoner
from sonic_voice.reasoning.expert_tool import reasoner_tool
from sonic_voice.tools.context import ToolContext
from sonic_voice.tools.toolbox import Toolbox
from sonic_voice.transport import MemoryStream

from ..support.memory_socket import ORIGIN, MemorySocket
from ..support.quiet_bridge import OFFER, QuietService, uncollected

PROTOCOL = Path(__file__).parents[2] / "web_client" / "protocol.json"
ALIVE = {"type": "alive"}


@asynccontextmanager
async def meeting(
    limits: BridgeLimits | None = None, service: QuietService | None = None, **config: Any
) -> AsyncGenerator[tuple[MemorySocket, Bridge]]:
    """A page that has said hello, and the bridge that serves it until it says goodbye."""
    access = Access(origins=frozenset({ORIGIN}))
    offer = replace(OFFER, config=replace(OFFER.config, **config))
    async with Bridge(offer, service or QuietService(), access=access, limits=limits) as bridge:
        socket = MemorySocket()
        socket.say("hello", version=1)
        served = asyncio.create_task(bridge.handle(socket))
        yield socket, bridge
        socket.say("bye")
        await served


async def test_a_page_that_is_told_nothing_is_told_that_the_connection_lives() -> None:
    [example] = (said for said in _examples() if said["type"] == "ready")
    async with meeting(BridgeLimits(alive_s=0.05)) as (page, _):
        ready = await page.next()
        assert ready.keys() == example.keys()
        assert ready["alive_s"] == 0.05
        signs = 0
        numbered: list[dict[str, Any]] = []
        while signs < 2 or not numbered:
            message = await page.next()
            if message == ALIVE:
                signs += 1
            else:
                numbered.append(message)
    assert numbered == [{"type": "listening", "seq": 1}]


async def test_a_page_that_reports_all_the_time_is_told_all_the_same() -> None:
    """While it plays what it has, reports come ten times a second, and nothing is to be sent."""
    async with meeting(BridgeLimits(alive_s=0.2)) as (page, _):
        assert (await page.next())["type"] == "ready"
        assert (await page.next())["type"] == "listening"
        alive = asyncio.create_task(page.next())
        while not alive.done():
            page.say("played", epoch=0, turn=0, samples=0)
            await asyncio.wait([alive], timeout=0.02)
        assert await alive == ALIVE


async def test_a_page_whose_service_owes_an_answer_and_is_silent_is_told() -> None:
    async with meeting(BridgeLimits(answer_s=0.1)) as (page, bridge):
        assert (await page.next())["type"] == "ready"
        assert (await page.next())["type"] == "listening"
        page.say("say", text="Are you there?")
        assert (await page.next())["type"] == "user_text"
        await page.over.wait()
        assert bridge.metrics.closed == {Close.SERVICE_FAILED: 1}
    assert page.closed == Close.SERVICE_FAILED


class HalfAnswering(QuietService):
    """A service that begins to answer typed words, and then stays silent."""

    async def open(self, model: str) -> MemoryStream:
        return _HalfAnswer()


class _HalfAnswer(MemoryStream):
    async def send(self, payload: bytes) -> None:
        if b"Are you there?" in payload:
            ids = wire.Ids("session", "prompt", "completion")
            self.deliver(wire.encode_output(wire.AudioBlock(ids, "a", 24_000)))
            self.deliver(wire.encode_output(wire.AudioOutput(ids, "a", bytes(4_800))))
        if b'"sessionEnd"' in payload:
            self.finish()


async def test_a_page_whose_service_stops_in_the_middle_of_an_answer_is_told() -> None:
    async with meeting(BridgeLimits(answer_s=0.1), HalfAnswering()) as (page, bridge):
        assert (await page.next())["type"] == "ready"
        assert (await page.next())["type"] == "listening"
        page.say("say", text="Are you there?")
        async with asyncio.timeout(5):
            await page.over.wait()
        assert bridge.metrics.closed == {Close.SERVICE_FAILED: 1}


class Losing(QuietService):
    """A service whose first stream is lost after typed words; its next ones stay silent."""

    def __init__(self) -> None:
        super().__init__()
        self.opened_streams = 0
        self.reopen = asyncio.Event()

    async def open(self, model: str) -> MemoryStream:
        self.opened_streams += 1
        if self.opened_streams == 1:
            return _Lost()
        await self.reopen.wait()
        return await super().open(model)


class _Lost(MemoryStream):
    async def send(self, payload: bytes) -> None:
        if b"Are you there?" in payload:
            self.finish(ConnectionLost("The connection was cut.", reason="cut"))


async def test_a_lost_service_is_waited_for_and_then_owes_the_answer_again() -> None:
    service = Losing()
    limits, deadlines = BridgeLimits(answer_s=0.2), Deadlines(close_s=0.2)
    async with meeting(limits, service, deadlines=deadlines) as (page, bridge):
        assert (await page.next())["type"] == "ready"
        assert (await page.next())["type"] == "listening"
        page.say("say", text="Are you there?")
        assert (await page.next())["type"] == "user_text"
        lost = await page.next()
        assert (lost["type"], lost["attempt"]) == ("reconnecting", 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):  # longer than `answer_s`
                await page.over.wait()
        service.reopen.set()
        assert (await page.next())["type"] == "renewed"
        async with asyncio.timeout(5):
            await page.over.wait()
        assert bridge.metrics.closed == {Close.SERVICE_FAILED: 1}
        assert bridge.metrics.reconnects == {"cut": 1}
        assert bridge.metrics.reconnect_attempts == {"cut": 1}


async def test_a_conversation_that_is_refused_leaves_nothing_to_the_collector() -> None:
    """It may hold minutes of sound."""
    with uncollected():
        async with meeting() as (page, bridge):
            assert (await page.next())["type"] == "ready"
            [(session, conversation)] = bridge._sessions.values()  # pyright: ignore[reportPrivateUsage]
            kept = weakref.ref(session)
            del session
            page.say("sing")
            await conversation
        assert kept() is None


def _examples() -> list[dict[str, Any]]:
    return json.loads(PROTOCOL.read_text("utf-8"))["from_server"]


class Asking(QuietService):
    """A service that calls `ExpertTool` for typed words, and notes the sentences that it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.sentences: asyncio.Queue[str] = asyncio.Queue()

    async def open(self, model: str) -> MemoryStream:
        return _AskingStream(self.sentences)


class _AskingStream(MemoryStream):
    def __init__(self, sentences: asyncio.Queue[str]) -> None:
        super().__init__()
        self._sentences = sentences

    async def send(self, payload: bytes) -> None:
        record = wire.decode_input(payload)
        match record:
            case wire.TextInput(text="What time is it?"):
                message = {"role": "USER", "content": [{"text": "What time is it?"}]}
                ids = wire.Ids("session", "prompt", "completion")
                arguments = json.dumps({"messages": [message]})
                call = wire.ToolUse(ids, "t", "call-1", "ExpertTool", arguments)
                self.deliver(wire.encode_output(call))
            case wire.ToolResult(result_json=result_json):
                self._sentences.put_nowait(json.loads(result_json)["text"])
            case wire.SessionEnd():
                self.finish()
            case _:
                pass


async def test_a_reasoner_answers_a_page_with_the_tools_of_its_conversation() -> None:
    """The page is told nothing of the call: it hears and reads the answer itself."""
    bound: list[Toolbox] = []

    def reasoner(tools: Toolbox) -> Reasoner:
        bound.append(tools)

        async def think(messages: Sequence[Message]) -> AsyncGenerator[str]:
            yield f"You asked: {messages[-1].text}"

        return think

    service = Asking()
    offer = replace(
        OFFER,
        config=replace(OFFER.config, tools=(reasoner_tool(OFFER.config.model),)),
        tools=Toolbox([_who]),
        reasoner=reasoner,
    )
    access = Access(origins=frozenset({ORIGIN}))
    async with Bridge(offer, service, access=access) as bridge, asyncio.timeout(20):
        socket = MemorySocket()
        socket.say("hello", version=1)
        served = asyncio.create_task(bridge.handle(socket))
        assert (await socket.next())["type"] == "ready"
        assert (await socket.next())["type"] == "listening"
        socket.say("say", text="What time is it?")
        assert (await socket.next())["type"] == "user_text"
        assert await service.sentences.get() == "You asked: What time is it?"
        result = json.loads(await bound[0].run("_who", "{}"))
        assert result["result"], "the tools know their conversation"
        socket.say("bye")
        await served
        assert not {message["type"] for message in socket.rest()} & {"tool_call", "tool_answered"}


def _who(context: ToolContext) -> str:
    """Tell the conversation."""
    return context.conversation
