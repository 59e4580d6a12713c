"""The caller's microphone: speech when the caller speaks, silence in between."""

import asyncio
from collections.abc import Awaitable, Callable

from ..config import AudioFormat

CHUNK_S = 0.064
"""Length of a chunk, in seconds. Twice the usual one: half as many payloads have to be signed and
sent, so that a conversation runs faster on virtual time; moments are that exact."""


class CallerSource:
    """An audio source that is silent until it is told to speak. See `audio.ports.AudioSource`.

    It is the clock of its conversation. Chunk k comes no earlier than k chunks after the first read
    was begun, by the event loop's clock, which may be a virtual one.

    Args:
        format: Format of the audio.
        before_chunk: Awaited before each chunk; decides what the caller does now.
    """

    def __init__(self, format: AudioFormat, before_chunk: Callable[[], Awaitable[None]]) -> None:
        self.format = format
        self.done = False
        """True once the caller has nothing more to say. Silence goes on flowing."""
        self._before_chunk = before_chunk
        self._chunk_bytes = format.size(CHUNK_S)
        self._ready = bytearray()
        self._chunks = 0
        self._began_s: float | None = None
        self._closed = False

    @property
    def speaking(self) -> bool:
        """True while speech waits to be delivered."""
        return bool(self._ready)

    def speak(self, pcm: bytes) -> None:
        """Add speech, which begins with the next chunk.

        Args:
            pcm: s16le mono PCM.
        """
        self._ready += pcm

    def now(self) -> float:
        """Return the length of the audio delivered so far, in seconds."""
        return self.format.seconds(self._chunks * self._chunk_bytes)

    async def read(self) -> bytes:
        """Wait until the next chunk is due, and return it; `b""` after `aclose`."""
        if self._closed:
            return b""
        loop = asyncio.get_running_loop()
        if self._began_s is None:
            self._began_s = loop.time()
        await asyncio.sleep(max(0.0, self._began_s + self.now() - loop.time()))
        await self._before_chunk()
        if self._closed:
            return b""
        chunk = bytes(self._ready[: self._chunk_bytes])
        del self._ready[: self._chunk_bytes]
        self._chunks += 1
        return chunk.ljust(self._chunk_bytes, b"\0")

    async def aclose(self) -> None:
        """Deliver nothing more. May be called again."""
        self._closed = True
