"""Idle prompts: when a silent user is addressed again.

The time counts while nobody speaks, nothing plays and nothing is owed. Each prompt is sent once;
the time of the next one counts from the end of its answer. When the user speaks, all of them may
come again. The last prompt may end the conversation once it was answered.

    quiet ── after_s ──► prompt 1 ── its answer, after_s ──► prompt 2 (`then="end"`) ──► end
      ▲                                                                        │
      └─────────────────────────── the user speaks ◄───────────────────────────┘

The time is passed in, and decisions are returned: this module has no clock and no I/O.
"""

from collections.abc import Sequence

from .policies import IdlePrompt

FAREWELL_S = 30.0
"""Maximum time for the answer to the last prompt, in seconds. The conversation then ends anyway."""


class IdleTimer:
    """The progress of a session through its idle prompts.

    Args:
        prompts: The prompts, in order.
    """

    def __init__(self, prompts: Sequence[IdlePrompt]) -> None:
        self._prompts = tuple(prompts)
        self._sent = 0
        self._quiet_since_s: float | None = None
        self._farewell_since_s: float | None = None

    def user_spoke(self) -> None:
        """Begin anew, because the user spoke or typed."""
        self._sent = 0
        self._quiet_since_s = self._farewell_since_s = None

    def prompt(self, now: float, *, busy: bool) -> IdlePrompt | None:
        """Return the prompt that is due, which then counts as sent; None if none is.

        Args:
            now: Monotonic seconds; it never runs backwards.
            busy: Whether somebody speaks, an answer plays, or something is owed.
        """
        if busy or self._sent == len(self._prompts):
            self._quiet_since_s = None
            return None
        if self._quiet_since_s is None:
            self._quiet_since_s = now
        prompt = self._prompts[self._sent]
        if now - self._quiet_since_s < prompt.after_s:
            return None
        self._sent += 1
        self._quiet_since_s = None
        if prompt.then == "end":
            self._farewell_since_s = now
        return prompt

    def is_over(self, now: float, *, busy: bool) -> bool:
        """Return whether the conversation is to end: the last prompt was answered.

        Args:
            now: Monotonic seconds; it never runs backwards.
            busy: Whether somebody speaks, an answer plays, or something is owed.
        """
        since_s = self._farewell_since_s
        return since_s is not None and (not busy or now - since_s >= FAREWELL_S)
