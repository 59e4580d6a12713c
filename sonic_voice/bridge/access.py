"""Access control: the allowed origins of pages, and the tokens that are accepted.

On loopback every page that the server itself serves is allowed, and a token is optional. At an
address that other machines can reach, origins must be named and tokens are required.

A page of any site can open a WebSocket to `localhost`, and only the `Origin` header that the
browser adds reveals the site. The origin is therefore always checked, on loopback too, and a client
that sends none is refused.
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
    """The rules by which a connection is accepted: origins, and keys of tokens.

    Without a secret and without keys no token is required; this is allowed on loopback only. With
    both, a token that is signed with either is accepted.

    Raises:
        ConfigError: If an origin is malformed, the secret is weak, or keys at a URL are given
            without an audience.
    """

    origins: frozenset[str] = frozenset()
    """Origins that are allowed in addition to the server's own on loopback, such as
    `https://shop.example`."""
    secret: bytes = field(default=b"", repr=False)
    """Secret that HS256 tokens are signed with, and that `/token` and `/metrics` require."""
    keys: KeySource | None = None
    """Public keys of RS256 and ES256 tokens; see `key_source`."""
    issuer: str = ""
    """Required `iss` of every token. Empty: any issuer, or none."""
    audience: str = ""
    """Required `aud` of every token. Empty: tokens that have one are refused. It must be set for
    keys at a URL, because they may sign tokens for other applications, too."""

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
        """True if a token is required for every new conversation."""
        return bool(self.secret) or self.keys is not None

    def check_host(self, host: str) -> None:
        """Check that these rules are strict enough to listen at `host`.

        Args:
            host: The name or address that the server is to listen at.

        Raises:
            ConfigError: If other machines can reach `host`, and no origin is allowed or no token
                is required.
        """
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
        """Return these rules, extended on loopback by the origins of the server's own pages.

        Args:
            host: The host that the server listens at.
            port: The port that it listens at.
            tls: Whether it serves https.
        """
        if not is_loopback(host):
            return self
        scheme = "https" if tls else "http"
        names = ("localhost", "127.0.0.1", "[::1]")
        own = {f"{scheme}://{name}:{port}" for name in names}
        return replace(self, origins=self.origins | own)

    def check_origin(self, origin: str | None) -> None:
        """Check that a page may connect.

        Args:
            origin: The `Origin` header of the handshake; None if there was none.

        Raises:
            BridgeRefusal: `BAD_ORIGIN`, if the origin is missing or is not allowed.
        """
        if origin is None or origin.lower() not in self.origins:
            raise BridgeRefusal(Close.BAD_ORIGIN)

    async def authenticate(self, token: str, *, now_s: float) -> TokenClaims:
        """Verify a token. This may wait for a fetch of the issuer's keys.

        Args:
            token: The token as the page sent it; empty if it sent none.
            now_s: The time of day, `time.time()`.

        Returns:
            The claims of the token; claims without a subject if no token is required.

        Raises:
            BridgeRefusal: `NO_TOKEN`, `EXPIRED`, `FORGED`, or `KEYS_UNAVAILABLE` while the keys
                cannot be fetched. What was wrong with the token is logged at level INFO.
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
        """Return the key that `header` names. A key verifies its own algorithm alone.

        The secret never verifies RS256, for example, whatever the token names.
        """
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
