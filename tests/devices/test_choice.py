"""Devices that the user chooses once, and what is done when a chosen one is not there."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sonic_voice.cli.device_choice import chosen_devices

from ..support.device_sounds import until
from ..support.talk_command import talking
from ..support.virtual import HEADSET_MICROPHONE, SoundServer

PROGRAM = (sys.executable, "-m", "sonic_voice")


@pytest.fixture
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's state, for this test alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


async def test_a_microphone_is_chosen_by_its_name_used_and_replaced_when_it_is_gone(
    sound: SoundServer, state_home: Path
) -> None:
    sound.plug_headset()
    try:
        async with questions() as (controller, process):
            shown = await read_until(controller, b"Enter: the default): ")
            assert HEADSET_MICROPHONE.encode() in shown
            os.write(controller, b"Headless\n")
            wrong = await read_until(controller, b"Enter: the default): ")
            assert b"No microphone is called 'Headless'. There are" in wrong
            os.write(controller, b"Headset Mik\n")
            await read_until(controller, b"Loudspeaker (number or part of a name; ")
            os.write(controller, b"\n")
            await read_until(controller, b"Saved")
            assert await process.wait() == 0
        kept = json.loads((state_home / "sonic-voice" / "devices.json").read_text())
        assert kept == {"input": "headset_mic"}
        assert await source_of_a_conversation(sound) == ("headset_mic", "")
    finally:
        sound.unplug_headset()
    source, notices = await source_of_a_conversation(sound)
    assert source == "vmic"
    assert "The chosen microphone 'headset_mic' is not here: the default is used." in notices


async def source_of_a_conversation(sound: SoundServer) -> tuple[str, str]:
    """The server's source that `talk` records, and the notices."""
    async with talking("--local") as talk:
        await talk.until("Opened")
        await until(lambda: len(recorded_sources(sound)) == 1)
        (used,) = recorded_sources(sound)
        _, notices, _ = await talk.leave()
    names = dict(line.split("\t")[:2] for line in sound.control("list short sources").splitlines())
    return names[used], notices


def recorded_sources(sound: SoundServer) -> list[str]:
    """The numbers of the sources that programs record."""
    streams = sound.control("list short source-outputs").splitlines()
    return [line.split("\t")[1] for line in streams if "protocol-native.c" in line]


@asynccontextmanager
async def questions() -> AsyncGenerator[tuple[int, asyncio.subprocess.Process]]:
    """`sonic-voice devices --choose` in a terminal."""
    controller, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "devices", "--choose", stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    try:
        yield controller, process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(controller)


async def read_until(controller: int, words: bytes) -> bytes:
    """What the terminal shows until these words are the last but some."""
    shown = b""
    async with asyncio.timeout(20):
        while words not in shown:
            shown += await asyncio.to_thread(os.read, controller, 4096)
    return shown


@pytest.mark.parametrize("key", ["Ctrl-C", "Ctrl-D"])
async def test_leaving_the_questions_keeps_nothing(
    sound: SoundServer, state_home: Path, key: str
) -> None:
    async with questions() as (controller, process):
        shown = await read_until(controller, b"Enter: the default): ")
        if key == "Ctrl-C":
            process.send_signal(signal.SIGINT)  # this terminal controls no process
        else:
            os.write(controller, b"\x04")
        async with asyncio.timeout(20):
            assert await process.wait() != 0
        with suppress(OSError):  # the terminal is closed, with nothing more to show
            shown += await asyncio.to_thread(os.read, controller, 4096)
    assert b"Traceback" not in shown
    assert not list(state_home.iterdir())


def test_questions_are_not_asked_in_a_pipe(sound: SoundServer, state_home: Path) -> None:
    run = subprocess.run(
        [*PROGRAM, "devices", "--choose"], input="1\n", capture_output=True, text=True, timeout=30
    )
    assert run.returncode == 2
    assert "--microphone" in run.stderr
    assert not list(state_home.iterdir())


@pytest.mark.parametrize("content", ["", "[]", '{"input": 3}', "\0"])
def test_a_damaged_choice_is_no_choice(state_home: Path, content: str) -> None:
    file = state_home / "sonic-voice" / "devices.json"
    file.parent.mkdir()
    file.write_text(content)
    assert chosen_devices() == {}


ALSA_CONFIGURATION = b"""</usr/share/alsa/alsa.conf>
pcm."Kopfh\xf6rer" { type null hint { show on description "in Latin-1" } }
pcm."K\xc3\xb6rper" { type null hint { show on description "in UTF-8" } }
"""
"""Two devices whose names are in different encodings."""


@pytest.mark.parametrize("library", ["pyaudio", "sounddevice"])
def test_names_in_any_encoding_are_listed_as_text(tmp_path: Path, library: str) -> None:
    (tmp_path / "asound.conf").write_bytes(ALSA_CONFIGURATION)
    listing = f"devices({library!r})"
    script = (
        f"from sonic_voice.devices import devices; print(*[d.name for d in {listing}], sep='|')"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "ALSA_CONFIG_PATH": str(tmp_path / "asound.conf")},
    )
    assert (run.stderr, run.returncode) == ("", 0)
    assert {"Kopfhörer", "Körper"} <= set(run.stdout.strip().split("|"))
