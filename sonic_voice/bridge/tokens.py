"""Session tokens: who may talk, until when, with which voices. Signed, not encrypted.

    v1.<claims>.<signature>
        claims: base64url of JSON; signature: base64url of the HMAC-SHA256 of what precedes

An application that knows its users issues one, for a minute or so, and gives it to the page, which
sends it in its first message: never in a URL, which would be logged. A token opens conversations
until it expires; how many at once is limited by subject. It may end up in other hands like any
bearer token, so it is short-lived, and a resumed conversation does not need it again.

Times are seconds since 1970. Nothing here reads a clock.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..errors import ConfigError
from .closing import Close, Refusal

SECRET_BYTES = 32
"""The least: as long as the signature, so that guessing one is no easier than the other."""

LIFETIME_S = 60.0
LONGEST_S = 3600.0

TOKEN_CHARACTERS = 2048
"""The longest token that is looked at."""

SUBJECT_CHARACTERS = 128

_VERSION = "v1"


@dataclass(frozen=True, slots=True)
class Visitor:
    """What a token says."""

    subject: str
    """Who talks, in the application's words; empty where no token is asked for."""
    expires_s: float = float("inf")
    voices: tuple[str, ...] = ()
    """Which of the voices offered may be chosen; empty: all."""


def check_secret(secret: bytes) -> bytes:
    """`secret`, if it is long enough to sign with. Raises `ConfigError`."""
    if len(secret) < SECRET_BYTES:
        raise ConfigError(
            f"The token secret has {len(secret)} bytes; {SECRET_BYTES} are the least.",
            hint="Make one: python3 -c 'import secrets; print(secrets.token_hex(32))'",
        )
    return secret


def issue_token(
    secret: bytes,
    subject: str,
    *,
    now_s: float,
    lifetime_s: float = LIFETIME_S,
    voices: Sequence[str] = (),
) -> str:
    """A token for `subject`, good for `lifetime_s` from `now_s` (`time.time()`).

    Raises `ConfigError` for a weak secret, an empty or long subject, or a lifetime over an hour.
    """
    check_secret(secret)
    if not 0 < len(subject) <= SUBJECT_CHARACTERS:
        raise ConfigError(f"A subject has 1 to {SUBJECT_CHARACTERS} characters.")
    if not 0 < lifetime_s <= LONGEST_S:
        raise ConfigError(f"A token lives {LONGEST_S:g} s at most, not {lifetime_s:g} s.")
    claims = {"sub": subject, "exp": now_s + lifetime_s, "voices": list(voices)}
    text = json.dumps(claims, separators=(",", ":"))
    signed = f"{_VERSION}.{_encoded(text.encode())}"
    return f"{signed}.{_encoded(_signature(secret, signed))}"


def read_token(secret: bytes, token: str, *, now_s: float) -> Visitor:
    """What `token` says. Raises `Refusal`: `FORGED` or `EXPIRED`, the signature checked first."""
    signed, _, signature = token.rpartition(".")
    version, _, claims = signed.partition(".")
    expected = _encoded(_signature(secret, signed))
    if (
        len(token) > TOKEN_CHARACTERS
        or version != _VERSION
        or not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
    ):
        raise Refusal(Close.FORGED)
    try:
        said = cast(dict[str, Any], json.loads(_decoded(claims)))
        visitor = Visitor(str(said["sub"]), float(said["exp"]), tuple(map(str, said["voices"])))
    except (ValueError, TypeError, KeyError) as error:  # signed by another version of ours
        raise Refusal(Close.FORGED) from error
    if not now_s < visitor.expires_s:
        raise Refusal(Close.EXPIRED)
    return visitor


def _signature(secret: bytes, signed: str) -> bytes:
    return hmac.digest(secret, signed.encode("utf-8", "replace"), "sha256")


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _decoded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error as error:
        raise ValueError(part) from error
