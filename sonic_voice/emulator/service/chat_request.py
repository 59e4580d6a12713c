"""The chat request of a prompt: the host asks a chat endpoint for the sentences of an answer.

Only one request is in progress at a time: a new one cancels the earlier one. Its answer is given
while the pieces come, whatever the input clock says; see `effects.StartChatRequest`.

    none ──start──► in progress ──finish (by the host), cancel or start──► none
"""

from dataclasses import dataclass

from .answers import GeneratedAnswer
from .brain import ChatRequest
from .effects import CancelChatRequest, StartChatRequest
from .output import ServiceOutput


@dataclass(frozen=True, slots=True)
class _Request:
    """A request in progress."""

    number: int
    answer: GeneratedAnswer
    """The answer that its sentences belong to."""


class CurrentChatRequest:
    """The chat request in progress, if there is one.

    Args:
        output: Receives the effects.
    """

    def __init__(self, output: ServiceOutput) -> None:
        self._out = output
        self._sent = 0
        self._current: _Request | None = None

    def start(self, answer: GeneratedAnswer, ask: ChatRequest) -> None:
        """Let the host ask for the next sentences of an answer.

        Args:
            answer: The answer.
            ask: The request of the brain.
        """
        self.cancel()
        self._sent += 1
        self._current = _Request(self._sent, answer)
        answer.more_may_come = True
        self._out.put(StartChatRequest(self._sent, ask.body_json))

    def answer_of(self, number: int) -> GeneratedAnswer | None:
        """Return the answer that a request belongs to, or None if it is not in progress.

        Args:
            number: The number of the request.
        """
        current = self._current
        return current.answer if current is not None and current.number == number else None

    def finish(self) -> None:
        """End the request because its last piece has come. Its answer gets no more sentences."""
        if self._current is not None:
            answer = self._current.answer
            answer.more_may_come = answer.waits_for_more = False
        self._current = None

    def cancel(self) -> None:
        """Cancel the request, if one is in progress. Its answer goes on without more sentences."""
        if self._current is not None:
            self._out.put(CancelChatRequest(self._current.number))
        self.finish()

    def cancel_for(self, answer: GeneratedAnswer) -> None:
        """Cancel the request if it belongs to an answer.

        Args:
            answer: The answer, which is not given any more.
        """
        if self._current is not None and self._current.answer is answer:
            self.cancel()
