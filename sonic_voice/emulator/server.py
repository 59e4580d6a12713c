"""The emulator's network side: TLS, HTTP/2, who may come in, and one task per stream.

    async with Emulator(factory, synthesize=speak) as emulator:
        os.environ |= emulator.environment()     # any AWS SDK now talks to it

Knows the wire and nothing of the conversation: requests and their signatures are checked here,
frames in `served`, and what is said is decided by the `Service` that the factory makes. A client
that speaks no HTTP/2, or no TLS, or rubbish, loses its connection and nothing else happens.

Source: protocol reference 1.1, 1.7 and 11.1.
"""

import asyncio
import json
import logging
import re
import ssl
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self
from urllib.parse import unquote
from uuid import uuid4

from ..errors import ConfigError, SonicError
from ..http2.connection import STREAM_WINDOW_BYTES, H2Connection
from ..http2.stream import H2Stream
from .effects import Note, Refusal, ServiceFactory, StreamRequest, Synthesize
from .served import Pace, ServedStream, StreamStatistics
from .sigv4 import AuthError, FrameChain, HttpRequest, Keys, SignedRequest, verify_request

_log = logging.getLogger(__name__)

LOCAL_KEYS = Keys("AKIALOCALEMULATOR000", "local-emulator-secret-key-of-no-account0")
"""The credentials that the emulator takes: of no account, and no secret."""

LOCAL_REGION = "us-east-1"

_ROUTE = re.compile(r"/model/(?P<model>[^/?]+)/invoke-with-bidirectional-stream")
_KEPT_STATISTICS = 1000
_CLOSE_S = 0.5
"""How long clients may take to answer the goodbye before they are cut off."""


class _ServerConnection(H2Connection):
    """Known to the emulator from the end of the TLS handshake to the end of the socket."""

    def __init__(
        self,
        known: "set[_ServerConnection]",
        on_request: Callable[[H2Connection, H2Stream], None],
        window_bytes: int,
    ) -> None:
        super().__init__(
            on_stream=lambda stream: on_request(self, stream), window_bytes=window_bytes
        )
        self._known = known

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._known.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._known.discard(self)
        super().connection_lost(exc)


class Emulator:
    """A local Bedrock that speaks Nova Sonic's stream. An async context manager.

    `factory` makes the service of each stream or refuses it; `synthesize` speaks for it, in a
    thread. `port` 0 takes a free one. `tls=False` is HTTP/2 by prior knowledge, for own tests.
    `strict` refuses what real clients are known to do wrong; else `on_note` hears of it.
    """

    def __init__(
        self,
        factory: ServiceFactory,
        *,
        synthesize: Synthesize | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = True,
        keys: Keys = LOCAL_KEYS,
        region: str = LOCAL_REGION,
        pace: Pace | None = None,
        strict: bool = False,
        on_note: Callable[[StreamRequest, Note], None] | None = None,
        window_bytes: int = STREAM_WINDOW_BYTES,
    ) -> None:
        self.streams: deque[StreamStatistics] = deque(maxlen=_KEPT_STATISTICS)
        """What the streams did, oldest first; the last thousand."""
        self.ca_pem = b""
        """The CA that signed the certificate: PEM. Empty without TLS."""
        self.port = port
        self._factory = factory
        self._synthesize = synthesize or _silence
        self._host = host
        self._tls = tls
        self._keys = keys
        self._region = region
        self._pace = pace or Pace()
        self._strict = strict
        self._on_note = on_note
        self._window_bytes = window_bytes
        self._connections: set[_ServerConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="emulator speech")
        self._folder: TemporaryDirectory[str] | None = None
        self._server: asyncio.Server | None = None

    @property
    def endpoint(self) -> str:
        """Where it listens, as a URL."""
        host = "localhost" if self._host in {"127.0.0.1", "::1", "0.0.0.0"} else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def ca_file(self) -> Path:
        """A PEM file with the CA, for as long as the emulator runs."""
        if self._folder is None:
            raise ConfigError("The emulator has no CA file: it is not open, or without TLS.")
        return Path(self._folder.name) / "ca.pem"

    def environment(self) -> dict[str, str]:
        """The variables that point any AWS SDK at this emulator."""
        variables = {
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.endpoint,
            "AWS_ACCESS_KEY_ID": self._keys.access_key,
            "AWS_SECRET_ACCESS_KEY": self._keys.secret_key,
            "AWS_REGION": self._region,
        }
        if self._tls:
            variables["SSL_CERT_FILE"] = str(self.ca_file)
            variables["AWS_CA_BUNDLE"] = str(self.ca_file)
        return variables

    async def __aenter__(self) -> Self:
        try:
            await self._listen()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End every stream and connection, within about a second. Idempotent."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for connection in tuple(self._connections):
            connection.close()
        if closing := [c.closed for c in self._connections]:
            await asyncio.wait(closing, timeout=_CLOSE_S)
        for connection in tuple(self._connections):
            connection.cut()
        if closing := [c.closed for c in self._connections]:
            await asyncio.wait(closing)
        if self._server is not None:
            with suppress(TimeoutError):  # somebody may be stuck in a TLS handshake
                await asyncio.wait_for(self._server.wait_closed(), _CLOSE_S)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        context = self._certify() if self._tls else None
        try:
            self._server = await loop.create_server(
                lambda: _ServerConnection(self._connections, self._accept, self._window_bytes),
                self._host,
                self.port,
                ssl=context,
                ssl_handshake_timeout=10.0 if context else None,
                ssl_shutdown_timeout=_CLOSE_S if context else None,
            )
        except OSError as error:
            raise ConfigError(
                f"Cannot listen at {self._host}:{self.port}: {error.strerror or error}.",
                hint="Another port, or 0 for any free one.",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    def _certify(self) -> ssl.SSLContext:
        """A CA of our own, for this run only, and a certificate of it for this machine."""
        try:
            import trustme
        except ImportError as error:
            raise ConfigError(
                "The emulator's TLS needs the package trustme.",
                hint="pip install 'sonic-voice[emulator]'",
            ) from error
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        names = dict.fromkeys(("localhost", "127.0.0.1", "::1", self._host))
        names.pop("0.0.0.0", None)
        authority.issue_cert(*names).configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
        self.ca_pem = authority.cert_pem.bytes()
        self._folder = TemporaryDirectory(prefix="sonic-voice-")
        self.ca_file.write_bytes(self.ca_pem)
        return context

    # --- requests

    def _accept(self, connection: H2Connection, stream: H2Stream) -> None:
        task = asyncio.create_task(self._serve(connection, stream), name="emulator stream")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: H2Connection, stream: H2Stream) -> None:
        request_id = str(uuid4())
        served = self._admit(connection, stream, request_id)
        if isinstance(served, Refusal):
            with suppress(SonicError):  # the client may be gone before it has read it
                await _refuse(connection, stream, served, request_id)
            return
        self.streams.append(served.statistics)
        await served.run()

    def _admit(
        self, connection: H2Connection, stream: H2Stream, request_id: str
    ) -> Refusal | ServedStream:
        answer = self._check(stream, request_id)
        if isinstance(answer, Refusal):
            return answer
        request, signed = answer
        try:
            service = self._factory(request)
        except Exception:
            _log.exception("the factory of emulated services broke")
            return Refusal(500, "InternalServerException", "The emulator broke; see its log.")
        if isinstance(service, Refusal):
            return service
        return ServedStream(
            stream,
            connection,
            request,
            service,
            FrameChain(signed),
            synthesize=self._synthesize,
            threads=self._threads,
            pace=self._pace,
            strict=self._strict,
            on_note=self._noted,
        )

    def _check(
        self, stream: H2Stream, request_id: str
    ) -> Refusal | tuple[StreamRequest, SignedRequest]:
        """Whether this request is one for a stream, and signed by someone we know."""
        headers = _joined(stream.headers or [])
        headers.setdefault("host", headers.get(":authority", ""))
        path, _, query = headers.get(":path", "").partition("?")
        route = _ROUTE.fullmatch(path)
        if route is None:
            return Refusal(404, "UnknownOperationException", f"There is nothing at {path}.")
        if headers.get(":method") != "POST":
            return Refusal(405, "UnknownOperationException", "Only POST is understood here.")
        try:
            signed = verify_request(
                HttpRequest("POST", path, query, headers), self._keys, datetime.now(UTC)
            )
        except AuthError as error:
            return Refusal(error.status, error.code, error.message)
        return StreamRequest(unquote(route["model"]), signed.region, request_id), signed

    def _noted(self, request: StreamRequest, note: Note) -> None:
        _log.warning("stream %s, %s: %s", request.request_id, note.rule, note.text)
        if self._on_note is not None:
            self._on_note(request, note)


async def _refuse(
    connection: H2Connection, stream: H2Stream, refusal: Refusal, request_id: str
) -> None:
    """An HTTP error instead of a stream (reference 1.7)."""
    _log.info("refused: %d %s: %s", refusal.status, refusal.code, refusal.message)
    connection.send_headers(
        stream,
        [
            (":status", str(refusal.status)),
            ("content-type", "application/json"),
            ("x-amzn-errortype", refusal.code),
            ("x-amzn-requestid", request_id),
        ],
    )
    stream.discard_input()
    await stream.write(json.dumps({"message": refusal.message}).encode())
    stream.end()


def _joined(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Headers by name; repeated ones joined, as signing does."""
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _silence(text: str, voice: str, rate_hz: int) -> bytes:
    """Without a voice: a tenth of a second per word, so that timing can still be seen."""
    return bytes(2 * (rate_hz // 10) * max(1, len(text.split())))
