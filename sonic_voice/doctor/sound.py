"""Microphone and loudspeaker, each tried out, and whether the one hears the other.

A second of the room as it is; then a short rising tone, 0.6 s from 400 to 2,800 Hz, while the
microphone goes on. The tone's shape is searched in what was heard (a matched filter, which finds it
10 dB below noise of the same band), and compared with how much of that shape the room alone has.
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
TONE_S = 0.6
TONE_HZ = (400.0, 2800.0)
TONE_LEVEL = 0.25
"""-12 dB of full scale: to be heard and not to be jumped at."""

ECHO_TAIL_S = 0.7
"""How long an echo is waited for after the tone: Bluetooth delays by up to 0.3 s each way."""

PLAYBACK_TIMEOUT_S = 3.0
"""When a tone that has not been played is given up."""

PLAYBACK_MARGIN_S = 0.1
"""What the loudspeaker may be late by."""

AUDIBLE_ECHO_GAIN = 0.001
"""-60 dB: what is heard of the tone more faintly than that no canceller is needed for."""

ROOM_MARGIN_GAIN = 4.0
"""How much more of the tone there must be than the room itself has, 12 dB."""

AEC_ENGINE = "pywebrtc_audio"


async def check_sound(options: Options) -> AsyncIterator[Finding]:
    """Library, microphone, loudspeaker, echo."""
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
    """What the microphone hears for so long, from now on."""
    heard = bytearray()
    while len(heard) < microphone.format.size(seconds):
        heard += await microphone.read()
    return bytes(heard)


async def _play(speaker: "Speaker", microphone: "Microphone | None") -> tuple[bytes, bool]:
    """Play the tone. What the microphone heard meanwhile, and whether all was played."""
    from ..audio.pcm import to_pcm

    turn = 1
    speaker.play(turn, to_pcm(tone(speaker.format.rate_hz)))
    heard = await _record(microphone, TONE_S + ECHO_TAIL_S) if microphone is not None else b""
    await asyncio.sleep(min(speaker.pending_s + PLAYBACK_MARGIN_S, PLAYBACK_TIMEOUT_S))
    return heard, speaker.played_ms(turn) > 900 * TONE_S  # nearly all: clocks differ a little


def tone(rate_hz: int) -> "NDArray[np.float32]":
    """The tone, with soft edges."""
    import numpy as np

    at_s = np.arange(round(TONE_S * rate_hz)) / rate_hz
    low_hz, high_hz = TONE_HZ
    phase = 2 * np.pi * at_s * (low_hz + (high_hz - low_hz) / (2 * TONE_S) * at_s)
    return (TONE_LEVEL * np.sin(phase) * np.hanning(len(at_s)) ** 0.5).astype(np.float32)


def echo_gain(pcm: bytes, rate_hz: int) -> float:
    """How loud the tone is in `pcm`, relative to how it was played: 1 is just as loud."""
    import numpy as np

    from ..audio.pcm import from_pcm

    heard, sought = from_pcm(pcm), tone(rate_hz)
    length = len(heard) + len(sought)
    alike = np.fft.irfft(np.fft.rfft(heard, length) * np.fft.rfft(sought, length).conj(), length)
    return float(np.abs(alike).max() / np.square(sought).sum())


def _level_db(pcm: bytes) -> float:
    """Its loudness, in dB of full scale."""
    import numpy as np

    from ..audio.pcm import from_pcm

    return 10 * math.log10(float(np.square(from_pcm(pcm)).mean()) + 1e-12)


def _loudspeaker_finding(speaker: "Speaker", *, played: bool) -> Finding:
    opening = speaker.opening
    if not played:
        return Finding(
            "loudspeaker",
            "failure",
            f"{opening.device} takes no sound: a tone was not played.",
            "Unplug and plug it, or choose another: sonic-voice devices",
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
            "Unmute it, let this program use it (privacy settings), and speak while this runs.",
        )
    how = f"{opening.rate_hz} Hz, {opening.channels} channels"
    level = f"{max(_level_db(room), -96):.0f} dB of full scale"
    return Finding("microphone", "ok", f"{opening.device}: {how}; the room is at {level}")


def _echo_finding(heard: bytes, room: bytes, rate_hz: int) -> Finding:
    echo = echo_gain(heard, rate_hz)
    if echo < max(AUDIBLE_ECHO_GAIN, ROOM_MARGIN_GAIN * echo_gain(room, rate_hz)):
        text = "the microphone does not hear the loudspeaker: headphones, or turned low"
        return Finding("echo", "ok", text)
    text = f"the microphone hears the loudspeaker, at {round(20 * math.log10(echo))} dB"
    if find_spec(AEC_ENGINE) is None:
        fix = f"Run: {install_command('echo')}, or wear headphones"
        text += "; without echo cancellation it is shut while the model speaks."
        return Finding("echo", "warning", text, fix)
    return Finding("echo", "ok", f"{text}; echo cancellation is installed: leave it on")
