"""Session tokens: who may talk, until when, with which voices. JSON Web Tokens (RFC 7519).

An application that knows its users issues a token, for a minute or so, and gives it to the page,
which sends it in its first message: never in a URL, which would be logged. A token opens
conversations until it expires; how many at once is limited by subject. It may end up in other hands
like any bearer token, so it is short-lived, and a resumed conversation does not need it again.

    sub      who talks; 1 to 128 characters                                     required
    exp      when the token expires, at most an hour from now                   required
    iat      when it was issued: `exp` is then at most an hour after it, too
    nbf      when it begins to be valid
    iss      the issuer; required where `--token-issuer` names one
    aud      the audience; required where `--token-audience` names one, refused where none is named.
             A token without it is taken if its `client_id` is the audience: those of Cognito
    voices   the voices that may be chosen; without it, all that are offered

The key decides about the algorithm, never the token: a secret verifies HS256, a public key the one
of its kind (see `keys`). The library `jwt` verifies signature, issuer and audience. Times are
compared here, so that nothing reads a clock; they are seconds since 1970.

`jwt` takes 0.2 s to load, with `cryptography`. `Access` does that when it is made, so that no
handshake waits for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..errors import ConfigError
from .closing import BridgeRefusal, Close
from .keys import Algorithm, PublicKey, load_jwt

SECRET_BYTES = 32
"""Minimum length of a secret, in bytes: as long as an HMAC-SHA256 signature, so that guessing the
secret is no easier than guessing a signature."""

LIFETIME_S = 60.0
"""Default lifetime of a token that is issued here, in seconds."""

LONGEST_S = 3600.0
"""Maximum lifetime of a token, in seconds, whoever issued it."""

CLOCK_SKEW_S = 30.0
"""How far, in seconds, the issuer's clock may be ahead of ours. It applies to `iat`, `nbf` and the
longest lifetime; an expired token is refused at once."""

TOKEN_CHARACTERS = 4096
"""Maximum length of a token, in characters: what a hello takes. A token of Cognito has 1,000, and
more for each group of its user."""

_LATEST_S = 1e12
"""Times are less than this, in seconds since 1970: the year 33,658."""

SUBJECT_CHARACTERS = 128
"""Maximum length of a subject, in characters."""


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """The claims of a token that was verified."""

    subject: str
    """Who talks, in the application's words; empty where no token is asked for."""
    expires_s: float = float("inf")
    """When the token expires, in seconds since 1970."""
    voices: tuple[str, ...] = ()
    """Which of the voices offered may be chosen; empty: all."""


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """The part of a token's header that names its key. It is not verified."""

    algorithm: Algorithm
    key_id: str
    """The `kid`; empty if there is none."""


class _WrongClaim(ValueError):
    """A claim that is missing, or has a value that is not taken. The message says which."""


def check_secret(secret: bytes) -> bytes:
    """Return `secret`, if it can be signed with.

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
    """Return a token for one user, signed with HS256. The first call loads `jwt`, for 0.2 s.

    Args:
        secret: The server's secret, `SECRET_BYTES` or more.
        subject: Who will talk, 1 to `SUBJECT_CHARACTERS` characters.
        now_s: `time.time()`.
        lifetime_s: How long the token is valid, in seconds; `LONGEST_S` at most.
        voices: The voices that may be chosen; empty: all that are offered.
        issuer: What the server was given as `--token-issuer`, if it was.
        audience: What the server was given as `--token-audience`, if it was.

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


def read_header(token: str) -> TokenHeader:
    """Return which key `token` names.

    Raises:
        BridgeRefusal: `FORGED`, if it is too long, no JSON Web Token, or of another algorithm.
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
        now_s: `time.time()`.
        issuer: The `iss` that is required; empty: any, or none.
        audience: The `aud` that is required; empty: only tokens without one are taken.

    Raises:
        BridgeRefusal: `EXPIRED`, if nothing but its time is wrong; `FORGED`, if anything else is. Its
            cause says what, and holds nothing of the token.
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
    """Return when the token expires. Its lifetime is checked, not yet whether it is over."""
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
