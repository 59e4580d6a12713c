"""Recovery: which faults a session survives, and when it tries again.

A fault is either *transient*, and the session opens a new stream, or final, and the session ends
with its error. Transient are faults of the network, and the answers of the service after which the
same request may succeed: throttling, lack of capacity, timeouts, the end of a stream's life. Final
are those that would come again: invalid requests, the content filter, denied access, a model that
is not offered, a quota of zero.

Two faults are judged by circumstances. Expired credentials are looked up again once. A service that
cannot be reached, or does not answer in time, is final as long as no stream was ever open: a wrong
address or a missing network is then reported at once. Later, it is transient.

One *outage* lasts from a fault until a new stream works. The waits in it grow, and are drawn at
random so that many clients do not return at the same moment. An outage is limited in attempts and
in time, and the number of outages in a period is limited, so that a stream that breaks again and
again ends the conversation.

Source: protocol reference 6.
"""

from collections import deque
from collections.abc import Callable

from .errors import ConnectError, DeadlineError, ErrorKind, NetworkError, ServiceError
from .policies import RecoveryPolicy

_TRANSIENT_KINDS = frozenset(
    {
        ErrorKind.IDLE,
        ErrorKind.LIFETIME,
        ErrorKind.CAPACITY,
        ErrorKind.THROTTLED,
        ErrorKind.ENDED,
    }
)

_EXPIRED_TOKEN = ("expiredtoken", "requestexpired")
_ZERO_QUOTA = ("quota of 0", "quota is 0", "limit of 0", "limit is 0", "limit: 0")


def is_transient(error: Exception, *, connected_before: bool) -> bool:
    """Return whether a new stream may succeed after a fault, with the same request.

    Args:
        error: The fault.
        connected_before: Whether a stream of this session was ever taken by the service.
    """
    match error:
        case ServiceError(kind=kind):
            return kind in _TRANSIENT_KINDS and not _has_zero_quota(error)
        case ConnectError() | DeadlineError():
            return connected_before
        case NetworkError():
            return True
        case _:
            return False


def has_expired_credentials(error: Exception) -> bool:
    """Return whether the service refused a stream because its credentials have expired.

    Args:
        error: The refusal.
    """
    if not isinstance(error, ServiceError) or error.kind is not ErrorKind.ACCESS:
        return False
    return error.code.lower().startswith(_EXPIRED_TOKEN) or "expired" in error.text.lower()


def _has_zero_quota(error: ServiceError) -> bool:
    """Return whether the account has no quota at all, which waiting does not change."""
    return any(words in error.text.lower() for words in _ZERO_QUOTA)


class Recovery:
    """The progress of a session through its outages.

    Args:
        policy: The limits.
        draw: Returns a random number from 0 to 1, for the jitter.
    """

    def __init__(self, policy: RecoveryPolicy, draw: Callable[[], float]) -> None:
        self._policy = policy
        self._draw = draw
        self._recorded_waits_s = deque(policy.recorded_waits_s)
        self._outages: deque[float] = deque()
        self._began_s: float | None = None
        self._resolved_again = False
        self.connected_before = False
        """True once the service took a stream."""
        self.attempt = 0
        """Number of the attempt that was last decided on in this outage, from 1; 0 outside."""

    def fault(self, error: Exception, now: float) -> float | None:
        """Decide what follows a fault.

        Args:
            error: The fault of a stream, or of an attempt to open one.
            now: Monotonic seconds.

        Returns:
            The wait before the next attempt, in seconds; None if the fault is final, or a limit is
            reached.
        """
        policy = self._policy
        if not policy.enabled or not self._may_pass(error):
            return None
        if self._began_s is None:
            self._began_s = now
            self._outages.append(now)
            while now - self._outages[0] > policy.period_s:
                self._outages.popleft()
            if len(self._outages) > policy.outages:
                return None
        self.attempt += 1
        if self.attempt > policy.attempts:
            return None
        # After a fault of a stream that worked, the first attempt is made at once.
        earlier = self.attempt - (2 if self.connected_before else 1)
        if self._recorded_waits_s:
            wait_s = self._recorded_waits_s.popleft()
        else:
            wait_s = 0.0 if earlier < 0 else self._wait_s(earlier)
        return wait_s if now - self._began_s + wait_s < policy.patience_s else None

    def remaining_s(self, now: float) -> float:
        """Return the time that is left of the patience with this outage, in seconds.

        Args:
            now: Monotonic seconds.
        """
        began_s = now if self._began_s is None else self._began_s
        return max(0.0, began_s + self._policy.patience_s - now)

    def opened(self) -> None:
        """Record that the service took a stream."""
        self.connected_before = True

    def worked(self) -> None:
        """Record that a stream worked for a while, which ended the outage before it."""
        self._began_s = None
        self._resolved_again = False
        self.attempt = 0

    def _may_pass(self, error: Exception) -> bool:
        if has_expired_credentials(error):
            first = not self._resolved_again
            self._resolved_again = True
            return first
        return is_transient(error, connected_before=self.connected_before)

    def _wait_s(self, earlier: int) -> float:
        policy = self._policy
        wait_s = min(policy.first_wait_s * policy.factor**earlier, policy.longest_wait_s)
        return wait_s * (1 + policy.jitter * (2 * self._draw() - 1))
