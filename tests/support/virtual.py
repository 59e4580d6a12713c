"""A microphone and a loudspeaker that are not there: PulseAudio's null sinks, in real time.

    micfeed  a sink of 44.1 kHz, mono: what is played to it is what the microphone hears
    vmic     the microphone, default source
    spk      the loudspeaker, 48 kHz stereo, default sink: its monitor is what was heard

`norewinds=1`: else a null sink renders up to two seconds ahead of its time.
"""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

CAPTURE_HZ = 48_000

SPEAKER = "module-null-sink sink_name=spk rate=48000 channels=2 norewinds=1"
MODULES = (
    SPEAKER,
    "module-null-sink sink_name=micfeed rate=44100 channels=1 norewinds=1",
    "module-remap-source master=micfeed.monitor source_name=vmic",
)
MODULES_IN_STEP = (
    "module-null-sink sink_name=spk rate=40000 channels=2 norewinds=1",
    "module-null-sink sink_name=micfeed rate=40000 channels=1 norewinds=1",
    MODULES[-1],
)
"""The same with clocks that agree. A null sink counts time in blocks of whole microseconds, rounded
down: at 44.1 and 48 kHz it is some 200 and 100 ppm fast. A frame of 25 us is not rounded."""

SETTINGS_IN_STEP = "default-sample-rate = 40000\nalternate-sample-rate = 40000\n"
"""With others the server would change an idle device's rate for who comes first."""

DEFAULTS = ("set-default-sink spk", "set-default-source vmic")


def missing() -> str:
    """Why there can be no virtual devices here; empty if there can."""
    absent = [tool for tool in ("pulseaudio", "pactl", "paplay", "parec") if not shutil.which(tool)]
    if absent:
        return f"without {', '.join(absent)}: apt-get install pulseaudio pulseaudio-utils"
    return ""


class SoundServer:
    """PulseAudio for this process and its children, in a folder of its own."""

    def __init__(self, *, in_step: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sonic-sound-"))
        self._modules = MODULES_IN_STEP if in_step else MODULES
        (self._folder / "daemon.conf").write_text(SETTINGS_IN_STEP if in_step else "")
        self._environment = {
            "XDG_RUNTIME_DIR": str(self._folder),
            "PULSE_SERVER": f"unix:{self._folder}/pulse/native",
            "PULSE_CONFIG": str(self._folder / "daemon.conf"),
        }
        self._before = {name: os.environ.get(name) for name in self._environment}
        os.environ.update(self._environment)  # the sound library in this process is its client
        self._daemon: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the server with its devices; returns when it answers."""
        script = self._folder / "devices.pa"
        lines = ["load-module module-native-protocol-unix auth-anonymous=1"]
        lines += [*(f"load-module {module}" for module in self._modules), *DEFAULTS]
        script.write_text("\n".join(lines) + "\n")
        options = "--exit-idle-time=-1 --realtime=no --high-priority=no --use-pid-file=no"
        self._daemon = subprocess.Popen(
            ["pulseaudio", "-n", "-F", str(script), "--daemonize=no", *options.split()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline_s = time.monotonic() + 10
        while subprocess.run(["pactl", "info"], capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline_s, "PulseAudio does not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server, as if sound had crashed. May be repeated."""
        if self._daemon is not None:
            self._daemon.terminate()
            self._daemon.wait()
            self._daemon = None

    def close(self) -> None:
        self.stop()
        for name, value in self._before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        shutil.rmtree(self._folder)

    def control(self, command: str) -> str:
        """What `pactl` answers."""
        run = subprocess.run(
            ["pactl", *command.split()], check=True, capture_output=True, text=True
        )
        return run.stdout.strip()

    def unplug(self) -> None:
        """Take away every device."""
        self.control("unload-module module-remap-source")
        self.control("unload-module module-null-sink")

    def plug(self) -> None:
        """Put them back."""
        for module in self._modules:
            self.control(f"load-module {module}")
        for command in DEFAULTS:
            self.control(command)

    def say(self, pcm: bytes, rate_hz: int) -> "subprocess.Popen[bytes]":
        """Begin to speak into the microphone; wait for the process to have spoken to the end."""
        form = f"--raw --format=s16le --channels=1 --rate={rate_hz} --latency-msec=20"
        speaking = subprocess.Popen(
            ["pacat", "--playback", "--device=micfeed", *form.split()], stdin=subprocess.PIPE
        )
        assert speaking.stdin is not None
        threading.Thread(target=_write, args=(speaking, pcm)).start()
        return speaking

    def capture(self) -> "Capture":
        return Capture()


def _write(speaking: "subprocess.Popen[bytes]", pcm: bytes) -> None:
    assert speaking.stdin is not None
    with suppress(BrokenPipeError), speaking.stdin as stdin:  # it may be told to stop
        stdin.write(pcm)


class Capture:
    """Records the loudspeaker, or another `device`, mono at 48 kHz, within a `with`.

    The time of each sample is known: no block can arrive before it sounded, so the earliest of
    all arrivals, relative to the position in the stream, is its clock. What that is late by, some
    milliseconds, counts against whoever is measured.
    """

    def __init__(self, device: str = "spk.monitor") -> None:
        form = f"--raw --format=s16le --channels=1 --rate={CAPTURE_HZ} --latency-msec=5"
        self._process = subprocess.Popen(
            ["parec", f"--device={device}", *form.split()], stdout=subprocess.PIPE, bufsize=0
        )
        self._blocks: list[bytes] = []
        self._zero_s = float("inf")
        self._flowing = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        assert self._flowing.wait(5)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()

    @property
    def samples(self) -> NDArray[np.int16]:
        return np.frombuffer(b"".join(self._blocks), "<i2")

    def position(self, at_s: float) -> int:
        """The index of the sample that sounded at `at_s` of `time.monotonic()`."""
        return max(0, round((at_s - self._zero_s) * CAPTURE_HZ))

    def time_s(self, position: int) -> float:
        """When the sample of that index sounded, in seconds of `time.monotonic()`."""
        return self._zero_s + position / CAPTURE_HZ

    def _read(self) -> None:
        assert self._process.stdout is not None
        position = 0
        while block := self._process.stdout.read(4096):
            position += len(block) // 2
            self._zero_s = min(self._zero_s, time.monotonic() - position / CAPTURE_HZ)
            self._blocks.append(block)
            self._flowing.set()


def match(sent: NDArray[np.int16], received: NDArray[np.int16]) -> tuple[float, int]:
    """How well `sent` is found in `received` (1: exactly) and where it begins."""
    needle, hay = sent.astype(np.float64), received.astype(np.float64)
    size = 1 << (len(needle) + len(hay) - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(hay, size) * np.fft.rfft(needle, size).conj(), size)
    offset = int(np.argmax(product[: max(1, len(hay) - len(needle) + 1)]))
    found = hay[offset : offset + len(needle)]
    loudness = np.linalg.norm(needle[: len(found)]) * np.linalg.norm(found)
    return (float(product[offset] / loudness) if loudness else 0.0), offset


def likeness(sent: NDArray[np.int16], received: NDArray[np.int16], pieces: int = 8) -> float:
    """How well the louder pieces of `sent` are found in `received`, the median (1: exactly).

    In pieces, because a busy machine may let the device run dry for a moment; what comes after is
    the same sound, later.
    """
    cut = sorted(
        np.array_split(sent, pieces), key=lambda piece: np.linalg.norm(piece.astype(float))
    )
    return float(np.median([match(piece, received)[0] for piece in cut[pieces // 2 :]]))
