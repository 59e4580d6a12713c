"""Who the emulator talks as: the port between a conversation and what thinks of the answers.

A `Brain` is configured once and serves any number of streams. Each stream gets a `BrainSession` of its
own, which remembers what it likes, reads no clock, and is told everything in the order of the
input clock:

    told    a text that wants no answer: the system prompt, the history
    hear    an utterance, and the reply to it
    played  a sentence of ours as the user heard it, cut where the user cut it off
    result  what a tool gave, and the reply to that
    thought a piece of what the host fetched for it, and the reply to that

Between a reply and the next `hear`, whatever of the reply was not `played` was never heard: that is
all a partner needs to know of barge-in.

Four kinds of partner fit. A scenario player may know the words itself: it is then given None and
the reply's `words` are the transcript; given words, it may branch on them. Small talk and tool
matching need words. A chat endpoint needs I/O, and a pure partner has none: it replies with
`ask`, the request; the host carries it out and hands back each piece by `thought`, whose replies
are said one after the other as one turn, until one comes without `more`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...wire import SessionStart, ToolDefinition
from ..scenario import BreakHow, Fault, Recording

type Resample = Callable[[bytes, int, int], bytes]
"""`(pcm, from_hz, to_hz)` to mono s16le samples at the second rate."""

NO_WORDS = "something I could not make out"
"""The transcript of speech that nobody recognised, where the partner does not know it either."""


@dataclass(frozen=True, slots=True)
class ConversationSetup:
    """What a conversation is begun with; it cannot change later."""

    locale: str = "en-US"
    """Of the voice that speaks."""
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: str = ""
    """As in `PromptStart`: empty, `auto`, `any` or `tool:<name>`."""
    session: SessionStart = field(default_factory=SessionStart)
    """Its numbers, for whoever generates text."""


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool call. Its number is the partner's own and comes back with the result."""

    number: int
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request that only the host can carry out: the body for a chat endpoint, as JSON."""

    body_json: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What an utterance, a result or a thought is answered with. Empty: with silence.

    Texts are said as they stand; holders such as `{result}` are filled by who wrote them.
    """

    say: tuple[str, ...] = ()
    """Sentences; each is a text block and its speech."""
    words: str | None = None
    """The transcript, if the partner knows it better than the ears."""
    calls: tuple[ToolRequest, ...] = ()
    """Sent before anything is said, in this order."""
    meanwhile: tuple[str, ...] = ()
    """Said instead of `say` while the calls run, by models that talk then (reference 8.5)."""
    wav: Recording | None = None
    """Sounds instead of the one sentence of `say`."""
    delay_ms: int = 0
    """Extra wait before the answer, of input audio."""
    error: Fault | None = None
    broken: BreakHow | None = None
    notes: tuple[tuple[str, str], ...] = ()
    """Rule and text of what the log should know."""
    ask: ChatRequest | None = None
    more: bool = False
    """Whether `thought` will be called again for this turn."""


class BrainSession(Protocol):
    """One stream's side of a conversation. Calls come in the order of the input clock."""

    def told(self, role: str, text: str) -> None:
        """A text block that wants no answer; `role` is SYSTEM, SYSTEM_SPEECH, USER, ASSISTANT."""
        ...

    def hear(self, words: str | None, *, typed: bool = False) -> Reply:
        """An utterance. `words` None: speech that nobody recognised; empty: no words in it."""
        ...

    def played(self, sentence: str) -> None:
        """The user heard this of our last reply: a sentence of it, or its beginning."""
        ...

    def result(self, number: int, result: Mapping[str, Any]) -> Reply:
        """What `ToolRequest` number `number` gave; failures are `{"error": ...}`."""
        ...

    def thought(self, piece: str | None) -> Reply:
        """The next piece of what was asked of the host; None: that was all."""
        ...


class Brain(Protocol):
    """What a `SonicService` is given."""

    @property
    def endpoint_ms(self) -> int | None:
        """Silence that ends an utterance; None: as the client asks."""
        ...

    @property
    def voice(self) -> str | None:
        """The voice that speaks; None: the client's choice."""
        ...

    def begin(self, opening: ConversationSetup) -> BrainSession:
        """A partner for a new stream."""
        ...

    def sound(self, recording: Recording, rate_hz: int) -> bytes:
        """`recording` as s16le PCM at `rate_hz`."""
        ...
