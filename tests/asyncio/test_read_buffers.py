"""Read buffers are small, and everything arrives through them."""

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from sonic_voice.emulator.server.certificates import CertificateAuthority
from sonic_voice.http2.read_buffers import READ_BYTES, limit_read_buffers

SENT = os.urandom(5 * READ_BYTES + 17)


class Receiver(asyncio.Protocol):
    """A client that collects what arrives."""

    def __init__(self) -> None:
        self.received = b""
        self.largest = 0
        self.over = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.largest = max(self.largest, len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(exc)


async def send_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(1)
    writer.write(SENT)
    await writer.drain()
    writer.close()


@pytest.fixture
async def server() -> AsyncGenerator[tuple[int, ssl.SSLContext]]:
    """The port of a server that answers with `SENT`, and the context to connect with."""
    authority = CertificateAuthority.of_this_run()
    try:
        serving = authority.server_context("localhost")
        async with await asyncio.start_server(send_all, "localhost", 0, ssl=serving) as started:
            trusting = ssl.create_default_context(cafile=authority.ca_file)
            yield started.sockets[0].getsockname()[1], trusting
    finally:
        authority.remove_files()


async def connect(server: tuple[int, ssl.SSLContext]) -> tuple[asyncio.Transport, Receiver]:
    port, context = server
    loop = asyncio.get_running_loop()
    return await loop.create_connection(Receiver, "localhost", port, ssl=context)


def buffer_of(transport: Any) -> int:
    return len(transport._ssl_protocol._ssl_buffer)


async def test_the_buffer_becomes_small_and_stays_so_while_data_arrives(
    server: tuple[int, ssl.SSLContext],
) -> None:
    transport, receiver = await connect(server)
    before = buffer_of(transport)
    limit_read_buffers(transport)
    transport.write(b"?")
    assert await receiver.over is None
    assert receiver.received == SENT
    assert buffer_of(transport) == READ_BYTES < before


async def test_a_connection_without_tls_reads_no_more_at_once() -> None:
    async with await asyncio.start_server(send_all, "localhost", 0) as started:
        port = started.sockets[0].getsockname()[1]
        transport, receiver = await asyncio.get_running_loop().create_connection(
            Receiver, "localhost", port
        )
        limit_read_buffers(transport)
        transport.write(b"?")
        assert await receiver.over is None
    assert receiver.received == SENT
    assert receiver.largest <= READ_BYTES
