"""What the service asks of its host: the seam between `service` (pure) and `server` (sockets).

The host feeds a `Service` one input event at a time and carries out the effects it answers with,
in their order. A service never waits, reads no clock and starts no thread: its time is the audio
it was fed. That is why `Speak` is an effect with an answer: the host has the words synthesised,
in a thread, and hands the sound back by `speech` *before it feeds anything more*. However slow
the synthesis or the machine, the service sees the same calls in the same order, and a recording
played at 50 times its speed gives the same events as in real time. `Recognize` is the same for
the ears.

`StartChatRequest` alone is not waited for: a chat endpoint takes seconds, in which the user's audio goes on
and may interrupt. The host carries it out beside the stream and hands back each piece by `thought`
when it comes, between two inputs. So a conversation with such a brain is not deterministic.

`Fail`, `Break` and `Finish` are last effects: the host feeds nothing after one of them.
"""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Emit:
    """Send `payload`, the UTF-8 JSON of one output event, as one chunk."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Speak:
    """Synthesise `text` and call `speech(key, pcm)` with mono s16le samples at `rate_hz`."""

    key: int
    text: str
    voice: str
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Listen:
    """The user speaks: more samples of utterance `key`, mono s16le at `rate_hz`.

    Only a host that recognises words gets it, and may begin to at once.
    """

    key: int
    pcm: bytes
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Recognize:
    """Utterance `key` is complete: call `words(key, text)`, with "" for no words at all."""

    key: int


@dataclass(frozen=True, slots=True)
class StartChatRequest:
    """Ask the chat endpoint: `body_json` is the request. Only a host with one gets it.

    Call `thought(key, piece)` with each piece of the answer as it comes, and with None at its end.
    At most one request is under way: `CancelChatRequest` of the former comes before the next.
    """

    key: int
    body_json: str


@dataclass(frozen=True, slots=True)
class CancelChatRequest:
    """Nobody waits for the rest of request `key` any longer: cancel it."""

    key: int


@dataclass(frozen=True, slots=True)
class Fail:
    """Answer with an exception frame, then end the stream.

    `code` is a member of the output union: `validationException` (reference 1.7). With `modelled`
    false it goes out as an `error` frame instead, and may be any name.
    """

    code: str
    message: str
    modelled: bool = True
    injected: bool = False
    """A fault that was asked for: nothing that the client did."""


type Breakage = Literal["reset", "cut", "cut-mid-frame", "goaway", "mute"]


@dataclass(frozen=True, slots=True)
class Break:
    """Break the stream as a fault does.

    `reset`: RST_STREAM NO_ERROR. `goaway`: GOAWAY, then the connection closes. `cut`: the TCP
    connection ends. `cut-mid-frame`: the same after half a frame of the event stream. `mute`:
    what the client sends is read, and nothing is answered any more, not even headers.
    """

    how: Breakage


@dataclass(frozen=True, slots=True)
class Finish:
    """END_STREAM, after all that was emitted."""


@dataclass(frozen=True, slots=True)
class Note:
    """A mistake of the client that was tolerated: logged as a warning, counted by `rule`."""

    text: str
    rule: str


type Effect = (
    Emit
    | Speak
    | Listen
    | Recognize
    | StartChatRequest
    | CancelChatRequest
    | Fail
    | Break
    | Finish
    | Note
)

type Expiry = Literal["life", "idle"]
"""`life`: the connection's eight minutes are over. `idle`: nothing was sent for 55 s."""


class Service(Protocol):
    """The service's side of one stream. Every call answers with what is to be done now."""

    def receive(self, payload: bytes) -> list[Effect]:
        """One input event: what stood in the `bytes` member of a chunk."""
        ...

    def speech(self, key: int, pcm: bytes) -> list[Effect]:
        """The sound of `Speak` number `key`."""
        ...

    def words(self, key: int, text: str) -> list[Effect]:
        """The words of the utterance of `Recognize` number `key`."""
        ...

    def chat_piece(self, key: int, piece: str | None) -> list[Effect]:
        """A piece of the answer to `StartChatRequest` number `key`; None: that was all."""
        ...

    def end_of_input(self) -> list[Effect]:
        """The client sent its empty frame or END_STREAM: nothing more will come."""
        ...

    def stalled(self) -> list[Effect]:
        """The client has sent nothing for a moment of wall-clock time.

        Whatever does not depend on the input clock may go out. Called once in each pause.
        """
        ...

    def expire(self, which: Expiry) -> list[Effect]:
        """A timer of the connection ran out; the timers themselves are the host's."""
        ...


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """Who asks for a stream: what the HTTP request says, its signature verified."""

    model_id: str
    """Decoded: `amazon.nova-2-sonic-v1:0`."""
    region: str
    """From the credential scope of the signature."""
    request_id: str
    """Ours, a UUID; also in the response headers."""


@dataclass(frozen=True, slots=True)
class StreamRefusal:
    """An HTTP error instead of a stream (reference 1.7): `ThrottlingException` with 429."""

    status: int
    code: str
    message: str


type ServiceFactory = Callable[[StreamRequest], Service | StreamRefusal]
"""Asked once a request and its signature are in order."""


class UtteranceRecognizer(Protocol):
    """Speech while it is heard; `finish` blocks until its words are known."""

    def feed(self, pcm: bytes) -> None:
        """The next s16le mono samples. Returns at once."""
        ...

    def finish(self) -> str:
        """The words; empty for noise."""
        ...

    def cancel(self) -> None:
        """Nobody wants to know any longer. Returns at once."""
        ...


type RecognizerFactory = Callable[[int], UtteranceRecognizer]
"""`(rate_hz)` to a new utterance; what a host needs to recognise words."""

type Consult = Callable[[str], AsyncGenerator[str]]
"""`(body_json)` to the pieces of the answer: JSON objects, as a chat endpoint streams them.

Raises nothing: whatever goes wrong is a last piece `{"error": {"message": ...}}`. Closing the
generator ends the request.
"""

type Synthesize = Callable[[str, str, int], bytes]
"""`(text, voice, rate_hz)` to mono s16le samples; called in a worker thread."""
