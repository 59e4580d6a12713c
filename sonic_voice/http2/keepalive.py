"""Detection of a dead connection within 10 s, without taking a slow one for dead.

    no data for `ping_s` ──► PING ──► no data for `deadline_s` ──► the connection is dropped

The kernel of this machine continues to accept data that a dead network does not carry, so only
received data counts as a sign of life. Between the turns of a conversation the service may send
nothing for minutes; a PING then asks for an answer.

On a network that is slower than speech, the PING waits behind the audio, and its answer is late
although the connection is alive. In that case the write buffer fills and drains continually, and
each draining proves that the peer acknowledges data. While this goes on, the answer may take
`SLOW_ANSWER_S`.

There is one timer for each connection. It is not restarted when data arrives or is sent: when it
fires, it compares the time of the last sign of life with the clock.
"""

import asyncio
from typing import Protocol

PING_S = 4.0
"""Silence of the peer after which a PING is sent, in seconds."""

PING_DEADLINE_S = 4.0
"""Maximum time for the answer to a PING, in seconds. Together with `PING_S`, a dead connection is
reported after 8 s."""

SLOW_ANSWER_S = 30.0
"""Maximum time for the answer to a PING while the network accepts audio slowly, in seconds."""


class MonitoredConnection(Protocol):
    """The port of a keepalive to its connection."""

    received_at_s: float
    """Time of the last data from the peer, in seconds of the loop's clock."""
    drained_at_s: float
    """Time at which a full write buffer last drained, in seconds of the loop's clock."""

    def ping(self) -> None:
        """Send a PING."""
        ...

    def fail_unresponsive(self, silent_s: float) -> None:
        """Drop the connection because the peer does not answer.

        Args:
            silent_s: Time since the last data from the peer, in seconds.
        """
        ...


class Keepalive:
    """A timer that checks one connection, from its construction until `stop`.

    Args:
        connection: The connection to check.
        ping_s: Silence after which a PING is sent, in seconds.
        deadline_s: Maximum time for the answer to a PING, in seconds.
    """

    def __init__(self, connection: MonitoredConnection, ping_s: float, deadline_s: float) -> None:
        self._connection = connection
        self._ping_s = ping_s
        self._deadline_s = deadline_s
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(ping_s, self._check_silence)

    def stop(self) -> None:
        """Stop the timer. Idempotent."""
        self._timer.cancel()

    def _check_silence(self) -> None:
        now = self._loop.time()
        silent_s = now - self._connection.received_at_s
        if silent_s < self._ping_s:
            self._timer = self._loop.call_later(self._ping_s - silent_s, self._check_silence)
            return
        # Set before the PING, which may find the connection closed and stop the timer.
        self._timer = self._loop.call_later(self._deadline_s, self._check_answer, now)
        self._connection.ping()

    def _check_answer(self, pinged_at_s: float) -> None:
        now, connection = self._loop.time(), self._connection
        if connection.received_at_s > pinged_at_s:
            self._check_silence()
            return
        patience_s = connection.drained_at_s + self._deadline_s - now
        if patience_s > 0 and now - pinged_at_s < SLOW_ANSWER_S:
            self._timer = self._loop.call_later(patience_s, self._check_answer, pinged_at_s)
            return
        connection.fail_unresponsive(now - connection.received_at_s)
