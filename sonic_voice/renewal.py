"""Renewal: when a session opens its next stream, and when it moves the conversation there.

The service ends every stream after 8 minutes. A session therefore *prepares* the next stream in
time (it is open, and has the prompt and the system prompt, but no history and no audio) and then
waits for the best moment to *switch*: nobody is speaking to the service, no answer and no tool
result is owed. This is so after the last sound of an answer has come, while it is still playing
here and the user listens. If no such moment comes, the switch is made at the latest age.

    age      0 ──────────── prepare ─────────── latest ──── life
             live           best moment wanted  forced      the service ends the stream
    default                 6 min               7 min 30 s  8 min

The ages are shares of a stream's life, so that shorter lives work, too. Credentials that expire
during the stream set an earlier latest age. A prepared stream that is not used is discarded before
the service's idle limit ends it, and another one is prepared.

The age is passed in, and decisions are returned: this module has no clock and no I/O. Source:
protocol reference 7.1.
"""

from dataclasses import dataclass
from enum import Enum, auto

from .policies import RenewalPolicy

SHORT_CREDENTIALS_S = 60.0
"""Minimum time that credentials must leave a stream before the switch, in seconds. Credentials that
expire sooner are ignored: switching would not bring newer ones."""


class Step(Enum):
    """The next step of a renewal."""

    WAIT = auto()
    PREPARE = auto()
    """Open the next stream; one that was prepared before is too old, and is discarded."""
    SWITCH = auto()


@dataclass(frozen=True, slots=True)
class LiveState:
    """The state of the live stream and its conversation."""

    user_speaks: bool
    """True while the service hears the user speak."""
    user_quiet_s: float
    """Time since the last loud audio of the user, in seconds."""
    owes: bool
    """True if an answer or a tool result is owed."""


class Renewal:
    """The renewal of one live stream.

    Args:
        policy: The moments.
        life_s: Life of the stream, in seconds.
        expires_s: Age of the stream at which its credentials expire, in seconds; None if they do
            not.
    """

    def __init__(
        self,
        policy: RenewalPolicy,
        *,
        life_s: float,
        expires_s: float | None = None,
    ) -> None:
        self._policy = policy
        self.reason = "age"
        """The reason of the next renewal: `age`, `credentials`, or that of `request`."""
        never = float("inf")
        self._latest_s = policy.latest_share * life_s if policy.enabled else never
        self._prepare_s = policy.prepare_share * life_s if policy.enabled else never
        expiry_s = never if expires_s is None else expires_s - policy.before_expiry_s
        if policy.enabled and SHORT_CREDENTIALS_S <= expiry_s < self._latest_s:
            window_s = (policy.latest_share - policy.prepare_share) * life_s
            self._latest_s = expiry_s
            self._prepare_s = max(0.0, min(self._prepare_s, expiry_s - window_s))
            self.reason = "credentials"

    def request(self, reason: str, age_s: float, *, within_s: float) -> None:
        """Renew the stream soon, whatever its age.

        Args:
            reason: The reason that is reported.
            age_s: Age of the stream, in seconds.
            within_s: Time after which the switch is forced, in seconds.
        """
        self.reason = reason
        self._prepare_s = min(self._prepare_s, age_s)
        self._latest_s = min(self._latest_s, age_s + within_s)

    def is_due(self, age_s: float) -> bool:
        """Return whether the next stream is to be prepared or switched to.

        Args:
            age_s: Age of the stream, in seconds.
        """
        return age_s >= self._prepare_s

    def next_check_s(self, age_s: float) -> float:
        """Return the age at which to ask again if nothing happens, in seconds; may be infinite.

        Args:
            age_s: Age of the stream, in seconds.
        """
        if age_s < self._prepare_s:
            return self._prepare_s
        return self._latest_s if age_s < self._latest_s else age_s

    def decide(self, age_s: float, live: LiveState, prepared_since_s: float | None) -> Step:
        """Return the next step.

        Args:
            age_s: Age of the stream, in seconds.
            live: The state of the live stream.
            prepared_since_s: Time since which a prepared stream is waiting; None if none is.
        """
        if not self.is_due(age_s):
            return Step.WAIT
        if prepared_since_s is None:
            return Step.PREPARE
        quiet = not live.user_speaks and live.user_quiet_s >= self._policy.quiet_s
        if (quiet and not live.owes) or age_s >= self._latest_s:
            return Step.SWITCH
        too_old = age_s - prepared_since_s >= self._policy.prepared_life_s
        return Step.PREPARE if too_old else Step.WAIT
