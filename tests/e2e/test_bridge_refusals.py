"""Bad clients of the bridge: each is told why it has to go, and nobody else notices."""

import asyncio
import gc
import json
import logging
import random
import socket as sockets
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sonic_voice import SessionConfig, Toolbox
from sonic_voice.bridge import Access, Bridge, Limits, Offer, issue_token, served
from sonic_voice.bridge.frames import VOICE, voice_frame
from sonic_voice.errors import ErrorKind, ServiceError, SonicError
from sonic_voice.transport import MemoryStream, MemoryTransport

from .page import Page, close_of, socket, until

SECRET = b"a secret of this test, of 32 bytes and more"
OFFER = Offer(config=SessionConfig(voice="tiffany"), tools=Toolbox(), voices=("ambre",))


class QuietService(MemoryTransport):
    """Takes every session, and says nothing until it is asked for its goodbye."""

    refusal: SonicError | None = None

    async def open(self, model: str) -> MemoryStream:
        if self.refusal is not None:
            raise self.refusal
        return _Quiet()


class _Quiet(MemoryStream):
    async def send(self, payload: bytes) -> None:
        if b'"sessionEnd"' in payload:
            self.finish()


@asynccontextmanager
async def running(
    limits: Limits | None = None,
    access: Access | None = None,
    transport: QuietService | None = None,
) -> AsyncGenerator[tuple[str, Bridge]]:
    async with (
        Bridge(OFFER, transport or QuietService(), access=access, limits=limits) as bridge,
        served(bridge, pages={}) as url,
    ):
        yield url, bridge


def hello(**fields: Any) -> str:
    return json.dumps({"type": "hello", "version": 1, **fields})


async def opened(connection: ClientConnection, **fields: Any) -> None:
    await connection.send(hello(**fields))
    assert json.loads(await connection.recv())["type"] == "ready"


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (voice_frame(b"\0\0"), 4003),
        (json.dumps({"type": "bye"}), 4003),
        ("no JSON", 4000),
        ("[" * 5000, 4000),
        (json.dumps({"type": "hullo"}), 4001),
        (json.dumps({"type": "hello", "version": 2}), 4005),
        (hello(voice="matthew"), 4006),
        (hello(language="xx"), 4006),
        (hello(resume="never given"), 4014),
        (hello(token="x" * 9000), 1009),
        (b"x" * 40_000, 1009),
    ],
)
async def test_a_wrong_first_message_is_refused(first: str | bytes, code: int) -> None:
    async with running() as (url, bridge), socket(url) as connection:
        await connection.send(first)
        assert (await close_of(connection))[0] == code
        assert bridge.counts.conversations == 0


@pytest.mark.parametrize(
    ("second", "code"),
    [
        ("AAAA", 4000),
        (json.dumps({"type": "say", "text": 3}), 4000),
        (json.dumps({"type": "sing"}), 4001),
        (hello(), 4003),
        (b"", 4002),
        (bytes([VOICE, 0, 1]), 4002),
        (b"\x07\x00\x00\x00", 4002),
        (b"x" * 40_000, 1009),
        (json.dumps({"type": "say", "text": "x" * 9000}), 1009),
    ],
)
async def test_a_wrong_message_ends_the_conversation(second: str | bytes, code: int) -> None:
    async with running() as (url, bridge), socket(url) as connection:
        await opened(connection)
        await connection.send(second)
        assert (await close_of(connection))[0] == code
        await until(lambda: "sonic_voice_conversations 0\n" in bridge.metrics())
        assert f'closed_total{{code="{code}"}} 1' in bridge.metrics()


async def test_text_that_is_no_utf8_is_refused() -> None:
    async with running() as (url, _), socket(url) as connection:
        await opened(connection)
        await connection.send(b"\xff\xfe", text=True)
        assert (await close_of(connection))[0] == 1007


async def test_another_origin_none_and_another_subprotocol_are_refused() -> None:
    async with running() as (url, _):
        for origin in ("https://evil.example", url.replace("localhost", "evil.example"), None):
            async with socket(url, origin=origin) as connection:
                assert (await close_of(connection))[0] == 4013
        for subprotocol in ("", "sonic-voice.v2"):
            async with socket(url, subprotocol=subprotocol) as connection:
                assert (await close_of(connection))[0] == 4005


async def test_an_allowed_origin_is_taken() -> None:
    async with (
        running(access=Access(origins=frozenset({"https://shop.example"}))) as (url, _),
        socket(url, origin="https://shop.example") as connection,
    ):
        await opened(connection)


async def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = issue_token(SECRET, "alice", now_s=time.time())
    async with running(access=Access(secret=SECRET)) as (url, bridge), socket(url) as connection:
        logging.getLogger("websockets.client").setLevel(logging.WARNING)  # the page's own
        caplog.clear()
        await connection.send(hello(token=token))
        resume = json.loads(await connection.recv())["resume"]
        await connection.send("no JSON")
        await close_of(connection)
        await until(lambda: "sonic_voice_conversations 0\n" in bridge.metrics())
    for secret in (token, token.rpartition(".")[2], resume, SECRET.decode(), OFFER.config.system):
        assert secret not in caplog.text


async def test_over_tls_the_page_is_another_origin_and_the_headers_say_so() -> None:
    authority = cast(Any, trustme.CA())
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    async with (
        Bridge(OFFER, QuietService()) as bridge,
        served(bridge, pages={}, tls=server) as url,
    ):
        assert url.startswith("https://localhost:")
        async with socket(url, tls=client) as connection:
            await opened(connection)
        async with socket(url, tls=client, origin=url.replace("https", "http")) as connection:
            assert (await close_of(connection))[0] == 4013


async def test_a_task_that_is_cancelled_by_its_server_leaves_no_conversation_behind() -> None:
    async with running(Limits(keep_s=0.2)) as (url, bridge):
        async with socket(url) as connection:
            await opened(connection)
            [task] = [task for task in asyncio.all_tasks() if "protocol_handler" in repr(task)]
            task.cancel()
            await close_of(connection)
        await until(lambda: "sonic_voice_conversations 0\n" in bridge.metrics())


async def test_tokens_are_asked_for_and_checked() -> None:
    now_s = time.time()
    good = issue_token(SECRET, "alice", now_s=now_s, voices=["ambre"])
    expired = issue_token(SECRET, "alice", now_s=now_s - 100)
    forged = issue_token(SECRET[::-1], "alice", now_s=now_s)
    async with running(access=Access(secret=SECRET)) as (url, _):
        for token, code in (("", 4010), (expired, 4011), (forged, 4012), (good[:-1], 4012)):
            async with socket(url) as connection:
                await connection.send(hello(token=token))
                assert (await close_of(connection))[0] == code
        async with socket(url) as connection:
            await connection.send(hello(token=good, voice="tiffany"))
            assert (await close_of(connection))[0] == 4006
        async with socket(url) as connection, Page(connection, {"token": good}) as page:
            assert page.ready["voice"] == "ambre"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(sessions=2, of_subject=9), 4020),
        (Limits(of_subject=2), 4021),
        (Limits(of_address=2, of_subject=9), 4022),
    ],
)
async def test_the_third_conversation_is_one_too_many(limits: Limits, code: int) -> None:
    token = issue_token(SECRET, "alice", now_s=time.time())
    async with (
        running(limits, Access(secret=SECRET)) as (url, bridge),
        socket(url) as one,
        socket(url) as two,
    ):
        await opened(one, token=token)
        await opened(two, token=token)
        async with socket(url) as three:
            await three.send(hello(token=token))
            assert (await close_of(three))[0] == code
        await one.send(json.dumps({"type": "bye"}))
        assert (await close_of(one))[0] == 1000
        await until(lambda: "sonic_voice_conversations 1\n" in bridge.metrics())
        async with socket(url) as three:
            await opened(three, token=token)


async def test_who_says_nothing_is_sent_away_and_few_may() -> None:
    async with running(Limits(strangers=1, hello_s=0.3)) as (url, _), socket(url) as one:
        async with socket(url) as two:
            assert (await close_of(two))[0] == 4020
        assert (await close_of(one))[0] == 4004


@pytest.mark.parametrize("size", [2, 32_000])
async def test_a_flood_is_stopped(size: int) -> None:
    async with running() as (url, _), socket(url) as connection:
        await opened(connection)
        with pytest.raises(ConnectionClosed):
            for _ in range(5000):
                await connection.send(voice_frame(bytes(size)))
                await asyncio.sleep(0)
        assert (await close_of(connection))[0] == 4023


async def test_ten_thousand_random_frames_are_answered_or_closed_and_leave_nothing() -> None:
    chance = random.Random(5)
    async with running() as (url, bridge):

        async def objects_after(frames: int) -> int:
            await _pester(url, chance, frames)
            await until(lambda: "sonic_voice_conversations 0\n" in bridge.metrics())
            await until(lambda: "sonic_voice_connections 0\n" in bridge.metrics())
            gc.collect()
            return len(gc.get_objects())

        before = await objects_after(2_000)
        begun = bridge.counts.conversations
        left = await objects_after(8_000) - before
        begun = bridge.counts.conversations - begun
        assert 'code="1011"' not in bridge.metrics()
    assert left < begun, "not even one object a conversation"


async def _pester(url: str, chance: random.Random, frames: int) -> None:
    """Send so many, in a new conversation whenever one was closed."""
    sent = 0
    while sent < frames:
        async with socket(url) as connection:
            await connection.send(hello())
            try:
                while sent < frames:
                    sent += 1
                    await connection.send(_random_message(chance))
                    await asyncio.sleep(0)
            except ConnectionClosed:
                assert connection.close_code in (1007, 1009, *range(4000, 4032))


def _random_message(chance: random.Random) -> str | bytes:
    noise = chance.randbytes(chance.choice((0, 1, 2, 3, 12, 640)))
    kind = chance.randrange(6)
    if kind == 0:
        return noise
    if kind == 1:
        return noise.decode("latin-1")
    if kind == 2:
        fields = {"turn": chance.randrange(-1, 3), "samples": chance.choice((0, 7, 1 << 40, ""))}
        return json.dumps({"type": "played", "epoch": chance.randrange(3), **fields})
    return voice_frame(bytes(chance.randrange(2, 640)))


async def test_a_reader_that_does_not_read_is_cut_off() -> None:
    async with running(Limits(stuck_s=0.5)) as (url, bridge):
        assert await _read_nothing(url, bridge) == 4024


async def _read_nothing(url: str, bridge: Bridge) -> int:
    """Say that all was played, so that sound is sent, and take nothing from the socket.

    How the conversation ends.
    """
    others = set(bridge._visits)  # pyright: ignore[reportPrivateUsage]
    async with _raw(url) as (_, connection):
        await opened(connection)
        connection.transport.pause_reading()
        [mine] = bridge._visits.keys() - others  # pyright: ignore[reportPrivateUsage]
        visit, _ = bridge._visits[mine]  # pyright: ignore[reportPrivateUsage]
        for turn in range(1, 400):
            for _ in range(5):
                visit._sink.play(turn, bytes(48_000))  # pyright: ignore[reportPrivateUsage]
            report = {"type": "played", "epoch": 0, "turn": turn, "samples": 120_000}
            await connection.send(json.dumps(report))
            await asyncio.sleep(0)
            if visit.ending.done():
                break
        close = await asyncio.wait_for(visit.ending, 5)
        connection.transport.resume_reading()
        return close


@asynccontextmanager
async def _raw(url: str) -> AsyncGenerator[tuple[sockets.socket, ClientConnection]]:
    """A connection whose socket takes little in advance."""
    where = urlsplit(url)
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", where.port))
    async with connect(
        url.replace("http", "ws", 1) + "talk",
        sock=raw,
        origin=url.removesuffix("/"),  # pyright: ignore[reportArgumentType]
        subprotocols=["sonic-voice.v1"],  # pyright: ignore[reportArgumentType]
        compression=None,
        ping_interval=None,
        close_timeout=0.5,
    ) as connection:
        yield raw, connection


async def test_a_half_open_connection_is_found_and_its_conversation_kept_for_a_while() -> None:
    limits = Limits(ping_s=0.2, keep_s=0.5)
    async with running(limits) as (url, bridge), _raw(url) as (_, connection):
        await opened(connection)
        connection.transport.pause_reading()
        await until(lambda: "sonic_voice_connections 0\n" in bridge.metrics())
        assert "sonic_voice_conversations 1\n" in bridge.metrics()
        await until(lambda: "sonic_voice_conversations 0\n" in bridge.metrics())
        connection.transport.resume_reading()


@pytest.mark.parametrize(("kind", "code"), [(ErrorKind.THROTTLED, 4030), (ErrorKind.ACCESS, 4031)])
async def test_the_refusal_of_the_service_is_told_without_its_words(
    kind: ErrorKind, code: int
) -> None:
    service = QuietService()
    service.refusal = ServiceError(kind=kind, code="Secret", text="arn:aws:iam::1:role/x")
    async with running(transport=service) as (url, _), socket(url) as connection:
        await opened(connection)
        closed, reason = await close_of(connection)
    assert closed == code
    assert "arn" not in reason


async def _flood(url: str, _: Bridge) -> None:
    async with socket(url) as connection:
        await connection.send(hello())
        while True:
            await connection.send(voice_frame(bytes(32_000)))


async def _nonsense(url: str, _: Bridge) -> None:
    await _pester(url, random.Random(5), 100)


async def _deafness(url: str, bridge: Bridge) -> None:
    await _read_nothing(url, bridge)


@pytest.mark.parametrize("attack", [_flood, _nonsense, _deafness])
async def test_the_others_hear_no_gap_while_one_attacks(
    attack: Callable[[str, Bridge], Coroutine[Any, Any, None]],
) -> None:
    async def attacks() -> None:
        while True:
            with suppress(ConnectionClosed):
                await attack(url, bridge)

    async with running(Limits(stuck_s=0.5)) as (url, bridge), AsyncExitStack() as stack:
        good = await stack.enter_async_context(socket(url))
        await opened(good)
        [(visit, _)] = bridge._visits.values()  # pyright: ignore[reportPrivateUsage]
        attacking = asyncio.create_task(attacks())
        gaps_s: list[float] = []
        last_s = time.monotonic()
        for index in range(100):
            visit._sink.play(1, bytes(960))  # pyright: ignore[reportPrivateUsage]
            while not isinstance(await good.recv(), bytes):
                pass
            at = {"turn": 1, "samples": (index + 1) * 480}
            await good.send(json.dumps({"type": "played", "epoch": 0, **at}))
            gaps_s.append(time.monotonic() - last_s)
            last_s = time.monotonic()
            await asyncio.sleep(0.02)
        attacking.cancel()
        await asyncio.gather(attacking, return_exceptions=True)
        assert bridge.counts.conversations > 1
    assert max(gaps_s) < 0.25, "a page's ring holds more than that"
