"""The options of the doctor: the conversation that is to work."""

import os
from dataclasses import dataclass
from typing import Literal

from ..catalog import DEFAULT_MODEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the doctor, with the meaning that they have for `sonic-voice talk`."""

    model: str = DEFAULT_MODEL
    region: str | None = None
    """AWS region. With None the environment and the shared AWS files decide; the same holds for
    `profile` and `endpoint`."""
    profile: str | None = None
    endpoint: str | None = None
    """URL of another service, such as an emulator's."""
    ca_file: str | os.PathLike[str] | None = None
    """PEM file with the CAs to trust instead of those of the environment or the system."""
    proxy: str | None = None
    """URL of a proxy for every endpoint, empty for none. With None the environment decides."""
    local: bool = False
    """True for a conversation with the built-in emulator; AWS is not checked then."""
    audio: bool = True
    """True for a conversation with a microphone and a loudspeaker."""
    backend: Literal["sounddevice", "pyaudio"] = "sounddevice"
    microphone: int | str | None = None
    """Number of a device or part of its name; None is the default device. The same holds for
    `loudspeaker`."""
    loudspeaker: int | str | None = None
