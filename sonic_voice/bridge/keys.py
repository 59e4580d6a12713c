"""Public keys that verify session tokens, and the rules for fetching them again.

A set of keys is read from a JSON Web Key Set (JWKS, RFC 7517) or a PEM file. Two kinds of keys are
used. Each verifies one algorithm, whatever algorithm a token names:

    RSA, 2048 bits or more    RS256
    EC, curve P-256           ES256

All other members of a set are skipped: symmetric keys, private keys, keys for encryption, and keys
that name another algorithm.

`KeyCache` decides when a set is fetched, and `jwks` fetches it. Times are arguments, in monotonic
seconds.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from ..errors import ConfigError

RSA_BITS = 2048
"""Minimum size of an RSA key, in bits (RFC 7518 section 3.3)."""

FRESH_S = 300.0
"""Age of a set, in seconds, at which it is fetched again: a key that its owner has removed is
refused after at most this time."""

TRUSTED_S = 3600.0
"""Maximum age of a set, in seconds, at which it is still used while it cannot be fetched again."""

COOLDOWN_S = 30.0
"""Minimum time between two fetches, in seconds. An unknown key id causes a fetch, and any client
can send one. A new key may therefore be refused for this time."""

RETRY_S = 5.0
"""Minimum time from a failed fetch to the next one, in seconds."""

_MOST_KEYS = 100
"""Maximum number of members of a set that are examined. Issuers publish two or three."""

type Algorithm = Literal["HS256", "RS256", "ES256"]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key, which verifies tokens of one algorithm."""

    algorithm: Algorithm
    """Algorithm that it verifies."""
    key: Any
    """Public key object of `cryptography`."""
    id: str = ""
    """The `kid` that tokens name; empty if the key was published without one."""


class KeySource(Protocol):
    """A source of public keys: `KeySet` for a key file, `jwks.RemoteKeys` for a URL."""

    async def find(self, algorithm: str, key_id: str) -> PublicKey | None:
        """Return the key for a token, or None if there is none; `KeySet.get` defines which.

        Args:
            algorithm: The `alg` of the token's header.
            key_id: The `kid` of its header; empty if it has none.

        Raises:
            BridgeRefusal: `KEYS_UNAVAILABLE`, if the keys cannot be had at the moment.
        """
        ...

    async def aclose(self) -> None:
        """Release all resources, and cancel a fetch that is under way. May be called again."""
        ...


class KeySet:
    """The usable keys of one document. It is a `KeySource`, for a key file."""

    def __init__(self, keys: tuple[PublicKey, ...]) -> None:
        self.keys = keys

    def get(self, algorithm: str, key_id: str) -> PublicKey | None:
        """Return the key for a token.

        Args:
            algorithm: The `alg` of the token's header.
            key_id: The `kid` of its header; empty if it has none.

        Returns:
            The key with this id. A key without an id fits every token of its algorithm, and a token
            without an id fits the set's only key of its algorithm. None if no key fits.
        """
        candidates = [key for key in self.keys if key.algorithm == algorithm]
        for key in candidates:
            if key_id and key.id == key_id:
                return key
        unnamed = [key for key in candidates if not (key_id and key.id)]
        return unnamed[0] if len(unnamed) == 1 else None

    async def find(self, algorithm: str, key_id: str) -> PublicKey | None:
        """See `KeySource`."""
        return self.get(algorithm, key_id)

    async def aclose(self) -> None:
        """Do nothing: a set holds no resource."""


def load_jwt() -> None:
    """Import the library `jwt` now, so that later imports of it take no time.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        import jwt  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise _missing("PyJWT") from error


def load_cryptography() -> None:
    """Import the libraries that public keys need, `jwt` and `cryptography`, like `load_jwt`.

    Raises:
        ConfigError: If a package is not installed.
    """
    load_jwt()
    try:
        import cryptography  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise _missing("cryptography") from error


def _missing(package: str) -> ConfigError:
    return ConfigError(
        f"Session tokens need the package {package}.",
        hint="Install the extra `bridge` of sonic-voice.",
    )


def read_keys(document: bytes, *, named: str) -> KeySet:
    """Return the usable keys of a JWKS or a PEM public key.

    Args:
        document: The content of the file.
        named: The name of the document for an error message: its path or URL.

    Raises:
        ConfigError: If it is neither, or has no usable key.
    """
    load_cryptography()
    try:
        if document.lstrip().startswith(b"-----BEGIN"):
            keys = list(_of_pem(document))
        else:
            keys = list(_of_jwks(json.loads(document)))
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{named} is neither a JSON Web Key Set nor a PEM public key.",
            hint='A set is JSON, {"keys": [...]}. A PEM file begins "-----BEGIN PUBLIC KEY-----".',
        ) from error
    if not keys:
        raise ConfigError(
            f"{named} has no public key that session tokens can be verified with.",
            hint=f"RSA keys of {RSA_BITS} bits or more and EC keys on P-256 are used.",
        )
    return KeySet(tuple(keys))


def _of_pem(document: bytes) -> Iterator[PublicKey]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(document)
    except UnsupportedAlgorithm:
        return
    if algorithm := _algorithm_of(key):
        yield PublicKey(algorithm, key)


def _of_jwks(document: object) -> Iterator[PublicKey]:
    members = cast(dict[str, Any], document).get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError("no array of keys")  # noqa: TRY004 - like text that is no JSON
    for member in cast(list[Any], members)[:_MOST_KEYS]:
        if isinstance(member, dict) and (key := _of_jwk(cast(dict[str, Any], member))):
            yield key


_FIELDS_OF: dict[object, tuple[str, ...]] = {"RSA": ("n", "e"), "EC": ("crv", "x", "y")}
"""Members that make up a public key, by key type (RFC 7518 section 6)."""


def _of_jwk(jwk: dict[str, Any]) -> PublicKey | None:
    """Return the key of one member of a set, or None if it is not usable."""
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    kind, key_id, alg = jwk.get("kty"), jwk.get("kid", ""), jwk.get("alg")
    fields = _FIELDS_OF.get(kind) if isinstance(kind, str) else None
    if (
        fields is None
        or "d" in jwk
        or jwk.get("use", "sig") != "sig"
        or not isinstance(key_id, str)
    ):
        return None
    # Copy only the members that make up a public key: `alg` must not choose another algorithm.
    public = {"kty": kind, **{field: jwk.get(field) for field in fields}}
    try:
        key: object = PyJWK(public, "RS256" if kind == "RSA" else "ES256").key
    except (PyJWTError, ValueError, TypeError, AttributeError):
        return None
    algorithm = _algorithm_of(key)
    if algorithm is None or alg not in (None, algorithm):
        return None
    return PublicKey(algorithm, key, key_id)


def _algorithm_of(key: object) -> Algorithm | None:
    """Return the algorithm that `key` verifies, or None if it is not used here."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, RSAPublicKey) and key.key_size >= RSA_BITS:
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    return None


class KeyCache:
    """The last set of keys that was fetched, and the decision whether another fetch is due.

    Args:
        cooldown_s: Minimum time between two fetches, in seconds.
    """

    def __init__(self, *, cooldown_s: float = COOLDOWN_S) -> None:
        self._cooldown_s = cooldown_s
        self._keys: KeySet | None = None
        self._fetched_s = 0.0
        self._tried_s: float | None = None
        self._failed = False

    def get(self, algorithm: str, key_id: str, now_s: float) -> PublicKey | None:
        """Return the key for a token, or None if there is none or the set is too old.

        Args:
            algorithm: As for `KeySet.get`.
            key_id: As for `KeySet.get`.
            now_s: The current time, in monotonic seconds.
        """
        if self._keys is None or now_s - self._fetched_s > TRUSTED_S:
            return None
        return self._keys.get(algorithm, key_id)

    def is_due(self, algorithm: str, key_id: str, now_s: float) -> bool:
        """Return whether to fetch the set before this token is verified.

        Args:
            algorithm: As for `KeySet.get`.
            key_id: As for `KeySet.get`.
            now_s: The current time, in monotonic seconds.
        """
        if self._tried_s is not None:
            pause_s = min(RETRY_S, self._cooldown_s) if self._failed else self._cooldown_s
            if now_s - self._tried_s < pause_s:
                return False
        stale = now_s - self._fetched_s > FRESH_S
        return stale or self.get(algorithm, key_id, now_s) is None

    @property
    def failed(self) -> bool:
        """True if the last fetch failed, so that an unknown key id may still be valid."""
        return self._failed

    def store(self, keys: KeySet, now_s: float) -> None:
        """Replace the set by one that has been fetched.

        Args:
            keys: The new set.
            now_s: The current time, in monotonic seconds.
        """
        self._keys = keys
        self._fetched_s = self._tried_s = now_s
        self._failed = False

    def fail(self, now_s: float) -> None:
        """Record that a fetch has failed. The last set stays in use.

        Args:
            now_s: The current time, in monotonic seconds.
        """
        self._tried_s = now_s
        self._failed = True
