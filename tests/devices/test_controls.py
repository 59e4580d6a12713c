"""The controls of a live conversation with a microphone and a loudspeaker, on a terminal."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ..support.device_sounds import speech
from ..support.pty_program import pty_program
from ..support.talk_command import talking
from ..support.virtual import Capture, SoundServer

ANSWER = (
    "I can only repeat it. Whenever you do not know what to say, please try again, and again, and "
    "once more, until the evening comes and the lamps are lit along the river, and everybody has "
    "gone home to sleep, and nobody is left to listen to the end of this very long sentence."
)
SCENARIO = f"""
endpoint_ms: 480
steps:
  - user: hello
    say: {ANSWER}
  - user: please try again
    say: {ANSWER}
  - user: please try again
    say: {ANSWER}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    return tmp_path


async def test_lines_mute_change_the_volume_and_quit(sound: SoundServer, folder: Path) -> None:
    async with pty_program(
        *("talk", "--local", "--scenario", "s.yaml", "--plain", "--no-save", "--push-to-talk"),
        environment=os.environ,
        cwd=folder,
    ) as program:
        await program.until("/help lists the commands.")
        program.type("\n")
        await program.until("The microphone is open. Press Enter when you are done.")
        program.type("/mute\n")
        await program.until("Push-to-talk: press Enter to speak")
        program.type("/volume 40\n")
        await program.until("Volume 40 %.")
        program.type("/half-duplex on\n")
        await program.until("The microphone is closed while the model speaks.")
        program.type("hello\n")
        await program.until("hello (typed)")
        await program.until("I can only repeat it")
        await asyncio.sleep(2.0)  # its sound follows
        program.type("/stop\n")
        await program.until("interrupted after")
        program.type("/quit\n")
        assert await program.ended() == 0
        assert "Traceback" not in program.text


async def test_keys_show_what_they_change(sound: SoundServer, folder: Path) -> None:
    async with pty_program(
        *("talk", "--local", "--scenario", "s.yaml", "--no-save", "--mute"),
        environment=os.environ,
        cwd=folder,
    ) as program:
        await program.until("muted")
        await program.until("m unmute")
        program.type("-\x1b[B")
        await program.until("vol 80%")
        program.type("m")
        await program.until("m mute")
        program.type("h")
        await program.until("Press h to open it.")
        program.type("q")
        assert await program.ended() == 0
        assert "Traceback" not in program.text


async def test_who_reads_and_speaks_needs_no_loudspeaker(sound: SoundServer, folder: Path) -> None:
    with Capture() as capture:
        async with talking("--local", "--scenario", str(folder / "s.yaml"), "--no-speaker") as talk:
            await talk.until("Opened")
            speaking = sound.say(await speech("hello"), 16_000)
            await talk.until("TurnEnded", turn=1)
            await asyncio.to_thread(speaking.wait)
            code, error, _ = await talk.leave()
    assert (code, error) == (130, "")
    assert not capture.samples.any()
    assert not talk.all("Heard")


async def test_a_model_that_hears_itself_twice_gets_a_closed_microphone(
    sound: SoundServer, folder: Path
) -> None:
    """Its echo is a recording of words of its answer, spoken into the microphone."""
    async with talking(
        *("--local", "--scenario", str(folder / "s.yaml"), "--no-aec", "--auto-half-duplex")
    ) as talk:
        await talk.until("Opened")
        echo = await speech("please-try-again")
        for turn, words in ((1, await speech("hello")), (2, echo), (3, echo)):
            speaking = sound.say(words, 16_000)
            await talk.until("Audio", turn=turn)
            await asyncio.to_thread(speaking.wait)
            await asyncio.sleep(0.5)
        await talk.until_noticed("From now on it is closed while the model speaks.", 1)
        speaking = sound.say(echo, 16_000)  # into the third answer, which nobody interrupts now
        await asyncio.to_thread(speaking.wait)
        await asyncio.sleep(1.0)
        await talk.leave()
    assert [event["turn"] for event in talk.all("Interrupted")] == [1, 2]


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- 2>&-"])
async def test_a_conversation_with_closed_streams_goes_on_until_it_is_ended(
    sound: SoundServer, folder: Path, closed: str
) -> None:
    os.mkfifo(folder / "events")
    command = f"exec {sys.executable} -m sonic_voice talk --local --scenario s.yaml --no-save"
    async with lines_of(folder / "events") as events:
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", f"{command} --events events {closed}"),
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.fspath(Path(__file__).parents[2])},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(60):
                while "Opened" not in await event(events):
                    pass
                speaking = sound.say(await speech("hello"), 16_000)
                while "AssistantText" not in await event(events):
                    pass
                await asyncio.to_thread(speaking.wait)
                process.send_signal(signal.SIGINT)
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 130
    assert b"Traceback" not in out + err


@asynccontextmanager
async def lines_of(fifo: Path) -> AsyncGenerator[asyncio.StreamReader]:
    """Read a named pipe."""
    reader = asyncio.StreamReader(limit=1 << 22)
    file = os.fdopen(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), file
    )
    try:
        yield reader
    finally:
        transport.close()


async def event(events: asyncio.StreamReader) -> str:
    """Return the name of the next event. Nothing else may be in their file."""
    return str(json.loads(await events.readline())["event"])
