"""The limits of the bridge, and the two algorithms that enforce most of them.

`TokenBucket` limits rates, `ConcurrencyLimit` limits the number of simultaneous conversations. Both
are pure: the time is an argument, `now_s`.
"""

from collections import Counter
from dataclasses import dataclass

from .closing import BridgeRefusal, Close
from .forwarding import client_key


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeLimits:
    """The limits on connections and conversations. Each has its own close code, see `closing`."""

    sessions: int = 64
    """Maximum number of simultaneous conversations, in all."""
    of_subject: int = 2
    """Maximum number of simultaneous conversations of one token subject. Two allow for one that a
    reloaded page has left behind."""
    of_address: int = 16
    """Maximum number of simultaneous conversations from one network address, which a household or
    an office may share. Behind a reverse proxy all clients have the proxy's address, unless
    `Access.trusted_proxies` names it."""
    unauthenticated: int = 256
    """Maximum number of connections whose hello has not been accepted yet."""
    unauthenticated_of_address: int = 16
    """Maximum number of such connections from one network address: a page needs one for a moment,
    and a client that says nothing must not lock out others."""
    handshakes_of_address: int = 64
    """Maximum number of TCP connections from one network address that have sent no request yet. A
    browser opens six."""
    hello_s: float = 5.0
    """Maximum time from the connection to the hello, in seconds."""
    messages_per_s: float = 200.0
    """Maximum average rate of messages, per second. A page that sends every 8 ms of its worklet,
    and ten reports a second, sends 135."""
    sound_per_s: float = 1.5
    """Maximum average rate of sound, in seconds of sound per second."""
    controls_per_s: float = 5.0
    """Maximum average rate of WebSocket control frames, per second. A browser sends none but the
    answer to each ping of the server; an intermediary may add a ping every few seconds."""
    burst_s: float = 10.0
    """Size of a burst of messages, sound or control frames, in seconds at the average rate. A burst
    follows a stall of the network."""
    typed_per_s: float = 0.5
    """Maximum average rate of typed turns, per second. Each one makes the model answer, and nobody
    types sentences faster."""
    typed_burst_s: float = 20.0
    """Size of a burst of typed turns, in seconds at the average rate: ten turns."""
    session_s: float = 3600.0
    """Maximum duration of a conversation, in seconds. A conversation goes on across the streams of
    the service, and each minute costs money, also with a visitor who has left the page open and a
    radio playing. Few conversations take an hour."""
    idle_s: float = 300.0
    """Maximum time in which neither user nor model says anything, in seconds."""
    answer_s: float = 30.0
    """Maximum time that a service which owes an answer may stay silent, in seconds. The slowest
    answers known take 10 s; a running tool does not count."""
    utterance_s: float = 120.0
    """Maximum time from the report that the user began to speak to the next event of the service,
    in seconds. It is long so that no monologue is cut off."""
    keep_s: float = 30.0
    """Time for which a conversation waits for a page that lost its connection, in seconds."""
    stuck_s: float = 10.0
    """Maximum time to send one message, in seconds. Then the connection is closed."""
    alive_s: float = 2.0
    """Time without another message after which a page is sent `alive`, in seconds. A page considers
    its connection lost when three are missing: 6 s are longer than stalls of wireless networks, and
    about as long as its ring buffer plays on. The server must send these messages, because a page
    sees neither pings nor that the network has failed."""
    ping_s: float = 10.0
    """Interval of pings, and maximum time to answer one, in seconds. A connection that does not
    answer in time is dead."""
    goodbye_s: float = 5.0
    """Maximum time at shutdown to close all sessions with the service, in seconds."""


class TokenBucket:
    """A token bucket, which is full at first.

    Args:
        per_s: The average rate, in units per second.
        burst_s: The size of the bucket, in seconds at that rate.
        now_s: The current time, in monotonic seconds.
    """

    def __init__(self, per_s: float, burst_s: float, *, now_s: float) -> None:
        self._per_s = per_s
        self._most = self._left = per_s * burst_s
        self._now_s = now_s

    def consume(self, amount: float, now_s: float) -> None:
        """Take units out of the bucket, after it has been refilled for the time that passed.

        Args:
            amount: How many units to take.
            now_s: The current time, in monotonic seconds.

        Raises:
            BridgeRefusal: `FLOOD`, if the bucket has fewer.
        """
        refill = (now_s - self._now_s) * self._per_s
        self._left = min(self._most, self._left + refill) - amount
        self._now_s = now_s
        if self._left < 0:
            raise BridgeRefusal(Close.FLOOD)


class ConcurrencyLimit:
    """A limit on simultaneous conversations: in all, by token subject, and by network address.

    Call `admit` before a conversation and `release` after it, with the same arguments.

    Args:
        limits: The limits `sessions`, `of_subject` and `of_address`.
    """

    def __init__(self, limits: BridgeLimits) -> None:
        self._limits = limits
        self._subjects: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()

    @property
    def talking(self) -> int:
        """Number of conversations that were admitted and not released."""
        return self._addresses.total()

    def admit(self, subject: str, address: str) -> None:
        """Count one more conversation, if the limits allow it: `check`, then `count`."""
        self.check(subject, address)
        self.count(subject, address)

    def check(self, subject: str, address: str) -> None:
        """Check that the limits allow one more conversation.

        Args:
            subject: The subject of its token; empty if there is none, which is not limited.
            address: The network address of the client.

        Raises:
            BridgeRefusal: `FULL`, `TOO_MANY_OF_SUBJECT` or `TOO_MANY_OF_ADDRESS`. A full server
                says so, whatever else would apply.
        """
        limits, client = self._limits, client_key(address)
        if self.talking >= limits.sessions:
            raise BridgeRefusal(Close.FULL)
        if subject and self._subjects[subject] >= limits.of_subject:
            raise BridgeRefusal(Close.TOO_MANY_OF_SUBJECT)
        if self._addresses[client] >= limits.of_address:
            raise BridgeRefusal(Close.TOO_MANY_OF_ADDRESS)

    def count(self, subject: str, address: str) -> None:
        """Count one more conversation, which was admitted by other limits.

        Args:
            subject: As for `check`.
            address: As for `check`.
        """
        self._subjects[subject] += 1
        self._addresses[client_key(address)] += 1

    def release(self, subject: str, address: str) -> None:
        """Count one conversation less.

        Args:
            subject: As for `check`.
            address: As for `check`.
        """
        self._subjects -= Counter([subject])
        self._addresses -= Counter([client_key(address)])
