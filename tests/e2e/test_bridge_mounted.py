"""The bridge inside an application's own server, by ASGI; and the command `serve`."""

import asyncio
import json
import signal
import sys
import urllib.request
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from sonic_voice import LocalService, SessionConfig, Toolbox
from sonic_voice.bridge import Access, Bridge, Offer, asgi
from sonic_voice.bridge.frames import voice_frame
from sonic_voice.bridge.messages import SUBPROTOCOL
from sonic_voice.bridge.site import Page

from .page import Page as Visitor
from .page import socket

type Message = MutableMapping[str, Any]
ORIGIN = "https://shop.example"


class Peer:
    """The ASGI server's side of one connection."""

    def __init__(self, path: str, **scope: Any) -> None:
        headers = [(b"origin", ORIGIN.encode())]
        self.scope = {"root_path": "/voice", "path": f"/voice{path}", "headers": headers, **scope}
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.outbox: asyncio.Queue[Message] = asyncio.Queue()

    async def next(self, type: str) -> Message:
        async with asyncio.timeout(10):
            while (message := await self.outbox.get())["type"] != type:
                pass
            return message

    async def told(self, type: str) -> dict[str, Any]:
        while True:
            text = (await self.next("websocket.send")).get("text")
            if text and (message := json.loads(text))["type"] == type:
                return message


def websocket(path: str) -> Peer:
    peer = Peer(path, type="websocket", subprotocols=[SUBPROTOCOL], client=("192.0.2.1", 7))
    peer.inbox.put_nowait({"type": "websocket.connect"})
    return peer


def said(**message: Any) -> Message:
    return {"type": "websocket.receive", "text": json.dumps(message)}


async def test_an_asgi_application_holds_a_conversation_and_serves_the_page() -> None:
    offer = Offer(config=SessionConfig(), tools=Toolbox())
    access = Access(origins=frozenset({ORIGIN}))
    async with (
        LocalService() as transport,
        Bridge(offer, transport, access=access) as bridge,
        asyncio.TaskGroup() as tasks,
    ):
        application = asgi(bridge, {"/app.js": Page("text/javascript", b"1")})
        peer = websocket("/talk")
        tasks.create_task(application(peer.scope, peer.inbox.get, peer.outbox.put))
        assert (await peer.next("websocket.accept"))["subprotocol"] == SUBPROTOCOL
        peer.inbox.put_nowait(said(type="hello", version=1))
        await peer.told("listening")
        peer.inbox.put_nowait({"type": "websocket.receive", "bytes": voice_frame(bytes(640))})
        peer.inbox.put_nowait(said(type="say", text="Hello."))
        assert (await peer.told("user_text"))["text"] == "Hello."
        await peer.told("turn_ended")
        peer.inbox.put_nowait({"type": "websocket.receive", "bytes": bytes(99_999), "text": None})
        assert (await peer.next("websocket.close"))["code"] == 1009

        other = websocket("/elsewhere")
        await application(other.scope, other.inbox.get, other.outbox.put)
        assert (await other.next("websocket.close"))["code"] == 1000

        page = Peer("/app.js", type="http", method="GET", query_string=b"")
        await application(page.scope, page.inbox.get, page.outbox.put)
        started = await page.next("http.response.start")
        assert started["status"] == 200
        assert (b"access-control-allow-origin", ORIGIN.encode()) in started["headers"]
        assert (await page.next("http.response.body"))["body"] == b"1"


async def test_an_asgi_page_that_leaves_ends_its_conversation() -> None:
    access = Access(origins=frozenset({ORIGIN}))
    offer = Offer(config=SessionConfig(), tools=Toolbox())
    async with LocalService() as transport, Bridge(offer, transport, access=access) as bridge:
        peer = websocket("/talk")
        for message in (said(type="hello", version=1), _left(1001)):
            peer.inbox.put_nowait(message)
        await asgi(bridge)(peer.scope, peer.inbox.get, peer.outbox.put)
    assert "sonic_voice_conversations 0" in bridge.metrics()


def _left(code: int) -> Message:
    return {"type": "websocket.disconnect", "code": code}


COMMAND = (
    "import typer; from sonic_voice.cli.base import app, options; "
    "from sonic_voice.cli.serve import serve; app.command()(serve); app()"
)


async def run(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "serve", *arguments), stdout=pipe, stderr=pipe
    )


async def test_serve_prints_where_and_ends_quietly_on_sigterm(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef\n")
    process = await run(
        *("--local", "--port", "0", "--pages", str(tmp_path), "--token-secret-file", str(secret))
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        url = (await process.stdout.readline()).decode().split()[1]
    token = await asyncio.to_thread(_fetched, f"{url}token?subject=me", secret.read_text().strip())
    page = await asyncio.to_thread(_fetched, url, "")
    assert page == "<!doctype html>"
    async with socket(url) as connection:
        async with Visitor(connection, {"token": json.loads(token)["token"]}) as visitor:
            await visitor.until("listening")
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                await connection.wait_closed()
        assert connection.close_code == 1001
    out, err = await process.communicate()
    assert (process.returncode, err) == (143, b"")
    assert secret.read_text().strip().encode() not in out


def _fetched(url: str, secret: str) -> str:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {secret}"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read().decode()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--host", "0.0.0.0"), "--allow-origin"),
        (("--host", "0.0.0.0", "--allow-origin", "https://a.example"), "--token-secret-file"),
        (("--allow-origin", "*"), "no origin"),
        (("--token-secret-file", "/dev/null"), "is empty"),
        (("--tls-cert", "/dev/null"), "TLS"),
    ],
)
async def test_serve_refuses_what_is_not_safe(arguments: tuple[str, ...], says: str) -> None:
    process = await run("--local", "--port", "0", *arguments)
    out, err = await process.communicate()
    assert (process.returncode, out) == (3, b"")
    assert says in err.decode()
    assert "Traceback" not in err.decode()
