"""The hand-written floor of the benchmark `sessions`: one conversation in straight-line code.

It shows what a conversation costs at least in Python on asyncio with TLS: one protocol class that
signs, frames and parses by hand, with `json` and `base64` of the standard library. It has no
errors to explain, no deadlines, no renewal, and one way of sending. It keeps to the windows of
HTTP/2 and verifies nothing that it receives. It cannot be used for anything else.

    microphone ──► FloorConnection.send: JSON, base64, signature, DATA frame ──► one write
    data_received: DATA frame, message, JSON, base64 ──► sink.play
"""

import asyncio
import hmac
import json
import os
import ssl
import struct
import time
from base64 import b64decode, b64encode
from binascii import crc32
from collections.abc import Callable
from hashlib import sha256
from typing import Any, cast
from urllib.parse import quote, urlsplit

from hpack import Encoder

from scripts.bench.common import MODEL

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK, _END_STREAM, _END_HEADERS = 1, 1, 4
_INITIAL_WINDOW_SIZE = 4
_DEFAULT_WINDOW_BYTES = 65_535
_WINDOW_BYTES = 4 * 1024 * 1024
_CREDIT_STEP_BYTES = _WINDOW_BYTES // 8
_HEADER_BYTES = 9
_PRELUDE_BYTES = 12
_STREAM = 1
_SERVICE = "bedrock"
_STREAMING_BODY = "STREAMING-AWS4-HMAC-SHA256-EVENTS"


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def _header(name: str, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name.encode() + bytes([kind]) + value


def _text_header(name: str, value: str) -> bytes:
    return _header(name, 7, struct.pack("!H", len(value)) + value.encode())


def _message(headers: bytes, payload: bytes) -> bytes:
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    checksum = crc32(prelude)
    body = struct.pack("!I", checksum) + headers + payload
    return prelude + body + struct.pack("!I", crc32(body, checksum))


_CHUNK = (
    _text_header(":message-type", "event")
    + _text_header(":event-type", "chunk")
    + _text_header(":content-type", "application/json")
)


def _digest(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


class FloorConnection(asyncio.Protocol):
    """A connection with one request, whose events are signed in a chain.

    Args:
        on_event: Function that is called with the JSON object of each event of the service.
    """

    def __init__(self, on_event: Callable[[dict[str, Any]], None]) -> None:
        self._on_event = on_event
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """A future that is done when the connection has ended."""
        self._transport = cast(asyncio.Transport, None)
        self._received = bytearray()
        self._inbox = bytearray()
        self._owed_bytes = 0
        self._windows = [_DEFAULT_WINDOW_BYTES, _DEFAULT_WINDOW_BYTES]  # connection, stream
        self._initial_window = _DEFAULT_WINDOW_BYTES
        self._room = asyncio.Event()
        self._second = 0
        self._day: str = ""
        self._key = b""
        self._to_sign = ""
        self._signature = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the preface, the settings and the signed request."""
        self._transport = cast(asyncio.Transport, transport)
        settings = struct.pack("!HI", _INITIAL_WINDOW_SIZE, _WINDOW_BYTES)
        request = Encoder().encode(self._request())
        self._transport.write(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, settings)
            + _frame(_WINDOW_UPDATE, 0, 0, struct.pack("!I", 4 * _WINDOW_BYTES))
            + _frame(_HEADERS, _END_HEADERS, _STREAM, request)
        )

    def _request(self) -> list[tuple[str, str]]:
        host = urlsplit(os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]).netloc
        path = f"/model/{quote(MODEL, safe='')}/invoke-with-bidirectional-stream"
        now = time.gmtime()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", now)
        scope = self._scope(stamp[:8])
        canonical = (
            f"POST\n{quote(path)}\n\nhost:{host}\nx-amz-date:{stamp}\n\nhost;x-amz-date\n"
            f"{_STREAMING_BODY}"
        )
        digest = sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        self._signature = _digest(self._key, to_sign).hex()
        signed = "SignedHeaders=host;x-amz-date"
        credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
        return [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", host),
            (":path", path),
            ("content-type", "application/vnd.amazon.eventstream"),
            ("x-amz-content-sha256", _STREAMING_BODY),
            ("x-amz-date", stamp),
            (
                "authorization",
                f"AWS4-HMAC-SHA256 Credential={credential}, {signed}, Signature={self._signature}",
            ),
        ]

    def _scope(self, day: str) -> str:
        region = os.environ["AWS_REGION"]
        if day != self._day:
            self._day = day
            key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
            for part in (day, region, _SERVICE, "aws4_request"):
                key = _digest(key, part)
            self._key = key
        return f"{day}/{region}/{_SERVICE}/aws4_request"

    # --- sending

    async def send(self, payload: bytes) -> None:
        """Sign and send one event; wait while a flow-control window is full."""
        await self._write(_message(_CHUNK, b'{"bytes":"%b"}' % b64encode(payload)))

    async def end(self) -> None:
        """Send the empty message that ends the input, and END_STREAM."""
        await self._write(b"")
        self._transport.write(_frame(_DATA, _END_STREAM, _STREAM, b""))

    async def _write(self, inner: bytes) -> None:
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._second))
            self._to_sign = f"AWS4-HMAC-SHA256-PAYLOAD\n{stamp}\n{self._scope(stamp[:8])}\n"
        date = _header(":date", 8, struct.pack("!q", int(now * 1000)))
        text = (
            f"{self._to_sign}{self._signature}\n"
            f"{sha256(date).hexdigest()}\n{sha256(inner).hexdigest()}"
        )
        signature = hmac.digest(self._key, text.encode(), "sha256")
        self._signature = signature.hex()
        headers = date + _header(":chunk-signature", 6, struct.pack("!H", 32) + signature)
        data = _message(headers, inner)
        while min(self._windows) < len(data):
            self._room.clear()
            await self._room.wait()
        self._windows[0] -= len(data)
        self._windows[1] -= len(data)
        self._transport.write(_frame(_DATA, 0, _STREAM, data))

    # --- receiving

    def data_received(self, data: bytes) -> None:
        """Act on every complete frame."""
        self._received += data
        while len(self._received) >= _HEADER_BYTES:
            length = int.from_bytes(self._received[:3])
            kind, flags, stream = struct.unpack_from("!BBI", self._received, 3)
            end = _HEADER_BYTES + length
            if len(self._received) < end:
                return
            payload = bytes(self._received[_HEADER_BYTES:end])
            del self._received[:end]
            if kind == _DATA:
                self._receive_data(payload)
                if flags & _END_STREAM:
                    self._transport.close()
            elif kind == _WINDOW_UPDATE:
                self._windows[bool(stream)] += struct.unpack("!I", payload)[0]
                self._room.set()
            elif kind == _SETTINGS and not flags & _ACK:
                self._adopt(payload)
            elif kind == _PING and not flags & _ACK:
                self._transport.write(_frame(_PING, _ACK, 0, payload))
            elif kind in {_RESET, _GOAWAY}:
                self._transport.close()

    def _adopt(self, settings: bytes) -> None:
        for name, value in struct.iter_unpack("!HI", settings):
            if name == _INITIAL_WINDOW_SIZE:
                self._windows[1] += value - self._initial_window
                self._initial_window = value
        self._transport.write(_frame(_SETTINGS, _ACK, 0, b""))
        self._room.set()

    def _receive_data(self, data: bytes) -> None:
        self._owed_bytes += len(data)
        if self._owed_bytes > _CREDIT_STEP_BYTES:
            credit = struct.pack("!I", self._owed_bytes)
            self._transport.write(
                _frame(_WINDOW_UPDATE, 0, 0, credit) + _frame(_WINDOW_UPDATE, 0, _STREAM, credit)
            )
            self._owed_bytes = 0
        self._inbox += data
        while len(self._inbox) >= _PRELUDE_BYTES:
            length, headers = struct.unpack_from("!II", self._inbox)
            if len(self._inbox) < length:
                return
            body = json.loads(self._inbox[_PRELUDE_BYTES + headers : length - 4])
            del self._inbox[:length]
            if "bytes" in body:
                self._on_event(json.loads(b64decode(body["bytes"]))["event"])

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the connection."""
        self._room.set()
        if not self.closed.done():
            self.closed.set_result(None)


def floor_context() -> ssl.SSLContext:
    """Return the TLS context of all floor connections."""
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    context.set_alpn_protocols(["h2"])
    return context


async def connect_floor(
    context: ssl.SSLContext, on_event: Callable[[dict[str, Any]], None]
) -> FloorConnection:
    """Connect to the endpoint of the environment and send the request."""
    url = urlsplit(os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"])
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: FloorConnection(on_event), str(url.hostname), url.port or 443, ssl=context
    )
    return connection
