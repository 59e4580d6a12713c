"""How much of everything a client may have, and who has how much. Pure: `now_s` is passed in."""

from collections import Counter
from dataclasses import dataclass

from .closing import BridgeRefusal, Close


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeLimits:
    """Each one is refused with a code of its own, see `closing`."""

    sessions: int = 64
    """Conversations at once, in all."""
    of_subject: int = 2
    """At once of one subject of tokens: one, and one that a reloaded page left behind."""
    of_address: int = 16
    """At once from one address: a household, an office. Behind a proxy all have the proxy's."""
    unauthenticated: int = 64
    """Connections that have not said hello."""
    hello_s: float = 5.0
    """From the connection to the hello."""
    messages_per_s: float = 200.0
    """On average; a page that sends each 8 ms of its worklet, and ten reports, comes to 135."""
    sound_per_s: float = 1.5
    """Seconds of sound a second, on average."""
    burst_s: float = 10.0
    """How much of both may come at once, after a stall of the network."""
    session_s: float = 480.0
    """The longest conversation. The service ends each stream after 8 minutes, and with it the
    conversation; more has no effect."""
    idle_s: float = 300.0
    """Longest time in which nobody says anything."""
    answer_s: float = 30.0
    """Maximum time that a service which owes an answer may stay silent, in seconds. The slowest
    answers known take 10 s; a running tool does not count."""
    utterance_s: float = 120.0
    """Maximum time from the report that the user began to speak to the next event of the service,
    in seconds. It is long because nobody is to be cut off in a monologue."""
    keep_s: float = 30.0
    """How long a conversation waits for a page that lost its connection."""
    stuck_s: float = 10.0
    """How long one message may take to leave; then the reader is cut off."""
    alive_s: float = 2.0
    """After so long without anything else a page is sent a sign of life. It takes a connection for
    lost when three are missing: 6 s, more than wireless stalls last, and about what its ring plays
    meanwhile. It must come from here: a page sees no pings, and nothing of a network that died."""
    ping_s: float = 10.0
    """A connection that does not answer a ping for so long is dead."""
    goodbye_s: float = 5.0
    """At shutdown, for the goodbyes to the service."""


class TokenBucket:
    """A token bucket: `per_s` on average, `burst_s` times as much at once."""

    def __init__(self, per_s: float, burst_s: float, *, now_s: float) -> None:
        self._per_s = per_s
        self._most = self._left = per_s * burst_s
        self._now_s = now_s

    def consume(self, amount: float, now_s: float) -> None:
        """Take `amount` out. Raises `BridgeRefusal` with `FLOOD` when there is not so much."""
        refill = (now_s - self._now_s) * self._per_s
        self._left = min(self._most, self._left + refill) - amount
        self._now_s = now_s
        if self._left < 0:
            raise BridgeRefusal(Close.FLOOD)


class ConcurrencyLimit:
    """Who talks. `admit` before a conversation, `leave` after it, with the same words."""

    def __init__(self, limits: BridgeLimits) -> None:
        self._limits = limits
        self._subjects: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()

    @property
    def talking(self) -> int:
        """Conversations now."""
        return self._addresses.total()

    def admit(self, subject: str, address: str) -> None:
        """Count one more of both. Raises `BridgeRefusal`; `subject` `""` is nobody in particular."""
        limits = self._limits
        if subject and self._subjects[subject] >= limits.of_subject:
            raise BridgeRefusal(Close.TOO_MANY_OF_SUBJECT)
        if self._addresses[address] >= limits.of_address:
            raise BridgeRefusal(Close.TOO_MANY_OF_ADDRESS)
        if self.talking >= limits.sessions:
            raise BridgeRefusal(Close.FULL)
        self._subjects[subject] += 1
        self._addresses[address] += 1

    def release(self, subject: str, address: str) -> None:
        """Count one less."""
        self._subjects -= Counter([subject])
        self._addresses -= Counter([address])
