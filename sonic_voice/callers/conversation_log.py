"""The log of a caller's conversation: events become observed turns.

A turn of the caller and a turn of the session are different things. The session counts what the
service answers; a pause may split the caller's words into two of its turns, and a cough is none. A
turn of the session belongs to that turn of the caller which had begun last when it was first heard
of. The texts of an answer that come late are therefore those of the turn that asked for it.
"""

from collections.abc import Callable
from operator import itemgetter

from ..events import (
    AssistantText,
    Audio,
    Event,
    Interrupted,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserText,
)
from ..transcript import Transcript
from .results import ObservedCall, ObservedTurn


class ConversationLog:
    """An observer of a conversation that collects what is observed of each turn of the caller.

    Args:
        transcript: The transcript of the conversation, which grows with it.
        greeted: Whether the assistant speaks first.
    """

    def __init__(self, transcript: Transcript, *, greeted: bool) -> None:
        self.turns = [ObservedTurn(0, "", 0.0, 0.0)]
        """The turns observed so far; turn 0 is before the caller's first turn."""
        self.owed = greeted
        """True while an answer is expected or has not come to its end."""
        self.last_event_s = 0.0
        """Time of the last event, in seconds."""
        self.answering: int | None = None
        """Number of the session's turn whose answer has sounded last; None before the first."""
        self._transcript = transcript
        self._owner: dict[int, ObservedTurn] = {}
        self._open_calls: dict[str, ObservedCall] = {}

    @property
    def current(self) -> ObservedTurn:
        """The turn of the caller that has begun last."""
        return self.turns[-1]

    @property
    def calls_open(self) -> bool:
        """True while a tool runs."""
        return bool(self._open_calls)

    def begin_turn(self, said: str, now: float) -> ObservedTurn:
        """Begin a turn of the caller, and return it.

        Args:
            said: The words; empty if they are not known.
            now: Time at which the caller begins to speak, in seconds.
        """
        turn = ObservedTurn(len(self.turns), said, now)
        self.turns.append(turn)
        return turn

    def end_speech(self, now: float) -> None:
        """End the speech of the caller's turn, whose answer is owed from now on.

        Args:
            now: Time at which the caller stopped, in seconds.
        """
        self.current.ended_s = self.last_event_s = now
        self.owed = True

    def give_up(self) -> None:
        """Expect no answer to the current turn any more."""
        self.owed = False
        self._open_calls.clear()

    def __call__(self, event: Event, now: float) -> None:
        """Take an event of the conversation.

        Args:
            event: The event.
            now: Its time, in seconds.
        """
        self.last_event_s = now
        match event:
            case UserText(turn, text):
                observed = self._owner_of(turn)
                observed.user = f"{observed.user} {text.strip()}".strip()
                self.owed = self.owed or observed is self.current
            case AssistantText(turn):
                self._owner_of(turn)
            case Audio(turn):
                self._sounded(turn, now)
            case ToolCall() | ToolAnswered() if event.reserved:  # its sentences are the answer
                pass
            case ToolCall(turn, tool_use, name, arguments_json):
                call = ObservedCall(name, arguments_json)
                self._owner_of(turn).calls.append(call)
                self._open_calls[tool_use] = call
            case ToolAnswered(_, tool_use, _, result_json):
                if (call := self._open_calls.pop(tool_use, None)) is not None:
                    call.result_json = result_json
                    self.owed = True
            case Interrupted(turn):
                # The second half of a turn may interrupt the answer to its first half.
                self.current.interrupted |= self._owner_of(turn) is not self.current
            case TurnEnded(turn):
                if self._owner_of(turn) is self.current and self.current.ended_s is not None:
                    self.owed = False
            case _:
                pass

    def observed(self) -> list[ObservedTurn]:
        """Return what was observed so far, with the words of the transcript."""
        for turn in self.turns:
            turn.assistant = self._words_of(turn, self._transcript.planned)
            turn.heard = self._words_of(turn, self._transcript.heard)
        before, *turns = self.turns
        return [before, *turns] if before.answered else turns

    def _words_of(self, turn: ObservedTurn, text_of: Callable[[int], str]) -> str:
        """Return the words of the answers that belong to a turn of the caller."""
        texts = (
            text_of(number)
            for number, owner in sorted(self._owner.items(), key=itemgetter(0))
            if owner is turn
        )
        return " ".join(text for text in texts if text)

    def words_heard(self, played_ms: int) -> int:
        """Return how many words of the newest answer were heard.

        Args:
            played_ms: How much of its sound was played, in milliseconds.
        """
        if self.answering is None:
            return 0
        return len(self._transcript.heard_by(self.answering, played_ms).split())

    def _sounded(self, turn: int, now: float) -> None:
        observed = self._owner_of(turn)
        self.answering = turn
        if observed.response_latency_ms is None and observed.ended_s is not None:
            observed.response_latency_ms = round(1000 * (now - observed.ended_s))

    def _owner_of(self, turn: int) -> ObservedTurn:
        """Return the turn of the caller that a turn of the session belongs to."""
        return self._owner.setdefault(turn, self.current)
