"""Strict comparison of what a client sends on one stream with what it sent on a tape.

Steps are compared one by one, as they come (`client_steps`): their order, their fields and the
results of tools. The first difference ends the comparison. The audio is compared by its loud
samples (`speech_comparison`).

Not compared are names of prompts and content blocks, the boundaries of pieces of text and audio,
the length of silence, and when exactly a step is sent: results of tools that run at the same time
may come in any order, and only texts of the user have a place in the audio (`TEXT_MOVED_S`).
"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .client_steps import ClientStep, StepReader
from .speech_comparison import MOVED_S, SpeechComparison, loud_samples

TEXT_MOVED_S = 2.0
"""Maximum difference of the place of a typed text in the audio, in seconds."""

CUT_S = 0.1
"""Maximum length of loud audio that may be missing or added at the end, in seconds: three chunks,
because a goodbye may overtake the last of them."""

CONTEXT_STEPS = 2
"""Number of equal steps before the difference that its diff shows."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference between a client and a tape."""

    stream: int
    """Number of the stream, from 1."""
    step: int
    """Number of the step on the stream, from 1."""
    sentence: str
    """The difference in a sentence that names the step and its first field."""
    diff: str
    """A unified diff of the steps around it, from the tape to the client."""

    @property
    def text(self) -> str:
        """The sentence and the diff."""
        return f"{self.sentence}\n{self.diff}".rstrip()


@dataclass(frozen=True, slots=True)
class StreamInput:
    """The input of one stream: what a client sent on it."""

    steps: tuple[ClientStep, ...]
    loud: bytes
    """The loud samples of the audio."""
    rate_hz: int
    """Sample rate of the audio, in Hz."""


def read_input(
    payloads: Iterable[bytes], label: Callable[[str], str], *, words: bool = True
) -> StreamInput:
    """Return the steps and the audio in payloads of one stream.

    Args:
        payloads: The UTF-8 JSON of the input events, in order.
        label: Returns the label of a tool call for its id.
        words: Whether steps have words (see `StepReader`).
    """
    reader = StepReader(label, words=words)
    steps: list[ClientStep] = []
    loud = bytearray()
    for payload in payloads:
        match reader.read(payload):
            case ClientStep() as step:
                steps.append(step)
            case bytes() as pcm:
                loud += loud_samples(pcm)
            case None:
                pass
    return StreamInput(tuple(steps), bytes(loud), reader.rate_hz)


class StreamComparison:
    """A comparison of one stream with that of a tape, while the client sends it."""

    def __init__(
        self,
        expected: StreamInput,
        label: Callable[[str], str],
        *,
        stream: int = 1,
        last: bool = True,
        words: bool = True,
    ) -> None:
        """Begin a comparison.

        Args:
            expected: What the client of the tape sent.
            label: Returns the label of a tool call of the client for its id.
            stream: Number of the stream, from 1.
            last: Whether it is the last stream of the conversation. Others end when the session
                moves on to the next one, which may be a moment earlier or later than on the tape.
            words: Whether words are compared; `expected` then has them, too.
        """
        self._expected = list(expected.steps)
        self._rate_hz = expected.rate_hz
        self._reader = StepReader(label, words=words)
        self._speech = SpeechComparison(expected.loud, expected.rate_hz, moved=stream > 1)
        self._stream = stream
        self._last = last
        self._next = 0
        self._seen: list[ClientStep] = []
        self._difference: Difference | None = None

    def feed(self, payload: bytes) -> Difference | None:
        """Compare one payload of the client.

        Args:
            payload: The UTF-8 JSON of one input event.

        Returns:
            The first difference so far; None if there is none.
        """
        if self._difference is None:
            match self._reader.read(payload):
                case ClientStep() as step:
                    self._difference = self._compare(step)
                case bytes() as pcm:
                    if not self._speech.feed(pcm):
                        self._difference = self._other_audio()
                case None:
                    pass
        return self._difference

    def finish(self) -> Difference | None:
        """Compare the end of the stream.

        Returns:
            The first difference; None if the client sent what the tape has.
        """
        if self._difference is None:
            self._difference = self._audio_at_end() or self._missing()
        return self._difference

    # ------------------------------------------------------------------------------------------

    def _compare(self, step: ClientStep) -> Difference | None:
        if self._next == len(self._expected):
            return self._report(f"The client sent {step.title}, which the tape does not have", step)
        self._pull_result_forward(step)
        wanted = self._expected[self._next]
        if step.meaning != wanted.meaning:
            return self._differing(wanted, step)
        if step.kind == "audioEnd" and (difference := self._audio_at_end()):
            return difference
        if step.title == "a text of the user":
            moved_s = (step.audio_bytes - wanted.audio_bytes) / (2 * self._rate_hz)
            if abs(moved_s) > TEXT_MOVED_S:
                when = f"{abs(moved_s):.1f} s {'later' if moved_s > 0 else 'earlier'}"
                return self._report(
                    f"The client sent a text of the user {when} in the audio than on the tape", step
                )
        self._seen.append(step)
        self._next += 1
        return None

    def _pull_result_forward(self, step: ClientStep) -> None:
        """Expect the result of a tool first that came first, among those of parallel calls."""
        at = self._next
        while at < len(self._expected) and self._expected[at].kind == step.kind == "toolResult":
            if self._expected[at].title == step.title:
                self._expected.insert(self._next, self._expected.pop(at))
                return
            at += 1

    def _differing(self, wanted: ClientStep, step: ClientStep) -> Difference:
        later = [other.meaning for other in self._expected[self._next + 1 :]]
        same_step = (wanted.kind, wanted.title) == (step.kind, step.title)
        if step.meaning in later:
            if same_step:
                return self._report(f"The client left out {wanted.title}", step)
            return self._report(f"The client sent {step.title} before {wanted.title}", step)
        if same_step:
            return self._report(_first_field(wanted, step), step)
        return self._report(f"The client sent {step.title} instead of {wanted.title}", step)

    def _missing(self) -> Difference | None:
        if self._next == len(self._expected):
            return None
        return self._report(f"The client did not send {self._expected[self._next].title}", None)

    def _audio_at_end(self) -> Difference | None:
        if not self._speech.finish():
            return self._other_audio()
        allowed_s = CUT_S if self._last else MOVED_S
        for seconds, words in (
            (self._speech.missing_s, "less"),
            (self._speech.beyond_s, "more"),
        ):
            if seconds > allowed_s:
                return self._report_audio(f"{seconds:.2f} s {words} audio than the tape has")
        return None

    def _other_audio(self) -> Difference:
        return self._report_audio(f"other audio after {self._speech.position_s:.2f} s of speech")

    def _report_audio(self, what: str) -> Difference:
        sentence = f"The client sent {what}"
        lines = [f" {line}" for step in self._seen[-1:] for line in step.lines]
        lines += ["-audio of the tape", f"+{what}"]
        return Difference(self._stream, self._next + 1, self._full(sentence), "\n".join(lines))

    def _report(self, sentence: str, step: ClientStep | None) -> Difference:
        before = self._seen[-CONTEXT_STEPS:]
        at = self._next
        # Where the client left something out, its step stands further on in the tape's.
        others = [other.meaning for other in self._expected[at:]]
        until = others.index(step.meaning) if step and step.meaning in others else 0
        tape = [*before, *self._expected[at : at + until + 1]]
        client = before if step is None else [*before, step]
        return Difference(self._stream, at + 1, self._full(sentence), _unified_diff(tape, client))

    def _full(self, sentence: str) -> str:
        return f"{sentence} (stream {self._stream}, step {self._next + 1})."


def first_difference(
    tape: Sequence[bytes],
    client: Sequence[bytes],
    *,
    tape_label: Callable[[str], str],
    client_label: Callable[[str], str],
    stream: int = 1,
    last: bool = True,
) -> Difference | None:
    """Return the first difference between two clients on one stream, by meaning.

    Args:
        tape: The payloads of the tape's client, in order.
        client: The payloads of the other client.
        tape_label: Returns the label of a tool call of the tape for its id (`CallLabels`).
        client_label: Returns the label of a tool call of the other client.
        stream: Number of the stream, from 1.
        last: Whether it is the last stream of the conversation.
    """
    expected = read_input(tape, tape_label)
    comparison = StreamComparison(expected, client_label, stream=stream, last=last)
    for payload in client:
        if difference := comparison.feed(payload):
            return difference
    return comparison.finish()


def _first_field(wanted: ClientStep, step: ClientStep) -> str:
    """Return a sentence that names the first field in which two steps differ."""
    old, new = dict(wanted.fields), dict(step.fields)
    name = step.title
    for path in sorted(old.keys() | new.keys()):
        if path not in new:
            return f"In {name} the client left out {path}"
        if path not in old:
            return f"In {name} the client added {path}"
        if old[path] != new[path]:
            return f"In {name} the client changed {path}"
    return f"The client changed {name}"


def _unified_diff(tape: Sequence[ClientStep], client: Sequence[ClientStep]) -> str:
    old = [line for step in tape for line in step.lines]
    new = [line for step in client for line in step.lines]
    return "\n".join(difflib.unified_diff(old, new, "tape", "client", lineterm="", n=3))
