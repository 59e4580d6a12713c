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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import unquote
from uuid import uuid4

from ...errors import ConfigError, SonicError
from ...http2.connection import STREAM_WINDOW_BYTES, H2Connection
from ...http2.stream import H2Stream
from ..observers import StreamStatistics, Watch, Watches
from ..service.effects import (
    Consult,
    Note,
    RecognizerFactory,
    ServiceFactory,
    StreamRefusal,
    StreamRequest,
    Synthesize,
)
from .certificates import CertificateAuthority
from .connection_limits import ConnectionTimeouts, LoggingSSLObject, ServerConnections
from .sigv4 import (
    AccessKeyPair,
    AuthError,
    HttpRequest,
    SignatureChain,
    SignedRequest,
    verify_request,
)
from .stream_handler import StreamHandler, StreamTimeouts

_log = logging.getLogger(__name__)

LOCAL_KEYS = AccessKeyPair("AKIALOCALEMULATOR000", "local-emulator-secret-key-of-no-account0")
"""The credentials that the emulator takes: of no account, and no secret."""

LOCAL_REGION = "us-east-1"

TOO_MANY = StreamRefusal(
    429, "ThrottlingException", "Too many requests, please wait before trying again."
)
"""To a stream over the limit of concurrent ones (reference 1.7); its text is Bedrock's usual."""

SPEECH_THREADS = 16
"""Most of them wait, each for one stream, for engines that do one thing at a time."""

_ROUTE = re.compile(r"/model/(?P<model>[^/?]+)/invoke-with-bidirectional-stream")
_KEPT_STATISTICS = 1000
_CLOSE_S = 0.5
"""How long clients may take to answer the goodbye before they are cut off."""


class Emulator:
    """A local Bedrock that speaks Nova Sonic's stream. An async context manager.

    `factory` makes the service of each stream or refuses it; `synthesize` speaks for it, in a
    thread; `consult` asks a chat endpoint, for brains that need one; `prepare` is told in a thread,
    before each stream, how many there will be. `port` 0 takes a free one.
    `tls=False` is HTTP/2 by prior knowledge, for own tests. `strict` refuses what real clients are
    known to do wrong; else `on_note` hears of it. At most `max_streams` at once, further ones are
    throttled; None: any number. `keys` are accepted, and read at each request, so that a list may
    change. `authority` signs the certificate; None: one for this run alone.
    `watches` look on.
    """

    def __init__(
        self,
        factory: ServiceFactory,
        *,
        synthesize: Synthesize | None = None,
        recognizer_factory: RecognizerFactory | None = None,
        consult: Consult | None = None,
        prepare: Callable[[int], None] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = True,
        keys: AccessKeyPair | Sequence[AccessKeyPair] = LOCAL_KEYS,
        region: str = LOCAL_REGION,
        timeouts: StreamTimeouts | None = None,
        strict: bool = False,
        on_note: Callable[[StreamRequest, Note], None] | None = None,
        window_bytes: int = STREAM_WINDOW_BYTES,
        max_streams: int | None = None,
        authority: CertificateAuthority | None = None,
        connection_timeouts: ConnectionTimeouts | None = None,
        watches: Sequence[Watch] = (),
    ) -> None:
        self.streams: deque[StreamStatistics] = deque(maxlen=_KEPT_STATISTICS)
        """What the streams did, oldest first; the last thousand."""
        self.ca_pem = b""
        """The CA that signed the certificate: PEM. Empty without TLS."""
        self.port = port
        self._factory = factory
        self._synthesize = synthesize or _silence
        self._recognizer_factory = recognizer_factory
        self._consult = consult
        self._prepare = prepare
        self._host = host
        self._tls = tls
        self._keys = keys
        self._region = region
        self._timeouts = timeouts or StreamTimeouts()
        self._strict = strict
        self._on_note = on_note
        self._max_streams = max_streams
        self._given = authority
        self._authority: CertificateAuthority | None = None
        self._watch = Watches(watches)
        self._connections = ServerConnections(
            self._accept, window_bytes, connection_timeouts or ConnectionTimeouts()
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._live = 0
        self._threads = ThreadPoolExecutor(SPEECH_THREADS, thread_name_prefix="emulator speech")
        self._server: asyncio.Server | None = None

    @property
    def endpoint(self) -> str:
        """Where it listens, as a URL."""
        host = "localhost" if self._host in {"127.0.0.1", "::1", "0.0.0.0"} else self._host
        # The Python SDK's signer cannot take a URL that names its scheme's own port.
        port = "" if self.port == (443 if self._tls else 80) else f":{self.port}"
        return f"{'https' if self._tls else 'http'}://{host}{port}"

    @property
    def ca_file(self) -> Path:
        """A PEM file with the CA, for as long as the emulator runs."""
        if self._authority is None:
            raise ConfigError("The emulator has no CA file: it is not open, or without TLS.")
        return self._authority.ca_file

    def environment(self) -> dict[str, str]:
        """The variables that point any AWS SDK at this emulator."""
        keys = self._keys if isinstance(self._keys, AccessKeyPair) else self._keys[0]
        variables = {
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.endpoint,
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
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
        await self._connections.aclose(_CLOSE_S)
        if self._server is not None:
            with suppress(TimeoutError):  # somebody may be stuck in a TLS handshake
                await asyncio.wait_for(self._server.wait_closed(), _CLOSE_S)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._authority is not None:
            self._authority.remove_files()
            self._authority = None

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        context = self._certify() if self._tls else None
        try:
            self._server = await loop.create_server(
                self._connections.open,
                self._host,
                self.port,
                ssl=context,
                ssl_handshake_timeout=self._connections.timeouts.handshake_s if context else None,
                ssl_shutdown_timeout=_CLOSE_S if context else None,
            )
        except OSError as error:
            raise ConfigError(
                f"Cannot listen at {self._host}:{self.port}: {error.strerror or error}.",
                hint="Another port, or 0 for any free one.",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    def _certify(self) -> ssl.SSLContext:
        self._authority = self._given or CertificateAuthority.of_this_run()
        self.ca_pem = self._authority.ca_pem
        context = self._authority.server_context(self._host)
        context.sslobject_class = LoggingSSLObject
        return context

    # --- requests

    def _accept(self, connection: H2Connection, stream: H2Stream) -> None:
        task = asyncio.create_task(self._serve(connection, stream), name="emulator stream")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: H2Connection, stream: H2Stream) -> None:
        request_id = str(uuid4())
        answer = self._check(stream, request_id)
        model = "" if isinstance(answer, StreamRefusal) else answer[0].model_id
        served = (
            answer
            if isinstance(answer, StreamRefusal)
            else self._admit(connection, stream, *answer)
        )
        if isinstance(served, StreamRefusal):
            self._watch.refused(request_id, model, served)
            with suppress(SonicError):  # the client may be gone before it has read it
                await _refuse(connection, stream, served, request_id)
            return
        self.streams.append(served.statistics)
        self._live += 1
        try:
            if self._prepare is not None:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._threads, self._prepare, self._live)
            await served.run()
        finally:
            self._live -= 1

    def _admit(
        self,
        connection: H2Connection,
        stream: H2Stream,
        request: StreamRequest,
        signed: SignedRequest,
    ) -> StreamRefusal | StreamHandler:
        if self._max_streams is not None and self._live >= self._max_streams:
            return TOO_MANY
        try:
            service = self._factory(request)
        except Exception:
            _log.exception("the factory of emulated services broke")
            return StreamRefusal(500, "InternalServerException", "The emulator broke; see its log.")
        if isinstance(service, StreamRefusal):
            return service
        return StreamHandler(
            stream,
            connection,
            request,
            service,
            SignatureChain(signed),
            synthesize=self._synthesize,
            recognizer_factory=self._recognizer_factory,
            consult=self._consult,
            threads=self._threads,
            timeouts=self._timeouts,
            strict=self._strict,
            on_note=self._noted,
            watch=self._watch,
        )

    def _check(
        self, stream: H2Stream, request_id: str
    ) -> StreamRefusal | tuple[StreamRequest, SignedRequest]:
        """Whether this request is one for a stream, and signed by someone we know."""
        headers = _joined(stream.headers or [])
        headers.setdefault("host", headers.get(":authority", ""))
        path, _, query = headers.get(":path", "").partition("?")
        route = _ROUTE.fullmatch(path)
        if route is None:
            return StreamRefusal(404, "UnknownOperationException", f"There is nothing at {path}.")
        if headers.get(":method") != "POST":
            return StreamRefusal(405, "UnknownOperationException", "Only POST is understood here.")
        try:
            signed = verify_request(
                HttpRequest("POST", path, query, headers), self._keys, datetime.now(UTC)
            )
        except AuthError as error:
            return StreamRefusal(error.status, error.code, error.message)
        return StreamRequest(unquote(route["model"]), signed.region, request_id), signed

    def _noted(self, request: StreamRequest, note: Note) -> None:
        _log.debug("stream %s, %s: %s", request.request_id, note.rule, note.text)
        if self._on_note is not None:
            self._on_note(request, note)


async def _refuse(
    connection: H2Connection, stream: H2Stream, refusal: StreamRefusal, request_id: str
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
