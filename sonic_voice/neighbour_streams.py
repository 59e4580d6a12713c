"""The neighbours of a live stream: the one that was prepared to follow it, and the retired ones."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from .errors import ConnectionLost, SonicError
from .service_stream import ServiceStream
from .stream_opener import ClosingTasks

CHECK_S = 0.1
"""Interval at which waiting streams are looked at, in seconds."""

FINISHING_S = 25.0
"""Maximum time for which a retired stream may finish its answer, in seconds. The service ends it
30 s after the latest renewal."""

LAST_TEXTS_S = 1.0
"""Time after the playback of an answer in which its last FINAL text comes, in seconds."""


class PreparedStream:
    """The next stream, which is opened before it is needed; there is one at most.

    Args:
        open_stream: Opens a stream that has no history and no audio yet.
        closing: Owner of the tasks that release streams.
        on_change: Called when a stream is prepared, or could not be opened.
        age_s: Returns the age of the live stream, in seconds.
    """

    def __init__(
        self,
        open_stream: Callable[[], Awaitable[ServiceStream]],
        closing: ClosingTasks,
        on_change: Callable[[], object],
        age_s: Callable[[], float],
    ) -> None:
        self._open_stream = open_stream
        self._age_s = age_s
        self._closing = closing
        self._on_change = on_change
        self._stream: ServiceStream | None = None
        self._task: asyncio.Task[None] | None = None
        self._since_s = 0.0
        self._not_before_s = 0.0

    def since_s(self) -> float | None:
        """Return the age of the live stream when this one was prepared, in seconds; None without.

        A stream that is over is discarded.
        """
        if self._stream is not None and self._stream.over.done():
            self.discard()
        return self._since_s if self._stream is not None else None

    def prepare(self, retry_s: float) -> None:
        """Open a stream in place of the one that is prepared, unless one is being opened.

        Args:
            retry_s: Time to the next attempt after one that fails, in seconds.
        """
        now_s = asyncio.get_running_loop().time()
        if self._task is None and now_s >= self._not_before_s:
            self.discard()
            self._task = asyncio.create_task(self._prepare(retry_s), name="sonic renewal")

    def retry_now(self) -> None:
        """Allow an attempt at once, although the last one has failed."""
        self._not_before_s = 0.0

    async def _prepare(self, retry_s: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._stream = await self._open_stream()
            self._since_s = self._age_s()
        except SonicError:
            # The live stream works. A fault that ends it before the next attempt is reported.
            self._not_before_s = loop.time() + retry_s
        finally:
            if self._task is asyncio.current_task():
                self._task = None
            self._on_change()

    def take(self) -> ServiceStream:
        """Return the prepared stream, which then has another owner."""
        stream, self._stream = self._stream, None
        assert stream is not None
        return stream

    def discard(self) -> None:
        """Close the stream, also one that is still being opened."""
        if self._task is not None:
            self._task.cancel()
            self._closing.add(self._task)
            self._task = None
        if self._stream is not None:
            self._closing.start(self._stream.aclose())
            self._stream = None


class RetiredStreams:
    """The streams that were replaced in good health, until they are read to their end.

    Args:
        closing: Owner of the tasks that release streams.
        is_playing: Returns whether an answer is playing, or ended less than a given number of
            seconds ago.
        on_change: Called when a stream is done.
    """

    def __init__(
        self,
        closing: ClosingTasks,
        is_playing: Callable[[float], bool],
        on_change: Callable[[], object],
    ) -> None:
        self._closing = closing
        self._is_playing = is_playing
        self._on_change = on_change
        self._streams: set[ServiceStream] = set()

    @property
    def owes_answer(self) -> bool:
        """True if the rest of an answer has not come yet."""
        return any(stream.owes_answer for stream in self._streams)

    def add(self, stream: ServiceStream, close_s: float) -> None:
        """Let a stream finish its answer, say goodbye, and read it to its end.

        Args:
            stream: The stream, which was retired.
            close_s: Maximum time for its goodbye, in seconds.
        """
        self._streams.add(stream)
        self._closing.start(self._drain(stream, close_s))

    def end(self) -> None:
        """End all streams at once."""
        for stream in list(self._streams):
            stream.end(ConnectionLost("The session was closed.", reason="ended"))

    async def _drain(self, stream: ServiceStream, close_s: float) -> None:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(FINISHING_S):
                    while not stream.over.done() and self._still_speaks(stream):
                        stream.progressed.clear()
                        with suppress(TimeoutError):
                            async with asyncio.timeout(CHECK_S):
                                await stream.progressed.wait()
            if not stream.over.done():
                stream.finish()
                await asyncio.wait([stream.over], timeout=close_s)
        finally:
            self._streams.discard(stream)
            self._on_change()
            await stream.aclose()

    def _still_speaks(self, stream: ServiceStream) -> bool:
        """Return whether a stream owes the rest of its answer, or its FINAL texts."""
        return stream.owes_answer or self._is_playing(LAST_TEXTS_S)
