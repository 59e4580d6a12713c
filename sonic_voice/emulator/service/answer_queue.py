"""The assistant's answers of a prompt: the one in progress, and those that are planned.

An answer is a generator over the input clock (`delivery`). It goes on when the clock has passed
the position that it waits for, when the host has delivered the sound that it needs, or when the
next sentence has come from a chat endpoint or from the client. A planned answer begins when it is
due, no other answer is in progress, and the user is not speaking.

The conversation stands still while a sound is awaited (`effects.Speak`).
"""

from collections import deque

from ...config import BYTES_PER_SAMPLE
from .answers import GeneratedAnswer, Sentence
from .brain import Reply
from .delivery import Delivery
from .input_clock import InputClock
from .output import ServiceOutput


class AnswerQueue:
    """The answer in progress, and the planned ones in their order.

    Args:
        delivery: Makes the scripts of the answers.
        output: Receives the effects.
        clock: The input clock.
        voice: The voice of the assistant.
        rate_hz: The sample rate of the output, in hertz.
    """

    def __init__(
        self,
        delivery: Delivery,
        output: ServiceOutput,
        clock: InputClock,
        voice: str,
        rate_hz: int,
    ) -> None:
        self.current: GeneratedAnswer | None = None
        """The answer in progress."""
        self._delivery = delivery
        self._out = output
        self._clock = clock
        self._voice = voice
        self._rate_hz = rate_hz
        self._planned: deque[GeneratedAnswer] = deque()
        self._sounds_requested = 0
        self._awaited_sound: int | None = None

    @property
    def awaits_sound(self) -> bool:
        """True while the host has not delivered the sound that the answer in progress needs."""
        return self._awaited_sound is not None

    def begin(self, answer: GeneratedAnswer) -> None:
        """Make an answer the one in progress, and run its first step.

        Args:
            answer: The answer, with its script.
        """
        self.current = answer
        self._resume(answer, None)

    def plan(self, reply: Reply, due_ms: float) -> GeneratedAnswer:
        """Add an answer behind the planned ones.

        Args:
            reply: The reply that the answer gives.
            due_ms: Position on the input clock before which it does not begin.

        Returns:
            The answer, to which sentences may be added.
        """
        answer = GeneratedAnswer(reply, deque(), due_ms)
        if reply.calls:
            answer.script = self._delivery.reply(answer, due_ms)
        elif reply.ask is not None:
            answer.script = self._delivery.chat_answer(answer, due_ms)
        else:
            answer.script = self._delivery.speech(answer, due_ms)
        self._planned.append(answer)
        return answer

    def answer_to(self, call: str) -> GeneratedAnswer | None:
        """Return the answer in progress or planned that the result of a tool call belongs to.

        Args:
            call: A `toolUseId`.

        Returns:
            The answer, to which sentences may be added, or None.
        """
        answers = (self.current, *self._planned)
        return next((one for one in answers if one is not None and call in one.calls), None)

    def unplan_chat_answers(self) -> None:
        """Drop the planned answers whose sentences a chat request was to bring."""
        self._planned = deque(answer for answer in self._planned if answer.reply.ask is None)

    def unplan(self) -> None:
        """Drop every planned answer. The one in progress stays."""
        self._planned.clear()

    def advance(self) -> bool:
        """Run the next step of the answer in progress, or the first of a planned one, if it is due.

        Returns:
            Whether there was such a step.
        """
        answer = self.current
        if answer is None:
            if not self._planned or self._clock.event_waits or self._clock.user_speaks:
                return False
            if not self._clock.is_due(self._planned[0].due_ms):
                return False
            self.begin(self._planned.popleft())
            return True
        if answer.waits_for_more or not self._clock.is_due(answer.due_ms):
            return False
        self._resume(answer, None)
        return True

    def take_sound(self, number: int, pcm: bytes) -> bool:
        """Go on with the sound that the host was asked for.

        Args:
            number: The number of the request.
            pcm: Mono s16le samples at the output rate. Half a sample at the end is dropped.

        Returns:
            Whether the sound was needed.
        """
        if number != self._awaited_sound or self.current is None:
            return False
        self._awaited_sound = None
        self._resume(self.current, pcm[: len(pcm) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE])
        return True

    def drop_current(self) -> GeneratedAnswer | None:
        """Stop the answer in progress, and return it. The planned ones stay."""
        answer, self.current = self.current, None
        return answer

    def clear(self) -> None:
        """Drop every answer, and a sound that is awaited."""
        self.current = self._awaited_sound = None
        self._planned.clear()

    def _resume(self, answer: GeneratedAnswer, pcm: bytes | None) -> None:
        """Run an answer to its next wait, with the sound that it waited for, if any."""
        assert answer.script is not None
        try:
            wanted = next(answer.script) if pcm is None else answer.script.send(pcm)
        except StopIteration:
            if self.current is answer:
                self.current = None
            return
        if isinstance(wanted, Sentence):
            self._sounds_requested += 1
            self._awaited_sound = self._sounds_requested
            self._out.speak(self._awaited_sound, wanted.text.strip(), self._voice, self._rate_hz)
        elif wanted is None:
            answer.waits_for_more = True
        else:
            answer.due_ms = wanted
