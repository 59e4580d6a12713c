"""Ways to keep the model's voice out of what the microphone hears.

`EchoCanceller` takes it off and leaves the person, `HalfDuplex` shuts the microphone meanwhile,
`Headphones` leaves all as it is. What the canceller does and why is told in the package's
docstring.

No clock, no thread, no device. Only `EchoCanceller` imports an engine, when it is made.
"""

import importlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..extras import install_command
from .echo_path import FRAME, EchoPath
from .local_speech import dbfs, decibels, powers
from .reference_alignment import RATE_HZ

NOISE_LEVEL = 1
"""Of WebRTC's noise suppressor, 0 to 3. More makes words harder to recognise, not easier."""

OPEN_DB = -10.0
SHUT_DB = -18.0
"""How much less AEC3 may leave than the learned path does, for the latter to be sent: it takes
less than 10 dB from most frames of a person who is as loud as the echo, and more than 18 dB from
what is echo alone."""

OWN_DB = -20.0
ECHO_DB = -26.0
"""And how much less than the microphone heard: of a person a third as loud as the echo it leaves
more than the first. Where a loud echo bends the loudspeaker both leave something, alike but softer.
"""

CLOSING_FRAMES = 5
"""The gate opens within a frame, and closes within 50 ms: before a window of speech has passed."""

STAYED_DB = -6.0
KNOWN_DB = -10.0
KNOWING = 0.03
"""AEC3 needs 60 to 100 ms to let a person through. What of it is in the chunk that opens the gate
is not too late yet: of its frames those are let through from which the learned path took less than
the first, while in the last third of a second (`KNOWING`, per frame) it took more than the second
on average. What it leaves then is no echo. One that is not known, it leaves as well. Of the words
of 156 interruptions in the simulated room 6.1 % are wrong with it, 7.2 % without.
"""

LEARNED_FRAMES = 300
LOUD_DBFS = -50.0
"""Three seconds of the model's voice, until then the room is unknown: of 32 rooms and voices 9 let
the model's first words through; after two seconds one still did, after three none."""

RELEARNED_FRAMES = 200
"""Two seconds, where the delay has changed: of 36 changes by up to 25 ms, each with a lost block,
16 were taken for a person at once, 7 after a second's learning, none after two."""

IDLE_S = 1.0
"""After so long a silence of the loudspeaker no echo is left: AEC3 follows one that is 0.48 s late,
and the room sounds on for 0.34 s."""

SOUNDING_DBFS = -60.0
TAIL_S = 0.4
"""Half duplex: how long a sound stays in the loudspeaker, the room and the microphone's buffer."""

type Samples = NDArray[np.float32]

RAMP: Samples = np.linspace(0, 1, FRAME, dtype=np.float32)


class Remover(Protocol):
    """Takes what the loudspeaker sounds out of what the microphone hears."""

    def clean(self, near: Samples, far: Samples) -> Samples:
        """`near` without its echo of `far`; both as long, in whole frames of 10 ms at 16 kHz."""
        ...

    def forget(self) -> None:
        """What comes next may echo with another delay."""
        ...


class EchoCanceller:
    """AEC3 and a learned echo path; 0.2 ms of work for 10 ms of sound.

    Both rest while the loudspeaker is silent, and know what they have learned when it sounds again.
    """

    def __init__(self) -> None:
        """Raises `ConfigError` if WebRTC's engine is not installed."""
        webrtc = engine("pywebrtc_audio")
        self._aec3: Any = webrtc.AudioProcessor(
            sample_rate=RATE_HZ,
            echo_cancellation=True,
            noise_suppression=True,
            ns_level=NOISE_LEVEL,
        )
        self._path = EchoPath()
        self._noise: Any = webrtc.NoiseSuppressor(RATE_HZ, 1, NOISE_LEVEL)
        self._gate = _Gate()
        self._shutter = _Shutter()
        self._unknown = LEARNED_FRAMES
        self._silent_s = 0.0

    def clean(self, near: Samples, far: Samples) -> Samples:
        """See `Remover`."""
        self._silent_s = 0.0 if far.any() else self._silent_s + len(far) / RATE_HZ
        if self._silent_s > IDLE_S:
            return self._noise.process(near)
        strict: Samples = self._aec3.process(near, far)
        gentle: Samples = self._noise.process(self._path.subtract(near, far))
        mixed = self._gate.mix(near, gentle, strict)
        if not self._unknown:
            return mixed
        sounding = sum(decibels(power) > LOUD_DBFS for power in powers(far))
        self._unknown = max(0, self._unknown - sounding)
        return np.zeros_like(near) if self._shutter.shut(far) else mixed

    def forget(self) -> None:
        """See `Remover`."""
        self._path = EchoPath()
        self._unknown = max(self._unknown, RELEARNED_FRAMES)


class _Gate:
    """Lets the gentle sound through where the strict one has left about as much, and not little."""

    def __init__(self) -> None:
        self._open = 0.0
        self._stays_db = 0.0  # of what is heard, past the learned path, of late

    def mix(self, near: Samples, gentle: Samples, strict: Samples) -> Samples:
        """Whole frames of each, a chunk; `strict` becomes the mix."""
        before = self._open
        for k, after in enumerate(self._opened(near, gentle, strict)):
            frame = slice(k * FRAME, (k + 1) * FRAME)
            if before == after == 1:
                strict[frame] = gentle[frame]
            elif before or after:
                share = before + (after - before) * RAMP
                strict[frame] += share * (gentle[frame] - strict[frame])
            before = after
        return strict

    def _opened(self, near: Samples, gentle: Samples, strict: Samples) -> list[float]:
        """How far open it is at the end of each frame."""
        opened: list[float] = []
        stayed: list[bool] = []
        known = self._stays_db < KNOWN_DB
        for levels in zip(powers(near), powers(gentle), powers(strict), strict=True):
            heard_db, kept_db, left_db = map(decibels, levels)
            alike = (left_db - kept_db - SHUT_DB) / (OPEN_DB - SHUT_DB)
            own = (left_db - heard_db - ECHO_DB) / (OWN_DB - ECHO_DB)
            self._open = max(0.0, min(1.0, alike, own), self._open - 1 / CLOSING_FRAMES)
            opened.append(self._open)
            stays_db = kept_db - heard_db
            stayed.append(known and stays_db > STAYED_DB)
            self._stays_db += KNOWING * (stays_db - self._stays_db)
        for k in reversed(range(len(opened) - 1)):
            if stayed[k]:
                opened[k] = max(opened[k], opened[k + 1])
        return opened


class HalfDuplex:
    """The microphone hears silence while the loudspeaker sounds, and `TAIL_S` longer."""

    def __init__(self) -> None:
        self._shutter = _Shutter()

    def clean(self, near: Samples, far: Samples) -> Samples:
        """See `Remover`."""
        return np.zeros_like(near) if self._shutter.shut(far) else near

    def forget(self) -> None:
        """See `Remover`."""


class _Shutter:
    """Whether the loudspeaker is still to be heard."""

    def __init__(self) -> None:
        self._tail = 0

    def shut(self, far: Samples) -> bool:
        self._tail -= len(far)
        if dbfs(far) > SOUNDING_DBFS:
            self._tail = round(TAIL_S * RATE_HZ)
        return self._tail > 0


class Headphones:
    """No echo to remove."""

    def clean(self, near: Samples, far: Samples) -> Samples:
        """See `Remover`."""
        return near

    def forget(self) -> None:
        """See `Remover`."""


def engine(package: str) -> Any:
    """By name: it has no types, and a check of types must not depend on what is installed.

    Raises `ConfigError` if it is not.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"Echo cancellation is not installed ({package}).",
            hint=f"Run: {install_command('echo')}",
        ) from error
