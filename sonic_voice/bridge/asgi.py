"""The bridge inside a Starlette, FastAPI or any other ASGI application (ASGI 3.0, WebSocket 2.3).

    async with Bridge(offer, transport, access=access) as bridge:      # in the lifespan
        app.mount("/voice", asgi(bridge, load_pages(web_client())))

The ASGI server is to limit messages to 32 KiB, to ping, and to leave compression off; `uvicorn`:
`ws_max_size=32768, ws_ping_interval=10, ws_ping_timeout=10, ws_per_message_deflate=False`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

from .bridge import Bridge
from .messages import SUBPROTOCOL
from .site import TALK, PageFile, Site
from .socket import Gone

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
type Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
type Application = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]

CLOSING_S = 2.0

_GOODBYES = (1000, 1001)


def asgi(bridge: Bridge, pages: Mapping[str, PageFile] | None = None) -> Application:
    """An ASGI application: conversations at `/talk`, and the page's files, below where it is put.

    `bridge.access` must name the origins of the pages, the application's own among them.
    """
    site = Site(bridge, pages or {}, bridge.access)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        path = "/" + scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        if scope["type"] == "websocket":
            await _talk(bridge, path, scope, headers, receive, send)
            return
        query = scope.get("query_string", b"").decode("latin-1")
        response = site.answer(scope["method"], f"{path}?{query}", headers, time.time())
        answered = [
            (name.lower().encode(), value.encode()) for name, value in response.headers.items()
        ]
        await send(
            {"type": "http.response.start", "status": response.status.value, "headers": answered}
        )
        await send({"type": "http.response.body", "body": response.body})

    return application


async def _talk(
    bridge: Bridge,
    path: str,
    scope: Scope,
    headers: Mapping[str, str],
    receive: Receive,
    send: Send,
) -> None:
    await receive()  # websocket.connect
    if path != TALK:
        await send({"type": "websocket.close", "code": 1000})  # before `accept`: HTTP 403
        return
    agreed = SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None
    await send({"type": "websocket.accept", "subprotocol": agreed})
    client = scope.get("client") or ("", 0)
    await bridge.handle(_Connection(headers.get("origin"), str(client[0]), agreed, receive, send))


class _Connection:
    """A `Socket` over ASGI messages."""

    def __init__(
        self,
        origin: str | None,
        address: str,
        subprotocol: str | None,
        receive: Receive,
        send: Send,
    ) -> None:
        self.origin = origin
        self.address = address
        self.subprotocol = subprotocol
        self._receive = receive
        self._send = send

    async def receive(self) -> str | bytes:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise Gone(goodbye=message.get("code") in _GOODBYES)
        text: str | None = message.get("text")
        return text if text is not None else message["bytes"]

    async def send(self, message: str | bytes) -> None:
        field = "text" if isinstance(message, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", field: message})
        except OSError as error:  # the specification's sign of a connection that is gone
            raise Gone from error

    async def close(self, code: int, reason: str) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
