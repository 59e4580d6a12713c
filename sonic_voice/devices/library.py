"""The sound library as the whole process uses it: one call at a time, a list that becomes stale.

PortAudio reads the list of devices when it is initialized, and never again: a headset that is
plugged in later is missing. Initializing it again ends every stream of the process. Therefore an
owner that needs a current list asks all other owners to close their streams (`request_refresh`).
When the last stream is closed, the next `open` reads the list again, and all others reopen. This
interrupts the devices that worked by some ten milliseconds, and `supervisor` sees to it that it is
rare. While no stream is open, the list is read again on each use.

On Linux a refresh is hardly ever needed: `default` and `pulse` stay in the list, the sound server
moves what is behind them, and its own devices are read at each use (see `server_backend`).
"""

import functools
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Event, Lock
from typing import get_args

from ..audio.stderr_silencer import STDERR_SILENCER
from ..device_settings import BackendName
from ..errors import ConfigError, DeviceError
from ..extras import install_command
from .listing import candidate_formats, find_device, opening_error
from .port import AudioCallback, Backend, Device, DeviceOpening, DeviceStream, Direction, Latency
from .server_backend import SoundServerBackend
from .server_state import ServerState
from .sound_server import SoundServerWatch, StateHandler, read_sound_server

RELEASE_TIMEOUT_S = 1.0
"""Maximum time, in seconds, that a refresh of the list waits for owners that still hold a
stream."""


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A request for a device and its settings. None stands for what the device prefers.

    Raises:
        ConfigError: `block_ms` is not within 1 to 100.
    """

    direction: Direction
    device: int | str | None
    """Index or part of a name; None for the default device."""
    rate_hz: int | None
    channels: int | None
    block_ms: float
    """Length of a callback's block, in milliseconds, 1 to 100."""
    latency: Latency

    def __post_init__(self) -> None:
        if not 1 <= self.block_ms <= 100:
            raise ConfigError(
                f"A block cannot last {self.block_ms:g} ms.", hint="Take 1 to 100 ms; 10 is usual."
            )


@dataclass(frozen=True, slots=True)
class OpenStream:
    """An open stream, with the settings that it was opened with."""

    stream: DeviceStream
    opening: DeviceOpening


class SoundLibrary:
    """The one user of a backend in the process.

    It may be used from any thread. Opening a device may take a second or more.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._condition = Condition()
        self._open_streams = 0
        self._refresh_pending = False
        self._owners: dict[Event, StateHandler] = {}
        self._watch: SoundServerWatch | None = None
        self._server_state: ServerState | None = None
        self._watch_lock = Lock()

    def devices(self) -> tuple[Device, ...]:
        """Return the list of devices, which is current if no stream is open."""
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
        """Open the requested device, without starting it.

        Args:
            request: The device and its settings.
            previous: The device that the request led to before, which is opened again if it is
                there, and replaced by the default device otherwise. None to open what `request`
                names.
            make_callback: Returns the callback for the settings with which the device is tried.

        Raises:
            DeviceError: There is no such device, or it does not open.
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
            # Until `close`, because the library's thread prints when the device vanishes.
            STDERR_SILENCER.__enter__()
            return opened

    def start(self, opened: OpenStream) -> None:
        """Start the callbacks of a stream.

        Args:
            opened: A stream from `open`.

        Raises:
            DeviceError: The device does not start.
        """
        with self._condition, STDERR_SILENCER:
            opened.stream.start()

    def close(self, opened: OpenStream) -> None:
        """Close a stream. Call this once for each stream.

        Args:
            opened: A stream from `open`.
        """
        with self._condition:
            opened.stream.close()
            self._open_streams -= 1
            self._terminate_if_idle()
            STDERR_SILENCER.__exit__()
            self._condition.notify_all()

    def request_refresh(self, wake_up: Event) -> None:
        """Request that the list of devices is read again at the next `open`.

        Args:
            wake_up: The event of the calling owner. The events of all other owners are set.
        """
        with self._condition:
            self._refresh_pending = True
            for owner in tuple(self._owners):
                if owner is not wake_up:
                    owner.set()

    def register(self, wake_up: Event, on_state: StateHandler) -> None:
        """Register an owner of a stream, and watch the sound server while there is one.

        Args:
            wake_up: An event that is set when the owner is to close its stream and open it again.
            on_state: Called with the devices of the sound server, soon and after every change, in a
                thread of the library. It must not call the library.
        """
        with self._watch_lock:
            self._owners[wake_up] = on_state
            if self._watch is None:
                self._server_state = None
                self._watch = SoundServerWatch(self._report_state)
            if self._server_state is not None:
                on_state(self._server_state)

    def unregister(self, wake_up: Event) -> None:
        """Remove an owner of a stream. Its `on_state` is not called afterwards.

        Args:
            wake_up: The event that was registered.
        """
        with self._watch_lock:
            self._owners.pop(wake_up, None)
            watch, self._watch = (self._watch, None) if not self._owners else (None, self._watch)
        if watch is not None:
            watch.close()  # without the lock, for which its thread may be waiting

    def _report_state(self, state: ServerState) -> None:
        """Pass the devices of the sound server to all owners; called in the watch's thread."""
        with self._watch_lock:
            self._server_state = state
            for on_state in self._owners.values():
                on_state(state)

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
        """Open the device with the first of the candidate formats that it accepts."""
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
                if rejected.hint:  # not a matter of the format
                    raise
                error = rejected
        raise opening_error(
            device, request.direction, request.rate_hz, request.channels, self._backend, error
        ) from error


@functools.cache
def sound_library(name: BackendName) -> SoundLibrary:
    """Return the one sound library of that name in the process.

    Args:
        name: The backend.

    Raises:
        DeviceError: It is not installed, or PortAudio is not.
        ConfigError: There is no such backend.
    """
    if name not in get_args(BackendName):
        raise ConfigError(
            f"There is no audio backend {name!r}.",
            hint=f"One of {', '.join(get_args(BackendName))}.",
        )
    with STDERR_SILENCER:
        try:
            if name == "pyaudio":
                from .pyaudio_backend import PyAudioBackend

                return _with_sound_server(PyAudioBackend())
            from .sounddevice_backend import SoundDeviceBackend

            return _with_sound_server(SoundDeviceBackend())
        except (ImportError, OSError) as error:
            raise _missing_library_error(name, error) from error


def _with_sound_server(backend: Backend) -> SoundLibrary:
    """Return the library for a backend and the devices of the sound server."""
    return SoundLibrary(SoundServerBackend(backend, read_sound_server))


def _missing_library_error(name: str, error: Exception) -> DeviceError:
    """Return the error for a library that cannot be imported, with the command that installs it."""
    if isinstance(error, ModuleNotFoundError):
        extra = "devices" if name == "sounddevice" else "pyaudio"
        return DeviceError(f"{name} is not installed.", hint=f"Run: {install_command(extra)}")
    return DeviceError(
        f"{name} does not find the PortAudio library ({error}).", hint=portaudio_hint()
    )


def portaudio_hint() -> str:
    """Return how to install PortAudio on this system."""
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
"""Command that installs PortAudio, by the identifiers of the Linux distributions."""
