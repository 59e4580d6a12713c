"""The policies of a session: when its stream is renewed, which faults it recovers from, when it
addresses a silent user, and when the result of a tool is given to the model."""

from dataclasses import dataclass
from typing import Literal

from .errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalPolicy:
    """The moments of a renewal. `NO_RENEWAL` lets a session end with its first stream."""

    enabled: bool = True
    prepare_share: float = 0.75
    """Share of a stream's life after which the next one is prepared: 6 of 8 minutes."""
    latest_share: float = 0.9375
    """Share of a stream's life after which the switch is forced: 7.5 of 8 minutes."""
    before_expiry_s: float = 180.0
    """Time before the expiry of the credentials at which the switch is forced, in seconds."""
    prepared_life_s: float = 30.0
    """Maximum time that a prepared stream waits for its use, in seconds. The service ends a stream
    without audio after 55 s."""
    quiet_s: float = 0.3
    """Time for which the user must have been quiet, by the level of the audio, in seconds."""

    def __post_init__(self) -> None:
        if not 0 < self.prepare_share <= self.latest_share < 1:
            raise ConfigError("A renewal is prepared before it is forced, both within the life.")
        if min(self.before_expiry_s, self.prepared_life_s) <= 0 or self.quiet_s < 0:
            raise ConfigError("The times of a renewal must be more than 0 s.")


NO_RENEWAL = RenewalPolicy(enabled=False)
"""The policy of a session that ends with its stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPolicy:
    """The limits of recovery. `NO_RECOVERY` ends a session at its first fault."""

    attempts: int = 10
    """Maximum number of attempts in an outage."""
    first_wait_s: float = 0.5
    """Wait before the second attempt of an outage, in seconds. The first one is made at once if the
    fault ended a stream that worked."""
    factor: float = 2.0
    """Factor by which the wait grows from attempt to attempt."""
    longest_wait_s: float = 8.0
    """Maximum wait, in seconds."""
    jitter: float = 0.25
    """Share by which a wait is lengthened or shortened at random, 0 to 1."""
    patience_s: float = 60.0
    """Maximum length of an outage, in seconds."""
    outages: int = 12
    """Maximum number of outages within `period_s`."""
    period_s: float = 300.0
    """Period over which outages are counted, in seconds."""
    recorded_waits_s: tuple[float, ...] = ()
    """Waits that take the place of the first computed ones, in order and in seconds: those of a
    recorded conversation that is held again. They have no jitter."""

    def __post_init__(self) -> None:
        if self.attempts < 0 or self.outages < 1:
            raise ConfigError("A recovery has no negative attempts, and at least one outage.")
        if min(self.first_wait_s, self.longest_wait_s, self.patience_s, self.period_s) <= 0:
            raise ConfigError("The waits of a recovery must be more than 0 s.")
        if self.factor < 1 or not 0 <= self.jitter < 1:
            raise ConfigError("The factor of a recovery is at least 1, and its jitter below 1.")

    @property
    def enabled(self) -> bool:
        """True if faults are recovered from at all."""
        return self.attempts > 0


NO_RECOVERY = RecoveryPolicy(attempts=0)
"""The policy of a session that ends at its first fault."""


type ResultPolicy = Literal["now", "when_idle", "silent"]
"""When a tool's result is given to the model, and whether it is to be spoken.

- `now`: at once; the model speaks about it as soon as it can.
- `when_idle`: once neither side speaks.
- `silent`: at once, with the request to say nothing about it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPolicy:
    """The policy around a call of a tool. The module `tool_calls` carries it out."""

    ack: str = ""
    """Words that the user is to hear while the tool runs, on models that are silent until then
    (Nova 2.5, reference 8.5); empty for none."""
    result: ResultPolicy = "now"
    cancel_on_barge_in: bool = False
    """True if the call is cancelled when the user interrupts, or says something else meanwhile."""

    def __post_init__(self) -> None:
        if self.result not in ("now", "when_idle", "silent"):
            raise ConfigError(
                f"A result is given now, when_idle or silent, not {self.result!r}.",
                hint='@tool(result="when_idle")',
            )


PLAIN_TOOL = ToolPolicy()
"""The policy of a tool that names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdlePrompt:
    """A text that the assistant answers when the user has been silent for some time."""

    after_s: float
    """Time of silence on both sides, in seconds. It counts from the last answer."""
    text: str = ""
    """The text, best as a request: "Ask whether the user is still there." It is no turn of the
    user. It may be empty if the conversation ends."""
    then: Literal["wait", "end"] = "wait"
    """`wait`: the conversation goes on; `end`: it ends once the text was answered."""

    def __post_init__(self) -> None:
        if not self.after_s > 0:
            raise ConfigError(f"An idle prompt comes after more than 0 s, not {self.after_s}.")
        if self.then not in ("wait", "end"):
            raise ConfigError(f"After an idle prompt follows wait or end, not {self.then!r}.")
        if not self.text.strip() and self.then != "end":
            raise ConfigError("An idle prompt has no text.", hint="Say what is to be answered.")
