"""A host for a `SonicService` in tests: no sockets, no engines, and sound of a known length."""

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sonic_voice.catalog import voice_model
from sonic_voice.emulator.brains.scripted import ScriptedBrain
from sonic_voice.emulator.faults import parse_fault, with_faults
from sonic_voice.emulator.scenario import Scenario, ScenarioStep
from sonic_voice.emulator.service.answers import Timing
from sonic_voice.emulator.service.brain import Brain
from sonic_voice.emulator.service.effects import (
    Break,
    CancelChatRequest,
    Effect,
    Emit,
    Fail,
    Finish,
    Note,
    Recognize,
    Service,
    Speak,
    StartChatRequest,
    StreamRefusal,
    StreamRequest,
)
from sonic_voice.emulator.service.endpointing import WINDOW_MS, SpeechDetector
from sonic_voice.emulator.service.sonic import SonicService
from sonic_voice.wire import (
    AudioInput,
    AudioOutput,
    AudioStart,
    ContentEnd,
    Input,
    Output,
    PromptEnd,
    PromptStart,
    SessionEnd,
    SessionStart,
    TextInput,
    TextStart,
    ToolDefinition,
    ToolResult,
    ToolResultStart,
    ToolUse,
    decode_output,
    encode_input,
)

V1 = "amazon.nova-sonic-v1:0"
V2 = "amazon.nova-2-sonic-v1:0"
V25 = "amazon.nova-2-5-sonic"
RATE_HZ = 16_000
BYTES_PER_MS = RATE_HZ // 1000 * 2
GO = ToolDefinition("go", "Drives.", '{"type":"object"}')
GOLDEN = Path(__file__).parent.parent / "golden"


class ListedSpeech:
    """A detector that gives the listed probabilities, one a window, and silence after them."""

    def __init__(self, probabilities: Iterable[float]) -> None:
        self._probabilities = list(probabilities)
        self.windows: list[bytes] = []

    def probability(self, window: bytes) -> float:
        self.windows.append(window)
        heard = len(self.windows) - 1
        return self._probabilities[heard] if heard < len(self._probabilities) else 0.0


def spoken(*spans_ms: tuple[int, int]) -> list[float]:
    """Probabilities of speech in the spans, in milliseconds, and of silence around them."""
    length = max((end for _, end in spans_ms), default=0) // WINDOW_MS
    return [
        float(any(begin <= i * WINDOW_MS < end for begin, end in spans_ms)) for i in range(length)
    ]


def no_resampling(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    raise AssertionError(f"nothing is to be resampled here ({from_hz} to {to_hz} Hz)")


class Host:
    """Feeds a service and writes down what it does. Every word it speaks lasts `word_ms`.

    `words` are what it recognises, utterance by utterance; None: it recognises nothing.
    """

    def __init__(
        self,
        *steps: ScenarioStep,
        speech: Iterable[float] = (),
        model: str = V2,
        strict: bool = False,
        word_ms: int = 200,
        brain: Brain | None = None,
        words: Iterable[str | None] | None = None,
        **scenario: Any,
    ) -> None:
        self.detector: SpeechDetector = ListedSpeech(speech)
        self.model = model
        self.word_ms = word_ms
        self.rate_hz = RATE_HZ
        self.effects: list[Effect] = []
        self.spoken: list[Speak] = []
        ids = (f"id-{n}" for n in itertools.count())
        self.brain = brain or ScriptedBrain(
            Scenario("test", steps or (ScenarioStep("hello", ("Hi.",)),), **scenario), no_resampling
        )
        self.service: Service = SonicService(
            voice_model(model),
            self.brain,
            lambda rate_hz: self.detector,
            strict=strict,
            new_id=lambda: next(ids),
            request_id="request-1",
            recognizes=words is not None,
            timing=Timing(medium_ms=480),
        )
        self.words = iter(words or ())

    def wrap(self, fault: str) -> None:
        """Give the service a fault.

        Args:
            fault: The fault, as in `--fault`.
        """
        service, request = self.service, StreamRequest(self.model, "us-east-1", "request-1")
        faulty = with_faults(lambda _: service, [parse_fault(fault)])(request)
        assert not isinstance(faulty, StreamRefusal)
        self.service = faulty

    def do(self, effects: list[Effect]) -> None:
        for effect in effects:
            self.effects.append(effect)
            if isinstance(effect, Speak):
                assert effect is effects[-1], "nothing may follow a Speak"
                self.spoken.append(effect)
                self.do(self.service.speech(effect.key, self.sound(effect)))
            if isinstance(effect, Recognize):
                assert effect is effects[-1], "nothing may follow a Recognize"
                self.do(self.service.words(effect.key, next(self.words)))

    def think(self, *pieces: str | None) -> None:
        """The endpoint's answer to what it was asked last; None ends it."""
        for piece in pieces:
            self.do(self.service.chat_piece(self.asked[-1].key, piece))

    @property
    def asked(self) -> list[StartChatRequest]:
        """What the chat endpoint was asked."""
        return [effect for effect in self.effects if isinstance(effect, StartChatRequest)]

    @property
    def dismissed(self) -> list[int]:
        """The keys of requests that nobody waits for."""
        return [effect.key for effect in self.effects if isinstance(effect, CancelChatRequest)]

    def sound(self, speak: Speak) -> bytes:
        """What a synthesiser would give."""
        words = len(speak.text.split())
        return bytes(words * self.word_ms * self.rate_hz // 1000 * 2)

    def send(self, *records: Input) -> None:
        for record in records:
            self.do(self.service.receive(encode_input(record)))

    def raw(self, name: str, body: Any) -> None:
        self.do(self.service.receive(json.dumps({"event": {name: body}}).encode()))

    def begin(
        self, *, tools: tuple[ToolDefinition, ...] = (), system: str = "Be kind.", **session: Any
    ) -> None:
        """Everything up to the open audio container."""
        self.send(SessionStart(1024, 0.9, 0.7, **session))
        self.send(PromptStart("P", "matthew", self.rate_hz, tools))
        self.text("S", "SYSTEM", system)
        self.send(AudioStart("P", "A", RATE_HZ))

    def text(self, content: str, role: str, text: str, *, interactive: bool = False) -> None:
        self.send(TextStart("P", content, role, interactive))
        self.send(TextInput("P", content, text), ContentEnd("P", content))

    def audio(self, ms: int, chunk_ms: int = WINDOW_MS) -> None:
        """So much input; what it holds is the detector's business."""
        left = ms * BYTES_PER_MS
        while left:
            chunk = min(left, chunk_ms * BYTES_PER_MS)
            self.send(AudioInput("P", "A", bytes(chunk)))
            left -= chunk

    def result(self, call: str, result_json: str, content: str = "T") -> None:
        self.send(ToolResultStart("P", content, call), ToolResult("P", content, result_json))
        self.send(ContentEnd("P", content))

    def end(self) -> None:
        self.send(ContentEnd("P", "A"), PromptEnd("P"), SessionEnd())

    @property
    def payloads(self) -> list[bytes]:
        return [effect.payload for effect in self.effects if isinstance(effect, Emit)]

    @property
    def over(self) -> bool:
        """True if the service ended the stream."""
        return isinstance(self.effects[-1], (Fail, Break, Finish))

    @property
    def outputs(self) -> list[Output]:
        return [decode_output(payload) for payload in self.payloads]

    @property
    def notes(self) -> list[str]:
        return [effect.rule for effect in self.effects if isinstance(effect, Note)]

    @property
    def failure(self) -> str | None:
        """What it failed with: the code, and the text after the request's id."""
        failures = [effect for effect in self.effects if isinstance(effect, Fail)]
        assert len(failures) <= 1
        return failures[0].message.removeprefix("RequestId=request-1 : ") if failures else None

    @property
    def calls(self) -> list[ToolUse]:
        return [record for record in self.outputs if isinstance(record, ToolUse)]

    def shape(self, *, usage: bool = False) -> list[str]:
        return shape(self.payloads, usage=usage)

    def said(self, stage: str) -> list[str]:
        """Texts of the assistant's blocks of that stage."""
        lines = self.shape()
        return [
            json.loads(lines[i + 1].partition(" ")[2])
            for i, line in enumerate(lines)
            if line == f"contentStart ASSISTANT TEXT {stage}"
        ]

    @property
    def pcm(self) -> bytes:
        return b"".join(r.pcm for r in self.outputs if isinstance(r, AudioOutput))


def shape(payloads: Iterable[bytes], *, usage: bool = False, words: bool = True) -> list[str]:
    """Names, kinds, stages and stop reasons; audio in a row is one line."""
    lines: list[str] = []
    for payload in payloads:
        ((name, body),) = json.loads(payload)["event"].items()
        line = name
        match name:
            case "contentStart":
                stage = json.loads(body.get("additionalModelFields", "{}")).get("generationStage")
                line = " ".join(filter(None, (name, body["role"], body["type"], stage)))
            case "contentEnd":
                line = f"{name} {body['type']} {body['stopReason']}"
            case "textOutput" if words:
                line = f"{name} {json.dumps(body['content'])}"
            case "usageEvent":
                if not usage:
                    continue
            case _:
                pass
        if line != "audioOutput" or lines[-1:] != [line]:
            lines.append(line)
    return lines


def golden(name: str, *, usage: bool = False) -> list[str]:
    """The shape of a golden conversation, without words."""
    payloads = (GOLDEN / f"{name}.jsonl").read_bytes().splitlines()
    return shape(payloads, usage=usage, words=False)


def without_words(lines: list[str]) -> list[str]:
    return ["textOutput" if line.startswith("textOutput ") else line for line in lines]
