"""A server's connection that stalls: nothing is answered, not even a ping, and it still ends."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme

from sonic_voice.errors import ConnectionLost
from sonic_voice.http2.connection import H2Connection
from sonic_voice.http2.stream import H2Stream

PATIENCE_S = 5.0
"""Maximum time for something that must happen at once, before a test calls it a hang."""
REQUEST = [(":method", "POST"), (":scheme", "https"), (":authority", "x"), (":path", "/")]
PING_S = 0.05
UNREAD_S = 0.5


class Ends:
    """Both ends of a connection over a real socket, and the streams that the server accepted."""

    def __init__(self) -> None:
        self.streams: asyncio.Queue[H2Stream] = asyncio.Queue()
        self.servers: list[H2Connection] = []
        self.clients: list[H2Connection] = []

    def serve(self) -> H2Connection:
        self.servers.append(H2Connection(on_stream=self.streams.put_nowait))
        return self.servers[-1]

    @property
    def server(self) -> H2Connection:
        return self.servers[-1]

    @property
    def client(self) -> H2Connection:
        return self.clients[-1]


@pytest.fixture(params=["tls", "plain"])
async def ends(request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    ends = Ends()
    server_tls = client_tls = None
    if request.param == "tls":
        authority = trustme.CA()
        server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(server_tls)  # pyright: ignore[reportUnknownMemberType]
        client_tls = ssl.create_default_context()
        authority.configure_trust(client_tls)  # pyright: ignore[reportUnknownMemberType]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(ends.serve, "127.0.0.1", 0, ssl=server_tls)
    port: int = server.sockets[0].getsockname()[1]

    def connect() -> H2Connection:
        ends.clients.append(H2Connection(ping_s=PING_S, ping_deadline_s=PING_S))
        return ends.clients[-1]

    await loop.create_connection(
        connect,
        "127.0.0.1",
        port,
        ssl=client_tls,
        server_hostname="localhost" if client_tls else None,
    )
    yield ends
    for connection in (*ends.clients, *ends.servers):
        connection.cut()
        await asyncio.wait_for(connection.closed, PATIENCE_S)
    server.close()


async def begin(ends: Ends) -> tuple[H2Stream, H2Stream]:
    """Open a stream, and return the client's end of it and the server's."""
    stream = ends.client.open_stream(REQUEST)
    return stream, await asyncio.wait_for(ends.streams.get(), PATIENCE_S)


async def test_a_stalled_server_answers_no_ping_and_the_client_gives_up(ends: Ends) -> None:
    stream, _ = await begin(ends)
    ends.server.stall()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ConnectionLost, match="not even a ping"):
            await stream.read(1)


async def test_a_stalled_server_keeps_its_socket_until_the_client_has_closed_it(
    ends: Ends,
) -> None:
    await begin(ends)
    ends.server.stall(unread_s=UNREAD_S)
    ends.client.cut()
    await asyncio.wait_for(ends.client.closed, PATIENCE_S)
    assert not ends.server.closed.done()
    await asyncio.wait_for(ends.server.closed, PATIENCE_S)


async def test_a_client_that_left_in_the_middle_of_its_data_is_noticed(ends: Ends) -> None:
    stream, _ = await begin(ends)
    ends.server.stall(unread_s=UNREAD_S)
    with pytest.raises(ConnectionLost):  # more than all buffers on the way hold
        await asyncio.wait_for(stream.write(bytes(20_000_000)), PATIENCE_S)
    await asyncio.wait_for(ends.server.closed, PATIENCE_S)


async def test_a_stalled_server_sends_nothing_of_its_other_streams(ends: Ends) -> None:
    first, _ = await begin(ends)
    _, second = await begin(ends)
    ends.server.stall()
    writing = asyncio.create_task(second.write(b"x" * 100))
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ConnectionLost, match="not even a ping"):
            await first.read(1)
    assert first.headers is None
    ends.server.cut()
    with pytest.raises(ConnectionLost, match="ended"):
        await writing


async def test_closing_a_stalled_connection_drops_it(ends: Ends) -> None:
    await begin(ends)
    ends.server.stall()
    ends.server.close()
    await asyncio.wait_for(ends.server.closed, PATIENCE_S)


async def test_a_stall_may_be_asked_for_twice_and_after_the_end(ends: Ends) -> None:
    await begin(ends)
    ends.server.stall()
    ends.server.stall()
    ends.server.cut()
    await asyncio.wait_for(ends.server.closed, PATIENCE_S)
    ends.server.stall()
