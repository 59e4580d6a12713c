"""A chat endpoint behind the emulator: a small one of the test's own, over HTTP, asked for real."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from sonic_voice import AudioFormat, NullSink, Session, SessionConfig, Toolbox, WavSource, converse
from sonic_voice import tool as as_tool
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.chat.endpoint import KEY_VARIABLE, ChatEndpoint, EndpointTimeouts
from sonic_voice.chat.pieces import END
from sonic_voice.emulator import speech
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts
from sonic_voice.emulator.brains import chat_completions as openai
from sonic_voice.emulator.brains.chat_endpoint import openai_brain
from sonic_voice.emulator.server import LOCAL_KEYS, LOCAL_REGION, Emulator
from sonic_voice.emulator.server.engines import Engines
from sonic_voice.emulator.service.admission import service_factory
from sonic_voice.emulator.service.effects import RecognizerFactory
from sonic_voice.events import AssistantText, Audio, Event, Interrupted, ToolAnswered, TurnEnded

HELLO = Path(__file__).parent.parent / "speech" / "hello.wav"
PATIENCE_S = 20.0
SECRET = "sk-very-secret"
QUARTER_S_OF_SILENCE = bytes(8000)

type Move = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers each request with the next of its moves, and writes down what it was asked."""

    def __init__(self, *moves: Move) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.came = asyncio.Event()
        """A client asked."""
        self.gate = asyncio.Event()
        self.left = asyncio.Event()
        """A client went away before its answer was complete."""
        self.url = ""
        self.moves = list(moves)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.came.set()
        self.keys.append(request.headers.get("Authorization"))
        try:
            return await self.moves.pop(0)(request)
        except asyncio.CancelledError:
            self.left.set()
            raise

    def slowly(self, before: str, after: str) -> Move:
        """The second part once the gate is open."""

        async def move(request: web.Request) -> web.StreamResponse:
            response = await opened(request)
            await response.write(event(text(before)))
            await self.gate.wait()
            await response.write(event(text(after, "stop")) + b"data: [DONE]\n\n")
            return response

        return move

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        self.url = f"http://{host}:{port}/v1"
        try:
            yield
        finally:
            await runner.cleanup()


def text(content: str, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": content}, "finish_reason": finish}]}


def event(chunk: object) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


async def opened(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response


def streams(*chunks: object, rest: bytes = b"data: [DONE]\n\n") -> Move:
    async def move(request: web.Request) -> web.StreamResponse:
        response = await opened(request)
        for chunk in chunks:
            await response.write(event(chunk))
        await response.write(rest)
        return response

    return move


def says(content: str) -> Move:
    return streams(text(content, "stop"))


def answers(status: int, body: str, content_type: str = "application/json") -> Move:
    async def move(request: web.Request) -> web.StreamResponse:
        headers = {"Location": "/elsewhere"} if status == 307 else None
        return web.Response(status=status, text=body, content_type=content_type, headers=headers)

    return move


async def breaks_off(request: web.Request) -> web.StreamResponse:
    response = await opened(request)
    await response.write(event(text("Once upon a time. There")))
    assert request.transport is not None
    request.transport.close()
    return response


async def hangs(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("nobody ends this")


@asynccontextmanager
async def emulated(
    server: Server,
    *,
    timeouts: EndpointTimeouts | None = None,
    hear: RecognizerFactory | None = None,
) -> AsyncGenerator[BedrockTransport]:
    """A transport to an emulator whose brain is `server`."""
    brain, endpoint = openai_brain(f"openai:{server.url}#tiny", speech.resample)
    if timeouts is not None:
        endpoint = ChatEndpoint(endpoint.url, key=SECRET, timeouts=timeouts)
    factory = service_factory(
        brain, speech.detector, new_id=lambda: str(uuid4()), recognizes=hear is not None
    )
    emulator = Emulator(
        factory,
        engines=Engines(recognizer_factory=hear, consult=endpoint.consult),
        behaviour=Behaviour(timeouts=StreamTimeouts(stall_s=0.05)),
    )
    async with asyncio.timeout(PATIENCE_S), emulator:
        transport = BedrockTransport(
            region=LOCAL_REGION,
            endpoint=emulator.endpoint,
            ca_file=emulator.ca_file,
            access_key=LOCAL_KEYS.access_key,
            secret_key=LOCAL_KEYS.secret_key,
        )
        async with aclosing(transport):
            yield transport


@asynccontextmanager
async def talking(transport: BedrockTransport, **config: Any) -> AsyncGenerator[Session]:
    """A session in which a turn may be typed. Its answers come without the clock: it pauses."""
    async with Session.open(SessionConfig(**config), transport) as session:
        await session.send_audio(QUARTER_S_OF_SILENCE)
        yield session


async def until[T: Event](session: Session, kind: type[T]) -> tuple[T, list[str]]:
    """The next event of `kind`, and what the assistant said up to it."""
    said: list[str] = []
    async for told in session:
        if isinstance(told, AssistantText) and told.stage == "SPECULATIVE":
            said.append(told.text.strip())
        if isinstance(told, kind):
            return told, said
    raise AssertionError(f"the session ended without {kind.__name__}")


async def turn(session: Session, words: str) -> list[str]:
    session.send_text(words)
    return (await until(session, TurnEnded))[1]


async def test_a_sentence_is_heard_while_the_endpoint_still_writes() -> None:
    server = Server()
    server.moves.append(server.slowly("Hello there. How", " are you?"))
    async with server.running(), emulated(server) as transport, talking(transport) as session:
        session.send_text("hello")
        first, _ = await until(session, AssistantText)
        assert first.text == "Hello there."
        server.gate.set()
        _, rest = await until(session, TurnEnded)
        assert rest == ["How are you?"]
    assert server.asked[0]["model"] == "tiny"
    assert server.asked[0]["messages"][-1] == {"role": "user", "content": "hello"}


async def test_a_tool_is_called_and_its_result_comes_back() -> None:
    @as_tool
    def double(number: int) -> dict[str, int]:
        """Doubles a number."""
        return {"doubled": number * 2}

    function = {"name": "double", "arguments": '{"number": 21}'}
    calls = [{"index": 0, "id": "c1", "type": "function", "function": function}]
    delta = {"choices": [{"delta": {"tool_calls": calls}, "finish_reason": "tool_calls"}]}
    server = Server(streams(delta), says("It is 42."))
    told: list[Event] = []
    tools = Toolbox([double])
    source = WavSource(HELLO, speed=10)
    async with (
        server.running(),
        emulated(server, hear=lambda rate_hz: Heard("double twenty-one")) as transport,
        Session.open(SessionConfig(tools=tools.specs), transport, clock=source.now) as session,
    ):
        sink = NullSink(AudioFormat(24_000), now=source.now)
        await converse(session, source, sink, tools, [lambda event, _: told.append(event)])
    await source.aclose()
    (answered,) = [event for event in told if isinstance(event, ToolAnswered)]
    assert answered.result_json == '{"doubled": 42}'
    said = [event.text.strip() for event in told if isinstance(event, AssistantText)]
    assert "It is 42." in said
    assert server.asked[0]["tools"][0]["function"]["name"] == "double"
    assert [m["role"] for m in server.asked[1]["messages"]] == [
        *("system", "user", "assistant", "tool")
    ]


class Heard:
    """Ears that know what was said."""

    def __init__(self, words: str) -> None:
        self._words = words

    def feed(self, pcm: bytes) -> None:
        pass

    def finish(self) -> str:
        return self._words

    def cancel(self) -> None:
        pass


async def test_a_barge_in_cancels_the_request() -> None:
    server = Server()
    server.moves += [server.slowly("Once upon a time. There", ""), says("I stopped.")]
    async with server.running(), emulated(server) as transport, talking(transport) as session:
        session.send_text("tell me a story")
        await until(session, Audio)
        session.send_text("stop")
        await server.left.wait()
        assert (await until(session, Interrupted))[0].turn == 1
        assert (await until(session, TurnEnded))[1] == ["I stopped."]
    roles = [message["role"] for message in server.asked[1]["messages"]]
    assert roles == ["system", "user"], "nothing of the story was played: the clock stood still"


async def test_the_end_of_the_stream_cancels_the_request() -> None:
    server = Server(hangs)
    async with server.running(), emulated(server) as transport:
        async with talking(transport) as session:
            session.send_text("hello")
            await server.came.wait()
        await server.left.wait()


TROUBLE: dict[str, tuple[Move, list[str], str]] = {
    "refusal": (answers(404, '{"error":"no model"}'), [openai.UNREACHABLE], "answered 404: {"),
    "failure": (
        answers(500, "<html>oops", "text/html"),
        [openai.UNREACHABLE],
        "answered 500: <html",
    ),
    "key shown": (answers(401, f"Bad key {SECRET}"), [openai.UNREACHABLE], "401: Bad key ***"),
    "redirection": (answers(307, ""), [openai.UNREACHABLE], "answered 307"),
    "no JSON": (streams(rest=b"data: {oops\n\n"), [openai.UNREACHABLE], "no JSON object"),
    "no object": (answers(200, "[1]"), [openai.UNREACHABLE], "no JSON object"),
    "an error in the stream": (
        streams(text("One. Two"), {"error": {"message": "out of memory"}}),
        ["One.", openai.BROKEN_OFF],
        "out of memory",
    ),
    "the middle": (breaks_off, ["Once upon a time.", openai.BROKEN_OFF], "could not be asked"),
    "silence": (hangs, [openai.UNREACHABLE], "did not answer in time"),
    "no words": (says(""), [openai.NO_ANSWER], ""),
    "an error in another place": (
        streams({"object": "error", "message": "out of memory", "code": 500}),
        [openai.UNREACHABLE],
        "out of memory",
    ),
    "no end": (streams(text("One. Two"), rest=b""), ["One.", "Two", openai.BROKEN_OFF], ""),
}


@pytest.mark.parametrize("name", TROUBLE)
async def test_trouble_is_said_and_logged_and_the_stream_goes_on(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    move, said, logged = TROUBLE[name]
    server = Server(move, says("All is well."))
    timeouts = EndpointTimeouts(first_s=1.0 if name == "silence" else PATIENCE_S)
    caplog.set_level(logging.WARNING, "sonic_voice")
    async with (
        server.running(),
        emulated(server, timeouts=timeouts) as transport,
        talking(transport) as session,
    ):
        assert await turn(session, "hello") == said
        assert await turn(session, "again") == ["All is well."]
    ours = [record for record in caplog.records if record.name.startswith("sonic_voice")]
    lines = [record.getMessage() for record in ours]
    assert len(lines) == bool(logged)
    assert all(f"{server.url}/chat/completions" in line and logged in line for line in lines)
    assert SECRET not in caplog.text


MAX_TOKENS = json.dumps(
    {
        "error": {
            "message": "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            "param": "max_tokens",
        }
    }
)
TEMPERATURE = '{"error":{"message":"Only temperature=1 is supported","param":null}}'


async def test_rejected_parameters_are_renamed_or_left_out_from_then_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "sonic_voice")
    server = Server(
        answers(400, MAX_TOKENS), answers(422, TEMPERATURE), says("Hello."), says("Again.")
    )
    async with server.running(), emulated(server) as transport, talking(transport) as session:
        assert await turn(session, "hello") == ["Hello."]
        assert await turn(session, "again") == ["Again."]
    names = ("max_tokens", "max_completion_tokens", "temperature")
    assert [[name for name in names if name in body] for body in server.asked] == [
        ["max_tokens", "temperature"],
        ["max_completion_tokens", "temperature"],
        ["max_completion_tokens"],
        ["max_completion_tokens"],
    ]
    (line,) = [r.getMessage() for r in caplog.records if r.name.startswith("sonic_voice")]
    assert "max_tokens is sent as max_completion_tokens, without temperature" in line


async def test_a_request_is_repeated_once_for_a_parameter() -> None:
    server = Server(*[answers(400, MAX_TOKENS)] * 2, says("Hello."))
    async with server.running(), emulated(server) as transport, talking(transport) as session:
        assert await turn(session, "hello") == [openai.UNREACHABLE]
        assert await turn(session, "again") == ["Hello."]
    assert ["max_tokens" in body for body in server.asked] == [True, False, True]


def unusual(body: bytes, content_type: str = "text/event-stream") -> Move:
    """An answer whose bytes and type are the test's."""

    async def move(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Type": content_type})

    return move


ONE, TWO = json.dumps(text("One. ")), json.dumps(text("Two."))
WHOLE = json.dumps({"choices": [{"message": {"content": "One. Two."}}]})

UNUSUAL: dict[str, Move] = {
    "no reason for the end": unusual(f"data: {ONE}\n\ndata: {TWO}\n\ndata: [DONE]\n\n".encode()),
    "no line after the end": unusual(f"data: {ONE}\n\ndata: {TWO}\n\ndata: [DONE]".encode()),
    "no empty lines": unusual(f"data: {ONE}\ndata: {TWO}\ndata: [DONE]\n".encode()),
    "no blanks": unusual(f"data:{ONE}\n\ndata:{TWO}\n\ndata:[DONE]\n\n".encode()),
    "no data:": unusual(f"{ONE}\n{TWO}\n{END}\n".encode(), "application/x-ndjson"),
    "not streamed": unusual(WHOLE.encode(), "application/json; charset=utf-8"),
    "not streamed, another type": unusual(f"{WHOLE}\n{END}".encode(), "text/plain"),
}


@pytest.mark.parametrize("name", UNUSUAL)
async def test_an_answer_is_read_however_it_is_framed(name: str) -> None:
    server = Server(UNUSUAL[name])
    async with server.running(), emulated(server) as transport, talking(transport) as session:
        assert await turn(session, "hello") == ["One.", "Two."]


async def test_nobody_at_the_endpoint_is_trouble_for_one_stream_alone() -> None:
    server, other = Server(says("I am here.")), Server()
    async with other.running():
        pass  # its port is free again
    async with (
        server.running(),
        emulated(server) as good,
        emulated(other) as bad,
        talking(good) as one,
        talking(bad) as two,
    ):
        assert await asyncio.gather(turn(one, "hello"), turn(two, "hello")) == [
            ["I am here."],
            [openai.UNREACHABLE],
        ]


async def test_the_key_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    server = Server(says("Hello."))
    async with server.running(), emulated(server) as transport, talking(transport) as session:
        await turn(session, "hello")
    assert server.keys == [f"Bearer {SECRET}"]


async def test_a_pause_in_the_middle_of_an_answer_has_an_end() -> None:
    server = Server()
    server.moves.append(server.slowly("One. Two", ""))
    async with (
        server.running(),
        emulated(server, timeouts=EndpointTimeouts(next_s=0.2)) as transport,
        talking(transport) as session,
    ):
        assert await turn(session, "hello") == ["One.", openai.BROKEN_OFF]
        await server.left.wait()
