"""Session tokens: JSON Web Tokens (RFC 7519) with subject, expiry time and allowed voices.

An application that knows its users issues a token with a lifetime of about a minute and gives it to
the page. The page sends it in its first message, and never in a URL, which would be logged. A token
opens conversations until it expires; the number of simultaneous ones is limited by subject. Like
every bearer token it can be stolen. It is therefore short-lived, and resuming a conversation does
not need it.

    sub      the subject, who talks; 1 to 128 characters                        required
    exp      expiry time, at most one hour from now                             required
    iat      time of issue: if present, `exp` is at most one hour after it, too
    nbf      beginning of the validity
    iss      the issuer; required if `--token-issuer` names one
    aud      the audience; required if `--token-audience` names one, refused if it does not.
             A token without it is accepted if its `client_id` is the audience, as Cognito's
    voices   the voices that may be chosen; without it, all that are offered

The key determines the algorithm, never the token: a secret verifies HS256, and a public key the
algorithm of its kind (see `keys`). The library `jwt` verifies signature and issuer. Audience and
times are compared here, so that nothing reads a clock. Times are seconds since 1970.

Importing `jwt` takes 0.2 s, with `cryptography`. `Access` does so when it is created, so that no
handshake waits for it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..errors import ConfigError
from .closing import BridgeRefusal, Close
from .keys import Algorithm, PublicKey, load_jwt

SECRET_BYTES = 32
"""Minimum length of a secret, in bytes. It is the length of an HMAC-SHA256 signature, so that
guessing the secret is no easier than guessing a signature."""

LIFETIME_S = 60.0
"""Default lifetime of a token that is issued here, in seconds."""

LONGEST_S = 3600.0
"""Maximum lifetime of a token, in seconds, of every issuer."""

CLOCK_SKEW_S = 30.0
"""Maximum time that the issuer's clock may be ahead of ours, in seconds. It applies to `iat`, `nbf`
and the maximum lifetime; an expired token is refused at once."""

TOKEN_CHARACTERS = 4096
"""Maximum length of a token, in characters; the hello has the same limit. A token of Cognito has
1,000, and more for each group of its user."""

USED_TOKENS = 65_536
"""Maximum number of used tokens that are remembered (13 MB): 18 new conversations per second, all
with tokens of the maximum lifetime."""

_LATEST_S = 1e12
"""Exclusive upper bound of times, in seconds since 1970: the year 33,658."""

SUBJECT_CHARACTERS = 128
"""Maximum length of a subject, in characters."""


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """The claims of a verified token."""

    subject: str
    """Name of the user, as the application knows it; empty if no token is required."""
    expires_s: float = float("inf")
    """Expiry time of the token, in seconds since 1970."""
    voices: tuple[str, ...] = ()
    """Voices that may be chosen, of those that are offered; empty: all."""


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """The part of a token's header that names its key. It is not verified."""

    algorithm: Algorithm
    """The `alg`."""
    key_id: str
    """The `kid`; empty if there is none."""


class _WrongClaim(ValueError):
    """A claim that is missing, or whose value is not accepted. The message says which."""


def check_secret(secret: bytes) -> bytes:
    """Check that a secret is strong enough to sign tokens with, and return it.

    Args:
        secret: The secret of HS256.

    Raises:
        ConfigError: If it is shorter than `SECRET_BYTES`, or is a key of another kind.
    """
    if len(secret) < SECRET_BYTES:
        raise ConfigError(
            f"The token secret has {len(secret)} bytes; {SECRET_BYTES} are the least.",
            hint="Make one: python3 -c 'import secrets; print(secrets.token_hex(32))'",
        )
    if b"-----BEGIN" in secret or secret.startswith((b"ssh-", b"ecdsa-")):
        raise ConfigError(
            "The token secret is a public or private key.",
            hint="Name a public key with --token-jwks. A secret is for HS256: 32 random bytes.",
        )
    return secret


def issue_token(
    secret: bytes,
    subject: str,
    *,
    now_s: float,
    lifetime_s: float = LIFETIME_S,
    voices: Sequence[str] = (),
    issuer: str = "",
    audience: str = "",
) -> str:
    """Return a token for one user, signed with HS256. The first call imports `jwt`, for 0.2 s.

    Args:
        secret: The server's secret, of `SECRET_BYTES` or more.
        subject: The name of the user, 1 to `SUBJECT_CHARACTERS` characters.
        now_s: The time of day, `time.time()`.
        lifetime_s: The time for which the token is valid, in seconds; at most `LONGEST_S`.
        voices: The voices that may be chosen; empty: all that are offered.
        issuer: The value of the server's option `--token-issuer`, if it has one.
        audience: The value of the server's option `--token-audience`, if it has one.

    Raises:
        ConfigError: If the secret is weak, the subject empty or too long, or the lifetime too long.
    """
    check_secret(secret)
    if not 0 < len(subject) <= SUBJECT_CHARACTERS:
        raise ConfigError(f"A subject has 1 to {SUBJECT_CHARACTERS} characters.")
    if not 0 < lifetime_s <= LONGEST_S:
        raise ConfigError(f"A token lives {LONGEST_S:g} s at most, not {lifetime_s:g} s.")
    load_jwt()
    import jwt

    claims: dict[str, Any] = {"sub": subject, "iat": now_s, "exp": now_s + lifetime_s}
    optional = {"voices": list(voices), "iss": issuer, "aud": audience}
    claims |= {name: value for name, value in optional.items() if value}
    return jwt.encode(claims, secret, algorithm="HS256")


def token_key(token: str) -> str:
    """Return a key of a token that is the same for all spellings of its signature.

    Args:
        token: A token that was verified. What is signed, and so cannot be changed, is hashed.
    """
    signed = token.rpartition(".")[0]
    return hashlib.sha256(b"sonic-voice token " + signed.encode("utf-8", "replace")).hexdigest()


class UsedTokens:
    """The tokens that have opened a conversation, until they expire. Times are arguments.

    Args:
        most: Maximum number of tokens. For one more, the one that was used first is forgotten.
    """

    def __init__(self, most: int = USED_TOKENS) -> None:
        self._most = most
        self._expiry_s: dict[str, float] = {}

    def check(self, key: str, now_s: float) -> None:
        """Check that a token has opened no conversation yet.

        Args:
            key: The key of the token, see `token_key`.
            now_s: The current time, in monotonic seconds.

        Raises:
            BridgeRefusal: `EXPIRED`, if it has.
        """
        if self._expiry_s.get(key, 0.0) > now_s:
            raise BridgeRefusal(Close.EXPIRED) from _WrongClaim("the token has been used")

    def add(self, key: str, expires_s: float, now_s: float) -> None:
        """Note that a token has opened a conversation.

        Args:
            key: The key of the token.
            expires_s: The time when it expires, in monotonic seconds.
            now_s: The current time, in monotonic seconds.
        """
        if len(self._expiry_s) >= self._most:
            valid = {key: end_s for key, end_s in self._expiry_s.items() if end_s > now_s}
            if len(valid) >= self._most:
                del valid[next(iter(valid))]
            self._expiry_s = valid
        self._expiry_s[key] = expires_s


def read_header(token: str) -> TokenHeader:
    """Return the part of a token's header that names its key. Nothing is verified.

    Args:
        token: The token as the page sent it.

    Raises:
        BridgeRefusal: `FORGED`, if it is too long, is no JSON Web Token, or has another algorithm
            than those of `Algorithm`.
    """
    import jwt

    if len(token) > TOKEN_CHARACTERS:
        raise BridgeRefusal(Close.FORGED) from _WrongClaim("the token is too long")
    try:
        header = jwt.get_unverified_header(token)
        key_id = header.get("kid", "")
        match header.get("alg"):
            case "HS256" | "RS256" | "ES256" as algorithm if isinstance(key_id, str):
                return TokenHeader(algorithm, key_id)
            case _:
                raise _WrongClaim("the algorithm is not taken")
    except (jwt.PyJWTError, ValueError) as error:
        raise BridgeRefusal(Close.FORGED) from error


def read_token(
    key: bytes | PublicKey, token: str, *, now_s: float, issuer: str = "", audience: str = ""
) -> TokenClaims:
    """Verify a token, and return its claims.

    Args:
        key: The secret, for HS256, or the public key that the token's header names.
        token: The token as the page sent it.
        now_s: The time of day, `time.time()`.
        issuer: The required `iss`; empty: any, or none.
        audience: The required `aud`; empty: only tokens without one are accepted.

    Raises:
        BridgeRefusal: `EXPIRED`, if the token has expired and all else is valid; `FORGED`
            otherwise. Its cause says what is wrong, and contains no part of the token.
    """
    import jwt

    if len(token) > TOKEN_CHARACTERS:
        raise BridgeRefusal(Close.FORGED) from _WrongClaim("the token is too long")
    try:
        claims = jwt.decode(
            token,
            key if isinstance(key, bytes) else key.key,
            algorithms=["HS256" if isinstance(key, bytes) else key.algorithm],
            issuer=issuer or None,
            options={
                "require": ["exp", "sub"],
                "verify_aud": False,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        _check_audience(claims, audience)
        expires_s = _check_times(claims, now_s)
        verified = TokenClaims(_subject(claims), expires_s, _voices(claims))
    except (jwt.PyJWTError, ValueError) as error:
        raise BridgeRefusal(Close.FORGED) from error
    if not now_s < verified.expires_s:
        raise BridgeRefusal(Close.EXPIRED)
    return verified


def _check_audience(claims: dict[str, Any], audience: str) -> None:
    named = claims.get("aud")
    if not audience:
        if named is not None:
            raise _WrongClaim("the token names an audience, and none is taken")
        return
    if named is None:
        named = claims.get("client_id")
    if audience != named and audience not in (named if isinstance(named, list) else ()):
        raise _WrongClaim("the token is for another audience")


def _check_times(claims: dict[str, Any], now_s: float) -> float:
    """Check the times of a token except its expiry, and return the time when it expires."""
    expires_s = _time(claims, "exp", 0.0)
    issued_s = _time(claims, "iat", now_s)
    if max(issued_s, _time(claims, "nbf", now_s)) > now_s + CLOCK_SKEW_S:
        raise _WrongClaim("the token is not valid yet")
    if expires_s - min(issued_s, now_s) > LONGEST_S + CLOCK_SKEW_S:
        raise _WrongClaim(f"the token is valid for more than {LONGEST_S:g} s")
    return expires_s


def _time(claims: dict[str, Any], name: str, default: float) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _WrongClaim(f"{name} is no number")
    if not abs(value) < _LATEST_S:  # nor NaN
        raise _WrongClaim(f"{name} is no time")
    return float(value)


def _subject(claims: dict[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_CHARACTERS:
        raise _WrongClaim(f"sub does not have 1 to {SUBJECT_CHARACTERS} characters")
    return subject


def _voices(claims: dict[str, Any]) -> tuple[str, ...]:
    voices = claims.get("voices", [])
    if not isinstance(voices, list) or not all(
        isinstance(voice, str) for voice in cast(list[Any], voices)
    ):
        raise _WrongClaim("voices is no array of strings")
    return tuple(cast(list[str], voices))
