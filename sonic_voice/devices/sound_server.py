"""The connection to the sound server of Linux: its devices, and their changes.

PulseAudio and PipeWire speak the same protocol, which `pulsectl` wraps. Where the package or the
server's client library is missing, or no server runs, there is no `ServerState`, and devices are
those of the sound library alone.
"""

import importlib
import os
import select
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from threading import Thread
from typing import Any

from ..audio.stderr_silencer import STDERR_SILENCER
from .port import Direction
from .server_state import ServerDevice, ServerState

ANSWER_TIMEOUT_S = 2.0
"""Maximum time for a connection to the server and its answers, in seconds. A healthy one needs some
milliseconds."""

RECONNECT_S = 1.0
"""Time between two attempts to reach a server that has gone, in seconds."""

SETTLE_S = 0.2
"""Time without a change after which the devices are reported, in seconds. A headset is unplugged as
several devices, one after the other, and what the server has in between helps nobody."""

MAX_SETTLE_S = 1.0
"""Maximum time, in seconds, for which a series of changes delays the report."""

STATE_EVENTS = ("sink", "source", "server")
"""The kinds of objects whose changes the server reports, in the words of `pulsectl`."""

FORCED_INPUT, FORCED_OUTPUT = os.environ.get("PULSE_SOURCE"), os.environ.get("PULSE_SINK")
"""Devices that the user's environment puts in the place of the server's defaults. They are read
once, because `server_backend` changes the variables while it opens a device."""

type StateHandler = Callable[[ServerState], None]
"""A function that is called with the devices of the server when they have changed."""


def read_sound_server() -> ServerState | None:
    """Return the devices of the sound server, or None if there is no server.

    This may take up to `ANSWER_TIMEOUT_S`, usually some milliseconds.
    """
    with _connection() as (server, _):
        if server is not None:
            return _state(server)
    return None


class SoundServerWatch:
    """A thread that reports the devices of the sound server, at first and after every change.

    It connects again when the server was restarted. Where there is no server at first, it ends.
    """

    def __init__(self, on_state: StateHandler) -> None:
        """Start the thread.

        Args:
            on_state: Called in the thread.
        """
        self._on_state = on_state
        self._stop_reader, self._stop_writer = os.pipe()
        self._thread = Thread(target=self._run, name="sonic sound server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread. Nothing is called afterwards.

        Call this once, and not from the thread itself.
        """
        os.close(self._stop_writer)
        self._thread.join()
        os.close(self._stop_reader)

    def _run(self) -> None:
        """Connect to the server, and again when it has gone, until the watch is closed."""
        connected_before = False
        while True:
            with _connection(self._stop_reader) as (server, poll):
                if server is not None:
                    connected_before = True
                    self._watch(server, poll)
            if poll.stopped or not connected_before:
                return
            if _readable(self._stop_reader, RECONNECT_S):
                return

    def _watch(self, server: Any, poll: "_Poll") -> None:
        """Report the state and its changes until the server goes or the watch is closed."""
        stop_listening = importlib.import_module("pulsectl").PulseLoopStop
        changed = True

        def on_event(_: object) -> None:
            nonlocal changed
            changed = True
            raise stop_listening

        server.event_mask_set(*STATE_EVENTS)
        server.event_callback_set(on_event)
        previous: ServerState | None = None
        while not poll.stopped:
            settled_s = time.monotonic() + MAX_SETTLE_S
            while changed and not poll.stopped and time.monotonic() < settled_s:
                changed = False
                poll.until_s = float("inf")
                server.event_listen(SETTLE_S)
            poll.until_s = time.monotonic() + ANSWER_TIMEOUT_S
            if poll.stopped:
                return
            if (state := _state(server)) != previous:
                previous = state
                self._on_state(state)
            if not changed:  # nothing was reported while the state was read
                poll.until_s = float("inf")
                server.event_listen()


class _StopWaiting(Exception):
    """The reason to leave libpulse's loop: the deadline has passed, or the watch is closed."""


class _Poll:
    """The poll function of a connection, which ends at a deadline or when a pipe is closed."""

    def __init__(self, stop_reader: int | None) -> None:
        self.until_s = time.monotonic() + ANSWER_TIMEOUT_S
        """Deadline, in seconds of `time.monotonic()`."""
        self.stopped = False
        """True once the writing end of the pipe was closed."""
        self._stop_reader = stop_reader

    def __call__(self, watched: Sequence[Any], timeout_s: float) -> int:
        """Wait as `poll(2)` does.

        Args:
            watched: Structures `pollfd`, which are modified.
            timeout_s: Maximum time, in seconds; negative for none.

        Returns:
            Number of the file descriptors with events.

        Raises:
            _StopWaiting: The deadline has passed, or the watch is closed.
        """
        poll = select.poll()
        for one in watched:
            poll.register(one.fd, one.events)
        if self._stop_reader is not None:
            poll.register(self._stop_reader, select.POLLIN)
        left_s = self.until_s - time.monotonic()
        wait_s = left_s if timeout_s < 0 else min(left_s, timeout_s)
        ready = dict(poll.poll(None if wait_s == float("inf") else 1000 * max(0.0, wait_s)))
        if self._stop_reader in ready:
            self.stopped = True
            raise _StopWaiting
        if not ready and time.monotonic() >= self.until_s:
            raise _StopWaiting
        for one in watched:
            one.revents = ready.get(one.fd, 0)
        return len(ready)


@contextmanager
def _connection(stop_reader: int | None = None) -> Generator[tuple[Any, _Poll]]:
    """Connect to the sound server, and yield the connection, or None if there is no server.

    Errors of the server, such as its end, leave the block silently.
    """
    poll = _Poll(stop_reader)
    library = _pulsectl()
    if library is None:
        yield None, poll
        return
    call_error = importlib.import_module("pulsectl._pulsectl").LibPulse.CallError
    gone = (library.PulseError, library.PulseDisconnected, call_error)
    with STDERR_SILENCER, closing(library.Pulse("sonic-voice", connect=False)) as server:
        server.set_poll_func(poll, _ignore_error)
        connected = False
        with suppress(*gone):
            server.connect()
            connected = True
        with suppress(*gone):
            yield (server if connected else None), poll


def _pulsectl() -> Any:
    """Return the module `pulsectl`, or None where it or the server's client library is missing."""
    if sys.platform != "linux":
        return None
    try:
        return importlib.import_module("pulsectl")
    except (ImportError, OSError):
        return None


def _state(server: Any) -> ServerState:
    """Return the devices of a connected server.

    The format of a device is left out: `pulsectl` reads it from memory that is free by then.
    """
    sinks, sources, about = server.sink_list(), server.source_list(), server.server_info()
    return ServerState(
        server=about.server_name,
        devices=(
            *(_device("input", one, monitor_of=one.monitor_of_sink_name or "") for one in sources),
            *(_device("output", one) for one in sinks),
        ),
        default_input=FORCED_INPUT or about.default_source_name or "",
        default_output=FORCED_OUTPUT or about.default_sink_name or "",
    )


def _device(direction: Direction, one: Any, monitor_of: str = "") -> ServerDevice:
    """Return a source or a sink of `pulsectl` as a `ServerDevice`."""
    volumes = one.volume.values
    return ServerDevice(
        direction=direction,
        name=one.name,
        description=one.description or one.name,
        channels=max(1, len(volumes)),
        volume=max(volumes, default=1.0),
        muted=bool(one.mute),
        monitor_of=monitor_of,
    )


def _readable(descriptor: int, timeout_s: float) -> bool:
    """Wait until a pipe can be read or its other end is closed, and return whether this is so."""
    return bool(select.select([descriptor], [], [], timeout_s)[0])


def _ignore_error(*_: object) -> None:
    """Do nothing: after an error of `_Poll` libpulse's loop ends, which is what it is for."""
