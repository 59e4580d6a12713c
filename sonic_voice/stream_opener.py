"""The opening and the closing of a session's service streams.

`StreamOpener` numbers the streams, configures them and counts their tokens. `ClosingTasks` owns the
tasks that release streams which are no longer needed, so that nobody waits for them.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from .config import SessionConfig
from .errors import DeadlineError
from .events import Event, NetworkSlow, Usage
from .handover import Handover
from .protocol import SonicProtocol
from .service_stream import Deliver, ServiceStream, WaitForRoom
from .transcript import Transcript
from .transport import Transport
from .turn_progress import Playback
from .wire import Tokens


class StreamOpener:
    """The opener of the streams of one session.

    Args:
        transport: Opens the connections.
        transcript: The transcript of the session.
        playback: What the streams share.
        deliver: Called with the events of each payload, in order.
        wait_for_room: Awaited after `deliver` has had no more room.
        clock: Returns monotonic seconds on the time line of the conversation.
        on_slow: Called when the network takes speech more slowly than it is spoken.
        on_silence: Called with a stream and the silence that it has sent, as PCM.
        on_over: Called when a stream is over.
    """

    def __init__(
        self,
        transport: Transport,
        transcript: Transcript,
        playback: Playback,
        *,
        deliver: Deliver,
        wait_for_room: WaitForRoom,
        clock: Callable[[], float],
        on_slow: Callable[[NetworkSlow], object],
        on_silence: Callable[[ServiceStream, bytes], object],
        on_over: Callable[[], object],
    ) -> None:
        self._transport = transport
        self._transcript = transcript
        self._playback = playback
        self._deliver = deliver
        self._wait_for_room = wait_for_room
        self._clock = clock
        self._on_slow = on_slow
        self._on_silence = on_silence
        self._on_over = on_over
        self._opened = 0
        self._used: dict[int, Tokens] = {}

    @property
    def tokens(self) -> Tokens:
        """Tokens used so far by all streams."""
        return sum(self._used.values(), Tokens())

    def add_tokens(self, tokens: Tokens) -> None:
        """Count tokens that were used before the first stream.

        Args:
            tokens: The tokens.
        """
        self._used[0] = tokens  # the streams count from 1

    async def open(
        self, config: SessionConfig, deadline_s: float, handover: Handover | None
    ) -> ServiceStream:
        """Return a stream that the service has taken.

        Args:
            config: The configuration of the stream.
            deadline_s: Maximum time, in seconds.
            handover: What it receives before its audio; None for a stream that is only prepared.

        Raises:
            SonicError: What the service or the network refused the stream with.
        """
        stream: ServiceStream | None = None
        try:
            async with asyncio.timeout(deadline_s):
                stream = await self._connect(config)
                stream.begin()
                if handover is not None:
                    stream.start_audio(handover.history, handover.start)
                await stream.accepted()
                return stream
        except BaseException as error:
            if stream is not None:
                await stream.aclose()
            if isinstance(error, TimeoutError):
                raise _no_answer(deadline_s) from error
            raise

    async def _connect(self, config: SessionConfig) -> ServiceStream:
        wire_stream = await self._transport.open(config.model)
        self._opened += 1
        number = self._opened

        def deliver(events: Sequence[Event]) -> bool:
            return self._deliver(
                [
                    self._counted(event, number) if isinstance(event, Usage) else event
                    for event in events
                ]
            )

        stream = ServiceStream(
            number,
            wire_stream,
            SonicProtocol(config, self._transcript, playback=self._playback),
            deliver,
            self._wait_for_room,
            clock=self._clock,
            send_deadline_s=config.deadlines.send_s,
            on_slow=self._on_slow,
            on_silence=lambda pcm: self._on_silence(stream, pcm),
        )
        stream.over.add_done_callback(lambda _: self._on_over())
        return stream

    def _counted(self, usage: Usage, number: int) -> Usage:
        """Return a count, with the tokens of all streams in place of those of one."""
        self._used[number] = usage.total
        return replace(usage, total=self.tokens)


class ClosingTasks:
    """The tasks that release streams."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, closing: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine that releases a stream.

        Args:
            closing: The coroutine.
        """
        self.add(asyncio.create_task(closing, name="sonic closing"))

    def add(self, task: asyncio.Task[None]) -> None:
        """Own a task that is ending.

        Args:
            task: The task.
        """
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self) -> None:
        """Wait until all streams are released."""
        # One is taken out at a time: `gather` of tasks that are done does not let the loop run, and
        # the callback that takes them out would never be called.
        while self._tasks:
            await asyncio.gather(self._tasks.pop(), return_exceptions=True)


def _no_answer(waited_s: float) -> DeadlineError:
    return DeadlineError(
        f"The service did not answer within {waited_s:g} s.",
        waited_s=waited_s,
        hint="Try again: a cold model can need 10 s. Or check region and network.",
    )
