"""Detect answers that do not come, and report them to the user."""

import asyncio
from collections.abc import Callable

from ..errors import DeadlineError
from ..events import (
    AssistantText,
    Audio,
    Closed,
    Ended,
    Event,
    Guarded,
    GuardFailed,
    Interrupted,
    NetworkSlow,
    Opened,
    Reconnecting,
    Renewed,
    StreamExpiring,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserText,
)
from ..session import Session

NOTICE_AFTER_S = 10.0
"""Time without an answer after which a user at a microphone gets a notice, in seconds. Answers take
1 to 2 s; the slowest of the emulator's latency profiles take 5 s."""


_OURS = (
    *(Closed, Ended, Guarded, GuardFailed, NetworkSlow, Opened, Reconnecting, Renewed),
    StreamExpiring,
)
"""Events that the session makes. The service has not reacted to the user when one comes."""


class NotAnswered(DeadlineError):
    """The service received speech and did not answer it in time."""


class AnswerTracker:
    """An observer of one conversation that detects missing answers.

    Args:
        session: The session of the conversation.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._turn = 0
        self._sounded = False
        self.silent = True
        """True until the service sends its first event."""

    def __call__(self, event: Event, now: float) -> None:
        """Process an event of the conversation.

        Args:
            event: The event.
            now: Its time on the session's clock, in seconds; not used.
        """
        match event:
            case UserText(turn):
                self._turn, self._sounded = turn, False
            case Audio():
                self._sounded = True
            case _:
                pass
        if not isinstance(event, _OURS):
            self.silent = False

    def missing(self, what: str, waited_s: float) -> NotAnswered | None:
        """Return the error for an answer that is missing at the end of the conversation.

        Args:
            what: Name of the recording that was played, for the message.
            waited_s: Time that was waited for an answer, in seconds.

        Returns:
            The error; None if nothing is missing.
        """
        if self.silent:
            return NotAnswered(
                f"The service did not react to {what}: it sent no event.",
                waited_s=waited_s,
                hint="Try again in a moment. `sonic-voice doctor` examines the connection.",
            )
        if not self._session.owes_answer:
            return None
        happened = "came only in part" if self._sounded else "did not come"
        of = f"turn {self._turn}" if self._turn else what
        return NotAnswered(
            f"The answer to {of} {happened} within {waited_s:g} s.",
            waited_s=waited_s,
            hint="Try again in a moment: the service may be overloaded.",
        )


class AnswerTimer:
    """An observer of a live conversation that gives a notice when no answer comes.

    It belongs to the running event loop. After use, `close` must be called.

    Args:
        notice: Called with a sentence for the user, once for each turn without an answer.
        after_s: Maximum time for an answer, in seconds.
    """

    def __init__(self, notice: Callable[[str], None], *, after_s: float = NOTICE_AFTER_S) -> None:
        self._notice = notice
        self._after_s = after_s
        self._timer: asyncio.TimerHandle | None = None
        self._silent = True

    def __call__(self, event: Event, now: float) -> None:
        """Process an event of the conversation.

        Args:
            event: The event.
            now: Its time on the session's clock, in seconds; not used.
        """
        if self._silent and not isinstance(event, _OURS):
            self._silent = False
            self.close()
        match event:
            case ToolAnswered() if event.reserved:  # what it answers is being spoken
                pass
            case UserText() | ToolAnswered():
                self.close()
                self._arm("The service has not answered")
            case AssistantText() | Audio() | Interrupted() | ToolCall() | TurnEnded() | Closed():
                self.close()
            case Reconnecting() | Ended():  # which say themselves why no answer comes
                self.close()
            case _:
                pass

    def spoken(self) -> None:
        """Start the timer when the user speaks, if the service has sent no event yet.

        Later turns start it when their text comes.
        """
        if self._silent and self._timer is None:
            self._arm("The service has not reacted to your voice")

    def close(self) -> None:
        """Stop the timer. May be repeated."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, sentence: str) -> None:
        loop = asyncio.get_running_loop()
        text = f"{sentence} for {self._after_s:g} s. It may still do so; Ctrl-C ends the wait."
        self._timer = loop.call_later(self._after_s, self._notice, text)
