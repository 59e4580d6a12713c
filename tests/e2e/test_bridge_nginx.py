"""`serve` behind a real nginx: TLS, under a path, with the configuration of the README."""

import asyncio
import json
import re
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from ..support.page import Page, close_of
from ..support.real_nginx import NAME, need_nginx, nginx
from ..support.served_process import PROGRAM_SECRET, log_of, serving

COOKIES = {"Cookie": f"session={'x' * 12_000}"}
IDLE_S = 8.0
"""How long a page says nothing here: more than twice `SHORT`. By hand it was two minutes with the
timeouts that nginx has by default, of 60 s."""

SHORT = "proxy_read_timeout 3s; proxy_send_timeout 3s; send_timeout 3s;"


@dataclass
class Site:
    """The public side of the server."""

    port: int
    tls: ssl.SSLContext
    process: asyncio.subprocess.Process

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return status and body of a page at `path`."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.tls, server_hostname=NAME
        )
        lines = [f"GET {path} HTTP/1.1", f"Host: {NAME}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(10):
            head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        return int(head.split()[1]), body

    async def token(self, subject: str) -> str:
        path = f"/voice/token?subject={subject}"
        status, body = await self.get(path, Authorization=f"Bearer {PROGRAM_SECRET}")
        assert status == 200
        return json.loads(body)["token"]

    @asynccontextmanager
    async def talk(
        self, source: str, *, path: str = "/voice/talk", **headers: str
    ) -> AsyncGenerator[ClientConnection]:
        """A connection of the page, from this address."""
        async with connect(
            f"wss://{NAME}:{self.port}{path}",
            host="127.0.0.1",
            port=self.port,
            local_addr=(source, 0),
            ssl=self.tls,
            origin=Origin(f"https://{NAME}"),
            subprotocols=[Subprotocol("sonic-voice.v1")],
            compression=None,
            additional_headers={**COOKIES, **headers},
            proxy=None,
        ) as connection:
            yield connection


@asynccontextmanager
async def site(folder: Path, *options: str) -> AsyncGenerator[Site]:
    need_nginx()
    authority = cast(Any, trustme.CA())
    certificate = authority.issue_cert(NAME)
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "key.pem")
    for part in certificate.cert_chain_pems:
        part.write_to_path(folder / "cert.pem", append=True)
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    (folder / "secret").write_text(PROGRAM_SECRET)
    public = ("--allow-origin", f"https://{NAME}:443", "--trusted-proxy", "127.0.0.1")
    secret = ("--token-secret-file", str(folder / "secret"))
    async with (
        serving(*public, *secret, *options) as (process, url),
        nginx(folder, upstream=int(url.rstrip("/").rpartition(":")[2]), more=SHORT) as port,
    ):
        yield Site(port, tls, process)


async def test_three_users_talk_through_nginx_and_are_told_apart(tmp_path: Path) -> None:
    sources = {"alice": "127.0.0.2", "bob": "127.0.0.3", "carol": "127.0.0.4"}
    async with (
        site(tmp_path, "--max-per-address", "1", "--log-format", "json") as here,
        AsyncExitStack() as stack,
    ):
        pages: dict[str, Page] = {}
        for user, source in sources.items():
            connection = await stack.enter_async_context(here.talk(source))
            pages[user] = await stack.enter_async_context(
                Page(connection, {"token": await here.token(user)})
            )
        invented = {"X-Forwarded-For": "198.51.100.9", "Forwarded": "for=198.51.100.9"}
        async with here.talk(sources["alice"], **invented) as again:
            hello = {"type": "hello", "version": 1, "token": await here.token("dave")}
            await again.send(json.dumps(hello))
            assert (await close_of(again))[0] == 4022, "alice's address has its conversation"
        for user, page in pages.items():
            await page.until("listening")
            await page.say("say", text=f"hello. {user}")
            assert user in (await page.until("user_text"))["text"]
            await page.until("turn_ended")
            await page.say("bye")
            async with asyncio.timeout(10):
                await page.connection.wait_closed()
        lines = await log_of(here.process)
    started = {line["subject"]: line["address"] for line in lines if "started" in line["message"]}
    assert started == sources
    ended = [line["subject"] for line in lines if "ended" in line["message"]]
    assert sorted(ended) == sorted(sources)
    [rejected] = [line for line in lines if "rejected" in line["message"]]
    assert (rejected["code"], rejected["address"]) == (4022, sources["alice"])


async def test_one_user_has_a_limit_from_any_address(tmp_path: Path) -> None:
    async with site(tmp_path) as here, AsyncExitStack() as stack:
        for source in ("127.0.0.2", "127.0.0.3"):
            connection = await stack.enter_async_context(here.talk(source))
            page = Page(connection, {"token": await here.token("alice")})
            await stack.enter_async_context(page)
        third = await stack.enter_async_context(here.talk("127.0.0.4"))
        hello = {"type": "hello", "version": 1, "token": await here.token("alice")}
        await third.send(json.dumps(hello))
        assert (await close_of(third))[0] == 4021


async def test_the_page_is_served_under_the_path_and_the_numbers_are_not(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        status, page = await here.get("/voice/", **COOKIES)
        assert status == 200
        for name in re.findall(r'(?:src|href)="([^"]+)"', page):
            assert not name.startswith("/"), "it is relative to the path"
            assert (await here.get(f"/voice/{name}", **COOKIES))[0] == 200
        assert (await here.get("/voice/metrics"))[0] == 401
        assert (await here.get("/voice/talk"))[0] == 426
        with pytest.raises(InvalidStatus):
            async with here.talk("127.0.0.2", path="/talk"):
                pass


async def test_without_a_token_nobody_talks_through_nginx(tmp_path: Path) -> None:
    async with site(tmp_path) as here, here.talk("127.0.0.2") as connection:
        await connection.send('{"type": "hello", "version": 1}')
        assert (await close_of(connection))[0] == 4010


async def test_an_idle_page_stays_connected(tmp_path: Path) -> None:
    async with (
        site(tmp_path) as here,
        here.talk("127.0.0.2") as connection,
        Page(connection, {"token": await here.token("alice")}) as page,
    ):
        await page.until("listening")
        began_s = time.monotonic()
        await asyncio.sleep(IDLE_S)  # the page is silent, and so is everybody
        assert time.monotonic() - began_s >= IDLE_S
        await page.say("say", text="hello.")
        await page.until("turn_ended")
        await page.say("bye")
        async with asyncio.timeout(10):
            await connection.wait_closed()
        assert connection.close_code == 1000
