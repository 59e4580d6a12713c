"""HTTP/2 over real sockets on loopback: both ends of the stream, and every way it can end."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection as H2State
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from smithy_core import URI
from smithy_core.aio.types import AsyncBytesProvider
from smithy_core.exceptions import SmithyError
from smithy_http import Fields
from smithy_http.aio import HTTPRequest

from sonic_voice.errors import (
    ConfigError,
    ConnectError,
    ConnectionLost,
    DeadlineError,
    SonicError,
)
from sonic_voice.http2.client import Http2Client, Http2Response
from sonic_voice.http2.connection import H2Connection
from sonic_voice.http2.loopback import is_loopback
from sonic_voice.http2.request_body import MAX_EARLY_WRITES, RequestBody
from sonic_voice.http2.stream import H2Stream
from sonic_voice.http2.tls import tls_context

type Body = AsyncBytesProvider | RequestBody

OK = [(":status", "200"), ("x-amzn-requestid", "abc")]
CLOSED = (SmithyError, SonicError)
"""What a writer gets whose body takes no more: the SDK's error from its own, ours from ours."""
PATIENCE_S = 5.0
"""Maximum time for something that must happen at once, before a test calls it a hang."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.cert_pem.bytes())
    return path


def server_tls(authority: trustme.CA, alpn: list[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


class Peer:
    """A server of one's own: each new stream goes into `streams`, with its connection."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: list[H2Connection] = []
        self.streams: asyncio.Queue[H2Stream] = asyncio.Queue()

    def connect(self) -> H2Connection:
        connection = H2Connection(on_stream=self.streams.put_nowait, window_bytes=65_535)
        self.connections.append(connection)
        return connection

    @property
    def connection(self) -> H2Connection:
        return self.connections[-1]


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncGenerator[Peer]:
    peer = Peer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(peer.connect, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for connection in peer.connections:
            connection.cut()
        await server.wait_closed()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with serving() as peer:
        yield peer


@pytest.fixture
async def client() -> AsyncIterator[Http2Client]:
    client = Http2Client()
    yield client
    await client.close()


@pytest.fixture(params=[AsyncBytesProvider, RequestBody])
async def body(request: pytest.FixtureRequest) -> Body:
    """The SDK's pipe, and our own."""
    return request.param()


def request_to(port: int, body: Body | bytes = b"", scheme: str = "http") -> HTTPRequest:
    uri = URI(scheme=scheme, host="localhost", port=port, path="/x")
    anything: Any = body
    return HTTPRequest(destination=uri, method="POST", fields=Fields(), body=anything)


async def opened(client: Http2Client, peer: Peer, body: Body) -> tuple[Http2Response, H2Stream]:
    """An exchange whose headers have gone both ways, and whose bodies are open."""
    sending = asyncio.create_task(client.send(request_to(peer.port, body)))
    theirs = await peer.streams.get()
    peer.connection.send_headers(theirs, OK)
    return await sending, theirs


async def at_once[T](awaitable: "asyncio.Future[T]") -> T:
    async with asyncio.timeout(PATIENCE_S):
        return await awaitable


async def fill(body: Body) -> None:
    """Write until nothing more is taken, and then go on waiting."""
    while True:
        await body.write(bytes(16_384))


# --- what works


async def test_both_bodies_stream_at_the_same_time(
    client: Http2Client, peer: Peer, body: Body
) -> None:
    response, theirs = await opened(client, peer, body)
    for word in (b"one", b"two"):
        await body.write(word)
        assert await theirs.read(3) == word
        await theirs.write(word)
        assert await response.body.read(3) == word
    await body.close()
    assert await theirs.read() == b""
    theirs.end()
    assert await response.body.read(8) == b""
    assert response.fields["x-amzn-requestid"].values == ["abc"]


async def test_a_body_of_bytes_is_sent_whole_and_ended(client: Http2Client, peer: Peer) -> None:
    content = bytes(range(256)) * 2000
    sending = asyncio.create_task(client.send(request_to(peer.port, content)))
    theirs = await peer.streams.get()
    assert await theirs.read() == content
    peer.connection.send_headers(theirs, OK)
    await theirs.write(content)
    theirs.end()
    response = await sending
    assert await response.consume_body_async() == content


async def test_small_packets_are_not_held_back(client: Http2Client, peer: Peer) -> None:
    await opened(client, peer, AsyncBytesProvider())
    (ours,) = client._connections  # pyright: ignore[reportPrivateUsage]
    transport = ours._transport  # pyright: ignore[reportPrivateUsage]
    assert transport is not None
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


async def test_a_read_may_want_more_than_the_window_holds(peer: Peer) -> None:
    client = Http2Client(window_bytes=16_384)
    response, theirs = await opened(client, peer, AsyncBytesProvider())
    content = bytes(200_000)
    writing = asyncio.create_task(theirs.write(content))
    assert await at_once(asyncio.ensure_future(response.body.read(len(content)))) == content
    await writing
    await client.close()


async def test_a_slow_reader_holds_its_peer_back(peer: Peer) -> None:
    client = Http2Client(window_bytes=16_384)
    response, theirs = await opened(client, peer, AsyncBytesProvider())
    writing = asyncio.create_task(theirs.write(bytes(100_000)))
    done, _ = await asyncio.wait({writing}, timeout=0.2)
    assert not done
    assert len(response.body._inbox) <= 16_384  # pyright: ignore[reportPrivateUsage]
    await response.body.read(100_000)
    await writing
    await client.close()


async def test_a_cancelled_read_loses_nothing(client: Http2Client, peer: Peer) -> None:
    response, theirs = await opened(client, peer, AsyncBytesProvider())
    await theirs.write(b"ab")
    reading = asyncio.create_task(response.body.read(4))
    await asyncio.wait({reading}, timeout=0.05)
    reading.cancel()
    await asyncio.wait({reading})
    await theirs.write(b"cd")
    assert await response.body.read(4) == b"abcd"


async def test_what_is_written_before_there_is_a_connection_comes_first(
    client: Http2Client, peer: Peer
) -> None:
    body = RequestBody()
    for number in range(MAX_EARLY_WRITES):
        await body.write(bytes([number]))
    more = asyncio.create_task(body.write(b"more"))
    await asyncio.sleep(0)
    assert not more.done()  # a pipe has an end
    _, theirs = await opened(client, peer, body)
    await at_once(more)
    await body.close()
    assert await theirs.read() == bytes(range(MAX_EARLY_WRITES)) + b"more"


async def test_a_body_closed_before_there_is_a_connection_is_sent_and_ended(
    client: Http2Client, peer: Peer
) -> None:
    body = RequestBody()
    await body.write(b"all")
    await body.close()
    _, theirs = await opened(client, peer, body)
    assert await theirs.read() == b"all"


async def test_who_writes_while_nobody_can_be_reached_is_told(client: Http2Client) -> None:
    body = RequestBody()
    writing = asyncio.create_task(fill(body))
    with pytest.raises(ConnectError):
        await client.send(request_to(1, body))
    with pytest.raises(ConnectionLost):
        await at_once(writing)


async def test_a_refusal_is_read_while_the_request_is_open(
    client: Http2Client, peer: Peer, body: Body
) -> None:
    blocked = asyncio.create_task(fill(body))
    sending = asyncio.create_task(client.send(request_to(peer.port, body)))
    theirs = await peer.streams.get()
    peer.connection.send_headers(theirs, [(":status", "429")])
    await theirs.write(b"too many")
    theirs.end()
    response = await at_once(sending)
    assert (response.status, await response.body.read()) == (429, b"too many")
    with pytest.raises(CLOSED):
        await at_once(blocked)


# --- how it ends


type Fault = Callable[[Peer, H2Stream], object]

FAULTS: dict[str, tuple[Fault, str]] = {
    "reset": (lambda peer, theirs: theirs.reset(ErrorCodes.NO_ERROR), "reset"),
    "goaway": (lambda peer, theirs: peer.connection.close(), "goaway"),
    "cut": (lambda peer, theirs: peer.connection.cut(), "cut"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_broken_stream_ends_reader_and_writer_at_once(
    client: Http2Client, peer: Peer, fault: str, body: Body
) -> None:
    response, theirs = await opened(client, peer, body)
    reading = asyncio.create_task(response.body.read(8))
    writing = asyncio.create_task(fill(body))
    await asyncio.wait({writing}, timeout=0.1)  # until the peer's window is full
    assert not writing.done()
    break_it, reason = FAULTS[fault]
    break_it(peer, theirs)
    with pytest.raises(ConnectionLost) as lost:
        await at_once(reading)
    assert lost.value.reason == reason
    with pytest.raises(CLOSED):
        await at_once(writing)
    with pytest.raises(CLOSED):
        await body.write(b"later")


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_arrived_whole_before_the_break_is_still_read(
    client: Http2Client, peer: Peer, fault: str
) -> None:
    response, theirs = await opened(client, peer, AsyncBytesProvider())
    await theirs.write(b"exception frame")
    FAULTS[fault][0](peer, theirs)
    assert await response.body.read(15) == b"exception frame"
    with pytest.raises(ConnectionLost):
        await response.body.read(8)


async def test_a_stream_broken_before_the_answer_fails_the_request(
    client: Http2Client, peer: Peer, body: Body
) -> None:
    sending = asyncio.create_task(client.send(request_to(peer.port, body)))
    theirs = await peer.streams.get()
    theirs.reset(ErrorCodes.REFUSED_STREAM)
    with pytest.raises(ConnectionLost, match="REFUSED_STREAM"):
        await at_once(sending)
    with pytest.raises(CLOSED):
        await body.write(b"later")


async def test_the_peers_end_is_clean_and_ends_writing_too(
    client: Http2Client, peer: Peer, body: Body
) -> None:
    response, theirs = await opened(client, peer, body)
    writing = asyncio.create_task(fill(body))
    theirs.end()
    assert await response.body.read(8) == b""
    with pytest.raises(CLOSED):
        await at_once(writing)


async def test_a_graceful_goaway_lets_the_stream_go_on(
    client: Http2Client, peer: Peer, body: Body
) -> None:
    response, theirs = await opened(client, peer, body)
    state: H2State = peer.connection._h2  # pyright: ignore[reportPrivateUsage]
    transport = peer.connection._transport  # pyright: ignore[reportPrivateUsage]
    assert transport is not None
    await theirs.write(b"before")
    # GOAWAY by hand: h2 would not let its own side go on after it.
    goaway = bytes((0, 0, 8, 7, 0, 0, 0, 0, 0)) + theirs.id.to_bytes(4) + bytes(4)
    transport.write(goaway)
    await theirs.write(b"after-")
    assert await response.body.read(12) == b"beforeafter-"
    await body.write(b"up")
    assert await theirs.read(2) == b"up"
    assert state.open_inbound_streams == 1
    peer.connection.cut()
    with pytest.raises(ConnectionLost) as lost:
        await response.body.read(1)
    assert lost.value.reason == "goaway"


async def test_abort_ends_both_sides_with_the_callers_error(
    client: Http2Client, peer: Peer, body: Body
) -> None:
    response, theirs = await opened(client, peer, body)
    await theirs.write(b"unread")
    reading = asyncio.create_task(response.body.read(100))
    writing = asyncio.create_task(fill(body))
    await asyncio.wait({writing}, timeout=0.1)
    error = DeadlineError("too slow", waited_s=1)
    client.abort(error)
    with pytest.raises(DeadlineError, match="too slow"):
        await at_once(reading)
    with pytest.raises(CLOSED):
        await at_once(writing)
    with pytest.raises(ConnectionLost) as theirs_lost:
        await at_once(asyncio.ensure_future(theirs.read()))
    assert theirs_lost.value.reason == "reset"


async def test_a_silent_peer_is_pinged_and_given_up() -> None:
    """A raw socket that takes everything and answers nothing, as a dead router does."""
    taken: list[bytes] = []

    class Silent(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            taken.append(data)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Silent, "127.0.0.1", 0)
    client = Http2Client(ping_s=0.05, ping_deadline_s=0.05)
    request = request_to(server.sockets[0].getsockname()[1])
    with pytest.raises(ConnectionLost, match="not even a ping") as lost:
        await at_once(asyncio.ensure_future(client.send(request)))
    assert lost.value.reason == "cut"
    assert bytes((0, 0, 8, 6)) in b"".join(taken)  # a PING frame
    await client.close()
    server.close()
    await server.wait_closed()


async def test_a_peer_that_answers_pings_is_kept(peer: Peer) -> None:
    client = Http2Client(ping_s=0.02, ping_deadline_s=0.02)
    response, theirs = await opened(client, peer, AsyncBytesProvider())
    reading = asyncio.create_task(response.body.read(2))
    done, _ = await asyncio.wait({reading}, timeout=0.3)
    assert not done
    await theirs.write(b"ok")
    assert await reading == b"ok"
    await client.close()


async def test_a_peer_that_speaks_http1_is_no_connection(client: Http2Client) -> None:
    class Rubbish(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await asyncio.get_running_loop().create_server(Rubbish, "127.0.0.1", 0)
    with pytest.raises(ConnectError, match=r"answers in HTTP/1\.1"):
        await at_once(
            asyncio.ensure_future(client.send(request_to(server.sockets[0].getsockname()[1])))
        )
    server.close()
    await server.wait_closed()


async def test_a_header_that_is_not_utf8_is_a_lost_connection(client: Http2Client) -> None:
    class Latin(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport
            self.h2 = H2State(H2Configuration(client_side=False, header_encoding=None))
            self.h2.initiate_connection()

        def data_received(self, data: bytes) -> None:
            for event in self.h2.receive_data(data):
                if isinstance(event, RequestReceived):
                    headers = [(b":status", b"200"), (b"x-name", "Jürgen".encode("latin-1"))]
                    self.h2.send_headers(event.stream_id, headers)
            self.transport.write(self.h2.data_to_send())

    server = await asyncio.get_running_loop().create_server(Latin, "127.0.0.1", 0)
    with pytest.raises(ConnectionLost, match="a header is not UTF-8"):
        await at_once(
            asyncio.ensure_future(client.send(request_to(server.sockets[0].getsockname()[1])))
        )
    server.close()
    await server.wait_closed()


# --- coming and going


@pytest.mark.parametrize("steps", range(1, 14))
async def test_a_request_cancelled_at_any_step_leaves_nothing(
    peer: Peer, steps: int, body: Body
) -> None:
    client = Http2Client()
    sending = asyncio.create_task(client.send(request_to(peer.port, body)))
    for _ in range(steps):
        await asyncio.sleep(0)
    sending.cancel()
    await asyncio.wait({sending})
    await client.close()
    assert not client._connections  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(CLOSED):
        await body.write(b"later")


async def test_a_closed_client_sends_nothing(client: Http2Client, peer: Peer) -> None:
    await client.close()
    await client.close()
    with pytest.raises(ConnectionLost) as closed:
        await client.send(request_to(peer.port))
    assert closed.value.reason == "ended"


async def test_close_ends_an_open_stream(client: Http2Client, peer: Peer) -> None:
    response, theirs = await opened(client, peer, AsyncBytesProvider())
    await client.close()
    with pytest.raises(SonicError):
        await response.body.read(1)
    with pytest.raises(ConnectionLost) as lost:
        await theirs.read(1)
    assert lost.value.reason == "goaway"


async def test_a_copy_shares_the_options_and_no_connection(client: Http2Client, peer: Peer) -> None:
    from copy import deepcopy

    await opened(client, peer, AsyncBytesProvider())
    copy = deepcopy(client)
    await copy.close()
    assert len(client._connections) == 1  # pyright: ignore[reportPrivateUsage]


# --- connecting


async def test_tls_with_a_private_ca_carries_a_stream(
    authority: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A direct connection has its TLS on the socket, without asyncio's transport.
    monkeypatch.setattr(asyncio.get_running_loop(), "start_tls", None)
    async with serving(server_tls(authority, ["h2"])) as peer:
        client = Http2Client(tls=tls_context(ca_file))
        sending = asyncio.create_task(client.send(request_to(peer.port, b"hi", "https")))
        theirs = await peer.streams.get()
        assert await theirs.read() == b"hi"
        peer.connection.send_headers(theirs, OK)
        theirs.end()
        assert await (await sending).body.read() == b""
        await client.close()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "AWS_CA_BUNDLE"])
def test_a_private_ca_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, ca_file: Path, variable: str
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, str(ca_file))
    (ours,) = tls_context(ca_file).get_ca_certs()
    assert ours in tls_context().get_ca_certs()


def test_a_ca_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.pem"):
        tls_context(tmp_path / "missing.pem")
    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(ConfigError, match=r"empty\.pem"):
        tls_context(empty)


async def test_an_untrusted_certificate_is_refused(authority: trustme.CA) -> None:
    async with serving(server_tls(authority, ["h2"])) as peer:
        client = Http2Client(tls=tls_context())
        with pytest.raises(ConnectError, match="not trusted") as refused:
            await client.send(request_to(peer.port, scheme="https"))
        assert "SSL_CERT_FILE" in refused.value.hint
        await client.close()


@pytest.mark.parametrize("alpn", [[], ["http/1.1"]])
async def test_a_peer_without_http2_is_refused(
    authority: trustme.CA, ca_file: Path, alpn: list[str]
) -> None:
    async with serving(server_tls(authority, alpn)) as peer:
        client = Http2Client(tls=tls_context(ca_file))
        with pytest.raises(ConnectError, match="does not speak HTTP/2"):
            await client.send(request_to(peer.port, scheme="https"))
        await client.close()


async def test_a_peer_that_never_finishes_the_handshake_runs_into_the_deadline() -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    client = Http2Client(connect_timeout_s=0.2)
    with pytest.raises(DeadlineError) as late:
        await client.send(request_to(server.sockets[0].getsockname()[1], scheme="https"))
    assert late.value.waited_s == 0.2
    await client.close()
    server.close()
    await server.wait_closed()


async def test_nobody_listening_is_said(client: Http2Client, unused_port: int) -> None:
    with pytest.raises(ConnectError, match=f"Nobody listens at localhost:{unused_port}"):
        await client.send(request_to(unused_port))


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_clear_text_goes_to_this_machine_only(client: Http2Client) -> None:
    uri = URI(scheme="http", host="example.com", path="/")
    request = HTTPRequest(destination=uri, method="POST", fields=Fields(), body=b"")
    with pytest.raises(ConnectError, match="in clear"):
        await client.send(request)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("x.localhost", True),
        ("localhost.example.com", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
    ],
)
def test_loopback_is_known_by_name_and_address(host: str, local: bool) -> None:
    assert is_loopback(host) is local
