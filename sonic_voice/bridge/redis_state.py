"""The shared state of several processes in Redis 6.2 or later, or a server that is compatible.

    sonic-voice:all               set of conversations, sorted by the time when their count expires
    sonic-voice:subject:HASH      the same, of one subject
    sonic-voice:client:HASH       the same, of one client address
    sonic-voice:owner:KEY         the process that holds the conversation; `-` after its end
    sonic-voice:record:KEY        the conversation, see `saving.Record`
    sonic-voice:token:HASH        the conversation that a token has opened
    sonic-voice:since             the time since which the server has been in use without a loss

Each change is one script, so that no other process sees a part of it. Times are those of the
Redis server. Names of subjects and addresses appear as hashes only; records have what people said.

A server that does not answer within `CALL_S` is *down*: calls then fail at once, without waiting,
until `renew` has reached it again. It is logged once when it goes down, and once when it is back.
There is no subscription: redis-py does not restore one after a restart of the server.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Sequence
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from ..errors import ConfigError
from .closing import BridgeRefusal, Close
from .limits import BridgeLimits
from .shared_state import LEASE_S, RENEW_S, Claim, Renewal, StateUnavailable
from .store import MAX_AGE_S

_log = logging.getLogger(__name__)

CALL_S = 1.0
"""Maximum time of one call, in seconds. It takes 0.3 ms on one machine; a page waits 8 s for the
answer to its hello."""

OVER_S = 60.0
"""Time for which the end of a conversation is remembered, in seconds: longer than a process that
was held up may take to learn that it has lost the conversation."""

SETTLE_S = 2 * RENEW_S
"""Time after the server was emptied in which a conversation that is not stored may still be one, in
seconds: a process stores its conversations again at its next renewal."""

CONNECTIONS = 16
"""Maximum number of connections to the server. Further calls wait, within `CALL_S`."""

_PREFIX = "sonic-voice"
_SINCE = f"{_PREFIX}:since"

_TIME = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
"""Beginning of the scripts that count: the server's time, in milliseconds."""

_COUNT = """
local function count(id, owner, lease)
  for index = 2, 4 do
    if KEYS[index] ~= '' then
      redis.call('ZADD', KEYS[index], now + lease, id)
      redis.call('PEXPIRE', KEYS[index], lease)
    end
  end
  redis.call('SET', KEYS[1], owner, 'PX', lease)
end
"""
"""Function of the scripts: count a conversation in three sets, of which that of the subject may be
missing."""

_ADMIT = f"""{_TIME}{_COUNT}
local id, owner, lease, token_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
for index, limit in ipairs({{'all', 'subject', 'client'}}) do
  local set = KEYS[index + 1]
  if set ~= '' then
    redis.call('ZREMRANGEBYSCORE', set, '-inf', now)
    local counted = redis.call('ZSCORE', set, id)
    if not counted and redis.call('ZCARD', set) >= tonumber(ARGV[index + 4]) then
      return limit
    end
  end
end
if KEYS[5] ~= '' then
  local user = redis.call('GET', KEYS[5])
  if user and user ~= id then return 'token' end
  redis.call('SET', KEYS[5], id, 'PX', token_ms)
end
count(id, owner, lease)
return ''
"""
"""Keys: owner, three sets, token. Arguments: conversation, process, lease and lifetime of the token
in milliseconds, three limits. Returns the limit that is reached, or nothing."""

_RENEW = f"""{_TIME}{_COUNT}
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[2] then return 'taken' end
count(ARGV[1], ARGV[2], tonumber(ARGV[3]))
return owner and 'held' or 'lost'
"""
"""Keys: owner, three sets. Arguments: conversation, process, lease in milliseconds."""

_RELEASE = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[2] then return end
for index = 2, 4 do
  if KEYS[index] ~= '' then redis.call('ZREM', KEYS[index], ARGV[1]) end
end
redis.call('SET', KEYS[1], '-', 'PX', ARGV[3])
"""
"""Keys: owner, three sets. Arguments: conversation, process, milliseconds to remember its end."""

_SAVE = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2])
"""
"""Keys: owner, record. Arguments: process, lifetime in milliseconds, record."""

_LOAD = f"""{_TIME}
local record = redis.call('GET', KEYS[2])
if record then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return record
end
local since = redis.call('GET', KEYS[3])
if not since or now - since < tonumber(ARGV[3]) then return '' end
return false
"""
"""Keys: owner, record, beginning. Arguments: process, lease and `SETTLE_S` in milliseconds. Returns
the record, nothing if there is none, or an empty text while there may be one soon."""

_BEGIN = f"""{_TIME}
redis.call('SET', KEYS[1], string.format('%d', now), 'NX')
"""
"""Key: the time since which the server has been in use, in milliseconds. It notes it."""

_CLOSES = {
    b"all": Close.FULL,
    b"subject": Close.TOO_MANY_OF_SUBJECT,
    b"client": Close.TOO_MANY_OF_ADDRESS,
    b"token": Close.EXPIRED,
}
"""Close codes by the outcome of `_ADMIT`."""


class _TokenWasUsed(ValueError):
    """The token has opened another conversation."""

    def __init__(self) -> None:
        super().__init__("the token has been used")


class RedisState:
    """A `SharedState`, and a `Store`, in a Redis server. It is opened by the first call.

    Args:
        url: The URL of the server: `redis://HOST:PORT/DATABASE`, `rediss://` with TLS, or
            `unix://PATH`. It may have a user and a password, which are never logged.
        max_age_s: Maximum age of a stored conversation, in seconds.

    Raises:
        ConfigError: The URL cannot be read.
    """

    def __init__(self, url: str, *, max_age_s: float = MAX_AGE_S) -> None:
        try:
            pool: Any = cast(Any, BlockingConnectionPool).from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=CALL_S,
                socket_timeout=CALL_S,
                socket_connect_timeout=CALL_S,
                retry=Retry(NoBackoff(), 1),  # for a connection that a restart has cut
            )
            client: Any = cast(Any, Redis).from_pool(pool)
        except (ValueError, RedisError) as error:
            raise ConfigError(
                "The URL of the Redis server cannot be read.",
                hint="Write redis://HOST:PORT/0, or rediss://... for TLS.",
            ) from error
        self._client = client
        self._process = secrets.token_hex(8)
        """Name of this process as the owner of conversations."""
        self._max_age_s = max_age_s
        self._down = False

    async def load(self, key: str) -> bytes | None:
        """See `SharedState`."""
        keys = f"{_PREFIX}:owner:{key}", f"{_PREFIX}:record:{key}", _SINCE
        record = await self._run(_LOAD, keys, self._process, _ms(LEASE_S), _ms(SETTLE_S))
        if record == b"":
            raise StateUnavailable
        return record

    async def save(self, key: str, value: bytes) -> None:
        """See `SharedState`."""
        keys = f"{_PREFIX}:owner:{key}", f"{_PREFIX}:record:{key}"
        await self._run(_SAVE, keys, self._process, _ms(self._max_age_s), value)

    async def admit(self, claim: Claim, limits: BridgeLimits) -> None:
        """See `SharedState`."""
        token = f"{_PREFIX}:token:{claim.token}" if claim.token else ""
        outcome = await self._run(
            _ADMIT,
            (*_counted(claim), token),
            *(claim.key, self._process, _ms(LEASE_S), _ms(max(claim.token_s, 1.0))),
            *(limits.sessions, limits.of_subject, limits.of_address),
        )
        if outcome:
            refusal = BridgeRefusal(_CLOSES[outcome])
            raise refusal from (_TokenWasUsed() if outcome == b"token" else None)

    async def renew(self, claims: Sequence[Claim]) -> Renewal:
        """See `SharedState`. It also finds out whether a server that was down is back."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.eval(_BEGIN, 1, _SINCE)
        for claim in claims:
            keys = _counted(claim)
            pipeline.eval(_RENEW, len(keys), *keys, claim.key, self._process, _ms(LEASE_S))
        returned = self._down
        _, *outcomes = await self._answer(pipeline.execute())
        by_key = dict(zip((claim.key for claim in claims), outcomes, strict=True))
        lost = {key for key, outcome in by_key.items() if outcome == b"lost" or returned}
        taken = frozenset(key for key, outcome in by_key.items() if outcome == b"taken")
        return Renewal(taken, frozenset(lost) - taken)

    async def release(self, claim: Claim) -> None:
        """See `SharedState`."""
        await self._run(_RELEASE, _counted(claim), claim.key, self._process, _ms(OVER_S))

    async def aclose(self) -> None:
        """See `SharedState`."""
        await self._client.aclose()

    async def _run(self, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        """Run a script, unless the server is down."""
        if self._down:
            raise StateUnavailable
        return await self._answer(self._client.eval(script, len(keys), *keys, *arguments))

    async def _answer(self, call: Awaitable[Any]) -> Any:
        """Return the answer of the server, and note whether it is down.

        Raises:
            StateUnavailable: It does not answer in time, or answers with an error.
        """
        try:
            async with asyncio.timeout(CALL_S):
                answer = await call
        except (RedisError, OSError, TimeoutError) as error:
            if not self._down:
                self._down = True
                cause = error.__cause__ or error  # that of a refused connection
                refused = isinstance(cause, ResponseError | AuthenticationError)
                _log.warning(
                    "Redis %s (%s): each process has its own limits until it %s",
                    "refuses its service" if refused else "does not answer",
                    f"{type(cause).__name__}: {error}" if refused else type(error).__name__,
                    "accepts them" if refused else "is back",
                )
            raise StateUnavailable from error
        if self._down:
            self._down = False
            _log.warning("Redis is back")
        return answer


def _counted(claim: Claim) -> tuple[str, str, str, str]:
    """Return the keys of the owner and of the three sets in which a conversation is counted."""
    return (
        f"{_PREFIX}:owner:{claim.key}",
        f"{_PREFIX}:all",
        f"{_PREFIX}:subject:{_hash(claim.subject)}" if claim.subject else "",
        f"{_PREFIX}:client:{_hash(claim.client)}",
    )


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
