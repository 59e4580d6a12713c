"""Responses of the bridge over plain HTTP: files of the page, health, metrics and tokens. No I/O.

    /            index.html, and every other file of the page by its path
    /healthz     200 while new conversations are accepted, else 503 ("stopping")
    /metrics     Prometheus text; requires the secret as bearer token, except on one's own machine
    /voices      the voices that a page may choose, as JSON
    /ping        the health check of AgentCore Runtime, only there
    /token       ?subject=NAME[&lifetime_s=60][&voice=ID]: a session token; requires the secret

All files are read into a table at the start, and a requested path is looked up there unchanged. A
path that a client sends is therefore never used as a path of this machine.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from urllib.parse import parse_qs

from ..errors import ConfigError
from .access import Access
from .agentcore import PING_PATH, SOCKET_PATH, PingStatus
from .bridge import Bridge
from .tokens import LIFETIME_S, issue_token

TALK = "/talk"
"""Path of the WebSocket."""

NEXT_BRIDGE = "sonic-voice-next-bridge"
"""Header with which a proxy says that it passes a page to another bridge if the handshake of its
WebSocket is answered 503. Without it every handshake is accepted: a browser does not tell a page
why one failed."""

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""Content types by file name extension. Files with other extensions are not served."""

_NOT_SERVED = ("node_modules", "test", "tests")
"""Names of folders and files that are not served."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self'; media-src 'self' blob:; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of every response: no inline scripts or styles, no other sites."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page."""

    kind: str
    """Content type."""
    body: bytes
    """Content."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response over HTTP."""

    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes


def web_client() -> Path:
    """Return the folder of the page: inside the installed package, or beside it in a checkout."""
    package = Path(str(resources.files("sonic_voice")))
    inside = package / "web_client"
    return inside if inside.is_dir() else package.parent / "web_client"


def load_pages(folder: Path, *, index: bool = True) -> dict[str, PageFile]:
    """Read the files of a page.

    Hidden files, symbolic links, tests and packages of Node are left out.

    Args:
        folder: The folder of the page.
        index: Whether to include `index.html`. An application with a page of its own, which
            fetches tokens for its users, needs the other files only.

    Returns:
        The files by their path below `folder`, with a leading `/`. `/` is the same as
        `/index.html`.

    Raises:
        ConfigError: If the folder cannot be read.
    """
    pages: dict[str, PageFile] = {}
    try:
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            hidden = any(part.startswith(".") or part in _NOT_SERVED for part in parts)
            if not hidden and path.suffix in KINDS and path.is_file() and not path.is_symlink():
                pages[f"/{'/'.join(parts)}"] = PageFile(KINDS[path.suffix], path.read_bytes())
    except OSError as error:
        raise ConfigError(f"Cannot read the page in {folder}: {error.strerror}.") from error
    if not index:
        pages.pop("/index.html", None)
    elif "/index.html" in pages:
        pages["/"] = pages["/index.html"]
    return pages


class Site:
    """The HTTP side of a bridge.

    Args:
        bridge: The bridge, for its health and its metrics.
        pages: The files of the page, by path.
        access: The rules of access, with the server's own origins.
        tls: Whether it is served over https. Then browsers are told to use https alone.

    Attributes:
        socket_path: The path of the WebSocket.
    """

    def __init__(
        self, bridge: Bridge, pages: Mapping[str, PageFile], access: Access, *, tls: bool = False
    ) -> None:
        self._bridge = bridge
        self._pages = pages
        self._access = access
        self._ping = PingStatus() if access.agentcore else None
        self.socket_path = SOCKET_PATH if access.agentcore else TALK
        self._headers = dict(_HEADERS)
        if tls:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    def answer(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        now_s: float,
        *,
        remote: bool = False,
    ) -> Response:
        """Return the response to a request.

        Args:
            method: The method, in upper case.
            target: The path and the query.
            headers: The headers, by lower-case name.
            now_s: The time of day, `time.time()`, for tokens that are issued.
            remote: Whether the client may be on another machine; see `forwarding.is_remote`.
        """
        path, _, query = target.partition("?")
        if method not in ("GET", "HEAD"):
            refused = self._text(HTTPStatus.METHOD_NOT_ALLOWED, "There is only GET.")
            headers_sent = {**refused.headers, "Allow": "GET, HEAD"}
            response = Response(refused.status, headers_sent, refused.body)
        elif path == "/healthz":
            response = self._shared(self._health(), headers.get("origin"))
        elif path == "/metrics":
            response = self._metrics(headers, remote=remote)
        elif path == "/voices":
            voices = json.dumps(self._bridge.offer.voice_choices()).encode()
            response = self._shared(
                self._response(HTTPStatus.OK, "application/json", voices), headers.get("origin")
            )
        elif path == "/token" and self._access.secret:
            response = self._token(query, headers, now_s)
        elif path == PING_PATH and self._ping is not None:
            body = self._ping.body(busy=self._bridge.talking > 0, now_s=now_s)
            status = self._health().status
            response = self._response(status, "application/json", body)
        elif path == self.socket_path and self.passes_on(headers):
            response = self._health()
        elif path == self.socket_path:
            response = self._text(HTTPStatus.UPGRADE_REQUIRED, "Open a WebSocket here.")
        elif page := self._pages.get(path):
            response = self._file(page, headers.get("origin"))
        else:
            response = self._text(HTTPStatus.NOT_FOUND, "There is nothing here.")
        body = b"" if method == "HEAD" else response.body
        return Response(response.status, response.headers, body)

    def passes_on(self, headers: Mapping[str, str]) -> bool:
        """Return whether a page is left to another bridge, because this one stops or drains.

        Args:
            headers: The headers of the handshake, by lower-case name.
        """
        return NEXT_BRIDGE in headers and self._health().status is not HTTPStatus.OK

    def _health(self) -> Response:
        if self._bridge.stopping or self._bridge.draining:
            return self._text(HTTPStatus.SERVICE_UNAVAILABLE, "stopping")
        return self._text(HTTPStatus.OK, "ok")

    def _metrics(self, headers: Mapping[str, str], *, remote: bool) -> Response:
        if not self._access.is_open_to(remote=remote) and not self._is_application(headers):
            return self._text(HTTPStatus.UNAUTHORIZED, "The secret is asked for.")
        from .exposition import CONTENT_TYPE  # the bridge has imported it

        return self._response(HTTPStatus.OK, CONTENT_TYPE, self._bridge.metrics_page().encode())

    def _token(self, query: str, headers: Mapping[str, str], now_s: float) -> Response:
        if not self._is_application(headers):
            return self._text(HTTPStatus.UNAUTHORIZED, "The secret is asked for.")
        asked = parse_qs(query)
        try:
            token = issue_token(
                self._access.secret,
                asked.get("subject", [""])[0],
                now_s=now_s,
                lifetime_s=float(asked.get("lifetime_s", [LIFETIME_S])[0]),
                voices=asked.get("voice", ()),
                issuer=self._access.issuer,
                audience=self._access.audience,
            )
        except ConfigError as error:
            return self._text(HTTPStatus.BAD_REQUEST, error.message)
        except ValueError:
            return self._text(HTTPStatus.BAD_REQUEST, "lifetime_s is a number of seconds.")
        return self._response(
            HTTPStatus.OK, "application/json", json.dumps({"token": token}).encode()
        )

    def _is_application(self, headers: Mapping[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        expected = self._access.secret
        return (
            bool(expected)
            and scheme.lower() == "bearer"
            and hmac.compare_digest(given.strip().encode("utf-8", "replace"), expected)
        )

    def _file(self, page: PageFile, origin: str | None) -> Response:
        response = self._response(HTTPStatus.OK, page.kind, page.body, cache="no-cache")
        return self._shared(response, origin)

    def _shared(self, response: Response, origin: str | None) -> Response:
        """Return a response that pages of allowed sites may read."""
        shared = {"Vary": "Origin"}
        if origin is not None and self._access.allows(origin):
            # Pages of other sites that use the element load its modules from here.
            shared["Access-Control-Allow-Origin"] = origin
        return Response(response.status, {**response.headers, **shared}, response.body)

    def _text(self, status: HTTPStatus, text: str) -> Response:
        return self._response(status, _TEXT, f"{text}\n".encode())

    def _response(
        self, status: HTTPStatus, kind: str, body: bytes, *, cache: str = "no-store"
    ) -> Response:
        facts = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": cache}
        return Response(status, {**facts, **self._headers}, body)
