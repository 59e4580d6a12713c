"""The place of a worker: what a process of `serve --workers` has from its supervisor.

A worker is a new process that runs the command line of its supervisor again, from the options to
the bridge. Only where it serves differs, and that is kept here.
"""

import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from socket import socket

from .serving import Place
from .signals import ending_signals

PING, DRAIN, END = b"ping", b"drain", b"end"
"""Messages of the supervisor: are you ready; stop with all others; stop at once."""


class WorkerSeat:
    """A place that a supervisor gives to a worker.

    Args:
        sockets: The sockets to listen on.
        orders: The connection to the supervisor.
    """

    def __init__(self, sockets: list[socket], orders: Connection) -> None:
        self._orders = orders
        self._ready = False
        self._alone = True
        """True if a signal or the supervisor stops this worker, and not all of them."""
        self.place = Place(tuple(sockets), self._note_ready, lambda: self._alone)

    def follow_orders(self) -> None:
        """Answer the supervisor, in a thread of its own, until it stops this worker or has died."""
        threading.Thread(target=self._follow, name="worker orders", daemon=True).start()

    def _note_ready(self, _: str) -> None:
        self._ready = True

    def _follow(self) -> None:
        order = PING
        while order == PING:
            try:
                order = self._orders.recv_bytes()
                if order == PING:
                    self._orders.send(self._ready)
            except (OSError, EOFError):  # it stops this worker, or has died
                order = b""
        self._alone = order == b""
        if ending_signals.exit_code is None:
            thread = threading.main_thread().ident
            number = signal.SIGINT if order == END else signal.SIGTERM
            with suppress(ProcessLookupError):
                if thread is not None:
                    signal.pthread_kill(thread, number)


_seat: WorkerSeat | None = None


def worker_seat() -> WorkerSeat | None:
    """Return the seat of this process; None if it is no worker."""
    return _seat


def take_seat(seat: WorkerSeat) -> None:
    """Make this process a worker.

    Args:
        seat: What it has from its supervisor.
    """
    global _seat
    _seat = seat
    seat.follow_orders()
