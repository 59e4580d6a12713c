"""The supervisor of a device: it opens a device, notices when it is lost, and opens it again.

Sound libraries do not agree on how they report that a device is gone: some end the stream, some
stop calling back, some go on calling with zeros. What all of them have in common is that callbacks
of a healthy device come in time. So a device is lost when it has not called back for
`STALL_TIMEOUT_S`. Then it is closed and opened again, by its name or else the default device, until
a device calls back.

A sound server does not let a stream end when its device is unplugged: it moves the stream to
another device. So a device that was chosen there is also lost when the server no longer has it, and
is taken back as soon as the server has it again.

Each `Supervisor` has a thread of its own, which opens, sleeps and closes: opening a device can take
a second, and no event loop should wait for that. A thread that sleeps nearly always costs nothing.
"""

import atexit
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Thread

from ..config import BYTES_PER_SAMPLE
from ..errors import DeviceError
from .library import DeviceRequest, OpenStream, SoundLibrary
from .listing import DEVICE_NOUNS
from .port import AudioCallback, Device, DeviceOpening
from .server_state import ServerState

STALL_TIMEOUT_S = 0.5
"""Time without a callback after which a device is lost, in seconds. Blocks last 10 or 20 ms: this
is 25 missing blocks, and longer than any pause of the system."""

START_TIMEOUT_S = 3.0
"""Maximum time until the first callback, in seconds. A Bluetooth headset changes its mode first."""

LATE_AFTER_S = 0.1
"""Time between two callbacks from which a block counts as late, in seconds. Devices have buffers of
30 to 60 ms, so that a gap can be heard; a healthy machine calls back every 10 to 40 ms."""

BUSY_AFTER_BLOCKS = 3
"""Number of late blocks within `BUSY_WINDOW_S` from which the machine counts as too busy. A single
gap can have many reasons, and is over."""

BUSY_WINDOW_S = 10.0
"""Time within which late blocks are counted together, in seconds."""

STEADY_AFTER_S = 0.2
"""Time, in seconds, for which a device must have called back to count as working. The first blocks
of an output only fill it up."""

RETRY_S = 0.5
"""Time between two attempts to open a lost device, in seconds."""

GAP_TICK_S = 0.05
"""Interval at which the time without a device is reported, in seconds."""

EARLY_REFRESH_TRIES = (2, 4, 8)
"""Numbers of the attempts that have the list of devices read again, at 0.5, 1.5 and 3.5 s.

A refresh interrupts the other devices. The first attempt goes without one, because `default` mostly
leads to another device by then.
"""

LATE_REFRESH_INTERVAL = 16
"""Number of attempts between two later refreshes: one every 8 s."""

type NoticeHandler = Callable[[str], None]
"""A function that is called with a sentence for the user about what happened to a device.

It may be called from any thread.
"""

type AudioHandler = Callable[[DeviceOpening, bytes, int, float, bool], bytes]
"""An `AudioCallback` with one more argument, the first: the device and its settings."""

type DeviceStateHandler = Callable[[ServerState, DeviceOpening], None]
"""A function that is called with the devices of the sound server, and the device in use."""


class Supervisor:
    """A supervisor that opens the requested device and keeps `handler` being called."""

    def __init__(
        self,
        library: SoundLibrary,
        request: DeviceRequest,
        handler: AudioHandler,
        *,
        on_gap: Callable[[float], None],
        on_notice: NoticeHandler,
        on_state: DeviceStateHandler,
    ) -> None:
        """Open the device, in the thread of the supervisor. Nothing is called before `start`.

        Args:
            library: The sound library.
            request: The device and its settings.
            handler: Called for every block, in a thread of the sound library.
            on_gap: Called about every `GAP_TICK_S` with the seconds for which there was no device.
            on_notice: Called when the device is lost and when it is back.
            on_state: Called with the devices of the sound server, soon after the opening and after
                every change, in a thread of the library.

        Raises:
            DeviceError: The device does not open.
        """
        self._library = library
        self._request = request
        self._handler = handler
        self._on_gap = on_gap
        self._on_notice = on_notice
        self._on_state = on_state
        self._chosen: Device | None = None  # device of the first opening; None for the default
        self._server_state: ServerState | None = None
        self._wake_up = Event()  # set to close the stream, or to reopen it
        self._started = Event()
        self._closing = False
        self._lost_name = ""  # name of the lost device; empty while there is one
        self._last_callback_s: float | None = None  # in seconds of time.monotonic()
        self._covered_until_s = 0.0  # end of the sound and of the reported gaps
        self.losses = 0
        """Number of times the device was lost."""
        self._late_at_s: deque[float] = deque(maxlen=BUSY_AFTER_BLOCKS)
        self._busy_reported = False
        self.late_blocks = 0
        """Number of blocks that came late, because the machine was busy."""
        first_opening: Future[DeviceOpening] = Future()
        self._thread = Thread(
            target=self._run,
            args=(first_opening,),
            name=f"sonic {DEVICE_NOUNS[request.direction]}",
            daemon=True,
        )
        self._thread.start()
        self.opening = first_opening.result()
        """The device in use and its settings; another one after a loss."""
        atexit.register(self.close)  # a callback into a dead interpreter crashes

    def start(self) -> None:
        """Start the sound."""
        self._started.set()

    def close(self) -> None:
        """Close the device. Nothing is called afterwards. This may be repeated.

        It takes some milliseconds, or as long as an attempt to open the device that is under way.
        """
        atexit.unregister(self.close)
        self._closing = True
        self._started.set()
        self._wake_up.set()
        self._thread.join()

    def _run(self, first_opening: Future[DeviceOpening]) -> None:
        """Open the device, and open it again when it is lost or the list is refreshed."""
        try:
            opened = self._open()
        except BaseException as error:
            first_opening.set_exception(error)
            return
        if self._request.device is not None:
            self._chosen = opened.opening.device
        first_opening.set_result(opened.opening)
        self._started.wait()
        self._library.register(self._wake_up, self._note_server_state)
        tries = 0
        # Each pass supervises an open stream to its end, and makes one attempt to open the next.
        while opened or not self._closing:
            if opened:
                tries = 0 if self._supervise_stream(opened) else tries
                self._library.close(opened)
                self._covered_until_s = self._last_callback_s or self._covered_until_s
            opened = None if self._closing else self._reopen(tries := tries + 1)
        self._library.unregister(self._wake_up)

    def _supervise_stream(self, opened: OpenStream) -> bool:
        """Wait until the stream is lost, or is to be closed.

        Returns:
            Whether the stream worked, for longer than `STEADY_AFTER_S`.
        """
        self._last_callback_s = None
        began_s = time.monotonic()
        self._covered_until_s = self._covered_until_s or began_s
        try:
            self._library.start(opened)
        except DeviceError:
            self._report_loss(opened.opening)
            return False
        while True:
            last_callback_s, now = self._last_callback_s, time.monotonic()
            steady = last_callback_s is not None and last_callback_s - began_s > STEADY_AFTER_S
            if steady and self._lost_name:
                self._report_recovery(opened.opening)
            self._report_busy_machine()
            if last_callback_s is None:
                self._report_gap()
            due_s = (
                began_s + START_TIMEOUT_S
                if last_callback_s is None
                else last_callback_s + STALL_TIMEOUT_S
            )
            if now >= due_s:
                self._report_loss(opened.opening)
                return steady
            if self._wake_up.wait(due_s - now if steady else GAP_TICK_S):
                self._wake_up.clear()
                self._note_wake_up(opened.opening)
                return steady

    def _note_wake_up(self, opening: DeviceOpening) -> None:
        """Note that the chosen device was unplugged, or has returned, if that ends a stream."""
        if self._closing or self._chosen is None or not self._is_misplaced(opening):
            return
        if opening.device.identity == self._chosen.identity:
            self._report_loss(opening)
        else:
            self._lost_name = self._chosen.name  # it counts as lost until it calls back

    def _note_server_state(self, state: ServerState) -> None:
        """Have the stream opened again if the chosen device is gone, or is back."""
        if self._closing:
            return
        self._server_state = state
        if self._is_misplaced(self.opening):
            self._wake_up.set()
        self._on_state(state, self.opening)

    def _is_misplaced(self, opening: DeviceOpening) -> bool:
        """Return whether the server has unplugged the chosen device, or has it again."""
        state, chosen = self._server_state, self._chosen
        if state is None or chosen is None or not chosen.server_name:
            return False
        present = state.find(opening.direction, chosen.server_name) is not None
        return present != (opening.device.identity == chosen.identity)

    def _reopen(self, number: int) -> OpenStream | None:
        """Make one attempt to open the lost device.

        Args:
            number: Number of the attempt since the loss, from 1 on.

        Returns:
            The stream, or None if the attempt failed.
        """
        if number > 1:
            self._wait_to_retry()
            if number in EARLY_REFRESH_TRIES or number % LATE_REFRESH_INTERVAL == 0:
                self._library.request_refresh(self._wake_up)
        self._report_gap()
        try:
            return None if self._closing else self._open()
        except DeviceError:
            return None

    def _open(self) -> OpenStream:
        """Open the requested device or, after a loss, the one that the request led to."""
        opened = self._library.open(self._request, self._chosen, self._make_callback)
        self.opening = opened.opening
        return opened

    def _make_callback(self, opening: DeviceOpening) -> AudioCallback:
        """Return a callback that notes the time of each call and passes it on to the handler."""
        silence = bytes(opening.block_frames * opening.channels * BYTES_PER_SAMPLE)

        def callback(captured: bytes, frames: int, offset_s: float, xrun: bool) -> bytes:
            now, last_s = time.monotonic(), self._last_callback_s
            self._last_callback_s = now
            if last_s is not None and now - last_s > LATE_AFTER_S:
                self.late_blocks += 1
                self._late_at_s.append(now)
            if self._lost_name and opening.direction == "output":
                return silence  # the queued sound waits for a device that works
            return self._handler(opening, captured, frames, offset_s, xrun)

        return callback

    def _wait_to_retry(self) -> None:
        """Wait for `RETRY_S`, or until `close` is called."""
        until_s = time.monotonic() + RETRY_S
        while not self._closing and (left_s := until_s - time.monotonic()) > 0:
            self._report_gap()
            if self._wake_up.wait(min(GAP_TICK_S, left_s)):
                self._wake_up.clear()

    def _report_gap(self) -> None:
        """Report the time without a device since the last report."""
        now = time.monotonic()
        self._on_gap(now - self._covered_until_s)
        self._covered_until_s = now

    def _report_loss(self, opening: DeviceOpening) -> None:
        """Count a loss and notify the user, once until the device is back."""
        if self._lost_name:
            return
        self.losses += 1
        self._lost_name = opening.device.name
        consequence = {
            "input": "until it is back, the other side hears silence",
            "output": "what is said waits until it is back",
        }[opening.direction]
        noun = DEVICE_NOUNS[opening.direction]
        self._on_notice(f"The {noun} {self._lost_name!r} has stopped; {consequence}.")

    def _report_busy_machine(self) -> None:
        """Notify the user, once, that blocks are late again and again."""
        late_at_s = list(self._late_at_s)
        if self._busy_reported or len(late_at_s) < BUSY_AFTER_BLOCKS:
            return
        if late_at_s[-1] - late_at_s[0] > BUSY_WINDOW_S:
            return
        self._busy_reported = True
        noun = DEVICE_NOUNS[self._request.direction]
        self._on_notice(
            f"This machine is too busy for the {noun}: {self.late_blocks} blocks of sound were "
            "late. Close other programs, or try --latency high."
        )

    def _report_recovery(self, opening: DeviceOpening) -> None:
        """Notify the user that there is a device again."""
        name, noun = opening.device.name, DEVICE_NOUNS[opening.direction]
        if name == self._lost_name:
            self._on_notice(f"The {noun} {name!r} is back.")
        else:
            self._on_notice(f"The {noun} is now {name!r}; {self._lost_name!r} is gone.")
        self._lost_name = ""
