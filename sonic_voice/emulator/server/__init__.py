"""The emulator's network side: TLS, HTTP/2, connection limits, and one task per stream.

    async with Emulator(factory, engines=Engines(speak)) as emulator:
        os.environ |= emulator.environment()     # any AWS SDK now talks to it

This package knows the wire and nothing of the conversation. Requests and their signatures are
checked here, frames in `stream_handler`, and the content of the conversation is decided by the
`Service` that the factory makes. A client that does not speak HTTP/2 or TLS, or sends garbage,
loses its connection, and nothing else happens.

Source: reference 1.1, 1.7 and 11.1.
"""

import asyncio
import json
import logging
import re
import ssl
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import unquote
from uuid import uuid4

from ...errors import ConfigError, SonicError
from ...http2.connection import H2Connection
from ...http2.stream import H2Stream
from ..behaviour import Behaviour
from ..observers import EmulatorObserver, EmulatorObservers, StreamStatistics
from ..service.effects import (
    ServiceFactory,
    StreamRefusal,
    StreamRequest,
)
from .certificates import CertificateAuthority
from .connection_limits import (
    HEALTH_PATHS,
    HEALTHY,
    ConnectionLimits,
    LoggingSSLObject,
    ServerConnections,
)
from .engines import Engines
from .sigv4 import (
    UNKNOWN_KEY,
    AccessKeyPair,
    AuthError,
    HttpRequest,
    SignatureChain,
    SignedRequest,
    verify_request,
)
from .stream_handler import StreamHandler

_log = logging.getLogger(__name__)

LOCAL_KEYS = AccessKeyPair("AKIALOCALEMULATOR000", "local-emulator-secret-key-of-no-account0")
"""The credentials that the emulator accepts by default. They belong to no account and are not
secret."""

LOCAL_REGION = "us-east-1"
"""The region that the emulator names to clients. It accepts any."""

TOO_MANY = StreamRefusal(
    429, "ThrottlingException", "Too many requests, please wait before trying again."
)
"""Answer to a stream above the limit of concurrent streams (reference 1.7), with Bedrock's usual
text."""

SPEECH_THREADS = 16
"""Threads for the speech engines. Most of them wait, each for one stream, for engines that do one
thing at a time."""

RELEASE_AFTER_S = 20.0
"""Time from the end of a stream to the release of what the engines kept for it, in seconds: long
enough that the next conversation of a person or a test finds everything ready."""

_ROUTE = re.compile(r"/model/(?P<model>[^/?]+)/invoke-with-bidirectional-stream")
_KEPT_STATISTICS = 1000
"""Number of streams whose statistics are kept."""
_CLOSE_S = 0.5
"""Seconds in which clients must answer a GOAWAY before their connection is aborted."""


class Emulator:
    """A local Bedrock endpoint with the stream of Nova Sonic. An async context manager.

    Args:
        factory: Makes the service of each stream, or refuses it.
        behaviour: The settings of the emulator. The server uses those about the network: the limits
            of a stream, the number of streams, and whether mistakes in frames are refused. The rest
            is up to the factory.
        engines: Speech synthesis, speech recognition and chat requests. None: silence for speech,
            and none of the others.
        host: The name or address to listen at.
        port: The TCP port; 0 takes a free one.
        tls: False for HTTP/2 with prior knowledge, for the tests of this project.
        keys: The credentials that are accepted. They are read at each request, so a list may
            change.
        authority: Signs the server's certificate. None: one for this run only.
        limits: The limits of the connections.
        names: Further names and addresses for the server's certificate.
        observers: Observe the streams.
    """

    def __init__(
        self,
        factory: ServiceFactory,
        *,
        behaviour: Behaviour | None = None,
        engines: Engines | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = True,
        keys: AccessKeyPair | Sequence[AccessKeyPair] = LOCAL_KEYS,
        authority: CertificateAuthority | None = None,
        limits: ConnectionLimits | None = None,
        names: Sequence[str] = (),
        observers: Sequence[EmulatorObserver] = (),
    ) -> None:
        self.streams: deque[StreamStatistics] = deque(maxlen=_KEPT_STATISTICS)
        """Statistics of the last thousand streams, oldest first."""
        self.ca_pem = b""
        """The certificate of the CA, as PEM. Empty without TLS."""
        self.port = port
        self._factory = factory
        self._engines = engines or Engines()
        self._host = host
        self._tls = tls
        self._keys = keys
        self._behaviour = behaviour or Behaviour()
        self._limits = limits or ConnectionLimits()
        self._names = tuple(names)
        self._given_authority = authority
        self._authority: CertificateAuthority | None = None
        self._observers = EmulatorObservers(observers)
        self._connections = ServerConnections(self._accept, self._limits)
        self._tasks: set[asyncio.Task[None]] = set()
        self._live = 0
        self._threads = ThreadPoolExecutor(SPEECH_THREADS, thread_name_prefix="emulator speech")
        # A thread of its own: forty streams that wait for networks must not keep others from
        # speaking.
        self._preparer = ThreadPoolExecutor(1, thread_name_prefix="emulator engines")
        self._closed = False
        self._release_timer: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None

    @property
    def endpoint(self) -> str:
        """The URL at which the emulator listens."""
        host = "localhost" if self._host in {"127.0.0.1", "::1", "0.0.0.0"} else self._host
        # The Python SDK's signer cannot take a URL that names its scheme's own port.
        port = "" if self.port == (443 if self._tls else 80) else f":{self.port}"
        return f"{'https' if self._tls else 'http'}://{host}{port}"

    @property
    def ca_file(self) -> Path:
        """A PEM file with the certificate of the CA, which exists while the emulator runs.

        Raises:
            ConfigError: The emulator is not open, or runs without TLS.
        """
        if self._authority is None:
            raise ConfigError("The emulator has no CA file: it is not open, or without TLS.")
        return self._authority.ca_file

    def environment(self) -> dict[str, str]:
        """Return the environment variables that direct any AWS SDK to this emulator."""
        keys = self._keys if isinstance(self._keys, AccessKeyPair) else self._keys[0]
        variables = {
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.endpoint,
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_REGION": LOCAL_REGION,
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
        """End every stream and connection, within about a second. May be called again."""
        self._closed = True
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._connections.aclose(_CLOSE_S)
        if self._server is not None:
            with suppress(TimeoutError):  # a client may be stuck in a TLS handshake
                await asyncio.wait_for(self._server.wait_closed(), _CLOSE_S)
        if self._release_timer is not None:
            self._release_timer.cancel()
        for threads in (self._threads, self._preparer):
            threads.shutdown(wait=False, cancel_futures=True)
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
                ssl_handshake_timeout=self._limits.handshake_s if context else None,
                ssl_shutdown_timeout=_CLOSE_S if context else None,
            )
        except OSError as error:
            raise ConfigError(
                f"Cannot listen at {self._host}:{self.port}: {error.strerror or error}.",
                hint="Another port, or 0 for any free one.",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    def _certify(self) -> ssl.SSLContext:
        self._authority = self._given_authority or CertificateAuthority.of_this_run()
        self.ca_pem = self._authority.ca_pem
        context = self._authority.server_context(self._host, *self._names)
        context.sslobject_class = LoggingSSLObject
        return context

    # --- requests

    def _accept(self, connection: H2Connection, stream: H2Stream) -> None:
        task = asyncio.create_task(self._serve(connection, stream), name="emulator stream")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: H2Connection, stream: H2Stream) -> None:
        if _is_health_check(stream):
            with suppress(SonicError):
                await _answer_health_check(connection, stream)
            return
        request_id = str(uuid4())
        answer = self._check(stream, request_id)
        model = "" if isinstance(answer, StreamRefusal) else answer[0].model_id
        served = (
            answer
            if isinstance(answer, StreamRefusal)
            else self._admit(connection, stream, *answer)
        )
        if isinstance(served, StreamRefusal):
            self._observers.refused(request_id, model, served)
            with suppress(SonicError):  # the client may be gone before it has read it
                await _refuse(connection, stream, served, request_id)
            return
        self.streams.append(served.statistics)
        self._live += 1
        try:
            await served.run(self._prepare_engines())
        finally:
            self._live -= 1
            self._release_engines_later()

    def _prepare_engines(self) -> asyncio.Future[None] | None:
        if (prepare := self._engines.prepare) is None:
            return None
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._preparer, prepare, self._live)

    def _release_engines_later(self) -> None:
        release = self._engines.release
        if release is None or self._closed or self._release_timer is not None:
            return

        def submit() -> None:
            self._release_timer = None
            self._preparer.submit(release, self._live)

        self._release_timer = asyncio.get_running_loop().call_later(RELEASE_AFTER_S, submit)

    def _admit(
        self,
        connection: H2Connection,
        stream: H2Stream,
        request: StreamRequest,
        signed: SignedRequest,
    ) -> StreamRefusal | StreamHandler:
        most = self._behaviour.max_streams
        if most is not None and self._live >= most:
            return TOO_MANY
        try:
            service = self._factory(request)
        except Exception:
            _log.exception("the factory of emulated services failed")
            return StreamRefusal(500, "InternalServerException", "The emulator broke; see its log.")
        if isinstance(service, StreamRefusal):
            return service
        return StreamHandler(
            stream,
            connection,
            request,
            service,
            SignatureChain(signed),
            engines=self._engines,
            threads=self._threads,
            behaviour=self._behaviour,
            observer=self._observers,
        )

    def _check(
        self, stream: H2Stream, request_id: str
    ) -> StreamRefusal | tuple[StreamRequest, SignedRequest]:
        """Check the route and the signature of a request.

        Returns:
            The request and its signature, or the reason why it is refused.
        """
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
            if error.code == UNKNOWN_KEY:
                _log.info(
                    "a client signs with keys that are not the emulator's: does its environment "
                    "set AWS_PROFILE, or do its files come first?"
                )
            return StreamRefusal(error.status, error.code, error.message)
        return StreamRequest(unquote(route["model"]), signed.region, request_id), signed


def _is_health_check(stream: H2Stream) -> bool:
    headers = dict(stream.headers or [])
    return headers.get(":method") in {"GET", "HEAD"} and headers.get(":path") in HEALTH_PATHS


async def _answer_health_check(connection: H2Connection, stream: H2Stream) -> None:
    connection.send_headers(stream, [(":status", "200"), ("content-type", "text/plain")])
    stream.discard_input()
    if dict(stream.headers or [])[":method"] == "GET":
        await stream.write(HEALTHY)
    stream.end()


async def _refuse(
    connection: H2Connection, stream: H2Stream, refusal: StreamRefusal, request_id: str
) -> None:
    """Answer a request with an HTTP error instead of a stream (reference 1.7)."""
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
    """Return headers by name, with repeated ones joined by commas, as signatures need them."""
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined
