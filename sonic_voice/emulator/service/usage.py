"""Token arithmetic of one session, as measured on the real service (protocol reference 9.1).

One speech token is 40 ms of sound, in and out. A session costs 150 speech and 66 text tokens
before anybody says anything, reported as 22 text, 150 speech, 1 text, and 43 text when the first
turn begins. Then, for each utterance: its speech, 3 text, and 1 text after its transcript. System
prompt, history and tool definitions are counted once, when the first answer is generated, and
never again. Output is reported as the text of the first sentence, then in steps of exactly 20
tokens (speech and text together), and what is left at the end of the turn.

How text is cut into tokens is not known outside; here four bytes are a token.
"""

import math

from ...wire import Tokens

MS_PER_SPEECH_TOKEN = 40
BYTES_PER_TEXT_TOKEN = 4
"""An estimate. The recorded sentence of 34 bytes was reported as 9."""

OPENING = (Tokens(text_in=22), Tokens(speech_in=150), Tokens(text_in=1))
FIRST_TURN = Tokens(text_in=43)
UTTERANCE_TEXT = Tokens(text_in=3)
TRANSCRIPT = Tokens(text_in=1)
OUTPUT_STEP = 20

LEAD_MS = 2_000
"""Silence before an utterance that is counted with it. 0.6 s and 1.2 s were counted in full, of
5.9 s that had been sent 4 s were counted; long pauses are free. Where the line is, is open."""


def whole_tokens(ms: int) -> int:
    """`ms` of the input in whole tokens; also how the service rounds its offsets (3.4)."""
    return ms // MS_PER_SPEECH_TOKEN


def speech_tokens(ms: float) -> int:
    """Tokens of `ms` of generated sound, a begun one included."""
    return math.ceil(ms / MS_PER_SPEECH_TOKEN)


def text_tokens(text: str) -> int:
    """An estimate for `text`, at least 1."""
    return max(1, -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TEXT_TOKEN))


class UsageCounter:
    """BridgeMetrics one session. Every method returns the deltas to report now, in order.

    `total` is what has been reported, as long as all that is returned is reported.
    """

    def __init__(self) -> None:
        self.total = Tokens()
        self._prompt_bytes = 0
        self._counted_ms = 0
        self._pending = Tokens()
        self._turns = 0
        self._replies = 0

    def opening(self) -> list[Tokens]:
        """What a prompt costs at once."""
        return self._report(*OPENING)

    def first_turn(self) -> list[Tokens]:
        """The rest of the fixed cost; nothing from the second turn on."""
        self._turns += 1
        return self._report(FIRST_TURN) if self._turns == 1 else []

    def prompt(self, text: str) -> None:
        """Add `text` to what the first answer will report: system prompt, history, tools."""
        self._prompt_bytes += len(text.encode("utf-8", "replace"))

    def utterance(self, onset_ms: int, detected_ms: int) -> list[Tokens]:
        """Speech from `onset_ms`, found finished at `detected_ms` of the audio received."""
        begin_ms = max(self._counted_ms, onset_ms - LEAD_MS, 0)
        self._counted_ms = detected_ms
        speech = whole_tokens(detected_ms) - whole_tokens(begin_ms)
        return self._report(Tokens(speech_in=max(0, speech)), UTTERANCE_TEXT)

    def typed(self, text: str) -> list[Tokens]:
        """A text turn."""
        return self._report(Tokens(text_in=text_tokens(text)), UTTERANCE_TEXT)

    def reply(self) -> list[Tokens]:
        """An answer is about to be generated; with the first one goes the prompt."""
        self._replies += 1
        prompt = -(-self._prompt_bytes // BYTES_PER_TEXT_TOKEN)
        first = self._replies == 1 and prompt
        return self._report(TRANSCRIPT, *([Tokens(text_in=prompt)] if first else []))

    def sentence(self, text: str, *, first: bool) -> list[Tokens]:
        """`text` of a sentence of the answer; the first is reported at once."""
        tokens = Tokens(text_out=text_tokens(text))
        if first:
            return self._report(tokens)
        self._pending += tokens
        return self._steps()

    def speech(self, tokens: int) -> list[Tokens]:
        """So much sound was generated."""
        self._pending += Tokens(speech_out=tokens)
        return self._steps()

    def end_of_turn(self) -> list[Tokens]:
        """What is left of the turn."""
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
