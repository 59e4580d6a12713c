"""The bridge inside an application's own server, by ASGI."""

import asyncio
import json
from collections.abc import MutableMapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

from sonic_voice import LocalService, SessionConfig, Toolbox
from sonic_voice.bridge import Access, Bridge, Offer, asgi
from sonic_voice.bridge.frames import voice_frame
from sonic_voice.bridge.messages import SUBPROTOCOL
from sonic_voice.bridge.site import PageFile

SCENARIO = cast(Path, resources.files("sonic_voice.emulator")) / "demo.yaml"

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
    access = Access(origins=frozenset({ORIGIN}), anonymous=True)
    async with (
        LocalService(SCENARIO) as transport,
        Bridge(offer, transport, access=access) as bridge,
        asyncio.TaskGroup() as tasks,
    ):
        application = asgi(bridge, {"/app.js": PageFile("text/javascript", b"1")})
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
    access = Access(origins=frozenset({ORIGIN}), anonymous=True)
    offer = Offer(config=SessionConfig(), tools=Toolbox())
    async with (
        LocalService(SCENARIO) as transport,
        Bridge(offer, transport, access=access) as bridge,
    ):
        peer = websocket("/talk")
        for message in (said(type="hello", version=1), _left(1001)):
            peer.inbox.put_nowait(message)
        await asgi(bridge)(peer.scope, peer.inbox.get, peer.outbox.put)
    assert "sonic_voice_conversations 0.0" in bridge.metrics_page()


def _left(code: int) -> Message:
    return {"type": "websocket.disconnect", "code": code}
