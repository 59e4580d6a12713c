"""The first bytes of a server: HTTP/2 begins with SETTINGS, and what does not is named.

h2 alone takes an HTTP/1.1 answer for a frame of 4 MB that is still to come, and waits for it.
"""

import ssl

from ..errors import ConnectError
from .tls import tls_error

_HEADER_BYTES = 9  # of a frame
_TYPE_AT = 3  # where a frame's header names its type
_SETTINGS = 4
_SHOWN_BYTES = 24
_TLS_ALERT = b"\x15\x03"

_CHECK_PATH = "Check the endpoint, and what stands in between: a proxy, a firewall, a VPN."


class PrefaceCheck:
    """The judge of a server's first bytes. `peer` names the server in messages."""

    def __init__(self, peer: str) -> None:
        self.done = False
        """Whether enough was heard."""
        self._peer = peer
        self._received = b""

    def check(self, data: bytes) -> ConnectError | None:
        """Return the error if `data` and what came before it are not the beginning of HTTP/2."""
        if self.done:
            return None
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
        """Return what it means that the connection ended before enough was heard.

        Args:
            error: What asyncio gave as the reason, if it gave one.
            secure: Whether the connection had TLS.
        """
        if isinstance(error, ssl.SSLError):  # TLS 1.3 reports some refusals after its handshake
            return tls_error(self._peer, error)
        return ConnectError(
            f"{self._peer} closed the connection before a word of HTTP/2.",
            # OpenSSL's servers say nothing to those who do not speak TLS.
            hint=_CHECK_PATH if secure else f"If it speaks TLS: https://. {_CHECK_PATH}",
        )
