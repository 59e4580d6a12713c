"""The brain port: what decides the emulator's answers.

A `Brain` is configured once and serves any number of streams. Each stream gets a `BrainSession` of
its own, which may keep state, reads no clock, and is called in the order of the input clock:

    told      a text that needs no answer: the system prompt, a message of the history
    hear      an utterance; returns the reply to it
    played    a sentence of the assistant as the user heard it, cut where the user interrupted it
    result    the result of a tool call; returns the reply to it
    thought   a piece of a chat endpoint's answer; returns the reply to it

Between a reply and the next `hear`, the parts of the reply that were not reported by `played` were
never heard. This is all that a session needs to know about barge-in.

Four kinds of brain fit this port:

- A scenario player may know the words itself: `hear` is then called with None and the `words` of
  its reply are the transcript. When it is given words, it may branch on them.
- Small talk and tool matching need words.
- A chat endpoint needs I/O, which a session does not do. Its reply carries the request in `ask`.
  The host sends the request and passes each piece of the answer to `thought`. The replies to the
  pieces are said one after the other as one turn, until a reply has `more` set to false.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...wire import SessionStart, ToolDefinition
from ..scenario import BreakKind, Recording, StreamException

type Resample = Callable[[bytes, int, int], bytes]
"""A function `(pcm, from_hz, to_hz)` that returns mono s16le samples at the second rate."""

NO_WORDS = "something I could not make out"
"""The transcript of speech that was not recognised and that the brain does not know either."""


@dataclass(frozen=True, slots=True)
class ConversationSetup:
    """The settings that a conversation begins with. They cannot change later."""

    locale: str = "en-US"
    """Locale of the voice that speaks."""
    tools: tuple[ToolDefinition, ...] = ()
    """The tools that the client offers."""
    tool_choice: str = ""
    """The tool choice as in `PromptStart`: empty, `auto`, `any` or `tool:<name>`."""
    session: SessionStart = field(default_factory=SessionStart)
    """The session's inference settings, for brains that generate text."""


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool call, as a brain asks for it."""

    number: int
    """The session's own number of the call. It comes back with the result."""
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request to a chat endpoint, which only the host can send."""

    body_json: str
    """The body of the request, as JSON."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to an utterance, to a tool's result or to a piece of a chat endpoint's answer.

    An empty reply is silence. Texts are spoken unchanged: the brain has already filled templates
    such as `{result}`.
    """

    say: tuple[str, ...] = ()
    """Sentences. Each becomes a text block and its speech."""
    words: str | None = None
    """The transcript of the utterance, if the brain knows it better than the recogniser does. It
    may be empty: the service heard speech and found no words in it."""
    calls: tuple[ToolRequest, ...] = ()
    """Tool calls, sent in this order before anything is said."""
    meanwhile: tuple[str, ...] = ()
    """Sentences for the time while the tools run, said instead of `say` by models that speak
    during tool calls (reference 8.5)."""
    wav: Recording | None = None
    """A recording that replaces the synthesised speech of the single sentence in `say`."""
    delay_ms: int = 0
    """Extra delay before the answer, in milliseconds of input audio."""
    error: StreamException | None = None
    """An exception that ends the stream."""
    broken: BreakKind | None = None
    """The way in which the stream is to be broken."""
    notes: tuple[tuple[str, str], ...] = ()
    """Notes for the log, as pairs of rule and text."""
    ask: ChatRequest | None = None
    """A request whose answer continues this reply."""
    more: bool = False
    """True while `thought` will be called again for this turn."""


class BrainSession(Protocol):
    """A brain's part of one stream. Calls come in the order of the input clock."""

    def told(self, role: str, text: str) -> None:
        """Take note of a text block that needs no answer.

        Args:
            role: SYSTEM, SYSTEM_SPEECH, USER or ASSISTANT.
            text: The whole text of the block.
        """
        ...

    def hear(self, words: str | None, *, typed: bool = False) -> Reply:
        """Answer an utterance.

        Args:
            words: The words of the utterance. None for speech that was not recognised, empty for
                speech without words.
            typed: Whether the utterance was typed instead of spoken.

        Returns:
            The reply.
        """
        ...

    def played(self, sentence: str) -> None:
        """Take note that the user heard a sentence of the last reply.

        Args:
            sentence: The sentence, or its beginning when the user interrupted it.
        """
        ...

    def result(self, number: int, result: Mapping[str, Any]) -> Reply:
        """Answer the result of a tool call.

        Args:
            number: The number of the `ToolRequest`.
            result: The JSON object that the tool returned. Failures are `{"error": ...}`.

        Returns:
            The reply.
        """
        ...

    def thought(self, piece: str | None) -> Reply:
        """Turn the next piece of a chat endpoint's answer into a reply.

        Args:
            piece: The piece, or None after the last one.

        Returns:
            The reply, with `more` set while further pieces are needed.
        """
        ...


class Brain(Protocol):
    """The brain of a `SonicService`: its settings, and one session for each stream."""

    @property
    def endpoint_ms(self) -> int | None:
        """Silence that ends an utterance, in milliseconds, or None to do as the client asks."""
        ...

    @property
    def voice(self) -> str | None:
        """The voice that speaks, or None for the client's choice."""
        ...

    def begin(self, opening: ConversationSetup) -> BrainSession:
        """Return a session for a new stream.

        Args:
            opening: The settings of the conversation.
        """
        ...

    def sound(self, recording: Recording, rate_hz: int) -> bytes:
        """Return a recording as mono s16le PCM.

        Args:
            recording: The recording.
            rate_hz: The sample rate of the result, in hertz.
        """
        ...
