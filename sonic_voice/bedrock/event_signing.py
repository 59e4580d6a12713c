"""Signatures and framing of input events in straight-line code.

An event is a message in a message (protocol reference 1.4 and 1.5):

    inner:  prelude, constant headers, {"bytes":"<base64 of the payload>"}, checksum
    outer:  prelude, :date, :chunk-signature, the inner message, checksum

    signature = HMAC-SHA256(key of the day, text)
    text      = AWS4-HMAC-SHA256-PAYLOAD, time, scope, signature before,
                SHA-256(:date header), SHA-256(inner message)          one line each

    HMAC(key, text) = SHA-256(key xor 0x5c..., SHA-256(key xor 0x36..., text))         RFC 2104

`hmac.digest` looks up its algorithm for each event, which takes longer than hashing the text. The
two hashes here are begun once a day, and copied for each event.

The time of an event is read once. Its day decides scope and key, also where midnight passes or the
clock is set back. The chain of signatures does not restart then: the signature before goes on.

The SDK's signer does the same through objects, dictionaries and a lock for each event, which took
half of the CPU time of sending. `events.Publisher` compares the first event of each stream with the
SDK's, and tests/unit/test_event_signing.py compares all of them with the SDK's own publisher.
"""

import hmac
import time
from binascii import crc32
from hashlib import sha256
from struct import Struct

from smithy_aws_event_stream.events import EventHeaderEncoder

from ..wire.codecs import encode_base64

CHUNK_HEADERS = {
    ":message-type": "event",
    ":event-type": "chunk",
    ":content-type": "application/json",
}
"""Headers of every event to the service, in the SDK's order."""

_LENGTHS = Struct("!II")
"""Beginning of a prelude: length of the message, and of its headers."""

_CHECKSUM = Struct("!I")
"""Checksum of a prelude or a message."""

_DATE = Struct("!6sBq")
"""The header `:date`: length and name, type 8, milliseconds since 1970."""

_SIGNATURE_BEFORE = b"\x10:chunk-signature\x06\x00\x20"
"""The header `:chunk-signature` before its value: length and name, type 6, 32 bytes."""

_OUTER_HEADERS_BYTES = _DATE.size + len(_SIGNATURE_BEFORE) + 32
"""Length of the headers of an outer message, in bytes."""

_FRAMING_BYTES = _LENGTHS.size + 2 * _CHECKSUM.size
"""Length of a message without headers and payload, in bytes."""

_HMAC_BLOCK_BYTES = 64
"""Length to which HMAC with SHA-256 pads a key, in bytes."""

_INNER_PAD, _OUTER_PAD = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
"""Tables that translate a key to the beginning of the inner and the outer hash of HMAC."""

_BEFORE_BASE64, _AFTER_BASE64 = b'{"bytes":"', b'"}'


def _encoded_chunk_headers() -> bytes:
    encoder = EventHeaderEncoder()
    encoder.encode_headers(CHUNK_HEADERS)
    return encoder.get_result()


_INNER_HEADERS = _encoded_chunk_headers()

_INNER_START = _INNER_HEADERS + _BEFORE_BASE64
"""An inner message between its prelude and the base64 of its payload."""

_OVERHEAD_BYTES = 2 * _FRAMING_BYTES + _OUTER_HEADERS_BYTES + len(_INNER_START) + len(_AFTER_BASE64)
"""Length of a signed event without the base64 of its payload, in bytes."""


def signed_bytes(payload_bytes: int) -> int:
    """Return the length of a signed event, in bytes.

    Args:
        payload_bytes: Length of its payload.
    """
    return _OVERHEAD_BYTES + 4 * ((payload_bytes + 2) // 3)


class EventSigner:
    """A signer of the input events of one stream, in their order.

    An event that was signed must be sent next: the service refuses a chain with a gap.

    Args:
        secret_key: The secret access key that signed the request.
        region: The region in the scope.
        service: The service in the scope.
        seed: The signature of the request, in hexadecimal digits.
    """

    def __init__(self, secret_key: str, region: str, service: str, seed: str) -> None:
        self._secret = b"AWS4" + secret_key.encode()
        self._region = region
        self._service = service
        self._previous = seed
        self._second = -1
        self._day: str = ""
        self._inner_hash = self._outer_hash = sha256()
        """The hashes of HMAC after the key of the day."""
        self._text_before = ""

    def sign(self, payload: bytes, now: float) -> bytes:
        """Return the signed message of one event.

        Args:
            payload: JSON of the event.
            now: Seconds since 1970.
        """
        encoded = encode_base64(payload)
        size = _FRAMING_BYTES + len(_INNER_START) + len(encoded) + len(_AFTER_BASE64)
        lengths = _LENGTHS.pack(size, len(_INNER_HEADERS))
        checked = b"".join(
            (lengths, _CHECKSUM.pack(crc32(lengths)), _INNER_START, encoded, _AFTER_BASE64)
        )
        return self._signed(checked + _CHECKSUM.pack(crc32(checked)), now)

    def sign_end(self, now: float) -> bytes:
        """Return the signed empty message that ends the input.

        Args:
            now: Seconds since 1970.
        """
        return self._signed(b"", now)

    def _signed(self, inner: bytes, now: float) -> bytes:
        milliseconds = int(now * 1000)
        if milliseconds // 1000 != self._second:
            self._begin_second(milliseconds // 1000)
        date = _DATE.pack(b"\x05:date", 8, milliseconds)
        text = (
            f"{self._text_before}{self._previous}\n"
            f"{sha256(date).hexdigest()}\n{sha256(inner).hexdigest()}"
        )
        inner_hash, outer_hash = self._inner_hash.copy(), self._outer_hash.copy()
        inner_hash.update(text.encode())
        outer_hash.update(inner_hash.digest())
        signature = outer_hash.digest()
        self._previous = signature.hex()
        lengths = _LENGTHS.pack(
            len(inner) + _OUTER_HEADERS_BYTES + _FRAMING_BYTES, _OUTER_HEADERS_BYTES
        )
        head = b"".join(
            (lengths, _CHECKSUM.pack(crc32(lengths)), date, _SIGNATURE_BEFORE, signature)
        )
        return b"".join((head, inner, _CHECKSUM.pack(crc32(inner, crc32(head)))))

    def _begin_second(self, second: int) -> None:
        """Prepare the beginning of the text that is signed, and on another day the key."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        day = stamp[:8]
        if day != self._day:
            key = self._secret
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            padded = key.ljust(_HMAC_BLOCK_BYTES, b"\0")
            self._inner_hash = sha256(padded.translate(_INNER_PAD))
            self._outer_hash = sha256(padded.translate(_OUTER_PAD))
            self._day = day
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        self._text_before = f"AWS4-HMAC-SHA256-PAYLOAD\n{stamp}\n{scope}\n"
        self._second = second
