"""Check microphone and loudspeaker, and whether the microphone picks up the loudspeaker.

First one second of the room is recorded. Then a short rising tone, 0.6 s from 400 to 2,800 Hz, is
played while the microphone goes on recording. A matched filter searches the recording for the tone,
which it finds even 10 dB below noise of the same band. Its output is compared with that for the
room alone:

    g = max |(x * s)(lag)| / sum s^2        x: the recording (`heard`), s: the tone (`sought`),
            lag                             *: cross-correlation, computed by FFT

g is the gain of the tone on its way from the loudspeaker to the microphone (`echo_gain`); 1 means
that it was recorded as loud as it was played.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..daemon_thread import in_thread
from ..errors import DeviceError
from ..extras import install_command
from .finding import Finding, failure
from .options import Options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..devices import Microphone, Speaker

ROOM_S = 1.0
"""Duration of the recording of the room without the tone, in seconds."""

TONE_S = 0.6
"""Duration of the tone, in seconds."""

TONE_HZ = (400.0, 2800.0)
"""Frequency of the tone at its start and at its end, in hertz."""

TONE_LEVEL = 0.25
"""Amplitude of the tone, -12 dB of full scale: audible without startling anyone."""

ECHO_TAIL_S = 0.7
"""Time that is recorded after the tone, in seconds: Bluetooth delays sound by up to 0.3 s in each
direction."""

PLAYBACK_TIMEOUT_S = 3.0
"""Maximum time to wait for the end of the tone after the recording, in seconds."""

PLAYBACK_MARGIN_S = 0.1
"""Time by which the loudspeaker may be late, in seconds."""

AUDIBLE_ECHO_GAIN = 0.001
"""Gain of an echo below which no echo cancellation is needed, -60 dB."""

ROOM_MARGIN_GAIN = 4.0
"""Factor by which the gain with the tone must exceed that of the room alone to count as an echo,
12 dB."""

AEC_ENGINE = "pywebrtc_audio"
"""Module whose presence tells that echo cancellation is installed."""


async def check_sound(options: Options) -> AsyncIterator[Finding]:
    """Check the sound library, the microphone, the loudspeaker and the echo between them.

    It plays a tone and records for some seconds.

    Args:
        options: The conversation to check for.

    Yields:
        Findings named `sound library`, `loudspeaker`, `microphone` and `echo`.
    """
    from ..devices import Microphone, Speaker, devices

    try:
        listed = await in_thread(lambda: devices(options.backend))
    except DeviceError as error:
        yield failure("sound library", error)
        return
    text = f"PortAudio, through {options.backend}; {len(listed)} devices"
    yield Finding("sound library", "ok", text)
    async with AsyncExitStack() as stack:
        microphone, speaker = None, None
        try:
            microphone = await in_thread(
                lambda: Microphone(
                    options.microphone, backend=options.backend, block_ms=20, latency="high"
                )
            )
            stack.push_async_callback(microphone.aclose)
        except DeviceError as error:
            yield failure("microphone", error)
        try:
            speaker = await in_thread(
                lambda: Speaker(
                    options.loudspeaker, backend=options.backend, block_ms=20, latency="high"
                )
            )
            stack.push_async_callback(speaker.aclose)
        except DeviceError as error:
            yield failure("loudspeaker", error)
        room = await _record(microphone, ROOM_S) if microphone is not None else b""
        heard = b""
        if speaker is not None:
            heard, played = await _play(speaker, microphone)
            yield _loudspeaker_finding(speaker, played=played)
        if microphone is not None:
            yield _microphone_finding(microphone, room, heard)
        if microphone is not None and heard.strip(b"\0"):
            yield _echo_finding(heard, room, microphone.format.rate_hz)


async def _record(microphone: "Microphone", seconds: float) -> bytes:
    """Return the next `seconds` of the microphone, as PCM."""
    heard = bytearray()
    while len(heard) < microphone.format.size(seconds):
        heard += await microphone.read()
    return bytes(heard)


async def _play(speaker: "Speaker", microphone: "Microphone | None") -> tuple[bytes, bool]:
    """Play the tone.

    Returns:
        The PCM that the microphone recorded meanwhile, and whether all of the tone was played.
    """
    from ..audio.pcm import to_pcm

    turn = 1
    speaker.play(turn, to_pcm(tone(speaker.format.rate_hz)))
    heard = await _record(microphone, TONE_S + ECHO_TAIL_S) if microphone is not None else b""
    await asyncio.sleep(min(speaker.pending_s + PLAYBACK_MARGIN_S, PLAYBACK_TIMEOUT_S))
    # 90 % of the tone is enough, because the clocks of devices differ.
    return heard, speaker.played_ms(turn) > 0.9 * 1000 * TONE_S


def tone(rate_hz: int) -> "NDArray[np.float32]":
    """Return the samples of the tone, faded in and out.

    Args:
        rate_hz: Sample rate, in hertz.

    Returns:
        An array of floats between -1 and 1.
    """
    import numpy as np

    at_s = np.arange(round(TONE_S * rate_hz)) / rate_hz
    low_hz, high_hz = TONE_HZ
    phase = 2 * np.pi * at_s * (low_hz + (high_hz - low_hz) / (2 * TONE_S) * at_s)
    return (TONE_LEVEL * np.sin(phase) * np.hanning(len(at_s)) ** 0.5).astype(np.float32)


def echo_gain(pcm: bytes, rate_hz: int) -> float:
    """Return the gain of the tone in a recording; 1 is as loud as it was played.

    Args:
        pcm: The recording, mono s16le.
        rate_hz: Its sample rate, in hertz.
    """
    import numpy as np

    from ..audio.pcm import from_pcm

    heard, sought = from_pcm(pcm), tone(rate_hz)
    length = len(heard) + len(sought)
    alike = np.fft.irfft(np.fft.rfft(heard, length) * np.fft.rfft(sought, length).conj(), length)
    return float(np.abs(alike).max() / np.square(sought).sum())


def _level_db(pcm: bytes) -> float:
    """Return the level of PCM, in dB of full scale."""
    import numpy as np

    from ..audio.pcm import from_pcm

    return 10 * math.log10(float(np.square(from_pcm(pcm)).mean()) + 1e-12)


def _loudspeaker_finding(speaker: "Speaker", *, played: bool) -> Finding:
    opening = speaker.opening
    if not played:
        return Finding(
            "loudspeaker",
            "failure",
            f"{opening.device} plays no sound: a test tone was not played.",
            "Reconnect it, or choose another one: sonic-voice devices",
        )
    how = f"{opening.rate_hz} Hz, {opening.channels} channels"
    return Finding("loudspeaker", "ok", f"{opening.device}: {how}; played a tone")


def _microphone_finding(microphone: "Microphone", room: bytes, heard: bytes) -> Finding:
    opening = microphone.opening
    if not (room + heard).strip(b"\0"):
        return Finding(
            "microphone",
            "failure",
            f"{opening.device} gives nothing but zeros.",
            "Unmute it, allow this program to use it (privacy settings), and speak meanwhile.",
        )
    how = f"{opening.rate_hz} Hz, {opening.channels} channels"
    level = f"{max(_level_db(room), -96):.0f} dB of full scale"
    return Finding("microphone", "ok", f"{opening.device}: {how}; the room is at {level}")


def _echo_finding(heard: bytes, room: bytes, rate_hz: int) -> Finding:
    echo = echo_gain(heard, rate_hz)
    if echo < max(AUDIBLE_ECHO_GAIN, ROOM_MARGIN_GAIN * echo_gain(room, rate_hz)):
        text = "the microphone does not hear the loudspeaker: headphones, or a low volume"
        return Finding("echo", "ok", text)
    text = f"the microphone hears the loudspeaker, at {round(20 * math.log10(echo))} dB"
    if find_spec(AEC_ENGINE) is None:
        fix = f"Run: {install_command('echo')}, or wear headphones"
        text += "; without echo cancellation it is closed while the model speaks."
        return Finding("echo", "warning", text, fix)
    return Finding("echo", "ok", f"{text}; echo cancellation is installed: leave it on")
