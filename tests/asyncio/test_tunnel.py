"""Tunnels through proxies that answer in every way there is, over real sockets on loopback.

The proxies here say what a test wants them to; `tests/e2e/test_proxies.py` has real ones.
"""

import asyncio
import socket
import ssl
import traceback
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme

from sonic_voice.errors import ConnectError, DeadlineError, SonicError
from sonic_voice.http2.client import Http2Client, tls_context
from sonic_voice.http2.proxies import Proxy
from sonic_voice.http2.stream import H2Stream
from sonic_voice.http2.tls import proxy_tls_context
from sonic_voice.http2.tunnel import ProxyError, Tunnel

from .test_http2 import OK, Peer, at_once, request_to, server_tls, serving

USER, SECRET = "proxy-user", "s3cret"
ESTABLISHED = b"HTTP/1.0 200 Connection established\r\nProxy-Agent: test/1.0\r\n\r\n"
GREETED, CONNECTED = b"\x05\x00", b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"


class ScriptedProxy:
    """Answers each of a client's messages with the next of `answers`, then relays to `service`.

    Args:
        answers: what is sent; an empty one closes the connection, None never comes.
        service: port of the service on this machine; None: relay nothing.
        piece: how many bytes of an answer are sent at a time.
        hang_up: whether the connection is closed after the last answer.
        wait: whether the service's first bytes are awaited, to go out with the last answer.
    """

    def __init__(
        self,
        *answers: bytes | None,
        service: int | None = None,
        piece: int = 65_536,
        hang_up: bool = False,
        wait: bool = False,
    ) -> None:
        self.asked = bytearray()
        """What clients sent before the tunnel was open."""
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers = answers
        self._service = service
        self._piece = piece
        self._hang_up = hang_up
        self._wait = wait

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncGenerator["ScriptedProxy"]:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._tasks.add(asyncio.create_task(self._handle(reader, writer)))

        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await self.all_gone()
            await server.wait_closed()

    async def all_gone(self) -> None:
        """Wait until every client has closed its connection."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            try:
                await self._answer(reader, writer)
            finally:
                writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        early = b""
        for number, answer in enumerate(self._answers, start=1):
            asked = await reader.read(65_536)
            self.asked += asked
            if not asked or answer == b"":
                return
            if answer is None:
                await asyncio.Event().wait()
                return
            if number == len(self._answers) and self._service is not None and self._wait:
                up, down = await asyncio.open_connection("127.0.0.1", self._service)
                early = await up.read(65_536)
                writer.write(answer + early)
                await self._relay(reader, writer, up, down)
                return
            for at in range(0, len(answer), self._piece):
                writer.write(answer[at : at + self._piece])
                await writer.drain()
        if self._hang_up:
            return
        if self._service is None:
            await asyncio.Event().wait()
            return
        up, down = await asyncio.open_connection("127.0.0.1", self._service)
        await self._relay(reader, writer, up, down)

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up: asyncio.StreamReader,
        down: asyncio.StreamWriter,
    ) -> None:
        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while data := await source.read(65_536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        try:
            await asyncio.gather(copy(reader, down), copy(up, writer))
        finally:
            down.transport.abort()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def system_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    (folder / "system.pem").write_bytes(trustme.CA().cert_pem.bytes())
    return folder


@pytest.fixture(autouse=True)
def trust_a_small_store(system_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system trust one CA: that of this machine may be slow to load, and is its own."""
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(system_store / "system.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(system_store / "none"))


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.cert_pem.bytes())
    return path


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with serving() as peer:
        yield peer


def client_of(
    proxy: ScriptedProxy | int,
    scheme: str = "http",
    *,
    user: bool = False,
    ca_file: Path | None = None,
    timeout_s: float = 5.0,
) -> Http2Client:
    port = proxy if isinstance(proxy, int) else proxy.port
    login = f"{USER}:{SECRET}@" if user else ""
    return Http2Client(
        tls=tls_context(ca_file),
        proxy=Proxy.parse(f"{scheme}://{login}localhost:{port}", "HTTPS_PROXY"),
        proxy_tls=proxy_tls_context(ca_file),
        connect_timeout_s=timeout_s,
    )


async def exchange(client: Http2Client, peer: Peer, scheme: str = "http") -> None:
    """Send a request through whatever lies between, and have it answered."""
    sending = asyncio.create_task(client.send(request_to(peer.port, b"hi", scheme)))
    theirs: H2Stream = await at_once(asyncio.ensure_future(peer.streams.get()))
    assert await theirs.read() == b"hi"
    peer.connection.send_headers(theirs, OK)
    theirs.end()
    assert await (await sending).body.read() == b""


async def failure_of(client: Http2Client, scheme: str = "https") -> SonicError:
    """Return what a request fails with; nothing of it contains the password."""
    request = request_to(443, scheme=scheme)
    try:
        with pytest.raises(SonicError) as caught:
            await at_once(asyncio.ensure_future(client.send(request)))
    finally:
        await client.close()
    trace = "".join(traceback.format_exception(caught.value))
    assert SECRET not in f"{trace}{caught.value!r}{caught.value}{client.__dict__}"
    assert caught.value.hint
    return caught.value


# --- what works


@pytest.mark.parametrize("piece", [1, 7, 65_536])
@pytest.mark.parametrize(
    ("scheme", "answers"),
    [("http", [ESTABLISHED]), ("socks5h", [GREETED, CONNECTED])],
)
async def test_an_answer_may_come_in_pieces(
    peer: Peer, scheme: str, answers: list[bytes], piece: int
) -> None:
    async with ScriptedProxy(*answers, service=peer.port, piece=piece).listening() as proxy:
        client = client_of(proxy, scheme)
        await exchange(client, peer)
        await client.close()


@pytest.mark.parametrize(
    ("scheme", "answers"),
    [("http", [ESTABLISHED]), ("socks5h", [GREETED, CONNECTED])],
)
async def test_what_the_service_says_first_may_come_with_the_answer(
    scheme: str, answers: list[bytes]
) -> None:
    async with serving() as peer:
        scripted = ScriptedProxy(*answers, service=peer.port, wait=True)
        async with scripted.listening() as proxy:
            client = client_of(proxy, scheme)
            await exchange(client, peer)
            await client.close()


@pytest.mark.parametrize("proxy_scheme", ["http", "https"])
async def test_tls_to_the_service_goes_through_tls_to_the_proxy_and_small_packets_are_not_held_back(
    authority: trustme.CA, ca_file: Path, proxy_scheme: str
) -> None:
    tls = server_tls(authority, []) if proxy_scheme == "https" else None
    async with (
        serving(server_tls(authority, ["h2"])) as peer,
        ScriptedProxy(ESTABLISHED, service=peer.port).listening(tls) as proxy,
    ):
        client = client_of(proxy, proxy_scheme, ca_file=ca_file)
        sending = asyncio.create_task(client.send(request_to(peer.port, b"hi", "https")))
        theirs = await at_once(asyncio.ensure_future(peer.streams.get()))
        peer.connection.send_headers(theirs, OK)
        await sending
        (ours,) = client._connections  # pyright: ignore[reportPrivateUsage]
        transport = ours._transport  # pyright: ignore[reportPrivateUsage]
        assert transport is not None
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert sock.getpeername()[1] == proxy.port
        await client.close()


async def test_tls_inside_tls_is_dropped_without_a_word_while_the_service_still_talks(
    authority: trustme.CA, ca_file: Path
) -> None:
    problems: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    async with (
        serving(server_tls(authority, ["h2"])) as peer,
        ScriptedProxy(ESTABLISHED, service=peer.port).listening(server_tls(authority, [])) as proxy,
    ):
        client = client_of(proxy, "https", ca_file=ca_file)
        sending = asyncio.create_task(client.send(request_to(peer.port, b"hi", "https")))
        theirs = await at_once(asyncio.ensure_future(peer.streams.get()))
        peer.connection.send_headers(theirs, OK)
        await sending
        await theirs.write(bytes(60_000))
        await client.close()
        await at_once(asyncio.ensure_future(proxy.all_gone()))
    assert problems == []


async def test_user_and_password_go_to_the_proxy_in_utf_8(peer: Peer) -> None:
    async with ScriptedProxy(ESTABLISHED, service=peer.port).listening() as proxy:
        named = Proxy.parse(f"http://us%C3%A9r:p%E2%82%AC@localhost:{proxy.port}", "test")
        client = Http2Client(proxy=named)
        await exchange(client, peer)
        await client.close()
        assert b"Proxy-Authorization: Basic dXPDqXI6cOKCrA==\r\n" in proxy.asked


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_the_proxy_looks_the_name_up(scheme: str) -> None:
    answers = [None] if scheme == "http" else [GREETED, None]
    async with ScriptedProxy(*answers).listening() as proxy:
        await failure_of(client_of(proxy, scheme, timeout_s=0.2))
        assert b"localhost" in proxy.asked


# --- what is said when it does not


@pytest.mark.parametrize(
    ("scheme", "user", "answers", "message", "hint"),
    [
        *(
            ("http", user, [f"HTTP/1.1 {status} Whatever\r\n\r\n".encode()], message, hint)
            for user, status, message, hint in (
                (False, 407, "wants a user name and a password", "USER:PASSWORD@"),
                (True, 407, "refuses the user name or the password", "basic authentication"),
                (True, 401, "refuses the user name or the password", "basic authentication"),
                (True, 403, "forbids connections to localhost:443 (403 Whatever)", "NO_PROXY"),
                (True, 502, "could not connect to localhost:443", "endpoint"),
                (False, 500, "could not connect to localhost:443", "endpoint"),
                (False, 504, "could not connect to localhost:443", "endpoint"),
                (False, 405, "does not open a tunnel to localhost:443", "CONNECT"),
                (False, 302, "does not open a tunnel to localhost:443", "CONNECT"),
            )
        ),
        ("http", True, [b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], "does not speak", "scheme"),
        ("http", True, [b"\x15\x03\x01\x00\x02\x02\x0a\r\n\r\n"], "does not speak", "scheme"),
        ("http", True, [b"x" * 200_000], "does not speak", "scheme"),
        ("http", True, [b""], "closed the connection without an answer", "scheme and port"),
        ("socks5h", True, [b"HTTP/1.1 400 Bad\r\n\r\n"], "does not speak SOCKS5", "scheme"),
        ("socks5h", True, [b""], "closed the connection without an answer", "scheme and port"),
        ("socks5h", False, [b"\x05\xff"], "wants a user name", "USER:PASSWORD@"),
        ("socks5h", False, [b"\x05\x02"], "wants a user name", "USER:PASSWORD@"),
        ("socks5h", True, [b"\x05\xff"], "refuses the user name", "Correct them"),
        ("socks5h", True, [b"\x05\x02", b"\x01\x01"], "refuses the user name", "Correct them"),
        ("socks5h", True, [GREETED, b"\x05\x02\x00"], "forbids connections", "NO_PROXY"),
        ("socks5h", True, [GREETED, b"\x05\x04\x00"], "could not connect to", "endpoint"),
        ("socks5h", True, [GREETED, b"\x05\x07\x00"], "does not open a tunnel", "log"),
        ("socks5h", True, [GREETED, b""], "closed the connection", "scheme and port"),
        ("http", True, [ESTABLISHED + b"hello"], "sent something of its own", "kind"),
    ],
)
async def test_what_the_proxy_answers_is_told(
    scheme: str, user: bool, answers: list[bytes], message: str, hint: str
) -> None:
    async with ScriptedProxy(*answers).listening() as proxy:
        error = await failure_of(client_of(proxy, scheme, user=user))
    assert isinstance(error, ProxyError)
    assert message in error.message
    assert f"{scheme}://localhost:{proxy.port} (HTTPS_PROXY)" in error.message
    assert hint in error.hint


async def test_a_proxy_that_closes_in_the_middle_of_its_answer_is_told() -> None:
    async with ScriptedProxy(b"HTTP/1.0 200 Conn", hang_up=True).listening() as proxy:
        error = await failure_of(client_of(proxy))
    assert isinstance(error, ProxyError)
    assert "closed the connection without an answer" in error.message


@pytest.mark.parametrize(
    ("scheme", "answers", "message"),
    [
        ("http", [None], "did not connect to localhost:443 within 0.3 s"),
        ("socks5h", [GREETED, None], "did not connect to localhost:443 within 0.3 s"),
        ("https", [None], "could not be reached within 0.3 s"),
        ("http", [ESTABLISHED], "No connection to localhost:443 through the proxy"),
    ],
)
async def test_a_proxy_that_is_silent_runs_into_the_deadline(
    scheme: str, answers: list[bytes | None], message: str
) -> None:
    async with ScriptedProxy(*answers).listening() as proxy:
        error = await failure_of(client_of(proxy, scheme, user=True, timeout_s=0.3))
    assert isinstance(error, DeadlineError)
    assert error.waited_s == 0.3
    assert message in error.message
    assert f"{scheme}://localhost:{proxy.port}" in error.message
    assert ("http:// in place of https://" in error.hint) is (scheme == "https")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://u:{secret}@localhost:{port}", "Nobody listens at the proxy http://localhost:"),
        ("socks5h://u:{secret}@127.0.0.1:{port}", "Nobody listens at the proxy socks5h://127."),
        ("https://u:{secret}@localhost:{port}", "Nobody listens at the proxy https://localhost:"),
        ("http://u:{secret}@proxy.invalid:1", "There is no host 'proxy.invalid', the proxy http"),
    ],
)
async def test_a_proxy_that_is_not_there_is_told_from_the_service(url: str, message: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        proxy = Proxy.parse(url.format(secret=SECRET, port=port), "ALL_PROXY")
        error = await failure_of(Http2Client(tls=tls_context(), proxy=proxy))
    assert isinstance(error, ProxyError)
    assert message in error.message
    assert "(ALL_PROXY)" in error.message
    assert "service itself was not tried" in error.hint


async def test_a_proxy_whose_certificate_is_not_trusted_is_told_from_the_service(
    authority: trustme.CA,
) -> None:
    async with ScriptedProxy(ESTABLISHED).listening(server_tls(authority, [])) as proxy:
        error = await failure_of(client_of(proxy, "https", user=True))
    assert isinstance(error, ProxyError)
    assert "The certificate of the proxy https://localhost" in error.message
    assert "--ca" in error.hint


async def test_tls_to_a_proxy_that_has_none_is_told() -> None:
    async with ScriptedProxy(b"HTTP/1.0 400 Bad Request\r\n\r\n").listening() as proxy:
        error = await failure_of(client_of(proxy, "https", user=True))
    assert isinstance(error, ProxyError)
    assert "TLS with the proxy" in error.message
    assert "http:// in place of https://" in error.hint


async def test_an_untrusted_service_behind_a_proxy_is_the_services_fault(
    authority: trustme.CA,
) -> None:
    async with (
        serving(server_tls(authority, ["h2"])) as peer,
        ScriptedProxy(ESTABLISHED, service=peer.port).listening() as proxy,
    ):
        error = await failure_of(client_of(proxy))
    assert isinstance(error, ConnectError)
    assert not isinstance(error, ProxyError)
    assert "certificate of localhost:443 is not trusted" in error.message


async def test_a_name_that_only_the_proxy_knows_needs_socks5h() -> None:
    async with ScriptedProxy(GREETED, CONNECTED).listening() as proxy:
        named = Proxy.parse(f"socks5://localhost:{proxy.port}", "HTTPS_PROXY")
        tunnel = Tunnel(named, "voice.emulator.invalid", 443)
        with pytest.raises(ProxyError) as caught:
            await tunnel.open(secure=False)
    assert "socks5h://" in caught.value.hint


# --- coming and going


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 30, 40])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5h"])
async def test_a_request_cancelled_at_any_step_leaves_no_connection(
    authority: trustme.CA, ca_file: Path, scheme: str, steps: int
) -> None:
    answers = [GREETED, CONNECTED] if scheme == "socks5h" else [ESTABLISHED]
    tls = server_tls(authority, []) if scheme == "https" else None
    async with (
        serving(server_tls(authority, ["h2"])) as peer,
        ScriptedProxy(*answers, service=peer.port).listening(tls) as proxy,
    ):
        client = client_of(proxy, scheme, ca_file=ca_file)
        sending = asyncio.create_task(client.send(request_to(peer.port, b"", "https")))
        for _ in range(steps):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait({sending})
        await client.close()
        assert not client._connections  # pyright: ignore[reportPrivateUsage]
        await at_once(asyncio.ensure_future(proxy.all_gone()))
