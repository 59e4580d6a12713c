"""Token arithmetic of one session, as measured on the real service (reference 9.1).

One speech token is 40 ms of sound, in both directions. A session costs 150 speech tokens and 66
text tokens before anything is said. They are reported as 22 text, 150 speech and 1 text, and 43
text when the first turn begins. Each utterance then adds its speech, 3 text, and 1 text after its
transcript. The system prompt, the history and the tool definitions are counted once, when the first
answer is generated, and never again. Output is reported as the text of the first sentence, then in
steps of exactly 20 tokens (speech and text together), then the rest at the end of the turn.

How the service cuts text into tokens is not known outside it; here four bytes are a token.
"""

import math

from ...wire import Tokens

MS_PER_SPEECH_TOKEN = 40
"""Length of sound that makes one speech token, in milliseconds."""
BYTES_PER_TEXT_TOKEN = 4
"""Estimated UTF-8 bytes in a text token. A recorded sentence of 34 bytes was reported as 9."""

OPENING = (Tokens(text_in=22), Tokens(speech_in=150), Tokens(text_in=1))
"""Tokens that are reported when a prompt begins, one event each."""
FIRST_TURN = Tokens(text_in=43)
"""Tokens that are reported when the first turn begins."""
UTTERANCE_TEXT = Tokens(text_in=3)
"""Text tokens that are reported with each utterance."""
TRANSCRIPT = Tokens(text_in=1)
"""Text tokens that are reported after the transcript of an utterance."""
OUTPUT_STEP = 20
"""Tokens, speech and text together, in which output is reported."""

LEAD_MS = 2_000
"""Silence before an utterance that is counted with it, in milliseconds. In recordings 0.6 s and
1.2 s were counted in full, and 4 s of 5.9 s that had been sent; long pauses are free. The exact
limit is not known."""


def whole_tokens(ms: int) -> int:
    """Return the whole tokens in a length of input audio.

    The service also rounds its offsets in this way (reference 3.4).

    Args:
        ms: The length, in milliseconds.
    """
    return ms // MS_PER_SPEECH_TOKEN


def speech_tokens(ms: float) -> int:
    """Return the tokens of a length of generated sound, a partial one counted in full.

    Args:
        ms: The length, in milliseconds.
    """
    return math.ceil(ms / MS_PER_SPEECH_TOKEN)


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text, at least 1.

    Args:
        text: The text, whose UTF-8 bytes are counted.
    """
    return max(1, -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TEXT_TOKEN))


class UsageCounter:
    """A counter of the tokens of one session.

    Its methods return the deltas that are to be reported now, in their order.
    """

    def __init__(self) -> None:
        self.total = Tokens()
        """The sum of all deltas that were returned."""
        self._prompt_bytes = 0
        self._counted_ms = 0
        self._pending = Tokens()
        self._turns = 0
        self._replies = 0

    def opening(self) -> list[Tokens]:
        """Return what is reported when a prompt begins."""
        return self._report(*OPENING)

    def first_turn(self) -> list[Tokens]:
        """Return the rest of the fixed cost at the first turn, and nothing from the second on."""
        self._turns += 1
        return self._report(FIRST_TURN) if self._turns == 1 else []

    def prompt(self, text: str) -> None:
        """Add a text to what is reported with the first answer.

        Args:
            text: The system prompt, a message of the history, or a tool's definition.
        """
        self._prompt_bytes += len(text.encode("utf-8", "replace"))

    def utterance(self, onset_ms: int, detected_ms: int) -> list[Tokens]:
        """Return what is reported for a spoken utterance.

        Args:
            onset_ms: The onset, in milliseconds of the audio received.
            detected_ms: The position at which its end was detected.
        """
        begin_ms = max(self._counted_ms, onset_ms - LEAD_MS, 0)
        self._counted_ms = detected_ms
        speech = whole_tokens(detected_ms) - whole_tokens(begin_ms)
        return self._report(Tokens(speech_in=max(0, speech)), UTTERANCE_TEXT)

    def typed(self, text: str) -> list[Tokens]:
        """Return what is reported for a typed turn.

        Args:
            text: The typed text.
        """
        return self._report(Tokens(text_in=text_tokens(text)), UTTERANCE_TEXT)

    def reply(self) -> list[Tokens]:
        """Return what is reported before an answer is generated, with the prompt at the first."""
        self._replies += 1
        prompt = -(-self._prompt_bytes // BYTES_PER_TEXT_TOKEN)
        first = self._replies == 1 and prompt
        return self._report(TRANSCRIPT, *([Tokens(text_in=prompt)] if first else []))

    def sentence(self, text: str, *, first: bool) -> list[Tokens]:
        """Return what is reported for the text of a sentence of an answer.

        Args:
            text: The text.
            first: Whether it is the first of its turn, which is reported at once.
        """
        tokens = Tokens(text_out=text_tokens(text))
        if first:
            return self._report(tokens)
        self._pending += tokens
        return self._steps()

    def speech(self, tokens: int) -> list[Tokens]:
        """Return what is reported for generated sound.

        Args:
            tokens: Speech tokens of the sound.
        """
        self._pending += Tokens(speech_out=tokens)
        return self._steps()

    def end_of_turn(self) -> list[Tokens]:
        """Return the tokens of the turn that have not been reported yet."""
        left, self._pending = self._pending, Tokens()
        return self._report(left) if left != Tokens() else []

    def _steps(self) -> list[Tokens]:
        steps: list[Tokens] = []
        while (left := self._pending).speech_out + left.text_out >= OUTPUT_STEP:
            speech = min(left.speech_out, OUTPUT_STEP)
            step = Tokens(speech_out=speech, text_out=OUTPUT_STEP - speech)
            self._pending = Tokens(
                speech_out=left.speech_out - step.speech_out, text_out=left.text_out - step.text_out
            )
            steps.append(step)
        return self._report(*steps)

    def _report(self, *deltas: Tokens) -> list[Tokens]:
        for delta in deltas:
            self.total += delta
        return list(deltas)
