"""What no client sends: rubbish, other protocols, endless beginnings, mutilated conversations.

Each gets an answer or a close, a line in the log, and nobody else notices.
"""

import asyncio
import gc
import logging
import socket
import ssl
import struct
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sonic_voice import wire
from sonic_voice.bedrock import BedrockStream, BedrockTransport
from sonic_voice.emulator import speech
from sonic_voice.emulator.assembly import emulator as local_emulator
from sonic_voice.emulator.assembly import sonic_service
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts
from sonic_voice.emulator.brains.scripted import ScriptedBrain, small_talk
from sonic_voice.emulator.server import LOCAL_KEYS, Emulator
from sonic_voice.emulator.server.connection_limits import ConnectionLimits
from sonic_voice.emulator.service.effects import ServiceFactory

MODEL = "amazon.nova-2-sonic-v1:0"
PATIENCE_S = 10.0
RANDOM_STREAMS = 2_000
MUTATED_STREAMS = 2_000

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes(3) + b"\x04\x00" + bytes(4)


def transport_to(running: Emulator, endpoint: str = "") -> BedrockTransport:
    return BedrockTransport(
        region="us-east-1",
        endpoint=endpoint or running.endpoint,
        ca_file=running.ca_file if running.ca_pem else None,
        access_key=LOCAL_KEYS.access_key,
        secret_key=LOCAL_KEYS.secret_key,
    )


def service() -> ServiceFactory:
    return sonic_service(ScriptedBrain(small_talk(), speech.resample))


class Witness:
    """A stream that must go on as if nobody else were there."""

    def __init__(self, stream: BedrockStream) -> None:
        self._stream = stream
        self._frames = 0

    async def begin(self) -> None:
        for record in (
            wire.SessionStart(max_tokens=1024, top_p=0.9, temperature=0.7),
            wire.PromptStart("P", "matthew", 16_000),
            wire.AudioStart("P", "A", 16_000),
        ):
            await self._stream.send(wire.encode_input(record))
        for _ in range(3):  # the usage events of the beginning
            assert await self._stream.receive() is not None

    async def answers(self) -> bool:
        """Whether a typed turn, fed with a little sound, still gets a reply."""
        self._frames += 1
        name = f"T{self._frames}"
        for record in (
            wire.AudioInput("P", "A", bytes(32_000)),
            wire.TextStart("P", name, "USER", interactive=True),
            wire.TextInput("P", name, "hello"),
            wire.ContentEnd("P", name),
        ):
            await self._stream.send(wire.encode_input(record))
        async with asyncio.timeout(PATIENCE_S):
            while (payload := await self._stream.receive()) is not None:
                record = wire.decode_output(payload)
                if isinstance(record, wire.BlockEnd) and record.stop == "END_TURN":
                    return True
        return False


@asynccontextmanager
async def witness(running: Emulator) -> AsyncGenerator[Witness]:
    transport = transport_to(running)
    stream = await transport.open(MODEL)
    found = Witness(stream)
    await found.begin()
    yield found
    await stream.aclose()
    await transport.aclose()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with local_emulator() as running:
        yield running


@pytest.fixture(autouse=True)
def the_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="sonic_voice.emulator")
    return caplog


async def exchange(
    running: Emulator, data: bytes, *, tls: ssl.SSLContext | None = None, eof: bool = False
) -> bytes:
    """Send `data`; what came back until the other side closed."""
    reader, writer = await asyncio.open_connection(
        "localhost" if tls else "127.0.0.1",
        running.port,
        ssl=tls,
        server_hostname="localhost" if tls else None,
    )
    try:
        writer.write(data)
        if eof:
            writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def trusting(running: Emulator, *alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=running.ca_file)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def header_frame(stream_id: int, block: bytes, *, kind: int = 1, flags: int = 4) -> bytes:
    return (
        struct.pack("!I", len(block))[1:]
        + bytes((kind, flags))
        + struct.pack("!I", stream_id)
        + block
    )


def literal(name: bytes, value: bytes) -> bytes:
    """A header of HPACK, neither indexed nor compressed."""

    def text(part: bytes) -> bytes:
        size = len(part)
        if size < 127:
            return bytes((size,)) + part
        rest, out = size - 127, bytearray((127,))
        while rest >= 128:
            out.append(rest % 128 + 128)
            rest //= 128
        return bytes(out) + bytes((rest,)) + part

    return b"\x00" + text(name) + text(value)


class Line(logging.Handler):
    """A line of the emulator's log that a test waits for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._seen = asyncio.Event()
        logging.getLogger("sonic_voice.emulator").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self._seen.set()

    async def logged(self) -> None:
        try:
            await asyncio.wait_for(self._seen.wait(), PATIENCE_S)
        finally:
            logging.getLogger("sonic_voice.emulator").removeHandler(self)


async def test_http1_over_tls_is_told_that_this_is_http2(
    emulator: Emulator, the_log: pytest.LogCaptureFixture
) -> None:
    request = b"POST /model/x/invoke HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = await exchange(emulator, request, tls=trusting(emulator, "http/1.1"))
    assert answer.startswith(b"HTTP/1.1 505 ")
    assert b"HTTP/2" in answer
    assert "speaks HTTP/1.1" in the_log.text


@pytest.mark.parametrize("path", ["/health", "/healthz", "/ping"])
async def test_a_health_check_over_http1_is_answered(
    emulator: Emulator, the_log: pytest.LogCaptureFixture, path: str
) -> None:
    def check() -> tuple[int, bytes]:
        url = f"{emulator.endpoint}{path}"
        with urllib.request.urlopen(url, context=trusting(emulator), timeout=PATIENCE_S) as answer:
            return answer.status, answer.read()

    assert await asyncio.to_thread(check) == (200, b"ok\n")
    assert "HTTP/1.1" not in the_log.text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_health_check_over_http2_is_answered(
    emulator: Emulator, the_log: pytest.LogCaptureFixture, method: str
) -> None:
    # Node.js and curl choose HTTP/2 when it is offered.
    code = f"""
        const options = {{rejectUnauthorized: false}}
        const client = require('http2').connect('{emulator.endpoint}', options)
        const stream = client.request({{':method': '{method}', ':path': '/health'}})
        stream.on('response', headers => process.stdout.write(headers[':status'] + ' '))
        stream.on('data', data => process.stdout.write(data))
        stream.on('end', () => client.close())
        stream.end()
    """
    node = await asyncio.create_subprocess_exec(
        "node", "--no-warnings", "-e", code, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(node.communicate(), PATIENCE_S)
    assert said == (b"200 ok\n" if method == "GET" else b"200 ")
    assert "refused" not in the_log.text


async def test_a_client_that_does_not_trust_the_certificate_leaves_a_line() -> None:
    # asyncio's client closes the connection in the handshake, without an alert.
    line = Line("may not trust the emulator's CA")
    limits = ConnectionLimits(handshake_s=0.5)
    async with Emulator(service(), limits=limits) as running:
        with pytest.raises(ssl.SSLCertVerificationError):
            await exchange(running, b"", tls=ssl.create_default_context())
        await line.logged()


async def test_node_that_does_not_trust_the_certificate_leaves_a_line() -> None:
    # Node.js verifies after its part of the handshake, and closes the connection without an alert.
    # Whether that part arrives first differs from run to run.
    line = Line("may not trust the emulator's CA")
    limits = ConnectionLimits(handshake_s=0.5)
    async with Emulator(service(), limits=limits) as running:
        code = f"require('http2').connect('{running.endpoint}').on('error', () => process.exit(0))"
        node = await asyncio.create_subprocess_exec("node", "-e", code)
        assert await asyncio.wait_for(node.wait(), PATIENCE_S) == 0
        await line.logged()


async def test_http2_without_alpn_is_served(emulator: Emulator) -> None:
    answer = await exchange(emulator, PREFACE + SETTINGS + b"\xff" * 9, tls=trusting(emulator))
    assert answer[3:4] == b"\x04"  # our SETTINGS


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"not even TLS, but long enough to be looked at", "a TLS handshake failed"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "must begin with https://"),
        (b"\x16\x03\x01\xff\xff" + b"x" * 70_000, "a TLS handshake failed"),
    ],
    ids=["garbage", "plain HTTP", "oversized hello"],
)
async def test_what_is_not_tls_is_closed_with_a_line_in_the_log(
    emulator: Emulator, the_log: pytest.LogCaptureFixture, data: bytes, line: str
) -> None:
    await exchange(emulator, data)
    assert line in the_log.text


async def test_an_old_tls_is_refused(emulator: Emulator, the_log: pytest.LogCaptureFixture) -> None:
    old = trusting(emulator, "h2")
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await exchange(emulator, b"", tls=old)
    assert "a TLS handshake failed" in the_log.text


async def test_a_client_that_does_not_trust_the_ca_is_named_as_such(
    emulator: Emulator, the_log: pytest.LogCaptureFixture
) -> None:
    """A client that says why it goes, as OpenSSL's sockets do; asyncio's leaves without a word."""

    def distrust() -> None:
        with (
            socket.create_connection(("127.0.0.1", emulator.port)) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")

    await asyncio.to_thread(distrust)
    async with witness(emulator) as other:
        assert await other.answers()
    assert "does not trust the emulator's CA" in the_log.text


OVERSIZED = {
    "headers": header_frame(1, b"".join(literal(b"x-%d" % n, b"y" * 200) for n in range(60))),
    "one header": header_frame(1, literal(b"x", b"y" * 16_000), flags=0)
    + header_frame(1, b"y" * 16_000, kind=9, flags=0) * 8,
    "frame": b"\xff\xff\xff\x00\x00" + struct.pack("!I", 1) + bytes(100),
    "endless continuation": header_frame(1, b"", flags=0)
    + header_frame(1, b"", kind=9, flags=0) * 2_000,
    "many streams": b"".join(header_frame(2 * n + 1, literal(b":path", b"/")) for n in range(300)),
    "rapid reset": b"".join(
        header_frame(2 * n + 1, literal(b":path", b"/"))
        + header_frame(2 * n + 1, bytes(4), kind=3, flags=0)
        for n in range(500)
    ),
}


@pytest.mark.parametrize("attack", OVERSIZED)
async def test_oversized_frames_and_headers_end_their_connection_alone(attack: str) -> None:
    limits = ConnectionLimits(request_s=1.0)
    factory = service()
    running = Emulator(factory, tls=False, limits=limits)
    async with running, witness(running) as other:
        await exchange(running, PREFACE + SETTINGS + OVERSIZED[attack])
        assert await other.answers()


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        PREFACE[:10],
        PREFACE + SETTINGS,
        PREFACE + SETTINGS + header_frame(1, literal(b":method", b"POST"), flags=0)[:-1],
        PREFACE + SETTINGS + header_frame(1, literal(b":method", b"POST"), flags=0),
    ],
    ids=["nothing", "half a preface", "no request", "half a frame", "headers without an end"],
)
async def test_who_never_gets_to_a_request_is_let_go(
    beginning: bytes, the_log: pytest.LogCaptureFixture
) -> None:
    limits = ConnectionLimits(request_s=0.2)
    async with Emulator(service(), tls=False, limits=limits) as running:
        await exchange(running, beginning)
    assert "has no stream and is closed" in the_log.text


async def test_a_handshake_that_fails_is_said_once(the_log: pytest.LogCaptureFixture) -> None:
    async with Emulator(service(), limits=ConnectionLimits(handshake_s=0.3)) as running:
        await exchange(running, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await exchange(running, b"\x16\x03\x01\x02\x00")  # cut off later than the first
    assert the_log.text.count("handshake failed") == 1
    assert the_log.text.count("did not come to the end") == 1


async def test_a_handshake_that_never_ends_is_ended(the_log: pytest.LogCaptureFixture) -> None:
    limits = ConnectionLimits(handshake_s=0.2)
    async with Emulator(service(), limits=limits) as running:
        await exchange(running, b"\x16\x03\x01\x02\x00")
    assert "did not come to the end of a TLS handshake" in the_log.text


# --- fuzzing


@dataclass
class Tunnel:
    """Lets a client talk to the emulator, and keeps what it said."""

    port: int
    said: bytearray = field(default_factory=bytearray)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(
            self._carry(reader, to_there, self.said), self._carry(there, writer, bytearray())
        )

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray
    ) -> None:
        try:
            while data := await reader.read(65_536):
                kept += data
                writer.write(data)
        except ConnectionError:
            pass
        writer.close()


async def recorded(running: Emulator) -> bytes:
    """All that a good client sends in a short conversation, down to HTTP/2's own frames."""
    tunnel = Tunnel(running.port)
    server = await asyncio.start_server(tunnel.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = transport_to(running, f"http://127.0.0.1:{port}")
    stream = await transport.open(MODEL)
    talking = Witness(stream)
    await talking.begin()
    assert await talking.answers()
    for record in (wire.ContentEnd("P", "A"), wire.PromptEnd("P"), wire.SessionEnd()):
        await stream.send(wire.encode_input(record))
    await stream.end_input()
    while await stream.receive() is not None:
        pass
    await stream.aclose()
    await transport.aclose()
    server.close()
    await server.wait_closed()
    return bytes(tunnel.said)


@st.composite
def mutilated(draw: st.DrawFn, good: bytes) -> bytes:
    """`good` with a few bytes changed, lost, repeated, put in, or all after a place gone."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        size = draw(st.integers(1, 40))
        match draw(st.sampled_from(("change", "lose", "repeat", "insert", "end"))):
            case "change":
                data[at : at + size] = draw(st.binary(min_size=1, max_size=size))
            case "lose":
                del data[at : at + size]
            case "repeat":
                data[at:at] = data[at : at + size]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=size))
            case _:
                del data[at:]
    return bytes(data)


@st.composite
def h2_frame(draw: st.DrawFn) -> bytes:
    stream = draw(st.sampled_from((0, 1, 1, 3, 2**31 - 1)))
    kind, flags = draw(st.integers(0, 12)), draw(st.integers(0, 255))
    return header_frame(stream, draw(st.binary(max_size=60)), kind=kind, flags=flags)


FRAMES = st.lists(h2_frame(), max_size=8).map(b"".join)
RANDOM = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=300).map(lambda data: PREFACE + data),
    FRAMES.map(lambda frames: PREFACE + SETTINGS + frames),
)


class Siege:
    """An emulator, a stream that must not notice, and connections one after another."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self.broken: list[dict[str, Any]] = []

    def attack(self, strategy: st.SearchStrategy[bytes], times: int, running: Emulator) -> None:
        @settings(
            max_examples=times,
            database=None,
            suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow],
        )
        @given(strategy)
        def once(data: bytes) -> None:
            self._runner.run(exchange(running, data, eof=True))
            assert not self.broken

        once()


@pytest.mark.parametrize("kind", ["random", "mutated"])
def test_no_bytes_at_all_break_the_emulator_or_another_stream(
    kind: str, the_log: pytest.LogCaptureFixture
) -> None:
    the_log.set_level(logging.ERROR, logger="sonic_voice.emulator")
    with asyncio.Runner() as runner:
        siege = Siege(runner)
        runner.get_loop().set_exception_handler(lambda _, context: siege.broken.append(context))
        # The witness waits for as long as the siege lasts, however slow the machine is.
        behaviour = Behaviour(timeouts=StreamTimeouts(idle_s=3_600, life_s=3_600))
        running = Emulator(service(), tls=False, behaviour=behaviour)
        runner.run(running.__aenter__())
        seen = witness(running)
        other = runner.run(seen.__aenter__())
        if kind == "random":
            siege.attack(RANDOM, RANDOM_STREAMS, running)
        else:
            good = runner.run(recorded(running))
            siege.attack(mutilated(good), MUTATED_STREAMS, running)
            # Not all were stopped at the door: the checks of frames were put to work, too.
            assert {one.end for one in running.streams} >= {"finished", "failed", "lost"}
        assert runner.run(other.answers())
        runner.run(seen.__aexit__(None, None, None))
        runner.run(running.aclose())
        gc.collect()
        assert not siege.broken
    assert not the_log.records
