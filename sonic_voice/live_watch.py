"""The watch over the live stream of a session: its age, its renewal, and whether it reacts.

Each live stream has a watch of its own, which is thrown away with it. The manager asks the watch
what to do next; chunks of the user's audio wake the manager through it when a renewal is due.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from .config import SessionConfig
from .errors import ConnectionLost
from .handover import needed_from
from .neighbour_streams import CHECK_S
from .renewal import LiveState, Renewal, Step
from .service_stream import ServiceStream
from .uplink_ring import UplinkRing
from .virtual_clock import VirtualClock

RENEW_WITHIN_S = 15.0
"""Time after which a requested renewal is forced, in seconds."""

VERIFY_S = 10.0
"""Maximum time until a new stream reacts to speech or text, in seconds; answers take 1 to 2 s."""

RELEASE_S = 1.0
"""Interval at which audio of the user that was answered is released, in seconds."""

WORKING_S = 5.0
"""Age from which a stream counts as one that worked, in seconds: a fault then begins an outage."""


class LiveWatch:
    """The watch over one live stream.

    Args:
        stream: The stream, which has just gone live.
        config: The configuration of the session.
        ring: The audio of the user.
        clock: Returns monotonic seconds on the time line of the conversation.
        expects_reaction: Whether the service must react to what the stream begins with.
        on_due: Called when a renewal is due.
    """

    def __init__(
        self,
        stream: ServiceStream,
        config: SessionConfig,
        ring: UplinkRing,
        *,
        clock: Callable[[], float],
        expects_reaction: bool,
        on_due: Callable[[], object],
    ) -> None:
        self.stream = stream
        """The stream."""
        self._config = config
        self._ring = ring
        self._clock = clock
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        self._renewal = Renewal(
            config.renewal,
            life_s=config.stream_life_s,
            expires_s=_seconds_until(stream.credentials_expire_at),
        )
        self._release_at_s = 0.0
        self._verify_at_s = self._loop.time() + VERIFY_S if expects_reaction else None

    def age_s(self) -> float:
        """Return the age of the stream, in seconds: by the clock, or by the conversation.

        A recorded conversation may run faster than the clock, and the service's time with it. In
        virtual time only that of the conversation counts.
        """
        clock_s, conversation_s = self.stream.opened_at
        if isinstance(self._clock, VirtualClock):
            return self._clock() - conversation_s
        return max(self._loop.time() - clock_s, self._clock() - conversation_s)

    # -- whether it works ----------------------------------------------------------------------

    @property
    def awaits_reaction(self) -> bool:
        """True until the stream reacts to what it must answer."""
        return self._verify_at_s is not None and not self.stream.reacted

    @property
    def worked(self) -> bool:
        """True if the stream worked for a while. Otherwise a fault belongs to the same outage."""
        return self.age_s() >= WORKING_S and not self.awaits_reaction

    def verify(self) -> None:
        """End a stream that does not react in time to what it must answer."""
        if self._verify_at_s is None:
            return
        if self.stream.reacted:
            self._verify_at_s = None
        elif self._loop.time() >= self._verify_at_s:
            lost = ConnectionLost("The service does not react to what is said.", reason="cut")
            self.stream.end(lost)

    # -- its renewal ---------------------------------------------------------------------------

    @property
    def renewal_reason(self) -> str:
        """The reason of the next renewal."""
        return self._renewal.reason

    @property
    def renewal_is_due(self) -> bool:
        """True if the next stream is to be prepared or switched to."""
        return self._renewal.is_due(self.age_s())

    def request_renewal(self, reason: str) -> None:
        """Renew the stream at the next good moment, or after `RENEW_WITHIN_S`.

        Args:
            reason: The reason that is reported.
        """
        self._renewal.request(reason, self.age_s(), within_s=RENEW_WITHIN_S)

    def next_step(self, *, owes: bool, prepared_since_s: float | None) -> Step:
        """Return the next step of the renewal.

        Args:
            owes: Whether an answer or a tool result is owed.
            prepared_since_s: Age at which the next stream was prepared; None if none is.
        """
        state = LiveState(
            user_speaks=self.stream.progress.user_speaks,
            user_quiet_s=self._ring.quiet_s(),
            owes=owes,
        )
        return self._renewal.decide(self.age_s(), state, prepared_since_s)

    def next_look_s(self, *, is_prepared: bool) -> float:
        """Return the time after which the manager must look at the stream again, in seconds.

        Args:
            is_prepared: Whether the next stream is prepared.
        """
        age_s = self.age_s()
        wait_s = CHECK_S
        if not is_prepared:
            wait_s = max(CHECK_S, self._renewal.next_check_s(age_s) - age_s)
        if self._verify_at_s is not None:
            wait_s = min(wait_s, max(0.0, self._verify_at_s - self._loop.time()))
        return wait_s

    def check(self) -> None:
        """Report a renewal that is due, and release audio that was answered.

        To be called every `CHECK_S` of the conversation.
        """
        age_s = self.age_s()
        if self._renewal.is_due(age_s):
            self._on_due()
        if age_s >= self._release_at_s and not self.stream.over.done():
            self._release_at_s = age_s + RELEASE_S
            self._ring.release(needed_from(self._config, self.stream.progress, self._ring))


def _seconds_until(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp() - time.time()
