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
from .library import Library, Opened, Wish
from .listing import NOUN
from .port import Exchange, Opening

STALL_S = 0.5
"""Blocks last 10 or 20 ms: this is 25 of them missing, and longer than any pause of the system."""

START_S = 3.0
"""How long the first block may take: a Bluetooth headset changes its mode first."""

STEADY_S = 0.2
"""A device that calls for longer than this is back: an output's first blocks only fill it up."""

RETRY_S = 0.5
"""Between two tries to open a lost device."""

TICK_S = 0.05
"""How often the time without a device is accounted for."""

EAGER, RARELY = (2, 4, 8), 16
"""Tries that have the list of devices read anew, which interrupts the other device: at 0.5, 1.5
and 3.5 s, then every 8 s. The first try goes without: `default` mostly leads elsewhere by then."""

type Notice = Callable[[str], None]
"""Told, in a sentence for the user, what happened to a device. Called from any thread."""

type Serve = Callable[[Opening, bytes, int, float, bool], bytes]
"""An `Exchange` that is also told how the device is opened."""


class Watch:
    """Opens what `wish` asks for and sees to it that `serve` goes on being called.

    Raises `DeviceError` at construction if the device does not open. Nothing is called before
    `begin`. `on_gap` is told the seconds for which no device was there, about every `TICK_S`.
    """

    def __init__(
        self,
        library: Library,
        wish: Wish,
        serve: Serve,
        *,
        on_gap: Callable[[float], None],
        on_notice: Notice,
    ) -> None:
        self._library = library
        self._wish = wish
        self._serve = serve
        self._on_gap = on_gap
        self._on_notice = on_notice
        self._bell = Event()  # closing, or the list of devices is to be read anew
        self._begun = Event()
        self._closing = False
        self._lost_name = ""  # what the device was called that is missing; empty: it is there
        self._called_s: float | None = None  # time.monotonic() of the stream's last call
        self._covered_s = 0.0  # up to when there was sound, or `on_gap` was told
        self.losses = 0
        """How often the device was lost."""
        first: Future[Opening] = Future()
        self._thread = Thread(
            target=self._run, args=(first,), name=f"sonic {NOUN[wish.direction]}", daemon=True
        )
        self._thread.start()
        self.opening = first.result()
        """The device in use and how it is opened; another one after a loss."""
        atexit.register(self.close)  # a library that calls back into a dead interpreter crashes

    def begin(self) -> None:
        """Start the sound."""
        self._begun.set()

    def close(self) -> None:
        """Give the device back; nothing is called after. May be repeated.

        Takes some milliseconds, or as long as an attempt to open it that is under way.
        """
        atexit.unregister(self.close)
        self._closing = True
        self._begun.set()
        self._bell.set()
        self._thread.join()

    def _run(self, first: Future[Opening]) -> None:
        self._library.join(self._bell)
        try:
            opened = self._open()
        except BaseException as error:
            self._library.leave(self._bell)
            first.set_exception(error)
            return
        first.set_result(opened.opening)
        self._begun.wait()
        tries = 0
        while opened or not self._closing:
            if opened:
                tries = 0 if self._stay(opened) else tries
                self._library.close(opened)
                self._covered_s = self._called_s or self._covered_s
            opened = None if self._closing else self._again(tries := tries + 1)
        self._library.leave(self._bell)

    def _stay(self, opened: Opened) -> bool:
        """Wait for as long as the stream lives. Whether it did at all."""
        self._called_s = None
        began_s = time.monotonic()
        self._covered_s = self._covered_s or began_s
        try:
            self._library.start(opened)
        except DeviceError:
            self._lose(opened.opening)
            return False
        while True:
            called_s, now = self._called_s, time.monotonic()
            steady = called_s is not None and called_s - began_s > STEADY_S
            if steady and self._lost_name:
                self._find(opened.opening)
            if called_s is None:
                self._account_for_gap()
            due_s = began_s + START_S if called_s is None else called_s + STALL_S
            if now >= due_s:
                self._lose(opened.opening)
                return steady
            if self._bell.wait(due_s - now if steady else TICK_S):
                self._bell.clear()
                return steady

    def _again(self, number: int) -> Opened | None:
        """The `number`-th try to have the device back."""
        if number > 1:
            self._rest()
            if number in EAGER or number % RARELY == 0:
                self._library.renew(self._bell)
        self._account_for_gap()
        try:
            return None if self._closing else self._open(self.opening)
        except DeviceError:
            return None

    def _open(self, before: Opening | None = None) -> Opened:
        opened = self._library.open(self._wish, before.device if before else None, self._exchange)
        self.opening = opened.opening
        return opened

    def _exchange(self, opening: Opening) -> Exchange:
        silence = bytes(opening.block * opening.channels * BYTES_PER_SAMPLE)

        def exchange(heard: bytes, frames: int, offset_s: float, lapse: bool) -> bytes:
            self._called_s = time.monotonic()
            if self._lost_name and opening.direction == "output":
                return silence  # what waits is not for a device that may not be there
            return self._serve(opening, heard, frames, offset_s, lapse)

        return exchange

    def _rest(self) -> None:
        until_s = time.monotonic() + RETRY_S
        while not self._closing and (left_s := until_s - time.monotonic()) > 0:
            self._account_for_gap()
            if self._bell.wait(min(TICK_S, left_s)):
                self._bell.clear()

    def _account_for_gap(self) -> None:
        now = time.monotonic()
        self._on_gap(now - self._covered_s)
        self._covered_s = now

    def _lose(self, opening: Opening) -> None:
        if self._lost_name:
            return
        self.losses += 1
        self._lost_name = opening.device.name
        meanwhile = {
            "input": "until it is back, the other side hears silence",
            "output": "what is said waits until it is back",
        }[opening.direction]
        noun = NOUN[opening.direction]
        self._on_notice(f"The {noun} {self._lost_name!r} has stopped; {meanwhile}.")

    def _find(self, opening: Opening) -> None:
        name, noun = opening.device.name, NOUN[opening.direction]
        if name == self._lost_name:
            self._on_notice(f"The {noun} {name!r} is back.")
        else:
            self._on_notice(f"The {noun} is now {name!r}; {self._lost_name!r} is gone.")
        self._lost_name = ""
