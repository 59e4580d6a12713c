"""A check of a server's connection preface: HTTP/2 begins with a SETTINGS frame.

h2 alone interprets an HTTP/1.1 response as the beginning of a frame of 4 MB, and waits for the
rest. This check recognizes other protocols and names them.
"""

import ssl

from ..errors import ConnectError
from .tls import tls_error

_HEADER_BYTES = 9
"""Size of a frame's header, in bytes."""
_TYPE_AT = 3
"""Offset of the type in a frame's header, in bytes."""
_SETTINGS = 4
"""Type of a SETTINGS frame."""
_SHOWN_BYTES = 24
"""Maximum number of a server's first bytes that a message shows."""
_TLS_ALERT = b"\x15\x03"
"""First bytes of a TLS alert record, with which a TLS server answers plain text."""

_CHECK_PATH = "Check the endpoint, and what stands in between: a proxy, a firewall, a VPN."


class PrefaceCheck:
    """A check of the first bytes from a server.

    Args:
        peer: Name of the server in messages.
    """

    def __init__(self, peer: str) -> None:
        self.done = False
        """True if enough bytes were received to decide."""
        self._peer = peer
        self._received = b""

    def check(self, data: bytes) -> ConnectError | None:
        """Return the error if the bytes received so far do not begin HTTP/2, else None.

        Args:
            data: The next bytes from the server.
        """
        self._received += data[:_SHOWN_BYTES]
        self.done = len(self._received) >= _HEADER_BYTES
        if len(self._received) <= _TYPE_AT or self._received[_TYPE_AT] == _SETTINGS:
            return None
        self.done = True
        if self._received.startswith(b"HTTP/"):
            what, hint = "answers in HTTP/1.1; HTTP/2 is needed", _CHECK_PATH
        elif self._received.startswith(_TLS_ALERT):
            what, hint = "speaks TLS", "Begin the endpoint with https://."
        else:
            shown = ascii(self._received.decode("latin-1"))
            what, hint = f"does not speak HTTP/2; its first words are {shown}", _CHECK_PATH
        return ConnectError(f"{self._peer} {what}.", hint=hint)

    def closed(self, error: Exception | None, *, secure: bool) -> ConnectError:
        """Return the error for a connection that ended before the check was done.

        Args:
            error: The reason that asyncio gave, if any.
            secure: Whether the connection used TLS.
        """
        if isinstance(error, ssl.SSLError):  # TLS 1.3 reports some refusals after its handshake
            return tls_error(self._peer, error)
        return ConnectError(
            f"{self._peer} closed the connection before a word of HTTP/2.",
            # A server that uses OpenSSL sends nothing to a client that does not use TLS.
            hint=_CHECK_PATH if secure else f"If it speaks TLS: https://. {_CHECK_PATH}",
        )
