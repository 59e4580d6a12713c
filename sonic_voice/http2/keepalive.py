"""Notice within 10 s that a connection is dead, and not mistake a slow one for dead.

    silent for `ping_s` ──► PING ──► nothing comes for `deadline_s` ──► the end

The kernel of this machine goes on taking what a dead network does not carry, so only what is heard
counts as a sign of life. Between a conversation's turns the service may say nothing for minutes:
then it is asked.

On a line that is slower than speech the PING waits behind the audio, and its answer is late though
all is well. There the write buffer fills and drains all the time, and each draining is proof that
the peer acknowledges data. As long as it goes on, the answer may take `SLOW_ANSWER_S`.

There is one timer for each connection. It is not set again when data comes or goes: when it fires,
it looks at the time of the last sign of life.
"""

import asyncio
from typing import Protocol

PING_S = 4.0
"""Silence of the peer, in seconds, after which it is asked whether it is there."""

PING_DEADLINE_S = 4.0
"""How long the peer may take to answer, in seconds. With `PING_S`: 8 s until the report."""

SLOW_ANSWER_S = 30.0
"""How long the answer may take, in seconds, while the line takes audio slowly."""


class MonitoredConnection(Protocol):
    """What the watch needs of its connection."""

    received_at_s: float
    drained_at_s: float

    def ping(self) -> None:
        """Send a PING."""
        ...

    def fail_unresponsive(self, silent_s: float) -> None:
        """End: nothing has been heard for `silent_s`."""
        ...


class Keepalive:
    """The watch over one connection. `stop` it when the connection ends."""

    def __init__(self, connection: MonitoredConnection, ping_s: float, deadline_s: float) -> None:
        self._connection = connection
        self._ping_s = ping_s
        self._deadline_s = deadline_s
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(ping_s, self._check_silence)

    def stop(self) -> None:
        """End the watch. May be called again."""
        self._timer.cancel()

    def _check_silence(self) -> None:
        now = self._loop.time()
        silent_s = now - self._connection.received_at_s
        if silent_s < self._ping_s:
            self._timer = self._loop.call_later(self._ping_s - silent_s, self._check_silence)
            return
        # Set before the PING, which may find the connection gone and stop the watch.
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
