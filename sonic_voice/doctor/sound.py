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
from typing import TYPE_CHECKING

from ..daemon_thread import in_thread
from ..errors import DeviceError
from .finding import Finding, failure
from .options import Options
from .sound_findings import (
    Recording,
    echo_finding,
    loudspeaker_finding,
    microphone_finding,
    timing_finding,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..devices import DeviceFault, Latency, Microphone, ServerState, Speaker

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


async def check_sound(options: Options) -> AsyncIterator[Finding]:
    """Check the sound library, the microphone, the loudspeaker and the echo between them.

    It plays a tone and records for some seconds.

    Args:
        options: The conversation to check for.

    Yields:
        Findings named `sound library`, `loudspeaker`, `microphone` and `echo`, and `timing` if the
        devices were served too late.
    """
    from ..devices import Microphone, Speaker, devices, read_sound_server

    try:
        listed = await in_thread(lambda: devices(options.backend))
    except DeviceError as error:
        yield failure("sound library", error)
        return
    text = f"PortAudio, through {options.backend}; {len(listed)} devices"
    yield Finding("sound library", "ok", text)
    # PyAudio has no high latency. Elsewhere it keeps the busy start of the checks out of the sound.
    latency: Latency = "high" if options.backend == "sounddevice" else "low"
    async with AsyncExitStack() as stack:
        microphone, speaker = None, None
        try:
            microphone = await in_thread(
                lambda: Microphone(
                    options.microphone, backend=options.backend, block_ms=20, latency=latency
                )
            )
            stack.push_async_callback(microphone.aclose)
        except DeviceError as error:
            yield failure("microphone", error)
        try:
            speaker = await in_thread(
                lambda: Speaker(
                    options.loudspeaker, backend=options.backend, block_ms=20, latency=latency
                )
            )
            stack.push_async_callback(speaker.aclose)
        except DeviceError as error:
            yield failure("loudspeaker", error)
        room = await _record(microphone, ROOM_S) if microphone is not None else b""
        heard = b""
        state = await in_thread(read_sound_server)
        if speaker is not None:
            heard, played = await _play(speaker, microphone)
            yield loudspeaker_finding(speaker.opening, _fault(state, speaker), played=played)
        if microphone is not None:
            recording = _recording(microphone, room, heard)
            finding = microphone_finding(recording, _fault(state, microphone))
            yield finding
            if recording.echo_gain and finding.grade != "failure":
                yield echo_finding(recording)
        late = timing_finding(
            microphone and microphone.stats, speaker and speaker.stats, options.backend
        )
        if late is not None:
            yield late


def _fault(state: "ServerState | None", used: "Microphone | Speaker") -> "DeviceFault | None":
    """Return what the sound server says against a device; None without a server."""
    from ..devices import device_fault

    opening = used.opening
    return state and device_fault(state, opening.device, opening.direction)


def _recording(microphone: "Microphone", room: bytes, heard: bytes) -> Recording:
    """Return the measurements of what a microphone recorded without and with the tone."""
    rate_hz = microphone.format.rate_hz
    return Recording(
        opening=microphone.opening,
        room_level_db=_level_db(room),
        room_gain=echo_gain(room, rate_hz),
        all_zeros=not (room + heard).strip(b"\0"),
        echo_gain=echo_gain(heard, rate_hz) if heard.strip(b"\0") else 0.0,
    )


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
    """Return the level of PCM, in dB of full scale; minus infinity for exact zeros."""
    import numpy as np

    from ..audio.pcm import from_pcm

    power = float(np.square(from_pcm(pcm)).mean()) if pcm.strip(b"\0") else 0.0
    return 10 * math.log10(power) if power else -math.inf
