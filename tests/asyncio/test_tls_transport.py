"""The transport over a TLS socket, against asyncio's own TLS at the other end."""

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trustme

from sonic_voice.http2.tls_transport import TlsTransport, start_tls_on_socket

PATIENCE_S = 5.0
"""Maximum time for something that must happen at once, in seconds."""

LONG = bytes(range(256)) * 4_096
"""This is more than both kernels and the transport accept at once: 1 MiB."""

type Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Received(asyncio.Protocol):
    """A protocol that records what its transport calls."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.pauses = self.resumes = 0
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.changed.set()

    def pause_writing(self) -> None:
        self.pauses += 1

    def resume_writing(self) -> None:
        self.resumes += 1
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)

    async def has(self, size: int) -> bytes:
        """Wait for a number of bytes and return all that came."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.data) < size:
                self.changed.clear()
                await self.changed.wait()
        return bytes(self.data)


class Tls:
    """TLS contexts of a server and of its clients."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.server)  # pyright: ignore[reportUnknownMemberType]
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)  # pyright: ignore[reportUnknownMemberType]


@pytest.fixture(scope="module", params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def tls(request: pytest.FixtureRequest) -> Tls:
    contexts = Tls()
    contexts.client.minimum_version = contexts.client.maximum_version = request.param
    return contexts


@asynccontextmanager
async def connected(
    tls: Tls,
    handle: Handler,
    *,
    small_buffers: bool = False,
    protocol: Callable[[], Received] = Received,
) -> AsyncGenerator[tuple[TlsTransport, Received]]:
    """Serve one handler, and yield a client's transport that reads."""

    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            await handle(reader, writer)
        writer.transport.abort()
        served.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls.server)
    sock = socket.create_connection(server.sockets[0].getsockname())
    if small_buffers:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    received = protocol()
    transport = await start_tls_on_socket(sock, tls.client, "localhost", received)
    transport.resume_reading()
    try:
        yield transport, received
    finally:
        transport.abort()
        async with asyncio.timeout(PATIENCE_S):
            await received.lost
            await served.wait()
        server.close()
        await server.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


async def test_data_returns_as_it_was_sent_in_small_and_in_large_writes(tls: Tls) -> None:
    async with connected(tls, echo) as (transport, received):
        sent = b""
        for size in (1, 2_000, 16_384, 16_385, 100_000):
            transport.write(LONG[:size])
            sent += LONG[:size]
        assert await received.has(len(sent)) == sent


async def test_data_that_the_network_does_not_accept_waits_and_keeps_its_order(tls: Tls) -> None:
    go = asyncio.Event()
    came = asyncio.get_running_loop().create_future()

    async def read_late(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await go.wait()
        came.set_result(await reader.readexactly(2 * len(LONG) + 3))

    async with connected(tls, read_late, small_buffers=True) as (transport, received):
        transport.set_write_buffer_limits(high=4096)
        for part in (LONG, b"abc", LONG):
            transport.write(part)
        assert received.pauses == 1
        assert transport.get_write_buffer_size() > 4096
        go.set()
        async with asyncio.timeout(PATIENCE_S):
            assert await came == LONG + b"abc" + LONG
            while not received.resumes:
                await received.changed.wait()
        assert transport.get_write_buffer_size() == 0
        assert received.pauses == received.resumes == 1


async def test_a_paused_transport_reads_nothing(tls: Tls) -> None:
    async with connected(tls, echo) as (transport, received):
        transport.write(b"one")
        await received.has(3)
        transport.pause_reading()
        assert not transport.is_reading()
        transport.write(b"two")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await received.has(6)
        transport.resume_reading()
        assert await received.has(6) == b"onetwo"


async def test_a_close_sends_what_waits_and_the_peer_sees_a_clean_end(tls: Tls) -> None:
    ended = asyncio.get_running_loop().create_future()

    async def read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = 0
        while data := await reader.read(65_536):
            size += len(data)
        ended.set_result(size)
        writer.close()
        await writer.wait_closed()

    async with connected(tls, read_all, small_buffers=True) as (transport, received):
        transport.write(LONG)
        transport.close()
        assert transport.is_closing()
        transport.write(b"dropped")
        async with asyncio.timeout(PATIENCE_S):
            assert await ended == len(LONG)
            assert await received.lost is None


async def test_data_after_a_close_is_dropped(tls: Tls) -> None:
    async def answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"late")
        await reader.read()

    async with connected(tls, answer_late) as (transport, received):
        transport.write(b"?")
        transport.close()
        async with asyncio.timeout(PATIENCE_S):
            await received.lost
        assert received.data == b""


async def test_the_end_of_the_peer_is_reported_once_without_an_error(tls: Tls) -> None:
    async def say_goodbye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"goodbye")
        writer.close()
        await writer.wait_closed()

    async with connected(tls, say_goodbye) as (transport, received):
        async with asyncio.timeout(PATIENCE_S):
            assert await received.lost is None
        assert received.data == b"goodbye"
        assert transport.is_closing()
        transport.close()
        transport.write(b"dropped")


async def test_a_reset_connection_ends_the_transport(tls: Tls) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with connected(tls, reset) as (transport, received):
        transport.write(b"?")
        async with asyncio.timeout(PATIENCE_S):
            # Python before 3.12.3 reports a reset as the end of the data.
            assert isinstance(await received.lost, ConnectionResetError | None)
        assert transport.is_closing()


async def test_what_a_peer_sent_before_it_hung_up_is_read_whatever_is_written(tls: Tls) -> None:
    class Answering(Received):
        answer: Callable[[bytes], None]

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.answer(b"But...")

    gone = asyncio.Event()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        for _ in range(3):
            writer.write(LONG[:700])
        writer.transport.abort()
        await asyncio.sleep(0)
        gone.set()

    async with connected(tls, hang_up, protocol=Answering) as (transport, received):
        assert isinstance(received, Answering)
        received.answer = transport.write
        transport.pause_reading()
        transport.write(b"?")
        await gone.wait()
        await asyncio.sleep(0.1)
        transport.resume_reading()
        async with asyncio.timeout(PATIENCE_S):
            assert isinstance(await received.lost, OSError)
        assert received.data == 3 * LONG[:700]


async def test_an_aborted_transport_drops_what_waits(tls: Tls) -> None:
    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.wait_closed()

    async with connected(tls, deaf, small_buffers=True) as (transport, received):
        transport.write(LONG)
        transport.abort()
        transport.abort()
        async with asyncio.timeout(PATIENCE_S):
            assert await received.lost is None
        assert transport.get_write_buffer_size() == 0


async def test_a_protocol_may_abort_when_it_is_resumed(tls: Tls) -> None:
    class Aborting(Received):
        abort: Callable[[], None]

        def resume_writing(self) -> None:
            self.abort()

    reported = list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with connected(tls, echo, small_buffers=True, protocol=Aborting) as (transport, received):
        assert isinstance(received, Aborting)
        received.abort = transport.abort
        transport.set_write_buffer_limits(high=0)
        transport.write(LONG)
        transport.close()
        async with asyncio.timeout(PATIENCE_S):
            assert await received.lost is None
    assert reported == []


@pytest.mark.parametrize("error", [LookupError, asyncio.CancelledError])
async def test_a_protocol_that_fails_is_reported_and_loses_its_connection(
    tls: Tls, error: type[BaseException]
) -> None:
    class Broken(Received):
        def data_received(self, data: bytes) -> None:
            raise error(data.decode())

    reported = list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with connected(tls, echo, protocol=Broken) as (transport, received):
        transport.write(b"bug")
        async with asyncio.timeout(PATIENCE_S):
            assert isinstance(await received.lost, LookupError | None)
    assert [repr(context["exception"]) for context in reported] == [f"{error.__name__}('bug')"]


@pytest.mark.parametrize("fault", ["silence", "untrusted", "plain text"])
async def test_a_handshake_that_fails_or_is_cancelled_leaves_no_socket(
    tls: Tls, fault: str
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if fault == "plain text":
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    secure = tls.server if fault == "untrusted" else None
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=secure)
    sock = socket.create_connection(server.sockets[0].getsockname())
    client = ssl.create_default_context() if fault == "untrusted" else tls.client
    with pytest.raises((TimeoutError, ssl.SSLError)):
        async with asyncio.timeout(0.05 if fault == "silence" else PATIENCE_S):
            await start_tls_on_socket(sock, client, "localhost", Received())
    assert sock.fileno() == -1
    gc.collect()  # a socket that is left open would be reported here
    server.close()
    await server.wait_closed()
