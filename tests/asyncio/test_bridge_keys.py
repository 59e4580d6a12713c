"""Public keys of a URL: fetched when due, once for all who wait, and with a deadline."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from sonic_voice.bridge import Access, Bridge, BridgeLimits, Close, RemoteKeys
from sonic_voice.bridge.closing import BridgeRefusal
from sonic_voice.bridge.jwks import FETCH_S, SET_BYTES, key_source
from sonic_voice.errors import ConfigError

from ..support.quiet_bridge import OFFER, QuietService
from .test_bridge import ORIGIN, MemorySocket

OLD, NEW = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

type Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def key_set(**keys: ec.EllipticCurvePrivateKey) -> bytes:
    """The JWKS with the public part of `keys`, by key id."""
    members = [
        {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": kid}
        for kid, key in keys.items()
    ]
    return json.dumps({"keys": members}).encode()


def token(key: ec.EllipticCurvePrivateKey, kid: str) -> str:
    claims = {"sub": "alice", "exp": time.time() + 60, "aud": "app"}
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": kid})


def answer(body: bytes, status: str = "200 OK", *headers: str) -> Answer:
    async def write(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
        writer.write("\r\n".join([*lines, *headers, "", ""]).encode() + body)
        await writer.drain()

    return write


class KeyServer:
    """A server of keys that answers as the test wants."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked = 0
        self.was_asked = asyncio.Event()
        self.url = ""
        self.tasks: set[asyncio.Task[None]] = set()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            self.was_asked.set()
            answering = asyncio.ensure_future(self.answer(writer))
            gone = asyncio.ensure_future(reader.read())
            await asyncio.wait([answering, gone], return_when=asyncio.FIRST_COMPLETED)
            answering.cancel()
            gone.cancel()
            await asyncio.gather(answering, gone, return_exceptions=True)
        writer.close()


@asynccontextmanager
async def serving(answer: Answer) -> AsyncGenerator[KeyServer]:
    keys = KeyServer(answer)
    server = await asyncio.start_server(keys.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    keys.url = f"http://127.0.0.1:{port}/keys.json?secret=1"
    try:
        yield keys
    finally:
        server.close()
        await asyncio.gather(*keys.tasks)


async def close_of(access: Access, token: str) -> Close | None:
    """The close code that `access` refuses `token` with; None: it is taken."""
    try:
        await access.authenticate(token, now_s=time.time())
    except BridgeRefusal as refused:
        return refused.close
    return None


def access(server: KeyServer, cooldown_s: float = 30) -> Access:
    return Access(keys=RemoteKeys(server.url, cooldown_s=cooldown_s), audience="app")


async def test_keys_are_fetched_once_for_all_who_wait() -> None:
    async with serving(answer(key_set(old=OLD))) as server:
        here = access(server)
        tokens = [token(OLD, "old")] * 20
        assert await asyncio.gather(*(close_of(here, text) for text in tokens)) == [None] * 20
        assert server.asked == 1


async def test_a_rotated_key_is_fetched_when_a_token_names_it_and_the_old_one_is_forged() -> None:
    async with serving(answer(key_set(old=OLD))) as server:
        here = access(server, cooldown_s=0)
        assert await close_of(here, token(OLD, "old")) is None
        server.answer = answer(key_set(new=NEW))
        assert await close_of(here, token(NEW, "new")) is None
        assert await close_of(here, token(OLD, "old")) is Close.FORGED


async def test_unknown_key_ids_do_not_flood_the_issuer() -> None:
    async with serving(answer(key_set(old=OLD))) as server:
        here = access(server)
        forged = [close_of(here, token(NEW, f"id {number}")) for number in range(50)]
        assert set(await asyncio.gather(*forged)) == {Close.FORGED}
        assert await close_of(here, token(OLD, "old")) is None
        assert server.asked == 1


async def hang(_: asyncio.StreamWriter) -> None:
    """Until the client is gone."""
    await asyncio.Event().wait()


async def drip(writer: asyncio.StreamWriter) -> None:
    """A status line that never ends, each byte in time for a socket's timeout."""
    writer.write(b"HTTP/1.1 200 ")
    while True:
        writer.write(b"H")
        await writer.drain()
        await asyncio.sleep(0.1)


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        writer.write(b" " * 65_536)
        await writer.drain()


def first(answer: Answer, later: Answer) -> Answer:
    """`answer` to the first request, `later` to the others."""
    answers = [answer]

    async def write(writer: asyncio.StreamWriter) -> None:
        await (answers.pop() if answers else later)(writer)

    return write


GOOD = answer(key_set(old=OLD))
LONG = key_set(old=OLD) + b" " * SET_BYTES

BAD: dict[str, Answer] = {
    "hangs": hang,
    "drips": drip,
    "never ends": endless,
    "is no HTTP": answer(b"", "no status"),
    "fails": answer(b"", "500 Internal Server Error"),
    "redirects": first(answer(b"", "302 Found", "Location: /other"), GOOD),
    "says HTML": answer(b"<!doctype html>"),
    "says no UTF-8": answer(b"\xff\xfe{}"),
    "says depth": answer(b"[" * 100_000),
    "says nothing": answer(b""),
    "says no keys": answer(b'{"keys": []}'),
    "says a secret": answer(b'{"keys": [{"kty": "oct", "k": "AAAA", "kid": "old"}]}'),
    "says too much": answer(LONG),
    "unpacks to too much": answer(gzip.compress(LONG), "200 OK", "Content-Encoding: gzip"),
    "is not packed": answer(key_set(old=OLD), "200 OK", "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_key_server_is_told_as_try_later_within_the_deadline(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(BAD[kind]) as server:
        here = access(server)
        async with asyncio.timeout(FETCH_S + 2):
            assert await close_of(here, token(OLD, "old")) is Close.KEYS_UNAVAILABLE
        # At once, without asking the server again.
        async with asyncio.timeout(FETCH_S / 2):
            assert await close_of(here, token(OLD, "old")) is Close.KEYS_UNAVAILABLE
        assert server.asked == 1
        assert server.url.partition("?")[0] in caplog.text
        assert "secret=1" not in caplog.text


async def test_a_server_that_starts_is_told_what_is_wrong_with_its_keys() -> None:
    async with serving(BAD["fails"]) as server:
        keys = RemoteKeys(server.url)
        with pytest.raises(ConfigError, match="HTTP status 500"):
            await keys.fetch()
        server.answer = answer(key_set(old=OLD))
        await keys.fetch()
        assert await keys.find("ES256", "old") is not None
        assert server.asked == 2


async def test_keys_that_are_known_stay_in_use_while_the_server_fails() -> None:
    async with serving(answer(key_set(old=OLD))) as server:
        here = access(server, cooldown_s=0)
        assert await close_of(here, token(OLD, "old")) is None
        server.answer = BAD["fails"]
        assert await close_of(here, token(NEW, "new")) is Close.KEYS_UNAVAILABLE
        assert await close_of(here, token(OLD, "old")) is None
        server.answer = answer(key_set(new=NEW))
        assert await close_of(here, token(NEW, "new")) is None


async def test_nobody_listens_at_the_url() -> None:
    async with serving(hang) as server:
        pass
    assert await close_of(access(server), token(OLD, "old")) is Close.KEYS_UNAVAILABLE


async def test_one_who_leaves_does_not_end_the_fetch_of_the_others() -> None:
    released = asyncio.Event()

    async def wait(writer: asyncio.StreamWriter) -> None:
        await released.wait()
        await answer(key_set(old=OLD))(writer)

    async with serving(wait) as server:
        here = access(server)
        first = asyncio.create_task(close_of(here, token(OLD, "old")))
        second = asyncio.create_task(close_of(here, token(OLD, "old")))
        await server.was_asked.wait()
        first.cancel()
        await asyncio.wait([first])
        released.set()
        assert await second is None
        assert server.asked == 1


async def test_the_loop_runs_on_while_keys_are_fetched_and_those_who_wait_are_limited() -> None:
    async with serving(hang) as server:
        allowed = Access(origins=frozenset({ORIGIN}), keys=RemoteKeys(server.url), audience="app")
        limits = BridgeLimits(unauthenticated=2)
        async with Bridge(OFFER, QuietService(), access=allowed, limits=limits) as bridge:
            waiting = [MemorySocket(), MemorySocket()]
            tasks: list[asyncio.Task[None]] = []
            for socket in waiting:
                socket.say("hello", version=1, token=token(OLD, "old"))
                tasks.append(asyncio.create_task(bridge.handle(socket)))
            await server.was_asked.wait()
            third = MemorySocket()
            await bridge.handle(third)
            assert third.closed == Close.FULL
            assert [socket.closed for socket in waiting] == [None, None]
        # Leaving the bridge ends the fetch, and nobody waits for its deadline.
        async with asyncio.timeout(FETCH_S / 2):
            await asyncio.wait(tasks)
        assert {socket.closed for socket in waiting} == {Close.KEYS_UNAVAILABLE}


async def test_a_url_must_be_secure_unless_it_is_of_this_machine() -> None:
    for url in (
        "http://keys.example/jwks.json",
        "ftp://localhost/",
        "file:///etc/passwd",
        "https://",
    ):
        with pytest.raises(ConfigError):
            key_source(url)
    for url in ("https://keys.example/jwks.json", "http://localhost:8080/jwks.json"):
        keys = key_source(url)
        assert isinstance(keys, RemoteKeys)
        with pytest.raises(ConfigError) as wrong:
            Access(keys=keys)
        assert "--token-audience" in wrong.value.hint


async def test_a_key_file_is_read_at_once(tmp_path: Any) -> None:
    file = tmp_path / "jwks.json"
    with pytest.raises(ConfigError, match="Cannot read"):
        key_source(str(file))
    file.write_bytes(key_set(old=OLD))
    here = Access(keys=key_source(str(file)), audience="app")
    assert await close_of(here, token(OLD, "old")) is None
