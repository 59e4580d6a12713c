"""Clients that attack the bridge: they are stopped, leave nothing, and nobody else notices."""

import asyncio
import gc
import json
import random
import socket as sockets
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage
from websockets.frames import Frame

from sonic_voice.bridge import Access, Bridge, BridgeLimits, Close, issue_token
from sonic_voice.bridge.frames import voice_frame

from ..support.page import close_of, socket, until
from ..support.quiet_bridge import hello, opened, running, uncollected

SECRET = b"a secret of this test, of 32 bytes and more"


@pytest.mark.parametrize("size", [2, 32_000])
async def test_a_flood_is_stopped(size: int) -> None:
    async with running() as (url, _), socket(url) as connection:
        await opened(connection)
        with pytest.raises(ConnectionClosed):
            for _ in range(5000):
                await connection.send(voice_frame(bytes(size)))
                await asyncio.sleep(0)
        assert (await close_of(connection))[0] == 4023


async def test_what_a_flood_left_unread_goes_with_its_connection() -> None:
    async with running() as (url, bridge):
        with uncollected():
            with suppress(ConnectionClosed):
                await _flood(url, bridge)
            await until(lambda: _held() <= 1)  # the one before that in which its parser ended


def _held() -> int:
    """Frames of a flood that somebody still has."""
    return sum(type(it) is Frame and len(it.data) > 30_000 for it in gc.get_objects())


async def test_ten_thousand_random_frames_are_answered_or_closed_and_leave_nothing() -> None:
    chance = random.Random(5)
    async with running() as (url, bridge):

        async def objects_after(frames: int) -> int:
            await _pester(url, chance, frames)
            await until(lambda: "sonic_voice_conversations 0.0\n" in bridge.metrics_page())
            await until(lambda: "sonic_voice_connections 0.0\n" in bridge.metrics_page())
            gc.collect()
            return len(gc.get_objects())

        before = await objects_after(2_000)
        begun = bridge.metrics.conversations
        left = await objects_after(8_000) - before
        begun = bridge.metrics.conversations - begun
        assert 'code="1011"' not in bridge.metrics_page()
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
    async with running(BridgeLimits(stuck_s=0.5)) as (url, bridge):
        assert await _read_nothing(url, bridge) == 4024


async def _read_nothing(url: str, bridge: Bridge) -> int:
    """Say that all was played, so that sound is sent, and take nothing from the socket.

    How the conversation ends.
    """
    others = set(bridge._sessions)  # pyright: ignore[reportPrivateUsage]
    async with _raw(url) as connection:
        await opened(connection)
        connection.transport.pause_reading()
        [mine] = bridge._sessions.keys() - others  # pyright: ignore[reportPrivateUsage]
        session, _ = bridge._sessions[mine]  # pyright: ignore[reportPrivateUsage]
        for turn in range(1, 400):
            for _ in range(5):
                session._sink.play(turn, bytes(48_000))  # pyright: ignore[reportPrivateUsage]
            report = {"type": "played", "epoch": 0, "turn": turn, "samples": 120_000}
            await connection.send(json.dumps(report))
            await asyncio.sleep(0)
            if session.ending.done():
                break
        close = await asyncio.wait_for(session.ending, 5)
        connection.transport.resume_reading()
        return close


@asynccontextmanager
async def _raw(url: str) -> AsyncGenerator[ClientConnection]:
    """A connection whose socket takes little in advance."""
    where = urlsplit(url)
    with sockets.socket() as raw:  # an attack may be cancelled before there is a connection
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
        ) as connection:
            try:
                yield connection
            finally:
                connection.transport.abort()  # closing politely may be cancelled, too


async def test_a_half_open_connection_is_found_and_its_conversation_kept_for_a_while() -> None:
    limits = BridgeLimits(ping_s=0.2, keep_s=0.5)
    async with running(limits) as (url, bridge), _raw(url) as connection:
        await opened(connection)
        connection.transport.pause_reading()
        await until(lambda: "sonic_voice_connections 0.0\n" in bridge.metrics_page())
        assert "sonic_voice_conversations 1.0\n" in bridge.metrics_page()
        await until(lambda: "sonic_voice_conversations 0.0\n" in bridge.metrics_page())
        connection.transport.resume_reading()


async def _flood(url: str, _: Bridge) -> None:
    async with socket(url) as connection:
        await connection.send(hello())
        while True:
            await connection.send(voice_frame(bytes(32_000)))


async def _nonsense(url: str, _: Bridge) -> None:
    await _pester(url, random.Random(5), 100)


async def _deafness(url: str, bridge: Bridge) -> None:
    await _read_nothing(url, bridge)


PING = b"\x89\x80\0\0\0\0"
"""An empty ping of a client, whose mask is zero."""

TINY = b"\x82\x80\0\0\0\0"
"""An empty binary message of a client."""


@asynccontextmanager
async def _upgraded(url: str) -> AsyncGenerator[sockets.socket]:
    """A socket after the handshake, on which the test writes frames itself and reads nothing."""
    loop, where = asyncio.get_running_loop(), urlsplit(url)
    with sockets.socket() as raw:
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        raw.setblocking(False)
        await loop.sock_connect(raw, ("127.0.0.1", where.port))
        request = (
            f"GET /talk HTTP/1.1\r\nHost: {where.netloc}\r\nOrigin: {url.removesuffix('/')}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Protocol: sonic-voice.v1\r\n\r\n"
        )
        await loop.sock_sendall(raw, request.encode())
        assert b" 101 " in await loop.sock_recv(raw, 4096)
        yield raw


async def _write_until_cut(raw: sockets.socket, data: bytes) -> None:
    """Write `data` again and again, until the server closes the connection."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        with suppress(OSError):
            while True:
                await loop.sock_sendall(raw, data)


def _masked(text: str) -> bytes:
    """A text frame of a client, whose mask is zero."""
    data = text.encode()
    return b"\x81" + bytes([0x80 | len(data)]) + bytes(4) + data


@pytest.mark.parametrize("frame", [PING, TINY])
@pytest.mark.parametrize("greeting", [b"", _masked(hello())])
async def test_who_sends_frames_and_reads_no_answers_is_cut_off(
    frame: bytes, greeting: bytes
) -> None:
    """Also before it has said hello, which needs no token."""
    async with running() as (url, bridge), _upgraded(url) as raw:
        await asyncio.get_running_loop().sock_sendall(raw, greeting)
        await _write_until_cut(raw, frame * 10_000)
        await until(lambda: bridge.connected == 0)


async def test_pings_at_the_rate_of_intermediaries_are_answered() -> None:
    async with running() as (url, _), socket(url) as connection:
        await opened(connection)
        for _ in range(40):
            await (await connection.ping())


async def test_silent_sockets_of_one_address_lock_nobody_out() -> None:
    limits = BridgeLimits(unauthenticated=20, unauthenticated_of_address=16)
    proxies = Access(trusted_proxies=("127.0.0.1",), secret=SECRET)
    async with running(limits, proxies) as (url, bridge), AsyncExitStack() as stack:
        refused = 0
        for _ in range(80):
            connection = await stack.enter_async_context(socket(url, forwarded_for="192.0.2.1"))
            if bridge.metrics.rejected[Close.TOO_MANY_OF_ADDRESS] > refused:
                refused += 1
                assert (await close_of(connection))[0] == 4022
        assert bridge.connected <= 17
        token = issue_token(SECRET, "alice", now_s=time.time())
        async with socket(url, forwarded_for="198.51.100.7") as good:
            await opened(good, token=token)


async def test_sockets_that_send_no_request_are_limited() -> None:
    limits = BridgeLimits(handshakes_of_address=4)
    loop = asyncio.get_running_loop()
    async with running(limits) as (url, _), AsyncExitStack() as stack:
        address = ("127.0.0.1", urlsplit(url).port)
        for index in range(8):
            raw = stack.enter_context(sockets.socket())
            raw.setblocking(False)
            await loop.sock_connect(raw, address)
            if index >= 4:
                async with asyncio.timeout(2):
                    with suppress(ConnectionResetError):
                        assert await loop.sock_recv(raw, 1) == b""
        await stack.aclose()  # they go, and make room
        async with asyncio.timeout(2):
            while True:
                with suppress(OSError, InvalidMessage):
                    async with socket(url) as good:
                        await opened(good)
                        return


async def test_typed_turns_are_rationed() -> None:
    async with running() as (url, bridge), socket(url) as connection:
        await opened(connection)
        with suppress(ConnectionClosed):
            for _ in range(100):
                await connection.send(json.dumps({"type": "say", "text": "Hello."}))
        assert (await close_of(connection))[0] == 4023
        assert bridge.metrics.closed == {Close.FLOOD: 1}


async def test_a_person_who_types_fast_is_not_a_flood() -> None:
    async with running() as (url, bridge), socket(url) as connection:
        await opened(connection)
        for _ in range(10):
            await connection.send(json.dumps({"type": "say", "text": "Hello."}))
        await connection.send(json.dumps({"type": "bye"}))
        assert (await close_of(connection))[0] == 1000
        assert bridge.metrics.closed == {Close.BYE: 1}


async def _pings(url: str, _: Bridge) -> None:
    async with _upgraded(url) as raw:
        await asyncio.get_running_loop().sock_sendall(raw, _masked(hello()))
        await _write_until_cut(raw, PING * 40_000)


async def _pings_before_hello(url: str, _: Bridge) -> None:
    async with _upgraded(url) as raw:
        await _write_until_cut(raw, PING * 40_000)


async def _tiny_messages(url: str, _: Bridge) -> None:
    async with _upgraded(url) as raw:
        await asyncio.get_running_loop().sock_sendall(raw, _masked(hello()))
        await _write_until_cut(raw, TINY * 40_000)


async def _silence(url: str, _: Bridge) -> None:
    async with AsyncExitStack() as stack:
        for _number in range(80):
            await stack.enter_async_context(socket(url))


async def _typing(url: str, _: Bridge) -> None:
    async with socket(url) as connection:
        await connection.send(hello())
        while True:
            await connection.send(json.dumps({"type": "say", "text": "Tell me a story. " * 100}))


async def _long_headers(url: str, _: Bridge) -> None:
    loop, where = asyncio.get_running_loop(), urlsplit(url)
    with sockets.socket() as raw:
        raw.setblocking(False)
        await loop.sock_connect(raw, ("127.0.0.1", where.port))
        await loop.sock_sendall(raw, b"GET /talk HTTP/1.1\r\n")
        await _write_until_cut(raw, b"X-Long: " + b"a" * 16_000 + b"\r\n")


ATTACKS = [
    *(_flood, _nonsense, _deafness, _pings, _pings_before_hello, _tiny_messages),
    *(_silence, _typing, _long_headers),
]


@pytest.mark.alone
@pytest.mark.parametrize("attack", ATTACKS)
async def test_the_others_hear_no_gap_while_one_attacks(
    attack: Callable[[str, Bridge], Coroutine[Any, Any, None]],
) -> None:
    async def attacks() -> None:
        while True:
            with suppress(ConnectionClosed):
                await attack(url, bridge)

    async with running(BridgeLimits(stuck_s=0.5)) as (url, bridge), AsyncExitStack() as stack:
        good = await stack.enter_async_context(socket(url))
        await opened(good)
        [(session, _)] = bridge._sessions.values()  # pyright: ignore[reportPrivateUsage]
        attacking = asyncio.create_task(attacks())
        gaps_s: list[float] = []
        last_s = time.monotonic()
        for index in range(100):
            session._sink.play(1, bytes(960))  # pyright: ignore[reportPrivateUsage]
            while not isinstance(await good.recv(), bytes):
                pass
            at = {"turn": 1, "samples": (index + 1) * 480}
            await good.send(json.dumps({"type": "played", "epoch": 0, **at}))
            gaps_s.append(time.monotonic() - last_s)
            last_s = time.monotonic()
            await asyncio.sleep(0.02)
        assert not attacking.done(), attacking.exception()
        attacking.cancel()
        await asyncio.gather(attacking, return_exceptions=True)
        if attack not in (_pings_before_hello, _silence, _long_headers):
            assert bridge.metrics.conversations > 1
    print(f"\nthe largest gap beside {attack.__name__} was {max(gaps_s) * 1000:.0f} ms")
    assert max(gaps_s) < 0.25, "a page's ring holds more than that"
