"""The user's side of a tape: speech, typed turns and the results of tools."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..catalog import EXPERT_TOOL
from ..config import BYTES_PER_SAMPLE
from ..errors import WireError
from ..wire import ToolResult, ToolResultStart, decode_input
from .client_steps import CallLabels, ClientStep, StepReader, tool_call
from .records import Received, Sent, SessionEvent, StreamOpened, Tape
from .user_audio import ReportedReplay, SentAudio, in_usual_chunks, merged_audio, with_silence_until


@dataclass(frozen=True, slots=True)
class SpokenChunk:
    """A chunk of the user's audio."""

    at_s: float
    """Time at which it was sent, in seconds since the opening of the stream that received the first
    audio."""
    pcm: bytes
    """s16le mono PCM."""


@dataclass(frozen=True, slots=True)
class TypedTurn:
    """A turn that the user typed."""

    at_s: float
    """Time at which it was sent, as that of a chunk."""
    at_bytes: int
    """Place in the audio, in bytes of PCM before it."""
    text: str


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A tool call of the tape, with its result."""

    name: str
    arguments_json: str
    result_json: str
    """The result: a JSON object as a string; empty if the tape has none."""
    delay_s: float
    """Time from the call to its result, in seconds."""
    sentences: tuple[tuple[float, str], ...] = ()
    """Sentences with which a call of `ExpertTool` was answered, each with its time since the call,
    in seconds."""


@dataclass(frozen=True, slots=True)
class RecordedUser:
    """The user's side of a tape."""

    rate_hz: int
    """Sample rate of the audio, in Hz."""
    chunks: tuple[SpokenChunk, ...]
    """The audio, in the chunks in which it was sent."""
    typed: tuple[TypedTurn, ...]
    calls: tuple[RecordedCall, ...]

    @property
    def duration_s(self) -> float:
        """Length of the audio, in seconds."""
        return sum(len(chunk.pcm) for chunk in self.chunks) / BYTES_PER_SAMPLE / self.rate_hz


def recorded_user(tape: Tape) -> RecordedUser:
    """Return the user's side of a tape.

    Args:
        tape: The tape.
    """
    streams = _streams(tape)
    rate_hz = next((stream.rate_hz for stream in streams if stream.audio), tape.header.input_hz)
    audio = merged_audio([stream.audio for stream in streams], list(_replays(tape)), rate_hz)
    if (until_s := _closed_without_goodbye_s(tape)) is not None:
        audio = with_silence_until(audio, until_s, rate_hz)
    opened_s = _opened_s(tape, audio[0].index) if audio else 0.0
    return RecordedUser(
        rate_hz,
        tuple(
            SpokenChunk(max(0.0, chunk.at_s - opened_s), chunk.pcm)
            for chunk in in_usual_chunks(audio, rate_hz)
        ),
        tuple(_typed_turns(tape, streams, audio, opened_s)),
        tuple(_calls(tape)),
    )


@dataclass(slots=True)
class _StreamInput:
    """The audio of one stream, and its interactive texts with the indexes of their records."""

    audio: list[SentAudio]
    texts: list[tuple[int, str]]
    rate_hz: int = 0


def _streams(tape: Tape) -> list[_StreamInput]:
    inputs: dict[int, _StreamInput] = {}
    readers: dict[int, StepReader] = {}
    labels = CallLabels()
    for index, record in enumerate(tape.records):
        if not isinstance(record, Sent):
            continue
        reader = readers.setdefault(record.stream, StepReader(labels))
        stream = inputs.setdefault(record.stream, _StreamInput([], []))
        match reader.read(record.payload):
            case bytes() as pcm:
                stream.audio.append(SentAudio(index, record.t_s, pcm))
                stream.rate_hz = reader.rate_hz
            case ClientStep(title="a text of the user") as step:
                stream.texts.append((index, dict(step.fields).get("content", "")))
            case _:
                pass
    return [inputs[number] for number in sorted(inputs)]


def _opened_s(tape: Tape, first: int) -> float:
    """Return when the stream was opened that received the first audio, in seconds of the tape."""
    record = tape.records[first]
    assert isinstance(record, Sent)
    for opened in tape.records:
        if isinstance(opened, StreamOpened) and opened.stream == record.stream:
            return opened.t_s
    return 0.0


def said_goodbye(tape: Tape) -> bool:
    """Return whether the client of a tape ended its last stream with a goodbye.

    Args:
        tape: The tape.
    """
    last = max((r.stream for r in tape.records if isinstance(r, Sent)), default=0)
    return any(
        isinstance(r, Sent) and r.stream == last and b'"sessionEnd"' in r.payload
        for r in tape.records
    )


def closed_s(tape: Tape) -> float | None:
    """Return when the conversation of a tape was closed, in seconds; None if it was not.

    Args:
        tape: The tape.
    """
    events = (r for r in tape.records if isinstance(r, SessionEvent) and r.name == "Closed")
    return next((event.t_s for event in events), None)


def _closed_without_goodbye_s(tape: Tape) -> float | None:
    """Return when a conversation was closed while it had no stream, in seconds; None if not."""
    return None if said_goodbye(tape) else closed_s(tape)


def _typed_turns(
    tape: Tape,
    streams: Sequence[_StreamInput],
    audio: Sequence[SentAudio],
    opened_s: float,
) -> Iterator[TypedTurn]:
    """Yield the texts that the user typed, without those of the session itself."""
    told = [
        record.fields
        for record in tape.records
        if isinstance(record, SessionEvent) and record.name == "UserText"
    ]
    typed = [str(fields.get("text", "")) for fields in told if fields.get("typed") is True]
    texts = sorted(text for stream in streams for text in stream.texts)
    for index, text in texts:
        if told:
            if text not in typed:
                continue
            typed.remove(text)
        elif text.startswith("["):  # a stage direction of the session (`handover`)
            continue
        at_s = max(0.0, tape.records[index].t_s - opened_s)
        yield TypedTurn(at_s, sum(len(sent.pcm) for sent in audio if sent.index < index), text)


def _replays(tape: Tape) -> Iterator[ReportedReplay]:
    for index, record in enumerate(tape.records):
        if isinstance(record, SessionEvent) and record.name == "Renewed":
            replayed_ms = record.fields.get("replayed_ms")
            if isinstance(replayed_ms, int | float) and replayed_ms >= 0:
                yield ReportedReplay(index, record.t_s, replayed_ms / 1000)


def _calls(tape: Tape) -> Iterator[RecordedCall]:
    results: dict[str, tuple[str, float]] = {}
    sentences: dict[str, list[tuple[float, str]]] = {}
    for record in tape.records:
        if isinstance(record, SessionEvent) and record.name == "ToolAnswered":
            answer = str(record.fields.get("result_json", "")), record.t_s
            results.setdefault(str(record.fields.get("tool_use", "")), answer)
    for tool_use, answer in _sent_results(tape):
        results.setdefault(tool_use, answer)
        sentences.setdefault(tool_use, []).append((answer[1], _sentence(answer[0])))
    for record in tape.records:
        if isinstance(record, Received) and (call := tool_call(record.payload)):
            result, at_s = results.get(call.tool_use, ("", record.t_s))
            said = sentences.get(call.tool_use, []) if call.name == EXPERT_TOOL else []
            yield RecordedCall(
                call.name,
                call.arguments_json,
                result,
                max(0.0, at_s - record.t_s),
                tuple((max(0.0, said_s - record.t_s), text) for said_s, text in said if text),
            )


def _sentence(result_json: str) -> str:
    """Return the sentence in a result of `ExpertTool`; empty if there is none."""
    try:
        read: Any = json.loads(result_json)
        return str(read["text"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


def _sent_results(tape: Tape) -> Iterator[tuple[str, tuple[str, float]]]:
    """Yield the results of tools that were sent, with the ids of their calls."""
    open_calls: dict[str, str] = {}
    for record in tape.records:
        if not isinstance(record, Sent) or b"oolResult" not in record.payload:
            continue
        try:
            event = decode_input(record.payload)
        except WireError:
            continue
        match event:
            case ToolResultStart(content=content, tool_use=tool_use):
                open_calls[content] = tool_use
            case ToolResult(content=content, result_json=result) if content in open_calls:
                yield open_calls[content], (result, record.t_s)
            case _:
                pass
