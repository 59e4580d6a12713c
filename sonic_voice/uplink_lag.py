"""The uplink lag: how late the user's speech is when the network takes it.

Speech is queued as it is spoken and sent as fast as the network takes it. On a good line it waits
for some milliseconds. On a line that is slower than speech, the outbox is always full, and the time
that each chunk waits there shows how late the service hears it. The buffers below the outbox are
small (`http2`), so that most of the waiting happens in the outbox.

A line that stalls for a moment and catches up is not reported, only a lag that lasts.
"""

from .events import NetworkSlow

LATENESS_THRESHOLD_S = 1.0
"""Lag from which a line counts as too slow, in seconds: more than the outbox holds, and more than a
lost packet costs."""

NOTICE_AFTER_S = 1.0
"""Time that the lag must last before it is reported, in seconds."""

REPEAT_NOTICE_AFTER_S = 10.0
"""Time between two reports while the lag lasts, in seconds."""


class UplinkLag:
    """A meter of the uplink lag of one service stream."""

    def __init__(self) -> None:
        self.late_since_s: float | None = None
        """Time since which the line is too slow, in monotonic seconds; None if it is not."""
        self._notice_at_s: float | None = None
        self._speech_s = 0.0

    def nothing_waits(self) -> None:
        """Record that a chunk of speech was sent at once: the line is not too slow."""
        self.late_since_s = self._notice_at_s = None

    def sent(self, queued_at_s: float, speech_s: float, now: float) -> NetworkSlow | None:
        """Record that a chunk of speech was sent.

        Args:
            queued_at_s: When it was queued, in seconds of the clock of `now`.
            speech_s: Length of the chunk, in seconds.
            now: When the network had taken it, in monotonic seconds.

        Returns:
            The event that reports the lag, if one is due.
        """
        late_s = now - queued_at_s
        if late_s < LATENESS_THRESHOLD_S:
            self.late_since_s = self._notice_at_s = None
            return None
        if self.late_since_s is None:
            self.late_since_s, self._speech_s = now, 0.0
            return None
        self._speech_s += speech_s
        lasted_s = now - (self._notice_at_s or self.late_since_s)
        if lasted_s < (NOTICE_AFTER_S if self._notice_at_s is None else REPEAT_NOTICE_AFTER_S):
            return None
        notice = NetworkSlow(round(late_s, 1), round(self._speech_s / lasted_s, 2))
        self._notice_at_s, self._speech_s = now, 0.0
        return notice
