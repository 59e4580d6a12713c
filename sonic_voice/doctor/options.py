"""What the doctor is asked about: the conversation that somebody means to hold."""

import os
from dataclasses import dataclass
from typing import Literal

from ..catalog import DEFAULT_MODEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The same choices as those of `sonic-voice talk`."""

    model: str = DEFAULT_MODEL
    region: str | None = None
    """None: what the environment and the shared AWS files say; so for `profile`, `endpoint`."""
    profile: str | None = None
    endpoint: str | None = None
    """The URL of another service, such as an emulator's."""
    ca_file: str | os.PathLike[str] | None = None
    """PEM file with the CAs to trust, instead of the environment's or the system's."""
    proxy: str | None = None
    """URL of a proxy for every endpoint, empty for none; None: what the environment says."""
    local: bool = False
    """Talk to the built-in emulator: then it must work, and AWS is not looked at."""
    audio: bool = True
    """Whether the conversation is by microphone and loudspeaker."""
    backend: Literal["sounddevice", "pyaudio"] = "sounddevice"
    microphone: int | str | None = None
    """A number or a part of a name; None: the default one. So for `loudspeaker`."""
    loudspeaker: int | str | None = None
