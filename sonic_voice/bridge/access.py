"""From where one may come: on this machine anybody of this machine, beyond it by name and token.

A page of any site can open a WebSocket to `localhost`; only the `Origin` that the browser adds
tells. So the origin is checked always, on loopback too, and a client that sends none is refused.
"""

import logging
import re
from dataclasses import dataclass, field, replace

from ..errors import ConfigError
from ..http2.loopback import is_loopback
from .closing import BridgeRefusal, Close
from .jwks import RemoteKeys
from .keys import KeySource, PublicKey, load_jwt
from .tokens import TokenClaims, TokenHeader, check_secret, read_header, read_token

_log = logging.getLogger(__name__)

_ORIGIN = re.compile(r"https?://[^/?#\s@*]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Which pages may connect, and which tokens are taken.

    Where there are neither a secret nor keys, no token is asked for, which only loopback may do.
    With both, a token of either is taken.

    Raises:
        ConfigError: For an origin that is none, a weak secret, and keys at a URL without an
            audience.
    """

    origins: frozenset[str] = frozenset()
    """Allowed besides the server's own on loopback, such as `https://shop.example`."""
    secret: bytes = field(default=b"", repr=False)
    """What HS256 tokens are signed with, and what `/token` and `/metrics` ask for."""
    keys: KeySource | None = None
    """The public keys of RS256 and ES256 tokens; see `key_source`."""
    issuer: str = ""
    """The `iss` that every token must have; empty: any, or none."""
    audience: str = ""
    """The `aud` that every token must have; empty: tokens with one are refused. Required with keys
    at a URL, which may sign tokens for other applications, too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "origins", frozenset(map(_origin, self.origins)))
        if self.secret:
            check_secret(self.secret)
        if isinstance(self.keys, RemoteKeys) and not self.audience:
            raise ConfigError(
                "Keys at a URL may sign tokens for other applications, too.",
                hint="Name this one's: --token-audience NAME; for Cognito the app client's id.",
            )
        if self.asks_for_tokens:
            load_jwt()

    @property
    def asks_for_tokens(self) -> bool:
        """Whether nobody may talk without a token."""
        return bool(self.secret) or self.keys is not None

    def check_host(self, host: str) -> None:
        """Raise `ConfigError` if this is too little to listen at `host`."""
        if is_loopback(host):
            return
        if not self.origins:
            raise ConfigError(
                f"{host} can be reached from other machines, and no origin is allowed.",
                hint="Name the page's: --allow-origin https://shop.example",
            )
        if not self.asks_for_tokens:
            raise ConfigError(
                f"{host} can be reached from other machines, and no token is asked for.",
                hint="Name a file with a secret of 32 bytes or more, --token-secret-file FILE, "
                "or an issuer's keys, --token-jwks URL.",
            )

    def with_own_origins(self, host: str, port: int, *, tls: bool) -> "Access":
        """The same, and on loopback the pages that the server itself serves at `port`."""
        if not is_loopback(host):
            return self
        scheme = "https" if tls else "http"
        names = ("localhost", "127.0.0.1", "[::1]")
        own = {f"{scheme}://{name}:{port}" for name in names}
        return replace(self, origins=self.origins | own)

    def check_origin(self, origin: str | None) -> None:
        """Raise `BridgeRefusal` for a page of a site that is not allowed, and for no page at all."""
        if origin is None or origin.lower() not in self.origins:
            raise BridgeRefusal(Close.BAD_ORIGIN)

    async def authenticate(self, token: str, *, now_s: float) -> TokenClaims:
        """Check a token, and return what it says. May wait for a fetch of the issuer's keys.

        Args:
            token: The token as the page sent it; empty if it sent none.
            now_s: `time.time()`.

        Raises:
            BridgeRefusal: `NO_TOKEN`, `EXPIRED`, `FORGED`, or `KEYS_UNAVAILABLE` while the keys cannot
                be fetched. The log says at level INFO what was wrong with the token.
        """
        if not self.asks_for_tokens:
            return TokenClaims("")
        if not token:
            raise BridgeRefusal(Close.NO_TOKEN)
        try:
            key = await self._key(read_header(token))
            return read_token(key, token, now_s=now_s, issuer=self.issuer, audience=self.audience)
        except BridgeRefusal as refusal:
            _log.info("a token was refused: %s (%r)", refusal.close.name, refusal.__cause__)
            raise

    async def _key(self, header: TokenHeader) -> bytes | PublicKey:
        """Return the key of the kind that `header` names: the secret never verifies RS256."""
        key: bytes | PublicKey | None = None
        if header.algorithm == "HS256":
            key = self.secret or None
        elif self.keys is not None:
            key = await self.keys.find(header.algorithm, header.key_id)
        if key is None:
            raise BridgeRefusal(Close.FORGED) from LookupError("no key for it")
        return key


def _origin(text: str) -> str:
    origin = text.lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        raise ConfigError(
            f"{text!r} is no origin.", hint="Scheme, host, and port: https://shop.example:8443"
        )
    return origin
