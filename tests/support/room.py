"""A room in real time: what the loudspeaker `spk` sounds comes back in the microphone `vmic`.

    spk.monitor ──► distortion ──► impulse response ──► + noise + the person ──► micfeed

The loudspeaker's distortion, the way through the room and the noise are those of the simulated room
(tests/unit/simulated_room.py), 10 ms at a time. The delay is that of the buffers on the way, some
100 ms; it is set when the sound begins to flow, and stays if both sinks run by the same clock
(`MODULES_IN_STEP`).
"""

import fcntl
import subprocess
import sys
import termios
import threading
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self

import numpy as np

from sonic_voice.audio.pcm import from_pcm, to_pcm

from .simulated_room import (
    DRIVE,
    ECHO_GAIN,
    FRAME,
    NOISE_DBFS,
    RATE_HZ,
    Samples,
    loudness,
    recording,
)

BLOCK = 8192
"""Of the convolution: more than impulse and frame together."""

REMEMBERED = 1000
"""Frames of echo kept to tell how loud it is: 10 s."""

FRAME_BYTES = 2 * FRAME

VOLUME = 10 ** (-10 / 20)
"""Of the loudspeaker: the emulator's light voices are at -10 dB below full scale, the service's at
some -20, for which the distortion is meant. Full volume bends them by a fifth."""

MOST_WAITING_BYTES = 3 * FRAME_BYTES
"""In the pipe to the player. A null sink begins with a pause of up to two seconds, and a recorder
with as much at once; what waits then would be the room's delay for ever, so it is left out."""


class Room:
    """Open speakers, within a `with`. `say` may be called from any thread."""

    def __init__(self, volume: float = VOLUME, seed: int = 0) -> None:
        self._volume = volume
        response = ECHO_GAIN * recording("sounds", "room-impulse")
        assert len(response) <= BLOCK - FRAME
        self._path = np.fft.rfft(response, BLOCK)
        self._tail = np.zeros(BLOCK, np.float32)
        self._person = np.zeros(0, np.float32)
        self._speaking = threading.Lock()
        self._echo: deque[Samples] = deque(maxlen=REMEMBERED)
        self._random = np.random.default_rng(seed)
        form = f"--raw --format=s16le --channels=1 --rate={RATE_HZ}".split()
        self._ear = subprocess.Popen(
            ["parec", "--device=spk.monitor", *form, "--latency-msec=10"],
            stdout=subprocess.PIPE,
        )
        self._mouth = subprocess.Popen(
            ["pacat", "--playback", "--device=micfeed", *form, "--latency-msec=80"],
            stdin=subprocess.PIPE,
            bufsize=0,
        )
        self._thread = threading.Thread(target=self._sound, name="room")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ear.terminate()
        self._thread.join()
        self._mouth.terminate()
        for process in (self._ear, self._mouth):
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def say(self, sound: Samples) -> None:
        """The person speaks `sound` (16 kHz) from now on, after what was to be said before."""
        with self._speaking:
            self._person = np.concatenate([self._person, sound])

    @property
    def echo_level(self) -> float:
        """How loud the last ten seconds of echo were at the microphone, without its pauses."""
        return loudness(np.concatenate(list(self._echo)))

    def _sound(self) -> None:
        assert self._ear.stdout is not None
        assert self._mouth.stdin is not None
        with suppress(BrokenPipeError):
            while len(pcm := self._ear.stdout.read(FRAME_BYTES)) == FRAME_BYTES:
                heard = to_pcm(self._heard(from_pcm(pcm)))
                if _waiting_bytes(self._mouth.stdin.fileno()) < MOST_WAITING_BYTES:
                    self._mouth.stdin.write(heard)

    def _heard(self, played: Samples) -> Samples:
        echo = self._echoed(played)
        self._echo.append(echo)
        heard = echo + 10 ** (NOISE_DBFS / 20) * self._random.standard_normal(FRAME)
        with self._speaking:
            person, self._person = self._person[:FRAME], self._person[FRAME:]
        heard[: len(person)] += person
        return heard.astype(np.float32)

    def _echoed(self, played: Samples) -> Samples:
        sounding = np.tanh(DRIVE * self._volume * played) / DRIVE
        self._tail += np.fft.irfft(np.fft.rfft(sounding, BLOCK) * self._path, BLOCK)
        echo = self._tail[:FRAME].copy()
        self._tail[:-FRAME] = self._tail[FRAME:]
        self._tail[-FRAME:] = 0
        return echo


def _waiting_bytes(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
