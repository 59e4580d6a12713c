"""A microphone and a loudspeaker that are not there: PulseAudio's null sinks, in real time.

    micfeed  a sink of 44.1 kHz, mono: what is played to it is what the microphone hears
    vmic     the microphone, default source
    spk      the loudspeaker, 48 kHz stereo, default sink: its monitor is what was heard

A headset can be plugged in beside them (`plug_headset`):

    headset_feed, headset_mic   its microphone, as above
    headset                     its loudspeaker

`norewinds=1`: else a null sink renders up to two seconds ahead of its time.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
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

HEADSET_SPEAKER, HEADSET_MICROPHONE = "Headset Kopfhörer", "Headset Mikrofon für Sprache"
"""Names of the loudspeaker and the microphone of the headset on the server."""

DEFAULTS = ("set-default-sink spk", "set-default-source vmic")


def missing() -> str:
    """Why there can be no virtual devices here; empty if there can."""
    absent = [tool for tool in ("pulseaudio", "pactl", "paplay", "parec") if not shutil.which(tool)]
    if absent:
        return f"without {', '.join(absent)}: apt-get install pulseaudio pulseaudio-utils"
    return ""


class SoundServer:
    """PulseAudio for this process and its children, in a folder of its own."""

    name = "PulseAudio"

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
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._headset: list[str] = []
        self.start()

    def start(self) -> None:
        """Start the server with its devices; returns when it answers."""
        script = self._folder / "devices.pa"
        lines = ["load-module module-native-protocol-unix auth-anonymous=1"]
        lines += [*(f"load-module {module}" for module in self._modules), *DEFAULTS]
        script.write_text("\n".join(lines) + "\n")
        options = "--exit-idle-time=-1 --realtime=no --high-priority=no --use-pid-file=no"
        self._launch("pulseaudio", "-n", "-F", str(script), "--daemonize=no", *options.split())
        self._wait_for_answer()

    def _launch(self, *command: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a program of the server, with `environment` on top of this process's."""
        self._daemons.append(
            subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
            )
        )

    def _wait_for_answer(self) -> None:
        deadline_s = time.monotonic() + 10
        while subprocess.run(["pactl", "info"], capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline_s, f"{self.name} does not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server, as if sound had crashed. May be repeated."""
        while self._daemons:
            daemon = self._daemons.pop()
            daemon.terminate()
            daemon.wait()

    def pause(self, seconds: float) -> None:
        """Let the server stand still for a moment, as if the machine were busy."""
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for daemon in self._daemons:
                daemon.send_signal(number)
            if number == signal.SIGSTOP:
                time.sleep(seconds)

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

    def plug_headset(self) -> None:
        """Plug in a headset, whose names have letters beyond ASCII."""
        self._headset = [
            self._load("module-null-sink", "sink_name=headset_feed", "channels=1", "norewinds=1"),
            self._load(
                *("module-null-sink", "sink_name=headset", "channels=2", "norewinds=1"),
                f"sink_properties='device.description=\"{HEADSET_SPEAKER}\"'",
            ),
            self._load(
                *("module-remap-source", "master=headset_feed.monitor", "source_name=headset_mic"),
                f"source_properties='device.description=\"{HEADSET_MICROPHONE}\"'",
            ),
        ]

    def unplug_headset(self) -> None:
        """Take the headset away, if it is there."""
        while self._headset:
            self.control(f"unload-module {self._headset.pop()}")

    def _load(self, *module: str) -> str:
        """Load a module with its arguments, and return its number."""
        run = subprocess.run(
            ["pactl", "load-module", *module], check=True, capture_output=True, text=True
        )
        return run.stdout.strip()

    def say(self, pcm: bytes, rate_hz: int, feed: str = "micfeed") -> "subprocess.Popen[bytes]":
        """Begin to speak into the microphone; wait for the process to have spoken to the end."""
        form = f"--raw --format=s16le --channels=1 --rate={rate_hz} --latency-msec=20"
        speaking = subprocess.Popen(
            ["pacat", "--playback", f"--device={feed}", *form.split()], stdin=subprocess.PIPE
        )
        assert speaking.stdin is not None
        threading.Thread(target=_write, args=(speaking, pcm)).start()
        return speaking

    def capture(self, device: str = "spk.monitor") -> "Capture":
        return Capture(device)


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
