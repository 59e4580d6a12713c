"""The scripts of the service streams of a tape: what the client sent, and the answers to it.

An answer of the service belongs to a place in the input, not to a time: it came after a number of
steps (`client_steps`) and a length of audio. A replayed service answers at the same place, so that
a conversation has the same events whatever its speed is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import (
    ConnectError,
    ConnectionLost,
    DeadlineError,
    ErrorKind,
    ServiceError,
    SonicError,
)
from .client_steps import CallLabels, ClientStep, StepReader
from .records import Received, Sent, StreamEnded, StreamOpened, Tape


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """One payload of the service, or its end of the stream, with its place in the input."""

    payload: bytes | None
    """The UTF-8 JSON of one output event; None for the end of the stream."""
    error: str
    """Kind and message of the error that ended the stream; empty for a clean end or a payload."""
    steps: int
    """Number of steps that the client had sent."""
    audio_bytes: int
    """PCM that the client had sent, in bytes."""
    after_s: float
    """Time since the client had sent that, in seconds."""


@dataclass(slots=True)
class StreamScript:
    """One stream of a tape."""

    number: int
    """Its number, from 1."""
    model: str
    """Id of the model for which it was opened."""
    sent: list[bytes] = field(default_factory=list[bytes])
    """The payloads of the client, in order."""
    answers: list[ScriptedAnswer] = field(default_factory=list[ScriptedAnswer])
    """The payloads of the service and its end of the stream, in order."""

    @property
    def refused(self) -> bool:
        """True if the service ended it with an error before any audio and any event."""
        first = self.answers[0] if self.answers else None
        return bool(first and first.payload is None and first.error and not first.audio_bytes)


def stream_scripts(tape: Tape) -> tuple[list[StreamScript], CallLabels]:
    """Return the streams of a tape in order, and the labels of its tool calls.

    Streams that a damaged tape has lost are missing.

    Args:
        tape: The tape.
    """
    labels = CallLabels()
    scripts: dict[int, StreamScript] = {}
    readers: dict[int, tuple[StepReader, list[ClientStep]]] = {}
    sent_s: dict[int, float] = {}
    for record in tape.records:
        if not isinstance(record, StreamOpened | Sent | Received | StreamEnded):
            continue
        number = record.stream
        if number not in scripts:
            model = record.model if isinstance(record, StreamOpened) else tape.header.model
            scripts[number] = StreamScript(number, model)
            readers[number] = StepReader(labels), []
            sent_s[number] = record.t_s
        script = scripts[number]
        reader, steps = readers[number]
        place = len(steps), reader.audio_bytes, record.t_s - sent_s[number]
        match record:
            case StreamOpened():
                pass
            case Sent(payload=payload):
                script.sent.append(payload)
                sent_s[number] = record.t_s
                step = reader.read(payload)
                if isinstance(step, ClientStep):
                    steps.append(step)
            case Received(payload=payload):
                labels.add(payload)
                script.answers.append(ScriptedAnswer(payload, "", *place))
            case StreamEnded(error=error):
                if not _ended_by_client(error):
                    script.answers.append(ScriptedAnswer(None, error, *place))
    return [scripts[number] for number in sorted(scripts)], labels


_CLIENT_ENDS = (
    "The session was closed",
    "The stream was closed",
    "The service does not react to what is said.",
)
"""Beginnings of the messages with which our own session ends a stream."""


def _ended_by_client(error: str) -> bool:
    """Return whether the client ended a stream itself, which a replayed client does again."""
    kind, _, message = error.partition(": ")
    return kind == "deadline" or message.startswith(_CLIENT_ENDS)


_SERVICE_TEXT = re.compile(r"\((?P<code>\w+): (?P<text>.*)\)$", re.DOTALL)
"""The name of the service's exception and its text, at the end of the message of a `ServiceError`.
"""


def recorded_error(error: str) -> SonicError:
    """Return an error as it was before it was recorded.

    Args:
        error: Its kind and its message, as `StreamEnded.error` has them.
    """
    kind, _, message = error.partition(": ")
    found = _SERVICE_TEXT.search(message)
    if found and kind in list(ErrorKind):
        return ServiceError(kind=ErrorKind(kind), code=found["code"], text=found["text"])
    if kind == "connect":
        return ConnectError(message)
    if kind == "deadline":
        return DeadlineError(message, waited_s=0.0)
    if kind in ("reset", "goaway", "cut", "ended"):
        return ConnectionLost(message, reason=kind)
    return SonicError(message or error)


def received_payloads(scripts: Sequence[StreamScript]) -> list[bytes]:
    """Return all payloads of the service, stream by stream.

    Args:
        scripts: The streams.
    """
    return [
        answer.payload
        for script in scripts
        for answer in script.answers
        if answer.payload is not None
    ]
