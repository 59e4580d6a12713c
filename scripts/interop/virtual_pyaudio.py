"""A stand-in for PyAudio: its microphone hears the person, and its loudspeaker keeps real time.

It has what AWS's console sample calls. The microphone delivers silence until `converse` is called,
which returns at the end of the recording.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from driver import INPUT_HZ, report, speech

paInt16 = 8  # noqa: N816 (PyAudio's names)
paContinue = 0  # noqa: N816

LATENCY_S = 0.1
"""Sound that the loudspeaker buffers, in seconds."""

_begun = threading.Event()
_finished = threading.Event()


def converse(_prompt: str = "") -> str:
    """Let the person speak, and return when all was said: in place of `input`, and Enter."""
    _begun.set()
    _finished.wait()
    return ""


class PyAudio:
    """The devices."""

    def open(self, **options: Any) -> "Microphone | Loudspeaker":
        """Open the microphone or the loudspeaker."""
        frames = options["frames_per_buffer"]
        if options.get("input"):
            return Microphone(frames, options["stream_callback"])
        return Loudspeaker(options["rate"])

    def terminate(self) -> None:
        """Do nothing."""


class Microphone:
    """An input stream, whose callback is called in a thread of its own."""

    def __init__(self, frames: int, callback: Callable[..., object]) -> None:
        self._frames = frames
        self._callback = callback
        self._active = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def is_active(self) -> bool:
        """Return whether it delivers sound."""
        return self._active

    def start_stream(self) -> None:
        """Do nothing: it has been started when it was opened."""

    def stop_stream(self) -> None:
        """Stop the callbacks."""
        self._active = False

    def close(self) -> None:
        """Stop the callbacks."""
        self._active = False

    def _run(self) -> None:
        seconds = self._frames / INPUT_HZ
        while self._active and not _begun.wait(seconds):
            self._deliver(bytes(2 * self._frames))
        asyncio.run(self._speak(round(1000 * seconds)))
        _finished.set()

    async def _speak(self, chunk_ms: int) -> None:
        async for pcm in speech(chunk_ms):
            self._deliver(pcm)

    def _deliver(self, pcm: bytes) -> None:
        if self._active:
            self._callback(pcm, len(pcm) // 2, {}, 0)


class Loudspeaker:
    """An output stream, whose `write` blocks while the buffer is full."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._ends_s = 0.0

    def write(self, pcm: bytes) -> None:
        """Play sound, and report it."""
        report(audio_bytes=len(pcm))
        self._ends_s = max(self._ends_s, time.monotonic()) + len(pcm) / 2 / self._rate_hz
        time.sleep(max(0.0, self._ends_s - LATENCY_S - time.monotonic()))

    def is_active(self) -> bool:
        """Return that it plays."""
        return True

    def stop_stream(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
