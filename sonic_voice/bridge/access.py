"""From where one may come: on this machine anybody of this machine, beyond it by name and token.

A page of any site can open a WebSocket to `localhost`; only the `Origin` that the browser adds
tells. So the origin is checked always, on loopback too, and a client that sends none is refused.
"""

import re
from dataclasses import dataclass

from ..errors import ConfigError
from ..http2.client import is_loopback
from .closing import Close, Refusal
from .tokens import Visitor, check_secret, read_token

_ORIGIN = re.compile(r"https?://[^/?#\s@*]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may come. Raises `ConfigError` for an origin that is none, and for a weak secret."""

    origins: frozenset[str] = frozenset()
    """Allowed besides the server's own on loopback, such as `https://shop.example`."""
    secret: bytes = b""
    """What tokens are signed with; empty: none is asked for, which only loopback may do."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "origins", frozenset(map(_origin, self.origins)))
        if self.secret:
            check_secret(self.secret)

    def check_host(self, host: str) -> None:
        """Raise `ConfigError` if this is too little to listen at `host`."""
        if is_loopback(host):
            return
        if not self.origins:
            raise ConfigError(
                f"{host} can be reached from other machines, and no origin is allowed.",
                hint="Name the page's: --allow-origin https://shop.example",
            )
        if not self.secret:
            raise ConfigError(
                f"{host} can be reached from other machines, and no token is asked for.",
                hint="Name a file with a secret of 32 bytes or more: --token-secret-file FILE",
            )

    def served_at(self, host: str, port: int, *, tls: bool) -> "Access":
        """The same, and on loopback the pages that the server itself serves at `port`."""
        if not is_loopback(host):
            return self
        scheme = "https" if tls else "http"
        names = ("localhost", "127.0.0.1", "[::1]")
        own = {f"{scheme}://{name}:{port}" for name in names}
        return Access(origins=self.origins | own, secret=self.secret)

    def check_origin(self, origin: str | None) -> None:
        """Raise `Refusal` for a page of a site that is not allowed, and for no page at all."""
        if origin is None or origin.lower() not in self.origins:
            raise Refusal(Close.BAD_ORIGIN)

    def visitor(self, token: str, *, now_s: float) -> Visitor:
        """Who comes with `token`, at `now_s` of `time.time()`. Raises `Refusal`."""
        if not self.secret:
            return Visitor("")
        if not token:
            raise Refusal(Close.NO_TOKEN)
        return read_token(self.secret, token, now_s=now_s)


def _origin(text: str) -> str:
    origin = text.lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        raise ConfigError(
            f"{text!r} is no origin.", hint="Scheme, host, and port: https://shop.example:8443"
        )
    return origin
