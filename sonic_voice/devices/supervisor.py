"""One device kept alive: opened, watched, and opened again when it is lost.

Libraries do not agree on how they tell that a device has gone: some end the stream, some stop
calling, some call on with zeros. What all have in common is that sound comes in time. So a device
is lost when it has not called back for `STALL_S`; then it is closed and opened again, by its name
or else the default one, until something calls back.

Each `Watch` has a thread of its own, which opens, sleeps, and closes: opening a device can take a
second, and no event loop should wait for that. Who sleeps nearly always costs nothing.
"""

import atexit
import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Thread

from ..config import BYTES_PER_SAMPLE
from ..errors import DeviceError
from .library import DeviceRequest, OpenStream, SoundLibrary
from .listing import DEVICE_NOUNS
from .port import AudioCallback, DeviceOpening

STALL_TIMEOUT_S = 0.5
"""Blocks last 10 or 20 ms: this is 25 of them missing, and longer than any pause of the system."""

START_TIMEOUT_S = 3.0
"""How long the first block may take: a Bluetooth headset changes its mode first."""

STEADY_AFTER_S = 0.2
"""A device that calls for longer than this is back: an output's first blocks only fill it up."""

RETRY_S = 0.5
"""Between two tries to open a lost device."""

GAP_TICK_S = 0.05
"""How often the time without a device is accounted for."""

EARLY_REFRESH_TRIES, LATE_REFRESH_INTERVAL = (2, 4, 8), 16
"""Tries that have the list of devices read anew, which interrupts the other device: at 0.5, 1.5
and 3.5 s, then every 8 s. The first try goes without: `default` mostly leads elsewhere by then."""

type NoticeHandler = Callable[[str], None]
"""Told, in a sentence for the user, what happened to a device. Called from any thread."""

type AudioHandler = Callable[[DeviceOpening, bytes, int, float, bool], bytes]
"""An `Exchange` that is also told how the device is opened."""


class Supervisor:
    """Opens what `wish` asks for and sees to it that `serve` goes on being called.

    Raises `DeviceError` at construction if the device does not open. Nothing is called before
    `begin`. `on_gap` is told the seconds for which no device was there, about every `TICK_S`.
    """

    def __init__(
        self,
        library: SoundLibrary,
        request: DeviceRequest,
        handler: AudioHandler,
        *,
        on_gap: Callable[[float], None],
        on_notice: NoticeHandler,
    ) -> None:
        self._library = library
        self._request = request
        self._handler = handler
        self._on_gap = on_gap
        self._on_notice = on_notice
        self._wake_up = Event()  # closing, or the list of devices is to be read anew
        self._started = Event()
        self._closing = False
        self._lost_name = ""  # what the device was called that is missing; empty: it is there
        self._last_callback_s: float | None = None  # time.monotonic() of the stream's last call
        self._covered_until_s = 0.0  # up to when there was sound, or `on_gap` was told
        self.losses = 0
        """How often the device was lost."""
        first_opening: Future[DeviceOpening] = Future()
        self._thread = Thread(
            target=self._run,
            args=(first_opening,),
            name=f"sonic {DEVICE_NOUNS[request.direction]}",
            daemon=True,
        )
        self._thread.start()
        self.opening = first_opening.result()
        """The device in use and how it is opened; another one after a loss."""
        atexit.register(self.close)  # a library that calls back into a dead interpreter crashes

    def start(self) -> None:
        """Start the sound."""
        self._started.set()

    def close(self) -> None:
        """Give the device back; nothing is called after. May be repeated.

        Takes some milliseconds, or as long as an attempt to open it that is under way.
        """
        atexit.unregister(self.close)
        self._closing = True
        self._started.set()
        self._wake_up.set()
        self._thread.join()

    def _run(self, first_opening: Future[DeviceOpening]) -> None:
        self._library.register(self._wake_up)
        try:
            opened = self._open()
        except BaseException as error:
            self._library.unregister(self._wake_up)
            first_opening.set_exception(error)
            return
        first_opening.set_result(opened.opening)
        self._started.wait()
        tries = 0
        while opened or not self._closing:
            if opened:
                tries = 0 if self._supervise_stream(opened) else tries
                self._library.close(opened)
                self._covered_until_s = self._last_callback_s or self._covered_until_s
            opened = None if self._closing else self._reopen(tries := tries + 1)
        self._library.unregister(self._wake_up)

    def _supervise_stream(self, opened: OpenStream) -> bool:
        """Wait for as long as the stream lives. Whether it did at all."""
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
                return steady

    def _reopen(self, number: int) -> OpenStream | None:
        """The `number`-th try to have the device back."""
        if number > 1:
            self._wait_to_retry()
            if number in EARLY_REFRESH_TRIES or number % LATE_REFRESH_INTERVAL == 0:
                self._library.request_refresh(self._wake_up)
        self._report_gap()
        try:
            return None if self._closing else self._open(self.opening)
        except DeviceError:
            return None

    def _open(self, previous: DeviceOpening | None = None) -> OpenStream:
        opened = self._library.open(
            self._request, previous.device if previous else None, self._make_callback
        )
        self.opening = opened.opening
        return opened

    def _make_callback(self, opening: DeviceOpening) -> AudioCallback:
        silence = bytes(opening.block * opening.channels * BYTES_PER_SAMPLE)

        def callback(captured: bytes, frames: int, offset_s: float, xrun: bool) -> bytes:
            self._last_callback_s = time.monotonic()
            if self._lost_name and opening.direction == "output":
                return silence  # what waits is not for a device that may not be there
            return self._handler(opening, captured, frames, offset_s, xrun)

        return callback

    def _wait_to_retry(self) -> None:
        until_s = time.monotonic() + RETRY_S
        while not self._closing and (left_s := until_s - time.monotonic()) > 0:
            self._report_gap()
            if self._wake_up.wait(min(GAP_TICK_S, left_s)):
                self._wake_up.clear()

    def _report_gap(self) -> None:
        now = time.monotonic()
        self._on_gap(now - self._covered_until_s)
        self._covered_until_s = now

    def _report_loss(self, opening: DeviceOpening) -> None:
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

    def _report_recovery(self, opening: DeviceOpening) -> None:
        name, noun = opening.device.name, DEVICE_NOUNS[opening.direction]
        if name == self._lost_name:
            self._on_notice(f"The {noun} {name!r} is back.")
        else:
            self._on_notice(f"The {noun} is now {name!r}; {self._lost_name!r} is gone.")
        self._lost_name = ""
