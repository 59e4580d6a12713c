"""What the doctor says about devices that open and are of no use, and whether its fixes work."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sonic_voice.devices import (
    BackendName,
    DeviceFault,
    Microphone,
    Speaker,
    device_fault,
    devices,
    read_sound_server,
)
from sonic_voice.devices.port import Direction
from sonic_voice.doctor import Finding, Options
from sonic_voice.doctor.sound import check_sound
from sonic_voice.doctor.sound_findings import timing_finding

from ..support.device_sounds import SPEECH
from ..support.talk_command import talking
from ..support.virtual import SoundServer

PROGRAM = (sys.executable, "-m", "sonic_voice")
SCENARIO = "steps: [{user: hello, say: Good morning.}]"

CONVERSATIONS_HELD: set[str] = set()
"""Fixes whose command has been run: several faults have the same, and it takes seconds."""

ROOM_NOISE = 8
"""Standard deviation of a quiet room's samples, of 32768."""


@dataclass(frozen=True)
class Fault:
    """A way in which a machine's sound is of no use, and what the doctor finds."""

    commands: tuple[str, ...]
    """Commands of `pactl` that bring it about."""
    name: str
    grade: str
    found: str
    """Regular expression for the text of the finding."""


FAULTS = {
    "an output without an input": Fault(
        ("unload-module module-remap-source", "set-default-source spk.monitor"),
        "microphone",
        "failure",
        r"There is no microphone: 'Monitor of .*' records what the loudspeaker .* plays\.",
    ),
    "a monitor as the default": Fault(
        ("set-default-source spk.monitor",), "microphone", "failure", "There is no microphone:"
    ),
    "a microphone at 2 %": Fault(
        ("set-source-volume vmic 2%",), "microphone", "warning", r"The volume of .* is 2 %"
    ),
    "nothing but a dummy output": Fault(
        (
            "unload-module module-remap-source",
            "unload-module module-null-sink",
            "load-module module-null-sink sink_name=auto_null norewinds=1",
        ),
        "loudspeaker",
        "failure",
        "There is no loudspeaker: .* plays nowhere",
    ),
}


@pytest.fixture
def room(sound: SoundServer) -> Iterator[SoundServer]:
    """The usual devices in a quiet room, put back in order afterwards."""
    noise = np.random.default_rng(4).normal(0, ROOM_NOISE, 16_000 * 30).astype("<i2").tobytes()
    speaking = sound.say(noise, 16_000)
    yield sound
    speaking.terminate()
    speaking.wait()
    sound.stop()
    sound.start()


async def findings(backend: BackendName = "sounddevice") -> dict[str, Finding]:
    """The doctor's findings about sound, by their names."""
    options = Options(local=True, backend=backend)
    return {finding.name: finding async for finding in check_sound(options)}


async def test_devices_in_order_are_found_in_order(room: SoundServer, backend: BackendName) -> None:
    found = await findings(backend)
    assert {name: finding.grade for name, finding in found.items()} == dict.fromkeys(
        ("sound library", "loudspeaker", "microphone", "echo"), "ok"
    ), found


QUICK = ("a monitor as the default", "a microphone at 2 %")
"""The faults of the usual run."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.thorough) for name in FAULTS],
)
async def test_a_fault_of_a_device_is_found_and_its_fix_works(
    room: SoundServer, tmp_path: Path, name: str
) -> None:
    fault = FAULTS[name]
    for command in fault.commands:
        room.control(command)
    finding = (await findings())[fault.name]
    assert (finding.grade, bool(re.search(fault.found, finding.found))) == (fault.grade, True), (
        finding
    )
    await run_fix(finding.fix, tmp_path)
    if "pactl" in finding.fix:
        assert server_fault("input") is server_fault("output") is None


def server_fault(direction: Direction) -> DeviceFault | None:
    """What the server says against its default device."""
    state = read_sound_server()
    assert state is not None
    default = next(device for device in devices() if device.is_default(direction))
    return device_fault(state, default, direction)


async def test_without_the_word_of_a_server_a_monitor_is_recognized_by_its_sound(
    room: SoundServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pulsectl", None)  # as if it were not installed
    assert read_sound_server() is None
    room.control("set-default-source spk.monitor")
    finding = (await findings())["microphone"]
    assert (finding.grade, "is no microphone" in finding.found) == ("failure", True), finding


async def test_a_machine_without_sound_is_offered_what_works(
    sound: SoundServer, tmp_path: Path
) -> None:
    sound.stop()
    try:
        found = await findings()
        for name in ("microphone", "loudspeaker"):
            assert found[name].grade == "failure"
            await run_fix(found[name].fix, tmp_path)
    finally:
        sound.start()


async def test_devices_that_are_served_late_are_counted(sound: SoundServer, tmp_path: Path) -> None:
    """The server stands still for a moment, as programs do on a machine that is too busy."""
    notices: list[str] = []
    microphone, speaker = Microphone(on_notice=notices.append), Speaker(on_notice=notices.append)
    async with microphone, speaker:
        await microphone.read()
        assert timing_finding(microphone.stats, speaker.stats, "sounddevice") is None
        while not notices:
            await asyncio.to_thread(sound.pause, 0.25)
            await microphone.read()
            await asyncio.sleep(0.1)
        finding = timing_finding(microphone.stats, speaker.stats, "sounddevice")
        assert (microphone.stats.losses, speaker.stats.losses) == (0, 0)
    assert "This machine is too busy" in notices[0]
    assert finding is not None
    assert "too busy" in finding.found
    assert "--latency high" in microphone.stats.advice + speaker.stats.advice
    await run_fix(finding.fix, tmp_path)


async def run_fix(fix: str, folder: Path) -> None:
    """Run the command at the end of a fix, but a conversation only once.

    It is held with the local emulator, by a scenario that needs no good ears.
    """
    match = re.search(r": (sonic-voice|pactl) (.*)$", fix)
    assert match, fix
    program, arguments = match[1], match[2].split()
    if program == "pactl":
        await succeed("pactl", *arguments)
    elif arguments[0] != "talk":
        await succeed(*PROGRAM, *arguments)
    elif fix not in CONVERSATIONS_HELD:
        CONVERSATIONS_HELD.add(fix)
        (folder / "s.yaml").write_text(SCENARIO)
        local = ("--local", "--scenario", str(folder / "s.yaml"))
        if "--input" in arguments:
            shutil.copy(SPEECH / "hello.wav", folder / "speech.wav")
            await succeed(*PROGRAM, *arguments, *local, folder=folder)
            assert (folder / "answer.wav").stat().st_size
            return
        async with talking(*arguments[1:], *local) as talk:
            await talk.until("Opened")
            code, error, _ = await talk.leave()
        assert code == 130, error


async def succeed(*command: str, folder: Path | None = None) -> None:
    """Run a command, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    async with asyncio.timeout(60):
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
