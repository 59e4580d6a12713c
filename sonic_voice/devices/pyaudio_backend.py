"""The sound library through PyAudio: its callback streams.

PyAudio always requests the low latency of a device; no other latency can be requested through it.
"""

import importlib
from contextlib import suppress
from typing import Any

from ..errors import DeviceError
from .device_names import decoded_name
from .port import AudioCallback, Device, DeviceOpening, DeviceStream, until_transducer_s

INPUT_OVERFLOW, OUTPUT_UNDERFLOW = 2, 4  # paInputOverflow, paOutputUnderflow


class PyAudioBackend:
    """The PyAudio backend; see `port.Backend`."""

    def __init__(self) -> None:
        # Imported by name: PyAudio has no types, and a type check must not depend on what is
        # installed.
        """Import the library.

        Raises:
            ImportError: PyAudio or its C library is not installed.
        """
        self._library: Any = importlib.import_module("pyaudio")
        self._session: Any = None

    def devices(self) -> tuple[Device, ...]:
        """See `Backend`."""
        session = self._session
        default_input = _default_index(session.get_default_input_device_info)
        default_output = _default_index(session.get_default_output_device_info)
        entries = [
            session.get_device_info_by_index(index) for index in range(session.get_device_count())
        ]
        return tuple(
            Device(
                index=entry["index"],
                name=decoded_name(entry["name"]),
                host_api=session.get_host_api_info_by_index(entry["hostApi"])["name"],
                inputs=entry["maxInputChannels"],
                outputs=entry["maxOutputChannels"],
                rate_hz=round(entry["defaultSampleRate"]),
                default_input=entry["index"] == default_input,
                default_output=entry["index"] == default_output,
            )
            for entry in entries
        )

    def supports(self, opening: DeviceOpening) -> bool:
        """See `Backend`."""
        side = opening.direction
        settings = {
            f"{side}_device": opening.device.index,
            f"{side}_channels": opening.channels,
            f"{side}_format": self._library.paInt16,
        }
        try:
            return bool(self._session.is_format_supported(opening.rate_hz, **settings))
        except (OSError, ValueError):
            return False

    def open(self, opening: DeviceOpening, callback: AudioCallback) -> DeviceStream:
        """See `Backend`."""
        if opening.latency != "low":
            raise DeviceError(
                "PyAudio opens devices with their low latency only.",
                hint="Choose the latency low, or the backend sounddevice.",
            )
        try:
            return _PyAudioStream(self._library, self._session, opening, callback)
        except (OSError, ValueError) as error:
            raise _as_device_error(error) from error

    def refresh(self) -> None:
        """See `Backend`."""
        self.terminate()
        self._session = self._library.PyAudio()

    def terminate(self) -> None:
        """See `Backend`."""
        if self._session is not None:
            self._session.terminate()
            self._session = None


class _PyAudioStream:
    """A PyAudio stream; see `port.DeviceStream`."""

    def __init__(
        self, library: Any, session: Any, opening: DeviceOpening, callback: AudioCallback
    ) -> None:
        self._continue: int = library.paContinue
        self._callback = callback
        side = opening.direction
        self._stream: Any = session.open(
            rate=opening.rate_hz,
            channels=opening.channels,
            format=library.paInt16,
            frames_per_buffer=opening.block_frames,
            start=False,
            stream_callback=self._on_input if side == "input" else self._on_output,
            **{side: True, f"{side}_device_index": opening.device.index},
        )
        latency_s = getattr(self._stream, f"get_{side}_latency")
        self.latency_s: float = latency_s()

    def start(self) -> None:
        """See `DeviceStream`."""
        try:
            self._stream.start_stream()
        except OSError as error:
            raise _as_device_error(error) from error

    def close(self) -> None:
        """See `DeviceStream`."""
        with suppress(OSError):  # the device may be gone
            self._stream.close()

    def _on_input(self, captured: bytes, frames: int, time: Any, status: int) -> tuple[None, int]:
        """Pass captured samples to the callback; called by PyAudio."""
        offset_s = until_transducer_s(
            time["current_time"], time["input_buffer_adc_time"], -self.latency_s
        )
        self._callback(captured, frames, offset_s, bool(status & INPUT_OVERFLOW))
        return None, self._continue

    def _on_output(self, _: None, frames: int, time: Any, status: int) -> tuple[bytes, int]:
        """Return the callback's samples to PyAudio, which calls this."""
        offset_s = until_transducer_s(
            time["current_time"], time["output_buffer_dac_time"], self.latency_s
        )
        output = self._callback(b"", frames, offset_s, bool(status & OUTPUT_UNDERFLOW))
        return output, self._continue


def _default_index(ask: Any) -> int:
    """Return the index of a default device, or -1 if there is none."""
    try:
        return ask()["index"]
    except OSError:
        return -1


def _as_device_error(error: Exception) -> DeviceError:
    """Return the library's error as a `DeviceError`."""
    text = str(error.args[-1] if isinstance(error.args[-1], str) else error.args[0])
    return DeviceError(f"The sound library says: {text}.")
