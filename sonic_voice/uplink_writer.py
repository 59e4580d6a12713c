"""The writer of one service stream: what is sent, in which order, and by when.

    send_audio ──► SonicProtocol.audio ─┬───────────────────────────────────► Stream.offer
                                        └─► [outbox] ──► `run`, in a task ──► Stream.send

A chunk is offered if nothing waits before it.

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
        self.has_room = True
        """True if the outbox has room for audio, or the stream is over or retired."""
        self._loop = asyncio.get_running_loop()
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
        self._silence = UplinkSilence(protocol.input_format, self._loop.time())
        self._silence_timer: asyncio.TimerHandle | None = None  # while the writer waits for audio
        self._timer_moves_at_s = 0.0
        """Time from which audio moves the silence timer, in monotonic seconds."""
        self._offered_at_s = -RUSH_S

    # -- what the owner calls ------------------------------------------------------------------

    def go_live(self) -> None:
        """Send silence from now on when no audio comes."""
        self._live = True
        self._silence = UplinkSilence(self._protocol.input_format, self._loop.time())
        self._filled.set()

    def send_audio(self, pcm: bytes) -> bytes:
        """Send or queue a chunk of audio that has just come. Never waits; see `wait_for_room`.

        Args:
            pcm: s16le mono PCM in the session's input format.

        Returns:
            The part of the chunk that was not already sent as silence in its place.

        Raises:
            AudioError: `pcm` is not a whole number of samples.
            OrderError: The audio block is not open.
        """
        now = self._loop.time()
        admitted = self._silence.admit(pcm, now)
        if admitted:
            payload = self._protocol.audio(admitted)
            if not self._offer(payload, now):
                self.queue([payload], speech_s=self._protocol.input_format.seconds(len(pcm)))
        return admitted

    def queue(self, payloads: Sequence[bytes], *, speech_s: float = 0.0) -> None:
        """Queue payloads after all others. Never waits.

        Args:
            payloads: The payloads, in order.
            speech_s: Length of the speech in each, in seconds, if it was said just now.
        """
        now = self._loop.time()
        for payload in payloads:
            self._outbox.add(QueuedPayload(payload, now, speech_s))
        if self._outbox.is_full:
            self.has_room = False
            self._room.clear()
        self._filled.set()

    def queue_urgent(self, payloads: Sequence[bytes]) -> None:
        """Queue payloads ahead of the audio. Never waits.

        Args:
            payloads: The payloads, in order.
        """
        self._outbox.add_urgent(payloads)
        self._filled.set()

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
        self._make_room()  # a sender that waits for it goes on with the live stream

    def wake(self) -> None:
        """Wake the task and whoever waits for room, and end a send: the stream is over."""
        self._filled.set()
        self._make_room()
        if self._send_timeout is not None and not self._send_timeout.expired():
            self._send_timeout.reschedule(self._loop.time())

    # -- sending at once -----------------------------------------------------------------------

    def _offer(self, payload: bytes, now: float) -> bool:
        """Send a payload at once if nothing waits before it, and return whether it was sent.

        The writer is not woken for it. This saves most of the cost of a chunk.
        """
        waiting = not self._outbox.is_empty or self._send_timeout is not None
        if waiting or self._over.done() or not self._stream.offer(payload):
            return False
        if self._lag.late_since_s is not None:
            self._lag.nothing_waits()
        self.rushed = now - self._offered_at_s < RUSH_S
        self._offered_at_s = now
        if self._silence_timer is not None and self._timer_moves_at_s < now:
            self._set_silence_timer()
        return True

    def _set_silence_timer(self) -> None:
        if self._silence_timer is not None:
            self._silence_timer.cancel()
        due_s = self._silence.due_s
        self._silence_timer = self._loop.call_at(due_s, self._filled.set)
        self._timer_moves_at_s = due_s - SILENCE_TIMER_MARGIN_S

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
            if not self._outbox.is_empty:
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
        if slow := self._lag.sent(sent.at_s, sent.speech_s, self._loop.time()):
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
            if not self._outbox.is_empty:
                return self._take()
            if self._protocol.finished:
                return None
            self._filled.clear()
            if not self._live or self._protocol.state is not InputState.LIVE:
                await self._filled.wait()
            elif isinstance(self._clock, VirtualClock) and not self._retired:
                await self._filled.wait()  # no time passes for which silence would be due
            elif await self._silence_is_due():
                silence_s = self._silence.fill(self._loop.time())
                silence = bytes(self._protocol.input_format.size(silence_s))
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
            if not self._outbox.is_empty or self._protocol.finished or self._over.done():
                return False
            due_s = self._silence.due_s
            # After a stall of the loop, the source is as late as the timer was. It may go first.
            self._filled.clear()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            # Audio that was offered meanwhile, or while the timer fired, has moved the time.
            in_time = due_s - self._loop.time() < CLOCK_RESOLUTION_S
            return in_time and not self._filled.is_set() and self._silence.due_s == due_s
        finally:
            if self._silence_timer is not None:
                self._silence_timer.cancel()
                self._silence_timer = None

    def _take(self) -> QueuedPayload:
        queued = self._outbox.take()
        if not self._outbox.is_full:
            self._make_room()
        return queued

    def _make_room(self) -> None:
        self.has_room = True
        self._room.set()


def _send_timed_out(waited_s: float) -> DeadlineError:
    return DeadlineError(
        f"The network took nothing for {waited_s:g} s.",
        waited_s=waited_s,
        hint="Check the connection; open a new session to go on.",
    )
