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

from ..errors import ConfigError, DeviceError
from ..extras import install_command
from .listing import candidate_formats, find_device, opening_error
from .port import AudioCallback, Backend, Device, DeviceOpening, DeviceStream, Direction, Latency
from .stderr_silencer import STDERR_SILENCER

BackendName = Literal["sounddevice", "pyaudio"]

RELEASE_TIMEOUT_S = 1.0
"""How long the list may wait to be read anew for those who still hold a stream."""


@dataclass(frozen=True, slots=True)
class DeviceRequest:
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
class OpenStream:
    """An open stream and how it came to be."""

    stream: DeviceStream
    opening: DeviceOpening


class SoundLibrary:
    """The one user of a backend. Any thread may call; opening may take a second or more."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._condition = Condition()
        self._open_streams = 0
        self._refresh_pending = False
        self._wake_ups: set[Event] = set()

    def devices(self) -> tuple[Device, ...]:
        """The list; as it is now, if no stream is open."""
        with self._condition, STDERR_SILENCER:
            self._refresh_if_idle()
            try:
                return self._backend.devices()
            finally:
                self._terminate_if_idle()

    def open(
        self,
        request: DeviceRequest,
        previous: Device | None,
        make_callback: Callable[[DeviceOpening], AudioCallback],
    ) -> OpenStream:
        """Open what `wish` asks for; or, `before` given, that device again, or else the default.

        Raises `DeviceError`. The stream has not been started.
        """
        with self._condition, STDERR_SILENCER:
            if self._refresh_pending:
                self._condition.wait_for(lambda: not self._open_streams, RELEASE_TIMEOUT_S)
            self._refresh_if_idle()
            self._refresh_pending = False
            try:
                device = find_device(
                    self._backend.devices(), request.direction, request.device, previous
                )
                opened = self._open_first_accepted(device, request, make_callback)
            except DeviceError:
                self._terminate_if_idle()
                raise
            self._open_streams += 1
            STDERR_SILENCER.__enter__()  # until close: what its thread prints when the device goes
            return opened

    def start(self, opened: OpenStream) -> None:
        """Let the stream call back. Raises `DeviceError`."""
        with self._condition, STDERR_SILENCER:
            opened.stream.start()

    def close(self, opened: OpenStream) -> None:
        """Close the stream; once."""
        with self._condition:
            opened.stream.close()
            self._open_streams -= 1
            self._terminate_if_idle()
            STDERR_SILENCER.__exit__()
            self._condition.notify_all()

    def request_refresh(self, wake_up: Event) -> None:
        """Have the list read anew at the next `open`: all but the owner of `bell` are rung."""
        with self._condition:
            self._refresh_pending = True
            for other in self._wake_ups - {wake_up}:
                other.set()

    def register(self, wake_up: Event) -> None:
        """`bell` rings when its owner is to close his stream and open it again."""
        with self._condition:
            self._wake_ups.add(wake_up)

    def unregister(self, wake_up: Event) -> None:
        with self._condition:
            self._wake_ups.discard(wake_up)

    def _refresh_if_idle(self) -> None:
        if not self._open_streams:
            self._backend.refresh()

    def _terminate_if_idle(self) -> None:
        if not self._open_streams:
            self._backend.terminate()

    def _open_first_accepted(
        self,
        device: Device,
        request: DeviceRequest,
        make_callback: Callable[[DeviceOpening], AudioCallback],
    ) -> OpenStream:
        error = DeviceError("")
        for rate_hz, channels in candidate_formats(
            device, request.direction, request.rate_hz, request.channels
        ):
            block = round(request.block_ms / 1000 * rate_hz)
            opening = DeviceOpening(
                request.direction, device, rate_hz, channels, block, request.latency
            )
            try:
                return OpenStream(self._backend.open(opening, make_callback(opening)), opening)
            except DeviceError as rejected:
                if rejected.hint:
                    raise
                error = rejected
        raise opening_error(
            device, request.direction, request.rate_hz, request.channels, self._backend, error
        ) from error


@functools.cache
def sound_library(name: BackendName) -> SoundLibrary:
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

                return SoundLibrary(PyAudio())
            from .sounddevice_backend import SoundDevice

            return SoundLibrary(SoundDevice())
        except (ImportError, OSError) as error:
            raise _missing_library_error(name, error) from error


def _missing_library_error(name: str, error: Exception) -> DeviceError:
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
    for names, command in _INSTALL_COMMANDS.items():
        if family & set(names):
            return f"Run: {command}"
    return "Install your system's package of PortAudio (libportaudio2 or portaudio)."


_INSTALL_COMMANDS = {
    ("debian", "ubuntu"): "sudo apt-get install libportaudio2",
    ("fedora", "rhel", "centos"): "sudo dnf install portaudio",
    ("arch",): "sudo pacman -S portaudio",
    ("suse", "opensuse"): "sudo zypper install libportaudio2",
    ("alpine",): "sudo apk add portaudio",
}
