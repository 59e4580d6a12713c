"""Requests over plain HTTP, and who is taken for a client on this machine."""

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import uvicorn

from sonic_voice import Toolbox
from sonic_voice.bridge import Access, Bridge, asgi, issue_token, served

from ..support.listening_service import ListeningService
from ..support.page import close_of, socket
from ..support.quiet_bridge import OFFER, QuietService, hello, opened, running

SECRET = b"a secret of this test, of 32 bytes and more"


async def answer_to(url: str, request: str | bytes) -> tuple[int, str]:
    """Send a request, and return status and text of the response."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection("127.0.0.1", where.port)
    try:
        writer.write(request.encode() if isinstance(request, str) else request)
        async with asyncio.timeout(5):
            text = (await reader.read()).decode()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return int(text.split()[1]) if text else 0, text


def get(url: str, path: str, *headers: str) -> str:
    sent = [f"GET {path} HTTP/1.1", *headers]
    if not any(header.startswith("Host") for header in headers):
        sent.append(f"Host: {urlsplit(url).netloc}")
    return "\r\n".join([*sent, "", ""])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("body", ["", "subject=alice"])
async def test_another_method_is_refused_with_or_without_a_body(method: str, body: str) -> None:
    async with running(access=Access(secret=SECRET)) as (url, _):
        request = f"{method} /token HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        status, text = await answer_to(url, request + body)
    assert status == 405
    assert "allow: get, head\r\n" in text.lower()


@pytest.mark.parametrize(
    "request_line", ["GET /\r\n\r\n", "GET / HTTP/3\r\n\r\n", "GET / HTTP/1.1\r\nno header\r\n\r\n"]
)
async def test_a_request_that_cannot_be_read_has_an_answer(request_line: str) -> None:
    async with running() as (url, _):
        assert (await answer_to(url, request_line))[0] == 400


async def test_what_is_no_request_at_all_is_answered_and_closed() -> None:
    async with running() as (url, _):
        assert (await answer_to(url, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"))[0] == 405


@pytest.mark.parametrize(("size", "status"), [(12_000, 200), (15_000, 200), (17_000, 431)])
async def test_cookies_of_an_application_fit(size: int, status: int) -> None:
    async with running() as (url, _):
        request = get(url, "/healthz", f"Cookie: a={'x' * size}")
        assert (await answer_to(url, request))[0] == status
        if status == 200:
            cookies = {"Cookie": f"a={'x' * size}"}
            async with socket(url, headers=cookies) as connection:
                await opened(connection)


FORWARDED = [
    "X-Forwarded-For: 198.51.100.7",
    "Forwarded: for=198.51.100.7",
    "Via: 1.1 proxy",
    "Host: voice.example",
    "Host: 192.168.1.5:8080",
]


@pytest.mark.parametrize("header", FORWARDED)
async def test_through_a_proxy_the_numbers_are_closed(header: str) -> None:
    async with running() as (url, _):
        assert (await answer_to(url, get(url, "/metrics")))[0] == 200
        assert (await answer_to(url, get(url, "/metrics", header)))[0] == 401


async def test_where_other_origins_are_allowed_the_numbers_are_closed() -> None:
    access = Access(origins=frozenset({"https://shop.example"}), anonymous=True)
    async with running(access=access) as (url, _):
        assert (await answer_to(url, get(url, "/metrics")))[0] == 401


async def test_through_a_proxy_nobody_talks_without_a_token() -> None:
    async with running() as (url, bridge):
        async with socket(url, forwarded_for="198.51.100.7") as connection:
            await connection.send(hello())
            assert (await close_of(connection))[0] == 4010
        assert bridge.metrics.conversations == 0
        async with socket(url) as connection:
            await opened(connection)


def secret_plan() -> str:
    """Return the plan."""
    return "nobody may know"


@pytest.mark.parametrize(("forwarded_for", "shown"), [("", True), ("198.51.100.7", False)])
async def test_through_a_proxy_tool_data_stays_on_the_server(
    forwarded_for: str, shown: bool
) -> None:
    tools = Toolbox([secret_plan])
    offer = replace(OFFER, tools=tools, show_tools=True)
    async with (
        Bridge(
            offer, ListeningService("secret_plan", "Go on."), access=Access(secret=SECRET)
        ) as bridge,
        served(bridge, pages={}) as url,
        socket(url, forwarded_for=forwarded_for) as connection,
    ):
        token = issue_token(SECRET, "alice", now_s=time.time())
        await opened(connection, token=token)
        await connection.send(json.dumps({"type": "say", "text": "Go on."}))
        said = ""
        async with asyncio.timeout(10):
            while '"tool_answered"' not in said:
                said += str(await connection.recv())
        await connection.send(json.dumps({"type": "bye"}))
    assert ("nobody may know" in said) == shown


async def test_limits_count_the_clients_behind_a_trusted_proxy() -> None:
    access = Access(secret=SECRET, trusted_proxies=("127.0.0.1",))
    limits = replace(Bridge(OFFER, QuietService()).limits, of_address=1)
    token = issue_token(SECRET, "alice", now_s=time.time())
    async with (
        running(limits, access) as (url, _),
        socket(url, forwarded_for="198.51.100.7") as one,
        socket(url, forwarded_for="9.9.9.9, 198.51.100.7") as again,
        socket(url, forwarded_for="198.51.100.8") as other,
    ):
        await opened(one, token=token)
        await again.send(hello(token=token))
        assert (await close_of(again))[0] == 4022
        await opened(other, token=token)


async def test_uvicorn_runs_it_alone_with_a_lifespan() -> None:
    """As `uvicorn module:app --lifespan on` does; the bridge ends its conversations itself."""
    access = Access(origins=frozenset({"http://localhost"}))
    async with Bridge(OFFER, QuietService(), access=access) as bridge:
        config = uvicorn.Config(
            asgi(bridge), port=0, lifespan="on", log_level="warning", ws="websockets-sansio"
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            assert not serving.done(), "uvicorn refuses an application without a lifespan"
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with socket(f"http://127.0.0.1:{port}/", origin="http://localhost") as connection:
            await opened(connection)
            server.should_exit = True
            async with asyncio.timeout(10):
                await serving
        assert bridge.stopping
        assert not bridge._sessions  # pyright: ignore[reportPrivateUsage]
