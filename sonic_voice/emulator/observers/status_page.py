"""The status page: one HTML page and its state as JSON, over plain HTTP on loopback.

It serves two paths and one method, so it is written here instead of depending on a web server. A
request is one line and its headers, at most 8 KB and within five seconds; it is answered and the
connection closed. Only a client that asks for this machine by a name of this machine is answered,
so that no other web page can read the transcripts by pointing its own name here.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable
from importlib import resources
from typing import Any, Self
from urllib.parse import urlsplit

from ...errors import ConfigError
from ...http2.loopback import is_loopback

_log = logging.getLogger(__name__)

REQUEST_BYTES = 8 * 1024
"""Maximum size of a request, in bytes."""
REQUEST_S = 5.0
"""Maximum time for a request and its answer, in seconds."""
_CONNECTIONS = 32
"""Maximum number of connections at the same time; more are aborted."""


class StatusPage:
    """A server of the status page. An async context manager."""

    def __init__(self, state: Callable[[], dict[str, Any]], *, port: int = 0) -> None:
        """Prepare the page.

        Args:
            state: Returns the content of the page, for `json`.
            port: Port to listen at; 0 for a free one. Entering raises `ConfigError` if it cannot be
                used.
        """
        self.port = port
        self._state = state
        self._page = resources.files(__package__).joinpath("status.html").read_text("utf-8")
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """URL of the page."""
        return f"http://localhost:{self.port}/"

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(
                self._accept, "127.0.0.1", self.port, limit=REQUEST_BYTES
            )
        except OSError as error:
            raise ConfigError(
                f"The status page cannot listen at port {self.port}: {error.strerror or error}.",
                hint="Name another --port; the page takes the next one.",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= _CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer), name="status page")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(request))
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            _log.debug("the status page got a request that it cannot answer")
        finally:
            writer.transport.abort()

    def _answer(self, request: bytes) -> bytes:
        first, *lines = request.decode("latin-1").split("\r\n")
        method, path, *_ = [*first.split(" "), "", ""]
        headers = {name.strip().lower(): value.strip() for name, _, value in _pairs(lines)}
        if not _is_here(headers.get("host", "")):
            return _response("403 Forbidden", "text/plain", b"Ask for localhost.\n")
        if method not in ("GET", "HEAD"):
            return _response("405 Method Not Allowed", "text/plain", b"There is only GET.\n")
        if path == "/state.json":
            document = json.dumps(self._state(), ensure_ascii=True).encode()
            return _response("200 OK", "application/json", document, method)
        if path == "/":
            nonce = secrets.token_urlsafe(12)
            page = self._page.replace("@NONCE@", nonce).encode()
            return _response("200 OK", "text/html; charset=utf-8", page, method, nonce)
        return _response("404 Not Found", "text/plain", b"There are / and /state.json.\n")


def _pairs(lines: list[str]) -> list[tuple[str, str, str]]:
    return [line.partition(":") for line in lines if ":" in line]


def _is_here(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)


def _response(status: str, kind: str, body: bytes, method: str = "GET", nonce: str = "") -> bytes:
    policy = "default-src 'none'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    if nonce:
        policy += f"; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        f"Content-Security-Policy: {policy}\r\nReferrer-Policy: no-referrer\r\n\r\n"
    )
    return head.encode("latin-1") + (b"" if method == "HEAD" else body)
