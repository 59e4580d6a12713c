"""The effects that a service asks of its host: the border between `service` (pure) and `server`.

The host feeds a `Service` one input event at a time and carries out the effects that it returns,
in their order. A service never waits, reads no clock and starts no thread: its time is the audio
that it was fed. Therefore `Speak` is an effect with an answer: the host synthesises the text in a
thread and passes the sound to `speech` *before it feeds anything else*. However slow the synthesis
or the machine is, the service sees the same calls in the same order, and a recording played at
50 times its speed gives the same events as in real time. `Recognize` works in the same way for
speech recognition.

`StartChatRequest` is the only effect whose answer is not waited for: a chat endpoint needs seconds,
in which the user's audio goes on and may interrupt. The host carries the request out beside the
stream and passes each piece of the answer to `chat_piece` when it comes, between two inputs.
Therefore a conversation with such a brain is not deterministic.

`Fail`, `Break` and `Finish` are final effects: the host feeds nothing after one of them.
"""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Emit:
    """An effect: send one output event as one chunk."""

    payload: bytes
    """The UTF-8 JSON of the event."""


@dataclass(frozen=True, slots=True)
class Speak:
    """An effect: synthesise a text and call `speech` with its sound."""

    key: int
    """Number of the request, the first argument of `speech`."""
    text: str
    voice: str
    """Id of the voice."""
    rate_hz: int
    """Sample rate of the sound, which is mono s16le, in hertz."""


@dataclass(frozen=True, slots=True)
class Listen:
    """An effect: take the next samples of an utterance of the user.

    Only a host that recognises words receives it, and may begin to recognise at once.
    """

    key: int
    """Number of the utterance."""
    pcm: bytes
    """Mono s16le samples."""
    rate_hz: int
    """Sample rate of `pcm`, in hertz."""
    language: str = "en"
    """ISO 639-1 code of the voice's language, which the user probably speaks."""


@dataclass(frozen=True, slots=True)
class Recognize:
    """An effect: call `words` with the words of a complete utterance, "" if there are none.

    None stands for the words of an utterance that the recogniser cannot know.
    """

    key: int
    """Number of the utterance, the first argument of `words`."""


@dataclass(frozen=True, slots=True)
class StartChatRequest:
    """An effect: send a request to the chat endpoint. Only a host that has one receives it.

    The host calls `chat_piece` with each piece of the answer as it comes, and with None at its
    end. At most one request is in progress: the earlier one is cancelled by `CancelChatRequest`
    before the next begins.
    """

    key: int
    """Number of the request, the first argument of `chat_piece`."""
    body_json: str
    """The body of the request, as JSON."""


@dataclass(frozen=True, slots=True)
class CancelChatRequest:
    """An effect: cancel a chat request whose remaining answer is not needed any more."""

    key: int
    """Number of the request."""


@dataclass(frozen=True, slots=True)
class Fail:
    """A final effect: answer with an exception frame, then end the stream."""

    code: str
    """A member of the output union, such as `validationException` (reference 1.7)."""
    message: str
    modelled: bool = True
    """False to send an `error` frame instead, whose code may be any name."""
    injected: bool = False
    """True for a requested fault, which is not the result of anything that the client did."""


type Breakage = Literal[
    "reset", "cut", "cut-mid-frame", "goaway", "mute", "eof", "invalid-bytes", "stall"
]
"""A way to break a stream; see `Break`."""


@dataclass(frozen=True, slots=True)
class Break:
    """A final effect: break the stream as a fault does.

    - `reset`: RST_STREAM with NO_ERROR.
    - `goaway`: GOAWAY, then the connection closes.
    - `cut`: the TCP connection ends.
    - `cut-mid-frame`: the TCP connection ends after half a frame of the event stream.
    - `mute`: the client's data is still read, but nothing is answered any more, not even headers.
    - `eof`: END_STREAM, as at a good end.
    - `invalid-bytes`: a frame of the event stream with a wrong checksum, then END_STREAM.
    - `stall`: the server stops reading and writing on the connection, which stays open, so that
      not even pings are answered.
    """

    how: Breakage


@dataclass(frozen=True, slots=True)
class Finish:
    """A final effect: send END_STREAM after everything that was emitted."""


@dataclass(frozen=True, slots=True)
class Note:
    """An effect: log a mistake of the client that was tolerated, as a warning."""

    text: str
    """Description of the mistake."""
    rule: str
    """Name under which such mistakes are counted."""


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
"""Anything that a service asks of its host."""

type Expiry = Literal["life", "idle"]
"""A timer that has expired. `life`: the connection has reached its eight minutes. `idle`: nothing
was sent for 55 s."""


class Service(Protocol):
    """The service's side of one stream. Every call returns the effects to carry out now."""

    def receive(self, payload: bytes) -> list[Effect]:
        """Take one input event.

        Args:
            payload: The content of the `bytes` member of a chunk, decoded from base64.
        """
        ...

    def speech(self, key: int, pcm: bytes) -> list[Effect]:
        """Take the sound that `Speak` asked for.

        Args:
            key: The number of the request.
            pcm: Mono s16le samples at the rate of the request.
        """
        ...

    def words(self, key: int, text: str | None) -> list[Effect]:
        """Take the words that `Recognize` asked for.

        Args:
            key: The number of the utterance.
            text: The words, empty if there are none, None if they cannot be recognised.
        """
        ...

    def chat_piece(self, key: int, piece: str | None) -> list[Effect]:
        """Take a piece of the answer that `StartChatRequest` asked for.

        Args:
            key: The number of the request.
            piece: The piece, or None after the last one.
        """
        ...

    def end_of_input(self) -> list[Effect]:
        """Take note that nothing more comes: the client sent its empty frame or END_STREAM."""
        ...

    def stalled(self) -> list[Effect]:
        """Send everything that does not depend on the input clock.

        The host calls this once in each pause, when the client has sent nothing for a moment of
        wall-clock time.
        """
        ...

    def expire(self, which: Expiry) -> list[Effect]:
        """End the stream because a timer of the host has expired.

        Args:
            which: The timer.
        """
        ...


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """A request for a stream: the facts of the HTTP request, whose signature was verified."""

    model_id: str
    """The model id, decoded from the URL: `amazon.nova-2-sonic-v1:0`."""
    region: str
    """The region in the credential scope of the signature."""
    request_id: str
    """A UUID made by the emulator, also sent in the response headers."""


@dataclass(frozen=True, slots=True)
class StreamRefusal:
    """An HTTP error instead of a stream (reference 1.7), such as 429 `ThrottlingException`."""

    status: int
    """The HTTP status."""
    code: str
    """The name of the exception."""
    message: str


type ServiceFactory = Callable[[StreamRequest], Service | StreamRefusal]
"""A function that makes the service of a stream or refuses it. It is called once the request and
its signature are in order."""


class UtteranceRecognizer(Protocol):
    """The recogniser of one utterance."""

    def feed(self, pcm: bytes) -> None:
        """Take the next samples. Returns at once.

        Args:
            pcm: Mono s16le samples.
        """
        ...

    def finish(self) -> str | None:
        """Return the words, empty for noise, None for an unknown language. Blocks until then."""
        ...

    def cancel(self) -> None:
        """Stop recognising: the words are not needed any more. Returns at once."""
        ...


type RecognizerFactory = Callable[[int], UtteranceRecognizer]
"""A function `(rate_hz)` that returns the recogniser of a new utterance. A host needs it to
recognise words."""

type Consult = Callable[[str], AsyncGenerator[str]]
"""A function `(body_json)` that returns the pieces of a chat endpoint's answer: JSON objects, as
the endpoint streams them.

It raises nothing: every failure is a last piece `{"error": {"message": ...}}`. Closing the
generator ends the request.
"""

type Synthesize = Callable[[str, str, int], bytes]
"""A function `(text, voice, rate_hz)` that returns mono s16le samples. It is called in a worker
thread."""
