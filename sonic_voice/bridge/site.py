"""What the bridge answers over plain HTTP: the page's files, health, numbers, tokens. No I/O.

    /            index.html, and every other file of the page by its path
    /healthz     200 while conversations are taken, else 503
    /metrics     Prometheus text; with the secret as bearer token where tokens are asked for
    /token       ?subject=NAME[&lifetime_s=60][&voice=ID]: a session token; the same

All files are read at the start into one table, and a path is looked up there as it is: nothing that
a client writes is ever a path of this machine.
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
from .bridge import Bridge
from .tokens import LIFETIME_S, issue_token

TALK = "/talk"
"""Where WebSockets go."""

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
"""The files that are served; of any other kind there are none."""

_NOT_SERVED = ("node_modules", "test", "tests")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self'; media-src 'self' blob:; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

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
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """An answer over HTTP."""

    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes


def web_client() -> Path:
    """The folder of the page: inside the installed package, or beside it in a checkout."""
    package = Path(str(resources.files("sonic_voice")))
    inside = package / "web_client"
    return inside if inside.is_dir() else package.parent / "web_client"


def load_pages(folder: Path) -> dict[str, PageFile]:
    """The files below `folder` by path, `/` being `/index.html`. Raises `ConfigError`.

    Hidden files, links, tests and packages of Node are left aside.
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
    if "/index.html" in pages:
        pages["/"] = pages["/index.html"]
    return pages


class Site:
    """Answers requests about `bridge`. `access` is where its own origins are known."""

    def __init__(
        self, bridge: Bridge, pages: Mapping[str, PageFile], access: Access, *, tls: bool = False
    ) -> None:
        self._bridge = bridge
        self._pages = pages
        self._access = access
        self._headers = dict(_HEADERS)
        if tls:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], now_s: float
    ) -> Response:
        """The answer to `method target` with `headers` by lower-case name, at `time.time()`."""
        path, _, query = target.partition("?")
        if method not in ("GET", "HEAD"):
            response = self._text(HTTPStatus.METHOD_NOT_ALLOWED, "There is only GET.")
        elif path == "/healthz":
            response = self._health()
        elif path == "/metrics":
            response = self._metrics(headers)
        elif path == "/token" and self._access.secret:
            response = self._token(query, headers, now_s)
        elif path == TALK:
            response = self._text(HTTPStatus.UPGRADE_REQUIRED, "Open a WebSocket here.")
        elif page := self._pages.get(path):
            response = self._file(page, headers.get("origin"))
        else:
            response = self._text(HTTPStatus.NOT_FOUND, "There is nothing here.")
        body = b"" if method == "HEAD" else response.body
        return Response(response.status, response.headers, body)

    def _health(self) -> Response:
        if self._bridge.stopping:
            return self._text(HTTPStatus.SERVICE_UNAVAILABLE, "stopping")
        return self._text(HTTPStatus.OK, "ok")

    def _metrics(self, headers: Mapping[str, str]) -> Response:
        if self._access.asks_for_tokens and not self._is_application(headers):
            return self._text(HTTPStatus.UNAUTHORIZED, "The secret is asked for.")
        from .exposition import CONTENT_TYPE  # loaded by the bridge

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
        shared = {"Vary": "Origin"}
        if origin is not None and origin.lower() in self._access.origins:
            # The element is used on other sites, which load its modules from here.
            shared["Access-Control-Allow-Origin"] = origin
        return Response(response.status, {**response.headers, **shared}, response.body)

    def _text(self, status: HTTPStatus, text: str) -> Response:
        return self._response(status, _TEXT, f"{text}\n".encode())

    def _response(
        self, status: HTTPStatus, kind: str, body: bytes, *, cache: str = "no-store"
    ) -> Response:
        facts = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": cache}
        return Response(status, {**facts, **self._headers}, body)
