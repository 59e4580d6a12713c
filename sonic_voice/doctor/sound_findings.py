"""Findings about microphone and loudspeaker, from measurements and from the sound server.

A machine without a microphone has a source all the same, which records what the loudspeaker plays
(a monitor). The sound server says so. Where there is no such server, a monitor is recognized by two
things that no room has: it delivers exact zeros while nothing is played, and the test tone as loud
as it was played.
"""

import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..extras import install_command
from .finding import Finding

if TYPE_CHECKING:
    from ..devices import BackendName, DeviceFault, DeviceOpening, MicrophoneStats, SpeakerStats

AUDIBLE_ECHO_GAIN = 0.001
"""Gain of an echo below which no echo cancellation is needed, -60 dB."""

ROOM_MARGIN_GAIN = 4.0
"""Factor by which the gain with the tone must exceed that of the room alone to count as an echo,
12 dB."""

MONITOR_GAINS = (0.7, 1.4)
"""Gain of the tone in a monitor, at least and at most: 1, with 3 dB for different resampling."""

TOO_QUIET_DB = -84.0
"""Level of a room, in dB of full scale, below which the microphone is turned down. It is that of a
recording in which each sample is 0, 1, 2 or 3: even a silent room is 10 dB louder."""

MAX_LATE_BLOCKS = 2
"""Number of late or lost blocks that a check of two seconds may have: other checks start at the
same time, and hold the interpreter for a moment."""

AEC_ENGINE = "pywebrtc_audio"
"""Module whose presence tells that echo cancellation is installed."""


@dataclass(frozen=True, slots=True)
class Recording:
    """The recording of the microphone in a check, and its measurements."""

    opening: "DeviceOpening"
    """The microphone and its settings."""
    room_level_db: float
    """Level of the room without the tone, in dB of full scale; minus infinity for exact zeros."""
    room_gain: float
    """Gain of the tone that the room alone seems to have (`echo_gain`)."""
    all_zeros: bool
    """True if there was no sound with the tone either."""
    echo_gain: float
    """Gain of the tone in the recording; 0 if it was not played."""

    @property
    def is_monitor(self) -> bool:
        """True if this is the recording of a monitor and not of a microphone."""
        least, most = MONITOR_GAINS
        return self.room_level_db == -math.inf and least < self.echo_gain < most


def loudspeaker_finding(
    opening: "DeviceOpening", fault: "DeviceFault | None", *, played: bool
) -> Finding:
    """Return the finding about the loudspeaker.

    Args:
        opening: The loudspeaker and its settings.
        fault: What the sound server says against it.
        played: Whether the test tone was played to its end.
    """
    if not played:
        return Finding(
            "loudspeaker",
            "failure",
            f"{opening.device} plays no sound: a test tone was not played.",
            "Reconnect it, or choose another one: sonic-voice devices",
        )
    if fault is not None:
        return _faulty("loudspeaker", fault)
    how = f"{opening.rate_hz} Hz, {opening.channels} channels"
    return Finding("loudspeaker", "ok", f"{opening.device}: {how}; played a tone")


def microphone_finding(recording: Recording, fault: "DeviceFault | None") -> Finding:
    """Return the finding about the microphone.

    Args:
        recording: What it recorded.
        fault: What the sound server says against it.
    """
    device = recording.opening.device
    if fault is not None:
        return _faulty("microphone", fault)
    if recording.is_monitor:
        return Finding(
            "microphone",
            "failure",
            f"{device} is no microphone: it records nothing but what the loudspeaker plays.",
            "Connect a microphone, and choose it: sonic-voice devices",
        )
    if recording.all_zeros:
        return Finding(
            "microphone",
            "failure",
            f"{device} gives nothing but zeros.",
            "Unmute it, allow this program to use it (privacy settings), and speak meanwhile.",
        )
    if recording.room_level_db < TOO_QUIET_DB:
        level = "digital silence"
        if recording.room_level_db > -math.inf:
            level = f"{recording.room_level_db:.0f} dB of full scale"
        return Finding(
            "microphone",
            "warning",
            f"{device} is turned down: the room is at {level}.",
            "Turn it up in the sound settings of the system, and try again: sonic-voice doctor",
        )
    how = f"{recording.opening.rate_hz} Hz, {recording.opening.channels} channels"
    level = f"{recording.room_level_db:.0f} dB of full scale"
    return Finding("microphone", "ok", f"{device}: {how}; the room is at {level}")


def _faulty(name: str, fault: "DeviceFault") -> Finding:
    """Return the finding for a fault that the sound server reports."""
    grade = "failure" if fault.prevents_talking else "warning"
    return Finding(name, grade, fault.problem, fault.fix)


def echo_finding(recording: Recording) -> Finding:
    """Return the finding about the way of the sound from the loudspeaker to the microphone.

    Args:
        recording: What a real microphone recorded.
    """
    echo = recording.echo_gain
    if echo < max(AUDIBLE_ECHO_GAIN, ROOM_MARGIN_GAIN * recording.room_gain):
        text = "the microphone does not hear the loudspeaker: headphones, or a low volume"
        return Finding("echo", "ok", text)
    text = f"the microphone hears the loudspeaker, at {round(20 * math.log10(echo))} dB"
    if find_spec(AEC_ENGINE) is None:
        fix = f"Wear headphones, or run: {install_command('echo')}"
        text += "; without echo cancellation it is closed while the model speaks."
        return Finding("echo", "warning", text, fix)
    return Finding("echo", "ok", f"{text}; echo cancellation is installed: leave it on")


def timing_finding(
    microphone: "MicrophoneStats | None", speaker: "SpeakerStats | None", backend: "BackendName"
) -> Finding | None:
    """Return the finding about a machine that serves the devices too late.

    Args:
        microphone: Counts of the microphone; None if it did not open.
        speaker: Counts of the loudspeaker; None if it did not open.
        backend: The sound library. Only sounddevice can request larger buffers.

    Returns:
        The finding; None if the devices were served in time.
    """
    late = lost = 0
    for stats in (microphone, speaker):
        late += 0 if stats is None else stats.late_blocks
    if microphone is not None:
        lost += microphone.overruns
    if speaker is not None:
        lost += speaker.underruns
    if late + lost <= MAX_LATE_BLOCKS:
        return None
    options = "--latency high"
    if backend == "pyaudio":
        options += " --audio-backend sounddevice"
    return Finding(
        "timing",
        "warning",
        f"this machine is too busy: {late} blocks of sound were late, and {lost} were lost.",
        f"Close other programs, or talk with larger buffers: sonic-voice talk {options}",
    )
