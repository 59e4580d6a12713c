"""Public keys from a JSON Web Key Set at a URL, such as that of a Cognito user pool.

    find ── cached ──► key
      └──── due ──► one fetch (a task that all callers share) ──► cache ──► key, or none

`keys.KeyCache` decides when a fetch is due: at most one in 30 s, whatever clients send, so that the
issuer cannot be flooded by tokens with unknown key ids. Keys are fetched with `aiohttp`, which is
installed with the AWS SDK: it does not block the event loop, ends at its deadline whatever the
server does, and leaves no thread behind. Redirects are not followed, and a set of more than 256 KiB
is refused.
"""

import asyncio
import logging
import time
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import ConfigError
from ..http2.loopback import is_loopback
from ..text_files import decode_text
from .closing import BridgeRefusal, Close
from .keys import COOLDOWN_S, KeyCache, KeySet, KeySource, PublicKey, load_cryptography, read_keys

_log = logging.getLogger(__name__)

FETCH_S = 2.0
"""Maximum duration of a fetch, from looking up the host to the last byte, in seconds."""

SET_BYTES = 256 * 1024
"""Maximum size of a key set, in bytes. Issuers publish a few KiB."""


def key_source(source: str) -> KeySource:
    """Return the public keys at a URL or in a file.

    Args:
        source: An https URL of a JSON Web Key Set (http is accepted for this machine alone), or
            the path of a file with such a set or with a PEM public key. A file is read now; a URL
            is fetched when the first token arrives, or by `RemoteKeys.fetch`.

    Raises:
        ConfigError: If the URL cannot be used, or the file has no usable key.
    """
    if "://" in source:
        return RemoteKeys(source)
    try:
        document = Path(source).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"Cannot read {source}: {error.strerror}.",
            hint="Name a file with a JSON Web Key Set or a PEM public key, or an https URL.",
        ) from error
    return read_keys(decode_text(document, source).encode(), named=source)


class RemoteKeys:
    """A source of keys at a URL, which are fetched when needed and cached.

    It belongs to one event loop.

    Args:
        url: An https URL; http is accepted for this machine alone.
        cooldown_s: Minimum time between two fetches, in seconds.

    Raises:
        ConfigError: If the URL cannot be used, or a package is missing.
    """

    def __init__(self, url: str, *, cooldown_s: float = COOLDOWN_S) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host or not (
            parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
        ):
            raise ConfigError(
                f"Keys cannot be fetched from {_without_secrets(url)}.",
                hint="Name an https URL: who can change the keys on their way can sign tokens.",
            )
        load_cryptography()
        import aiohttp  # noqa: F401  # pyright: ignore[reportUnusedImport] - not in a handshake

        self._url = url
        self._cache = KeyCache(cooldown_s=cooldown_s)
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, algorithm: str, key_id: str) -> PublicKey | None:
        """Return the key for a token, or None if the set has none. Wait for a fetch that is due.

        Cancelling this does not cancel the fetch, because other callers may wait for it.

        Args:
            algorithm: The `alg` of the token's header.
            key_id: The `kid` of its header; empty if it has none.

        Raises:
            BridgeRefusal: `KEYS_UNAVAILABLE`, if the key is unknown and the set could not be
                fetched.
        """
        if self._cache.is_due(algorithm, key_id, time.monotonic()):
            if self._fetching is None or self._fetching.done():
                self._fetching = asyncio.create_task(self._refresh(), name="bridge keys")
            await asyncio.wait([self._fetching])
        key = self._cache.get(algorithm, key_id, time.monotonic())
        if key is None and self._cache.failed:
            raise BridgeRefusal(Close.KEYS_UNAVAILABLE)
        return key

    async def fetch(self) -> None:
        """Fetch the keys now, so that a wrong URL is noticed when the server starts.

        Raises:
            ConfigError: If the keys cannot be fetched. The message says why.
        """
        self._cache.store(await self._download(), time.monotonic())

    async def aclose(self) -> None:
        """Cancel a fetch that is under way. May be called again."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _refresh(self) -> None:
        try:
            self._cache.store(await self._download(), time.monotonic())
        except ConfigError as error:
            self._cache.fail(time.monotonic())
            _log.warning("%s", error.message)
        except asyncio.CancelledError:
            self._cache.fail(time.monotonic())
            raise
        except Exception:
            self._cache.fail(time.monotonic())
            _log.exception("keys could not be fetched")

    async def _download(self) -> KeySet:
        """Return the keys at the URL, or raise `ConfigError` if that fails, and nothing else."""
        import aiohttp

        named = _without_secrets(self._url)
        try:
            async with (
                asyncio.timeout(FETCH_S),
                aiohttp.ClientSession() as session,
                session.get(self._url, allow_redirects=False) as response,
            ):
                if response.status != HTTPStatus.OK:
                    raise _failure(named, f"HTTP status {response.status}")
                document = bytearray()
                async for part in response.content.iter_any():
                    document += part
                    if len(document) > SET_BYTES:
                        raise _failure(named, f"it has more than {SET_BYTES} bytes")
        except TimeoutError as error:
            raise _failure(named, f"no answer within {FETCH_S:g} s") from error
        except aiohttp.ClientConnectorError as error:  # its text names host and port
            raise _failure(named, str(error)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failure(named, type(error).__name__) from error
        return read_keys(bytes(document), named=named)


def _failure(named: str, reason: str) -> ConfigError:
    return ConfigError(
        f"Cannot fetch {named}: {reason}.",
        hint="It is to be the https URL of a JSON Web Key Set, which this machine can reach.",
    )


def _without_secrets(url: str) -> str:
    """Return `url` without its query and user, which may hold secrets."""
    parts = urlsplit(url)
    return parts._replace(query="", fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl()
