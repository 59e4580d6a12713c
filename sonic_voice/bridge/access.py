"""Access control: the allowed origins of pages, and the tokens that are accepted.

Pages that the server serves itself are allowed, and those of the origins that are named (`origins`
compares them). As long as all of them are on this machine, a token is optional. As soon as pages
elsewhere are allowed, a proxy is trusted or other machines can reach the server, it is required.

A page of any site can open a WebSocket to `localhost`, and only the `Origin` header that the
browser adds reveals the site. The origin is therefore always checked, on loopback too, and a client
that sends none is refused.
"""

from dataclasses import dataclass, field, replace

from ..errors import ConfigError
from ..http2.loopback import is_loopback
from .closing import BridgeRefusal, Close
from .forwarding import TrustedProxies, read_proxies
from .jwks import RemoteKeys
from .keys import KeySource, PublicKey, load_jwt
from .origins import OriginPattern, own_origins, read_origin, read_pattern
from .tokens import TokenClaims, TokenHeader, check_secret, read_header, read_token

_TOKEN_HINT = (
    "Name a file with a secret of 32 bytes or more, --token-secret-file FILE, "
    "or an issuer's keys, --token-jwks URL."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rules by which a connection is accepted: origins, and keys of tokens.

    Without a secret and without keys no token is required; this is for one's own machine. With
    both, a token that is signed with either is accepted.

    Raises:
        ConfigError: If an origin or a network is malformed, the secret is weak, keys at a URL are
            given without an audience, or other machines are let in without a token.
    """

    origins: frozenset[str] = frozenset()
    """Origins that are allowed in addition to the server's own: `https://shop.example`,
    `https://*.shop.example` with any one label, or that of an application,
    `capacitor://localhost`."""
    secret: bytes = field(default=b"", repr=False)
    """Secret that HS256 tokens are signed with, and that `/token` and `/metrics` require."""
    keys: KeySource | None = None
    """Public keys of RS256 and ES256 tokens; see `key_source`."""
    issuer: str = ""
    """Required `iss` of every token. Empty: any issuer, or none."""
    audience: str = ""
    """Required `aud` of every token. Empty: tokens that have one are refused. It must be set for
    keys at a URL, because they may sign tokens for other applications, too."""
    anonymous: bool = False
    """True if anyone may talk without a token, also from other machines. Each conversation costs
    money."""
    agentcore: bool = False
    """True if the server runs in AgentCore Runtime, which authenticates all clients and alone can
    reach it. Neither a token nor an `Origin` is then required; see `agentcore`."""
    one_time_tokens: bool = False
    """True if a token opens one conversation only, and not all until it expires."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of reverse proxies, such as `10.0.0.0/8`, whose `X-Forwarded-For` and
    `Forwarded` are believed. Limits by address then count real clients."""
    proxies: TrustedProxies = field(init=False, repr=False, compare=False)
    """The networks of `trusted_proxies`."""
    _patterns: tuple[OriginPattern, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        settle = object.__setattr__  # the only way to fill in a field of a frozen dataclass
        settle(self, "_patterns", tuple(map(_pattern, sorted(self.origins))))
        settle(self, "origins", frozenset(map(str, self._patterns)))
        settle(self, "proxies", _proxies(self.trusted_proxies))
        if self.secret:
            check_secret(self.secret)
        if isinstance(self.keys, RemoteKeys) and not self.audience:
            raise ConfigError(
                "Keys at a URL may sign tokens for other applications, too.",
                hint="Name this one's: --token-audience NAME; for Cognito the app client's id.",
            )
        if self.agentcore and (self.asks_for_tokens or self.trusted_proxies):
            raise ConfigError(
                "AgentCore Runtime authenticates clients itself, and names no proxies.",
                hint="Leave out the options of tokens and --trusted-proxy.",
            )
        if self.asks_for_tokens:
            load_jwt()
        elif not self.is_local and not self.anonymous:
            remote = self._remote_origins()
            who = f"Pages of {remote[0]}" if remote else "Clients of a proxy"
            raise ConfigError(
                f"{who} may connect from other machines, and no token is asked for.",
                hint=_TOKEN_HINT,
            )

    @property
    def is_local(self) -> bool:
        """True if only pages that this machine serves are allowed, and no proxy is trusted."""
        return not self.trusted_proxies and not self._remote_origins()

    def _remote_origins(self) -> list[str]:
        return [str(p) for p in self._patterns if not p.origin.is_local]

    @property
    def asks_for_tokens(self) -> bool:
        """True if a token is required for every new conversation."""
        return bool(self.secret) or self.keys is not None

    def check_host(self, host: str) -> None:
        """Check that these rules are strict enough to listen at `host`.

        Args:
            host: The name or address that the server is to listen at.

        Raises:
            ConfigError: If other machines can reach `host`, and no origin is known or no token is
                required.
        """
        if is_loopback(host) or self.agentcore:
            return
        if not self.origins and not own_origins(host, 1, tls=False):
            raise ConfigError(
                f"{host} can be reached from other machines, and no origin is allowed.",
                hint="Name the page's: --allow-origin https://shop.example",
            )
        if not self.asks_for_tokens and not self.anonymous:
            raise ConfigError(
                f"{host} can be reached from other machines, and no token is asked for.",
                hint=_TOKEN_HINT,
            )

    def with_own_origins(self, host: str, port: int, *, tls: bool) -> "Access":
        """Return these rules, extended by the origins of the server's own pages.

        Args:
            host: The host that the server listens at.
            port: The port that it listens at.
            tls: Whether it serves https.
        """
        own = frozenset(map(str, own_origins(host, port, tls=tls)))
        return replace(self, origins=self.origins | own)

    def allows(self, origin: str | None) -> bool:
        """Return whether pages of an origin may connect.

        Args:
            origin: The `Origin` header of a request; None if there was none.
        """
        try:
            read = read_origin(origin or "")
        except ValueError:
            return False
        return any(pattern.matches(read) for pattern in self._patterns)

    def check_origin(self, origin: str | None) -> None:
        """Check that a page may connect.

        Args:
            origin: The `Origin` header of the handshake; None if there was none.

        Raises:
            BridgeRefusal: `BAD_ORIGIN`, if the origin is missing or is not allowed. In AgentCore
                Runtime it may be missing.
        """
        if origin is None and self.agentcore:
            return
        if not self.allows(origin):
            raise BridgeRefusal(Close.BAD_ORIGIN)

    def is_open_to(self, *, remote: bool) -> bool:
        """Return whether a client without a token may talk, and read the metrics.

        Args:
            remote: Whether the client may be on another machine; see `forwarding.is_remote`.
        """
        return not (self.asks_for_tokens or self.agentcore or remote) and self.is_local

    async def authenticate(
        self, token: str, *, now_s: float, remote: bool = False, subject: str = ""
    ) -> TokenClaims:
        """Verify a token. This may wait for a fetch of the issuer's keys.

        Args:
            token: The token as the page sent it; empty if it sent none.
            now_s: The time of day, `time.time()`.
            remote: Whether the client may be on another machine.
            subject: The subject that AgentCore Runtime has authenticated; see `Socket.subject`.

        Returns:
            The claims of the token; claims without a subject if no token is required.

        Raises:
            BridgeRefusal: `NO_TOKEN`, `EXPIRED`, `FORGED`, or `KEYS_UNAVAILABLE` while the keys
                cannot be fetched. What was wrong with the token is its `__cause__`.
        """
        if self.agentcore:
            return TokenClaims(subject)
        if (self.anonymous and not self.asks_for_tokens) or self.is_open_to(remote=remote):
            return TokenClaims("")
        if not token or not self.asks_for_tokens:
            raise BridgeRefusal(Close.NO_TOKEN)
        key = await self._key(read_header(token))
        return read_token(key, token, now_s=now_s, issuer=self.issuer, audience=self.audience)

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


def _pattern(text: str) -> OriginPattern:
    try:
        return read_pattern(text)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no origin.",
            hint="Scheme, host, and port: https://shop.example:8443; https://*.shop.example stands "
            "for any one label.",
        ) from error


def _proxies(networks: tuple[str, ...]) -> TrustedProxies:
    try:
        return read_proxies(networks)
    except ValueError as error:
        raise ConfigError(
            f"{error}.",
            hint="Name addresses or networks of proxies: --trusted-proxy 10.0.0.0/8",
        ) from error
