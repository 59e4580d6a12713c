"""The watch over a connection: when it asks, when it gives up, and that it ends with it."""

import asyncio
import gc
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trustme

from sonic_voice.errors import ConnectionLost
from sonic_voice.http2 import keepalive
from sonic_voice.http2.connection import H2Connection
from sonic_voice.http2.keepalive import PING_DEADLINE_S, PING_S, Keepalive

PING_TEST_S = 0.04


class Line:
    """A line under watch. `answers`: what comes of a PING."""

    def __init__(self, answers: Callable[["Line"], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.received_at_s = self._loop.time()
        self.drained_at_s = 0.0
        self.pings = 0
        self.given_up: asyncio.Future[float] = self._loop.create_future()
        self._answers = answers

    def now(self) -> float:
        return self._loop.time()

    def ping(self) -> None:
        self.pings += 1
        self._answers(self)

    def fail_unresponsive(self, silent_s: float) -> None:
        self.given_up.set_result(silent_s)


def dead(_: Line) -> None:
    """Nothing comes."""


def well(line: Line) -> None:
    """The answer comes at once."""
    line.received_at_s = line.now() + 1e-6


def test_a_dead_network_is_reported_within_ten_seconds() -> None:
    assert PING_S + PING_DEADLINE_S < 10


async def test_a_line_that_says_nothing_is_asked_once_and_given_up() -> None:
    line = Line(dead)
    watch = Keepalive(line, PING_TEST_S, PING_TEST_S)
    silent_s = await asyncio.wait_for(line.given_up, 5)
    assert silent_s >= 2 * PING_TEST_S
    assert line.pings == 1
    watch.stop()


async def test_a_line_that_answers_is_kept_and_asked_only_when_it_was_silent() -> None:
    line = Line(well)
    watch = Keepalive(line, PING_TEST_S, PING_TEST_S)
    await asyncio.wait({line.given_up}, timeout=0.5)
    watch.stop()
    assert not line.given_up.done()
    assert 2 <= line.pings <= 0.5 / PING_TEST_S + 1


async def test_a_line_that_takes_audio_slowly_may_answer_late_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keepalive, "SLOW_ANSWER_S", 0.4)
    loop = asyncio.get_running_loop()

    def drain(line: Line) -> None:
        """The write buffer drains again and again."""
        line.drained_at_s = line.now()
        if not line.given_up.done():
            loop.call_later(PING_TEST_S / 4, drain, line)

    line = Line(drain)
    watch = Keepalive(line, PING_TEST_S, PING_TEST_S)
    silent_s = await asyncio.wait_for(line.given_up, 5)
    assert silent_s >= 0.4
    assert line.pings == 1
    watch.stop()


# --- its end


@pytest.fixture
async def said() -> AsyncIterator[list[dict[str, Any]]]:
    """What asyncio would print to stderr."""
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    yield said
    gc.collect()
    assert said == []


GOAWAY_WITH_ERROR = bytes((0, 0, 8, 7, 0, 0, 0, 0, 0)) + bytes(4) + (2).to_bytes(4)
SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))

ENDINGS: dict[str, tuple[bytes, Callable[[H2Connection], object]]] = {
    "an error GOAWAY of a peer that stays": (SETTINGS + GOAWAY_WITH_ERROR, lambda _: None),
    "a goodbye of ours that nobody answers": (SETTINGS, lambda ours: ours.close()),
    "no HTTP/2": (b"HTTP/1.1 400 Bad Request\r\n\r\n", lambda _: None),
    "a frame that is none": (SETTINGS + bytes((0, 0, 1, 4, 0, 0, 0, 0, 0, 0)), lambda _: None),
    "a drop": (SETTINGS, lambda ours: ours.drop(ConnectionLost("Enough.", reason="cut"))),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_watch_ends_with_its_connection_and_prints_nothing(
    said: list[dict[str, Any]], ending: str
) -> None:
    words, end = ENDINGS[ending]
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def stay(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        accepted.put_nowait(writer)

    server = await asyncio.start_server(stay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    _, ours = await loop.create_connection(
        lambda: H2Connection(ping_s=0.02, ping_deadline_s=0.02), "127.0.0.1", port
    )
    theirs = await accepted.get()
    end(ours)
    await asyncio.wait({ours.closed}, timeout=5)  # the PINGs that would be sent meanwhile
    assert ours.closed.done()
    server.close()
    theirs.transport.abort()
    await server.wait_closed()
    assert said == []


async def test_no_ping_is_sent_behind_a_goodbye_that_tls_leaves_unanswered(
    said: list[dict[str, Any]],
) -> None:
    """The connection then lives on for a second, and h2 allows no PING after a GOAWAY."""
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(theirs)  # pyright: ignore[reportUnknownMemberType]
    trust = ssl.create_default_context()
    authority.configure_trust(trust)  # pyright: ignore[reportUnknownMemberType]
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def stay() -> None:
        accepted, _ = listener.accept()
        with theirs.wrap_socket(accepted, server_side=True):
            over.wait(10)

    thread = threading.Thread(target=stay)
    thread.start()
    loop = asyncio.get_running_loop()
    _, ours = await loop.create_connection(
        lambda: H2Connection(ping_s=0.02, ping_deadline_s=5),
        *listener.getsockname(),
        ssl=trust,
        server_hostname="localhost",
    )
    ours.close()
    await asyncio.wait_for(ours.closed, 5)
    over.set()
    await asyncio.to_thread(thread.join)
    listener.close()
    assert said == []
