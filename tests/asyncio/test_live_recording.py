"""The recording of a live conversation with real files and a real thread, without devices."""

import asyncio
import errno
import io
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from sonic_voice.audio import sound_file
from sonic_voice.audio.mute import MutableSource
from sonic_voice.audio.ports import INPUT_FORMAT
from sonic_voice.cli import live_recording as module
from sonic_voice.cli.ending import Ending
from sonic_voice.cli.live_recording import LiveRecording, live_recording
from sonic_voice.config import SessionConfig
from sonic_voice.devices.speaker import PlayedBlock

CHUNK_S = 0.04
FILE_HZ = 24_000
SPEAKER_HZ = 48_000
BEGAN_S = 50.0


@dataclass
class Devices:
    """A microphone that hears 1 all the time, and a loudspeaker that plays what it is told."""

    recording: LiveRecording
    now_s: float = BEGAN_S
    done: bool = False
    pending_s: float = 0.0
    blocks: deque[PlayedBlock] = field(default_factory=deque[PlayedBlock])

    def __post_init__(self) -> None:
        self.format = INPUT_FORMAT
        self.mutable = MutableSource(self)
        self.source = self.recording.source(self.mutable, lambda: self.now_s - CHUNK_S)
        self.speaker = self.recording.speaker(self)
        self.recording.begin(BEGAN_S)

    def now(self) -> float:
        return self.now_s

    async def read(self) -> bytes:
        self.now_s += CHUNK_S
        return np.full(640, 1_000, "<i2").tobytes()

    async def aclose(self) -> None:
        pass

    def duck(self, gain: float, ramp_ms: float) -> None:
        pass

    def release(self, ramp_ms: float) -> None:
        pass

    def drain_played(self) -> Sequence[PlayedBlock]:
        drained = list(self.blocks)
        self.blocks.clear()
        return drained

    async def talk(self, seconds: float, *, played: int = 0) -> None:
        for _ in range(round(seconds / CHUNK_S)):
            pcm = np.full(1_920, played, "<i2").tobytes()
            self.blocks.append(PlayedBlock(pcm, SPEAKER_HZ, self.now_s))
            await self.source.read()
            self.speaker.drain_played()
            await asyncio.sleep(0)


def sides(path: Path) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    frames, rate_hz = soundfile.read(path, dtype="int16")
    assert rate_hz == FILE_HZ
    both = np.asarray(frames, np.int16)
    return both[:, 0], both[:, 1]


def level(samples: NDArray[np.int16], first_s: float, last_s: float) -> float:
    """Return the median of a stretch, whose ends the resampler rings around."""
    return float(np.median(samples[round(first_s * FILE_HZ) : round(last_s * FILE_HZ)]))


@pytest.mark.parametrize("name", ["talk.wav", "talk.flac"])
async def test_muted_times_are_silent_and_each_side_has_its_channel(
    tmp_path: Path, name: str
) -> None:
    notices: list[str] = []
    recording = LiveRecording(tmp_path / name, SessionConfig(), notices.append)
    devices = Devices(recording)
    await devices.talk(2.0)
    devices.mutable.mute()
    await devices.talk(2.0, played=500)
    devices.mutable.mute()
    await devices.talk(1.0)
    await recording.aclose()
    await recording.aclose()
    left, right = sides(recording.path)
    assert len(left) / FILE_HZ == pytest.approx(5.0, abs=0.01)
    assert [level(left, at, at + 0.9) for at in (1.05, 2.05, 4.05)] == pytest.approx(
        [1000, 0, 1000], abs=2
    )
    assert [level(right, at, at + 0.9) for at in (1.05, 2.05, 4.05)] == pytest.approx(
        [0, 500, 0], abs=2
    )
    assert notices == []


async def test_a_full_disk_ends_the_recording_and_not_the_conversation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all = sound_file._write_all  # pyright: ignore[reportPrivateUsage]
    full = threading.Event()

    def write(file: io.FileIO, data: bytes) -> None:
        if file.tell() + len(data) > 4 * FILE_HZ * 3:
            full.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        write_all(file, data)

    monkeypatch.setattr(sound_file, "_write_all", write)
    notices: list[str] = []
    recording = LiveRecording(tmp_path / "talk.wav", SessionConfig(), notices.append)
    devices = Devices(recording)
    await devices.talk(5.0)
    assert await asyncio.to_thread(full.wait, 10)
    await devices.talk(5.0)
    await recording.aclose()
    assert len(notices) == 1
    assert (
        "No space left on device. The recording ends here; the conversation goes on." in notices[0]
    )
    left, _ = sides(recording.path)
    assert len(left) / FILE_HZ == pytest.approx(3.0, abs=0.1)


async def test_a_disk_that_hangs_costs_the_loop_nothing_and_what_is_lost_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUE_BATCHES", 3)
    notices: list[str] = []
    recording = LiveRecording(tmp_path / "talk.wav", SessionConfig(), notices.append)
    free, write_all = threading.Event(), sound_file._write_all  # pyright: ignore[reportPrivateUsage]

    caught_up = threading.Event()

    def write(file: io.FileIO, data: bytes) -> None:
        free.wait(20)
        write_all(file, data)
        if recording.path.stat().st_size > 4 * FILE_HZ * 2.5:  # three batches waited
            caught_up.set()

    devices = Devices(recording)
    monkeypatch.setattr(sound_file, "_write_all", write)
    async with asyncio.timeout(10):
        await devices.talk(10.0)
    assert len(notices) == 1
    assert "too slow" in notices[0]
    free.set()
    assert await asyncio.to_thread(caught_up.wait, 10)
    await devices.talk(3.0)
    await recording.aclose()
    left, _ = sides(recording.path)
    assert len(left) / FILE_HZ == pytest.approx(13.0, abs=0.05)
    assert level(left, 6.0, 9.0) == 0
    assert level(left, 12.0, 12.9) == pytest.approx(1000, abs=2)


async def test_a_conversation_that_does_not_begin_leaves_no_file(tmp_path: Path) -> None:
    end = Ending(as_json=False)
    path = tmp_path / "talk.wav"
    with live_recording(path, SessionConfig(), end) as recording:
        assert recording is not None
        await Devices(recording).talk(1.0)
        await recording.aclose()
    assert not path.exists()
    with live_recording(None, SessionConfig(), end) as recording:
        assert recording is None
