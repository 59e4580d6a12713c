"""PortAudio as the whole process uses it: one call at a time, and a list that grows old.

PortAudio reads the list of devices when it is initialised, and never again: a headset plugged in
later is not there. Initialising it anew ends every stream of the process. So whoever needs the
list anew asks all others to let go (`renew`), the last one out makes it possible, the first one in
again does it, and all open anew. That is a gap of some ten milliseconds for the innocent, and
`watch` sees to it that it is rare. While nothing is open, the list is read anew by itself.

On Linux it is hardly ever needed: `default` and `pulse` stay, and what is behind them moves.
"""

import functools
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Event
from typing import Literal, get_args

from ..audio.stderr_silencer import STDERR_SILENCER
from ..errors import ConfigError, DeviceError
from ..extras import install_command
from .listing import found, refusal, ways
from .port import Backend, Device, DeviceStream, Direction, Exchange, Latency, Opening

BackendName = Literal["sounddevice", "pyaudio"]

LET_GO_S = 1.0
"""How long the list may wait to be read anew for those who still hold a stream."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a device is asked to be. None: as the device prefers."""

    direction: Direction
    device: int | str | None
    rate_hz: int | None
    channels: int | None
    block_ms: float
    latency: Latency

    def __post_init__(self) -> None:
        if not 1 <= self.block_ms <= 100:
            raise ConfigError(
                f"A block of {self.block_ms:g} ms cannot be.", hint="1 to 100 ms; 10 is usual."
            )


@dataclass(frozen=True, slots=True)
class Opened:
    """An open stream and how it came to be."""

    stream: DeviceStream
    opening: Opening


class Library:
    """The one user of a backend. Any thread may call; opening may take a second or more."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._turn = Condition()
        self._streams = 0
        self._renewing = False
        self._bells: set[Event] = set()

    def devices(self) -> tuple[Device, ...]:
        """The list; as it is now, if no stream is open."""
        with self._turn, STDERR_SILENCER:
            self._renew_if_idle()
            try:
                return self._backend.devices()
            finally:
                self._rest_if_idle()

    def open(
        self, wish: Wish, before: Device | None, exchange: Callable[[Opening], Exchange]
    ) -> Opened:
        """Open what `wish` asks for; or, `before` given, that device again, or else the default.

        Raises `DeviceError`. The stream has not been started.
        """
        with self._turn, STDERR_SILENCER:
            if self._renewing:
                self._turn.wait_for(lambda: not self._streams, LET_GO_S)
            self._renew_if_idle()
            self._renewing = False
            try:
                device = found(self._backend.devices(), wish.direction, wish.device, before)
                opened = self._open_one_way(device, wish, exchange)
            except DeviceError:
                self._rest_if_idle()
                raise
            self._streams += 1
            STDERR_SILENCER.__enter__()  # until close: what its thread prints when the device goes
            return opened

    def start(self, opened: Opened) -> None:
        """Let the stream call back. Raises `DeviceError`."""
        with self._turn, STDERR_SILENCER:
            opened.stream.start()

    def close(self, opened: Opened) -> None:
        """Close the stream; once."""
        with self._turn:
            opened.stream.close()
            self._streams -= 1
            self._rest_if_idle()
            STDERR_SILENCER.__exit__()
            self._turn.notify_all()

    def renew(self, bell: Event) -> None:
        """Have the list read anew at the next `open`: all but the owner of `bell` are rung."""
        with self._turn:
            self._renewing = True
            for other in self._bells - {bell}:
                other.set()

    def join(self, bell: Event) -> None:
        """`bell` rings when its owner is to close his stream and open it again."""
        with self._turn:
            self._bells.add(bell)

    def leave(self, bell: Event) -> None:
        with self._turn:
            self._bells.discard(bell)

    def _renew_if_idle(self) -> None:
        if not self._streams:
            self._backend.renew()

    def _rest_if_idle(self) -> None:
        if not self._streams:
            self._backend.rest()

    def _open_one_way(
        self, device: Device, wish: Wish, exchange: Callable[[Opening], Exchange]
    ) -> Opened:
        error = DeviceError("")
        for rate_hz, channels in ways(device, wish.direction, wish.rate_hz, wish.channels):
            block = round(wish.block_ms / 1000 * rate_hz)
            opening = Opening(wish.direction, device, rate_hz, channels, block, wish.latency)
            try:
                return Opened(self._backend.open(opening, exchange(opening)), opening)
            except DeviceError as refused:
                if refused.hint:
                    raise
                error = refused
        raise refusal(
            device, wish.direction, wish.rate_hz, wish.channels, self._backend, error
        ) from error


@functools.cache
def sound_library(name: BackendName) -> Library:
    """The process's one library of that name.

    Raises `DeviceError` if it is not installed, or PortAudio is not.
    """
    if name not in get_args(BackendName):
        raise ConfigError(
            f"There is no audio backend {name!r}.",
            hint=f"One of {', '.join(get_args(BackendName))}.",
        )
    with STDERR_SILENCER:
        try:
            if name == "pyaudio":
                from .pyaudio_backend import PyAudio

                return Library(PyAudio())
            from .sounddevice_backend import SoundDevice

            return Library(SoundDevice())
        except (ImportError, OSError) as error:
            raise _missing(name, error) from error


def _missing(name: str, error: Exception) -> DeviceError:
    if isinstance(error, ModuleNotFoundError):
        extra = "devices" if name == "sounddevice" else "pyaudio"
        return DeviceError(f"{name} is not installed.", hint=f"Run: {install_command(extra)}")
    return DeviceError(
        f"{name} does not find the PortAudio library ({error}).", hint=portaudio_hint()
    )


def portaudio_hint() -> str:
    """How PortAudio is installed on this system."""
    if sys.platform == "darwin":
        return "Run: brew install portaudio"
    if sys.platform == "win32":
        return "Run: pip install --force-reinstall sounddevice (its wheel brings PortAudio)"
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = dict[str, str]()
    family = {system.get("ID", ""), *system.get("ID_LIKE", "").split()}
    for names, command in _INSTALL.items():
        if family & set(names):
            return f"Run: {command}"
    return "Install your system's package of PortAudio (libportaudio2 or portaudio)."


_INSTALL = {
    ("debian", "ubuntu"): "sudo apt-get install libportaudio2",
    ("fedora", "rhel", "centos"): "sudo dnf install portaudio",
    ("arch",): "sudo pacman -S portaudio",
    ("suse", "opensuse"): "sudo zypper install libportaudio2",
    ("alpine",): "sudo apk add portaudio",
}
