"""The sound library through `sounddevice`: raw callback streams, without NumPy in the callback."""

import importlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from ..errors import DeviceError
from .device_names import decoded_name
from .port import AudioCallback, Device, DeviceOpening, DeviceStream, until_transducer_s


class SoundDeviceBackend:
    """The `sounddevice` backend; see `port.Backend`."""

    def __init__(self) -> None:
        # Imported by name: it has no types, and a type check must not depend on what is installed.
        """Import the library.

        Raises:
            ImportError: `sounddevice` is not installed.
            OSError: The C library is not installed.
        """
        self._library: Any = importlib.import_module("sounddevice")

    def devices(self) -> tuple[Device, ...]:
        """See `Backend`."""
        library = self._library
        apis = [api["name"] for api in library.query_hostapis()]
        default_input, default_output = library.default.device
        return tuple(
            Device(
                index=entry["index"],
                name=decoded_name(entry["name"]),
                host_api=apis[entry["hostapi"]],
                inputs=entry["max_input_channels"],
                outputs=entry["max_output_channels"],
                rate_hz=round(entry["default_samplerate"]),
                default_input=entry["index"] == default_input,
                default_output=entry["index"] == default_output,
            )
            for entry in map(self._entry, range(library._lib.Pa_GetDeviceCount()))
        )

    def _entry(self, index: int) -> dict[str, Any]:
        """Return what the library says about a device, with its name as bytes if need be."""
        library = self._library
        try:
            return library.query_devices(index)
        except UnicodeDecodeError as error:  # the library decodes UTF-8 only
            entry = library._lib.Pa_GetDeviceInfo(index)
            return {
                "index": index,
                "name": error.object,
                "hostapi": entry.hostApi,
                "max_input_channels": entry.maxInputChannels,
                "max_output_channels": entry.maxOutputChannels,
                "default_samplerate": entry.defaultSampleRate,
            }

    def supports(self, opening: DeviceOpening) -> bool:
        """See `Backend`."""
        check = self._library.check_input_settings
        if opening.direction == "output":
            check = self._library.check_output_settings
        try:
            check(
                device=opening.device.index,
                channels=opening.channels,
                dtype="int16",
                samplerate=opening.rate_hz,
            )
        except (ValueError, self._library.PortAudioError):
            return False
        return True

    def open(self, opening: DeviceOpening, callback: AudioCallback) -> DeviceStream:
        """See `Backend`."""
        with self._mapped_errors():
            return _SoundDeviceStream(self._library, opening, callback)

    def refresh(self) -> None:
        # Private functions, and the only way: PortAudio reads the list when it is initialized.
        """See `Backend`."""
        with self._mapped_errors():
            self._library._terminate()
            self._library._initialize()

    def terminate(self) -> None:
        """Do nothing: the module is initialized on import, and other users may rely on that."""

    @contextmanager
    def _mapped_errors(self) -> Generator[None]:
        """Raise errors of the library as `DeviceError`."""
        try:
            yield
        except (ValueError, self._library.PortAudioError) as error:
            raise DeviceError(f"The sound library says: {error}.") from error


class _SoundDeviceStream:
    """A stream of `sounddevice`; see `port.DeviceStream`."""

    def __init__(self, library: Any, opening: DeviceOpening, callback: AudioCallback) -> None:
        self._error: Any = library.PortAudioError
        self._callback = callback
        is_input = opening.direction == "input"
        kind = library.RawInputStream if is_input else library.RawOutputStream
        self._stream: Any = kind(
            device=opening.device.index,
            samplerate=opening.rate_hz,
            channels=opening.channels,
            dtype="int16",
            blocksize=opening.block_frames,
            latency=opening.latency,
            callback=self._on_input if is_input else self._on_output,
        )
        self.latency_s: float = self._stream.latency

    def start(self) -> None:
        """See `DeviceStream`."""
        try:
            self._stream.start()
        except self._error as error:
            raise DeviceError(f"The sound library says: {error}.") from error

    def close(self) -> None:
        """See `DeviceStream`."""
        with suppress(self._error):  # the device may be gone
            self._stream.abort()
        with suppress(self._error):
            self._stream.close()

    def _on_input(self, captured: Any, frames: int, time: Any, status: Any) -> None:
        """Pass captured samples to the callback; called by the library."""
        offset_s = until_transducer_s(time.currentTime, time.inputBufferAdcTime, -self.latency_s)
        self._callback(bytes(captured), frames, offset_s, bool(status.input_overflow))

    def _on_output(self, output: Any, frames: int, time: Any, status: Any) -> None:
        """Fill the library's buffer with the callback's samples; called by the library."""
        offset_s = until_transducer_s(time.currentTime, time.outputBufferDacTime, self.latency_s)
        output[:] = self._callback(b"", frames, offset_s, bool(status.output_underflow))
