"""The first words of the assistant: how a stream is asked to greet the user.

Models that take text receive the greeting as an interactive text, which opens no turn of the user.
v1 answers only speech: it hears a recorded "Hello." of 0.5 s before the user's audio, with silence
around it, and finds the greeting in its system prompt. The recording has 8 kHz; it was synthesised
with Pico. `turns` removes its transcription.

Source: protocol reference 2.10.
"""

import struct
import wave
from dataclasses import replace
from functools import cache
from importlib import resources

from .config import AudioFormat, SessionConfig
from .handover import Handover

SILENCE_BEFORE_S = 0.5
"""Silence before the recording, in seconds (reference 2.10)."""

SILENCE_AFTER_S = 1.0
"""Silence after the recording, in seconds: it separates the recording from the user's words."""


def with_greeting(handover: Handover, config: SessionConfig) -> Handover:
    """Return the beginning of a stream that greets the user.

    Args:
        handover: The beginning without the greeting.
        config: The configuration of the session.
    """
    if config.voice_model.text_input:
        return replace(handover, prompt=config.greeting)
    recording = recorded_hello(config.input)
    # The offsets of the service count from the recording, those of the conversation do not.
    offset_ms = handover.start.offset_ms - round(1000 * config.input.seconds(len(recording)))
    start = replace(handover.start, offset_ms=offset_ms)
    return replace(handover, start=start, recording=recording, expects_events=False)


def greeting_config(config: SessionConfig) -> SessionConfig:
    """Return the configuration of a stream that greets the user.

    Args:
        config: The configuration of the session.
    """
    if config.voice_model.text_input:
        return config
    return replace(config, system=config.greeting_system, greeting="")


@cache
def recorded_hello(format: AudioFormat) -> bytes:
    """Return the recording with its silences, as s16le mono PCM.

    Args:
        format: The format of the audio, at a multiple of 8 kHz.
    """
    with (
        (resources.files("sonic_voice") / "hello.wav").open("rb") as file,
        wave.open(file) as recording,
    ):
        samples = memoryview(recording.readframes(recording.getnframes())).cast("h").tolist()
        factor = format.rate_hz // recording.getframerate()
    # Linear interpolation: the recording has the bandwidth of a telephone at every rate.
    speech: list[int] = []
    for sample, following in zip(samples, [*samples[1:], 0], strict=True):
        step = (following - sample) / factor
        speech.extend(round(sample + step * index) for index in range(factor))
    before, after = bytes(format.size(SILENCE_BEFORE_S)), bytes(format.size(SILENCE_AFTER_S))
    return before + struct.pack(f"<{len(speech)}h", *speech) + after
