"""The writer of one service stream: what is sent, in which order, and by when.

    send_audio ─┬─────────────────────────────────► Stream.offer      nothing waits before it
                └─► [outbox] ──► `run`, in a task ──► Stream.send

Its one task owns sending, so that cancelling the caller of `send_audio` does not break the chain of
signatures. When no audio comes, the task sends the silence that is due (`uplink_silence`), because
the service measures time only in samples (reference 4).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from .errors import DeadlineError
from .events import NetworkSlow
from .order import InputState
from .protocol import SonicProtocol
from .transport import Stream
from .uplink_lag import UplinkLag
from .uplink_outbox import QueuedPayload, UplinkOutbox
from .uplink_silence import UplinkSilence
from .virtual_clock import VirtualClock

SILENCE_TIMER_MARGIN_S = 0.125
"""Time before the silence timer fires at which a chunk of audio moves it, in seconds. Moving it
with each chunk would cost more, and a timer that fires in vain would wake the process."""

RUSH_S = 0.001
"""Distance of two chunks, in seconds, below which their source is faster than any microphone."""

CLOCK_RESOLUTION_S = 1e-6
"""Time by which a timer may fire early, in seconds."""


class UplinkWriter:
    """The writer of one service stream. Its owner runs `run` in a task.

    Args:
        stream: The stream of the transport.
        protocol: The protocol of the stream.
        over: The future that is done when the stream is over.
        clock: Returns monotonic seconds on the time line of the conversation. While a
            `VirtualClock` stands still, no silence is due.
        send_deadline_s: How long one payload may take onto the wire, in seconds.
        on_deadline: Called with the error that ends the stream when a payload took longer.
        on_slow: Called when the network takes speech more slowly than it is spoken.
        on_silence: Called with the silence that is sent because no audio came, as PCM.
    """

    def __init__(
        self,
        stream: Stream,
        protocol: SonicProtocol,
        over: "asyncio.Future[None]",
        *,
        clock: Callable[[], float],
        send_deadline_s: float,
        on_deadline: Callable[[DeadlineError], object],
        on_slow: Callable[[NetworkSlow], object],
        on_silence: Callable[[bytes], object],
    ) -> None:
        self.goodbye_sent = False
        """True once the goodbye is on the wire."""
        self.rushed = False
        """True if the last two chunks were sent within `RUSH_S`, as those of a file are. Their
        source must let the loop run, because sending does not wait."""
        self._stream = stream
        self._protocol = protocol
        self._over = over
        self._clock = clock
        self._send_deadline_s = send_deadline_s
        self._on_deadline = on_deadline
        self._on_slow = on_slow
        self._on_silence = on_silence
        self._live = False
        self._retired = False
        self._lag = UplinkLag()
        self._outbox = UplinkOutbox()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._send_timeout: asyncio.Timeout | None = None
        self._silence = UplinkSilence(protocol.input_format, _loop_time())
        self._silence_timer: asyncio.TimerHandle | None = None  # while the writer waits for audio
        self._offered_at_s = -RUSH_S

    # -- what the owner calls ------------------------------------------------------------------

    def go_live(self) -> None:
        """Send silence from now on when no audio comes."""
        self._live = True
        self._silence = UplinkSilence(self._protocol.input_format, _loop_time())
        self._filled.set()

    def admit(self, pcm: bytes) -> bytes:
        """Return what to send of a chunk of audio that has just come.

        Args:
            pcm: s16le mono PCM in the session's input format.

        Returns:
            The chunk, without the part that was already sent as silence in its place.
        """
        return self._silence.admit(pcm, _loop_time())

    def send_audio(self, payload: bytes, speech_s: float) -> None:
        """Send or queue a chunk of audio. Never waits; see `wait_for_room`.

        Args:
            payload: The chunk, as `admit` has left it.
            speech_s: Length of the chunk, in seconds; how late it is sent is measured.
        """
        if not self._offer(payload):
            self.queue([payload], speech_s=speech_s)

    def queue(self, payloads: Sequence[bytes], *, speech_s: float = 0.0) -> None:
        """Queue payloads after all others. Never waits.

        Args:
            payloads: The payloads, in order.
            speech_s: Length of the speech in each, in seconds, if it was said just now.
        """
        now = _loop_time()
        for payload in payloads:
            self._outbox.add(QueuedPayload(payload, now, speech_s))
        if self._outbox.is_full:
            self._room.clear()
        self._filled.set()

    def queue_urgent(self, payloads: Sequence[bytes]) -> None:
        """Queue payloads ahead of the audio. Never waits.

        Args:
            payloads: The payloads, in order.
        """
        self._outbox.add_urgent(payloads)
        self._filled.set()

    @property
    def has_room(self) -> bool:
        """True if the outbox has room for audio."""
        return self._room.is_set()

    async def wait_for_room(self) -> None:
        """Wait until the outbox has room for audio, or the stream is over or retired."""
        await self._room.wait()

    @property
    def surplus_s(self) -> float:
        """Time by which the service's clock is ahead of real time, in seconds: silence that was
        sent in addition to audio which came late."""
        return self._silence.surplus_s

    def retire(self) -> None:
        """Send only silence until the goodbye, and report none, because another stream is live."""
        self._retired = True
        self._room.set()  # a sender that waits for it goes on with the live stream

    def wake(self) -> None:
        """Wake the task and whoever waits for room, and end a send: the stream is over."""
        self._filled.set()
        self._room.set()
        if self._send_timeout is not None and not self._send_timeout.expired():
            self._send_timeout.reschedule(_loop_time())

    # -- sending at once -----------------------------------------------------------------------

    def _offer(self, payload: bytes) -> bool:
        """Send a payload at once if nothing waits before it, and return whether it was sent.

        The writer is not woken for it. This saves most of the cost of a chunk.
        """
        waiting = self._outbox or self._send_timeout is not None
        if waiting or self._over.done() or not self._stream.offer(payload):
            return False
        self._lag.nothing_waits()
        now = _loop_time()
        self.rushed = now - self._offered_at_s < RUSH_S
        self._offered_at_s = now
        timer = self._silence_timer
        if timer is not None and timer.when() - now < SILENCE_TIMER_MARGIN_S:
            self._set_silence_timer()
        return True

    def _set_silence_timer(self) -> None:
        if self._silence_timer is not None:
            self._silence_timer.cancel()
        loop = asyncio.get_running_loop()
        self._silence_timer = loop.call_at(self._silence.due_s, self._filled.set)

    # -- the task ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what is queued until the goodbye is on the wire or the stream is over.

        Raises:
            SonicError: The network or the service ended the stream.
        """
        while (queued := await self._next()) is not None:
            if not self._stream.offer(queued.payload):
                await self._with_deadline(self._stream.send(queued.payload))
            self._measure(queued)
            if self._outbox:
                # A send rarely suspends. Seconds of replayed audio must not keep the event loop
                # from learning that the connection is lost, or from playing.
                await asyncio.sleep(0)
        if not self._over.done():
            self.goodbye_sent = True
            await self._with_deadline(self._stream.end_input())

    def _measure(self, sent: QueuedPayload) -> None:
        """Report the network as slow if the speech just sent was late for too long."""
        if not sent.speech_s or self._over.done():
            return
        if slow := self._lag.sent(sent.at_s, sent.speech_s, _loop_time()):
            self._on_slow(slow)

    async def _with_deadline(self, sending: Awaitable[None]) -> None:
        """Await `sending`, but no longer than the deadline, and no longer than the stream lasts."""
        try:
            async with asyncio.timeout(self._send_deadline_s) as self._send_timeout:
                await sending
        except TimeoutError:
            if not self._over.done():
                self._on_deadline(_send_timed_out(self._send_deadline_s))
        finally:
            self._send_timeout = None

    async def _next(self) -> QueuedPayload | None:
        """Return the next payload, or None when everything is sent.

        The payload is silence if none was queued until silence was due.
        """
        while not self._over.done():
            if self._outbox:
                return self._take()
            if self._protocol.finished:
                return None
            self._filled.clear()
            if not self._live or self._protocol.state is not InputState.LIVE:
                await self._filled.wait()
            elif isinstance(self._clock, VirtualClock) and not self._retired:
                await self._filled.wait()  # no time passes for which silence would be due
            elif await self._silence_is_due():
                silence = bytes(self._protocol.input_format.size(self._silence.fill(_loop_time())))
                payload = self._protocol.audio(silence)  # `_on_silence` may say goodbye
                if not self._retired:
                    self._on_silence(silence)
                return QueuedPayload(payload)
        return None

    async def _silence_is_due(self) -> bool:
        """Wait until a payload is queued or silence is due, and return whether it is silence."""
        self._set_silence_timer()
        try:
            await self._filled.wait()
            if self._outbox or self._protocol.finished or self._over.done():
                return False
            due_s = self._silence.due_s
            # After a stall of the loop, the source is as late as the timer was. It may go first.
            self._filled.clear()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            # Audio that was offered meanwhile, or while the timer fired, has moved the time.
            in_time = due_s - _loop_time() < CLOCK_RESOLUTION_S
            return in_time and not self._filled.is_set() and self._silence.due_s == due_s
        finally:
            if self._silence_timer is not None:
                self._silence_timer.cancel()
                self._silence_timer = None

    def _take(self) -> QueuedPayload:
        queued = self._outbox.take()
        if not self._outbox.is_full:
            self._room.set()
        return queued


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def _send_timed_out(waited_s: float) -> DeadlineError:
    return DeadlineError(
        f"The network took nothing for {waited_s:g} s.",
        waited_s=waited_s,
        hint="Check the connection; open a new session to go on.",
    )
