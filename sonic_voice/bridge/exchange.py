"""Decide whether a conversation is at rest: nobody speaks, and no answer is owed. Pure.

A server that restarts moves a conversation to another process at such a moment, so that no sentence
is cut. The sound that the page has not played is known to the sink, and not considered here.
"""

from ..events import (
    AssistantText,
    Audio,
    Event,
    Interrupted,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
)


class ExchangeState:
    """The state of the exchange between user and model.

    An answer is owed until its turn has ended. Events of an older turn may come after those of a
    newer one, such as the end of an answer into which the user has typed.
    """

    def __init__(self) -> None:
        self._user_speaks = False
        self._typed = 0
        """Number of typed turns that the service has not reported."""
        self._newest = 0
        """Number of the newest turn that has begun."""
        self._owed = 0
        """Number of the newest turn in which an answer is or was owed."""
        self._ended = 0
        """Number of the newest turn that has ended."""

    @property
    def at_rest(self) -> bool:
        """True if nobody speaks and no answer is owed."""
        return not (self._user_speaks or self._typed) and self._ended >= self._owed

    def typed(self) -> None:
        """Note that the user has typed a turn, which the service reports later."""
        self._typed += 1

    def observe(self, event: Event) -> None:
        """Note an event.

        Args:
            event: The event of the conversation.
        """
        if isinstance(event, Audio):  # most events are
            if event.turn > self._newest:
                self._begin(event.turn)
            return
        match event:
            case UserSpeechStarted():
                self._user_speaks = True
            case UserSpeechEnded():
                self._user_speaks = False
                # It belongs to the turn that has no answer yet, or begins another one.
                self._owed = max(self._owed, self._newest, self._ended + 1)
            case UserText(turn, typed=typed):
                self._typed = max(0, self._typed - typed)
                self._user_speaks = False
                self._begin(turn)
            case AssistantText(turn, stage="SPECULATIVE") | ToolCall(turn) | ToolAnswered(turn):
                self._begin(turn)
            case TurnEnded(turn) | Interrupted(turn):
                self._ended = max(self._ended, turn)
            case _:
                pass

    def _begin(self, turn: int) -> None:
        self._newest = max(self._newest, turn)
        self._owed = max(self._owed, turn)
