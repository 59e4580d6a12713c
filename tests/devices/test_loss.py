"""Devices that vanish, return, or were never there: the conversation goes on, or is told why."""

import asyncio
import subprocess
import sys
import time

import pytest

from sonic_voice.devices import BackendName, Microphone, Speaker
from sonic_voice.errors import DeviceError

from ..support.device_sounds import (
    SPOKEN_HZ,
    at_capture_rate,
    listening,
    quiet,
    samples,
    speech,
    until,
)
from ..support.virtual import SoundServer, likeness

SCRIPT = """
import asyncio, sys
from sonic_voice.devices import Microphone, Speaker, devices
from sonic_voice.errors import DeviceError

async def main(backend, how):
    devices(backend)
    for wrong in (lambda: Microphone("none such", backend=backend),
                  lambda: Speaker(backend=backend, rate_hz=300)):
        try:
            wrong()
        except DeviceError:
            pass
    microphone, speaker = Microphone(backend=backend), Speaker(backend=backend)
    speaker.play(1, bytes(48_000))
    await microphone.read()
    if how == "close":
        await microphone.aclose()
        await speaker.aclose()
    print("goodbye")

asyncio.run(main(*sys.argv[1:]))
"""


async def test_devices_that_vanish_and_come_back_are_used_again(
    sound: SoundServer, backend: BackendName
) -> None:
    notices: list[str] = []
    said, played = await speech("hello"), await speech("hello", SPOKEN_HZ)
    microphone = Microphone(backend=backend, on_notice=notices.append)
    loudspeaker = Speaker(backend=backend, rate_hz=48_000, on_notice=notices.append)
    async with microphone, loudspeaker, listening(microphone) as heard:
        await asyncio.sleep(0.2)
        began_s, before = time.monotonic(), len(heard)
        await asyncio.to_thread(sound.unplug)
        await until(lambda: len(about_loss(notices)) == 2)
        loudspeaker.play(1, played)
        await asyncio.sleep(0.5)
        waited_s = time.monotonic() - began_s
        assert (len(heard) - before) / 32_000 == pytest.approx(waited_s, abs=0.25)
        assert loudspeaker.played_ms(1) == 0
        await asyncio.to_thread(sound.plug)
        with sound.capture() as capture:
            await until(lambda: len(about_loss(notices)) == 4)
            speaking = sound.say(said, 16_000)
            await asyncio.to_thread(speaking.wait)
            await quiet(loudspeaker)
    assert all("has stopped" in text for text in about_loss(notices)[:2])
    assert sorted(about_loss(notices)[2:]) == [
        "The loudspeaker 'default' is back.",
        "The microphone 'default' is back.",
    ]
    assert (microphone.stats.losses, loudspeaker.stats.losses) == (1, 1)
    assert likeness(samples(said), samples(bytes(heard))) > 0.9
    assert likeness(at_capture_rate(played), capture.samples) > 0.9


async def test_a_sound_server_that_dies_and_returns_ends_nothing(
    sound: SoundServer, backend: BackendName
) -> None:
    notices: list[str] = []
    microphone = Microphone(backend=backend, on_notice=notices.append)
    async with microphone, listening(microphone):
        await asyncio.sleep(0.1)
        await asyncio.to_thread(sound.stop)
        await until(lambda: len(about_loss(notices)) == 1)
        await asyncio.to_thread(sound.start)
        await until(lambda: len(about_loss(notices)) == 2)
    assert "is back" in about_loss(notices)[1] or "is gone" in about_loss(notices)[1]


def about_loss(notices: list[str]) -> list[str]:
    """Return the notices about lost devices; a machine without any has others, too."""
    said = ("has stopped", "is back", "is gone")
    return [notice for notice in notices if any(words in notice for words in said)]


@pytest.mark.parametrize("how", ["close", "forget"])
def test_nothing_is_printed_that_is_not_ours(
    sound: SoundServer, backend: BackendName, how: str
) -> None:
    """Neither by PortAudio and ALSA, nor by an interpreter that ends with devices open."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, backend, how], capture_output=True, text=True, timeout=30
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "goodbye\n", "")


def test_with_the_sound_server_dead_nothing_is_printed_either(
    sound: SoundServer, backend: BackendName
) -> None:
    sound.stop()
    try:
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, backend, "close"],
            capture_output=True,
            text=True,
            timeout=30,
        )
    finally:
        sound.start()
    lines = run.stderr.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("sonic_voice.errors.DeviceError: ")


async def test_without_any_device_files_are_offered(
    sound: SoundServer, backend: BackendName
) -> None:
    sound.stop()
    try:
        with pytest.raises(DeviceError, match=r"There is no microphone here\..*--input"):
            Microphone(backend=backend)
        with pytest.raises(DeviceError, match=r"There is no loudspeaker here\..*--output"):
            Speaker(backend=backend)
    finally:
        sound.start()
