"""Whether the service answers: for those who would otherwise wait for it without being told."""

import asyncio
from collections.abc import Callable

from ..errors import DeadlineError
from ..events import (
    AssistantText,
    Audio,
    Closed,
    Event,
    Interrupted,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserText,
)
from ..session import Session

NOTICE_AFTER_S = 10.0
"""Seconds without an answer after which a person at a microphone is told. Answers take 1 to 2 s;
the slowest that the emulator knows take 5 s."""


class NotAnswered(DeadlineError):
    """The service took what was said, and did not answer it in time."""


class AnswerTracker:
    """An observer of one conversation that knows what is not answered."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._turn = 0
        self._sounded = False
        self.silent = True
        """Whether the service has sent no event at all."""

    def __call__(self, event: Event, now: float) -> None:
        """Take note of `event`."""
        match event:
            case UserText(turn):
                self._turn, self._sounded = turn, False
            case Audio():
                self._sounded = True
            case _:
                pass
        if not isinstance(event, Closed):
            self.silent = False

    def missing(self, what: str, waited_s: float) -> NotAnswered | None:
        """Return the error for an answer that is missing at the end of the conversation.

        Args:
            what: The recording that spoke, for the message.
            waited_s: Seconds that were waited for an answer.
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
        return NotAnswered(
            f"The answer to turn {self._turn} {happened} within {waited_s:g} s.",
            waited_s=waited_s,
            hint="Try again in a moment: the service may be overloaded.",
        )


class AnswerTimer:
    """An observer of a live conversation that tells the person when no answer comes.

    Belongs to the running event loop. `close` it.

    Args:
        notice: Called with the sentence, once for each turn without an answer.
        after_s: How long an answer may take, in seconds.
    """

    def __init__(self, notice: Callable[[str], None], *, after_s: float = NOTICE_AFTER_S) -> None:
        self._notice = notice
        self._after_s = after_s
        self._timer: asyncio.TimerHandle | None = None
        self._silent = True

    def __call__(self, event: Event, now: float) -> None:
        """Take note of `event`."""
        if self._silent:
            self._silent = False
            self.close()
        match event:
            case UserText() | ToolAnswered():
                self.close()
                self._arm("The service has not answered")
            case AssistantText() | Audio() | Interrupted() | ToolCall() | TurnEnded() | Closed():
                self.close()
            case _:
                pass

    def spoken(self) -> None:
        """Say that the person speaks. Matters as long as the service has sent no event."""
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
