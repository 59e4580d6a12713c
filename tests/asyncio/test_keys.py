"""A real terminal, by way of a pty: its keys, its modes, and the screen on it."""

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, cast

import pytest
from rich.console import Console

from sonic_voice.audio.mute import Gate, HushableSink, MutableSource
from sonic_voice.audio.ports import INPUT_FORMAT, NullSink
from sonic_voice.cli.terminal.key_decoder import ESCAPE_S, PASTE_OFF, PASTE_ON, Key, Paste
from sonic_voice.cli.terminal.keys import keyboard
from sonic_voice.cli.terminal.screen import screen
from sonic_voice.config import SessionConfig
from sonic_voice.controls import Controls
from sonic_voice.events import UserText
from sonic_voice.metrics import Metrics
from sonic_voice.session import Session
from sonic_voice.transport import MemoryTransport


@dataclass
class Terminal:
    """Both ends of a pty: `person` types and looks at it, `fd` is the program's."""

    person: int
    fd: int
    seen: bytes = b""

    @property
    def modes(self) -> list[object]:
        return termios.tcgetattr(self.fd)

    @property
    def line_by_line(self) -> bool:
        return bool(termios.tcgetattr(self.fd)[3] & termios.ICANON)

    def type(self, text: str) -> None:
        os.write(self.person, text.encode())

    def look(self) -> None:
        self.seen += os.read(self.person, 65_536)

    async def until(self, words: bytes) -> None:
        """Look until `words` are seen."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            while words not in self.seen:
                readable = asyncio.Event()
                loop.add_reader(self.person, readable.set)
                try:
                    await readable.wait()
                finally:
                    loop.remove_reader(self.person)
                self.look()

    def file(self, mode: str = "r") -> TextIO:
        """The program's end."""
        return cast(TextIO, open(self.fd, mode, closefd=False))


@pytest.fixture
def terminal() -> Generator[Terminal]:
    person, fd = pty.openpty()
    try:
        yield Terminal(person, fd)
    finally:
        os.close(person)
        os.close(fd)


@dataclass
class Fingers:
    """What is told of a keyboard, to be waited for."""

    keys: list[Key] = field(default_factory=list[Key])
    pressed: asyncio.Event = field(default_factory=asyncio.Event)

    def press(self, key: Key) -> None:
        self.keys.append(key)
        self.pressed.set()

    async def until(self, keys: list[Key]) -> None:
        async with asyncio.timeout(5):
            while self.keys != keys:
                self.pressed.clear()
                await self.pressed.wait()


def nothing() -> None:
    """Nobody draws."""


async def test_keys_come_singly_and_unseen_and_the_modes_are_restored(terminal: Terminal) -> None:
    before = terminal.modes
    fingers = Fingers()
    with (
        terminal.file() as file,
        keyboard(fingers.press, stopping=nothing, continued=nothing, terminal=file) as there,
    ):
        assert there
        assert not terminal.line_by_line
        terminal.type("mü\x1b[D")
        await fingers.until(["m", "ü", "Left"])
    assert terminal.modes == before
    os.write(terminal.fd, b"end")
    await terminal.until(b"end")
    assert terminal.seen == PASTE_ON + PASTE_OFF + b"end"  # no echo of what was typed


async def test_a_paste_of_several_lines_is_one_and_escape_is_decided_by_time(
    terminal: Terminal,
) -> None:
    fingers = Fingers()
    loop = asyncio.get_running_loop()
    with (
        terminal.file() as file,
        keyboard(fingers.press, stopping=nothing, continued=nothing, terminal=file),
    ):
        terminal.type("\x1b[200~one\rtwo\r\x1b[201~")
        await fingers.until([Paste("one\ntwo\n")])
        began_s = loop.time()
        terminal.type("\x1b")
        await fingers.until([Paste("one\ntwo\n"), "Escape"])
        assert loop.time() - began_s >= ESCAPE_S * 0.9
        for piece in ("\x1b", "[", "A"):
            terminal.type(piece)
        await fingers.until([Paste("one\ntwo\n"), "Escape", "Up"])


async def test_an_escape_that_is_still_undecided_at_the_end_is_dropped(terminal: Terminal) -> None:
    fingers = Fingers()
    with (
        terminal.file() as file,
        keyboard(fingers.press, stopping=nothing, continued=nothing, terminal=file),
    ):
        terminal.type("m\x1b")
        await fingers.until(["m"])
    await asyncio.sleep(1.5 * ESCAPE_S)
    assert fingers.keys == ["m"]


async def test_the_modes_are_restored_after_an_error(terminal: Terminal) -> None:
    before = terminal.modes
    with (
        terminal.file() as file,
        pytest.raises(ZeroDivisionError),
        keyboard(Fingers().press, stopping=nothing, continued=nothing, terminal=file),
    ):
        raise ZeroDivisionError
    assert terminal.modes == before


async def test_without_a_terminal_nothing_is_read(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("q")
    with (
        path.open() as file,
        keyboard(Fingers().press, stopping=nothing, continued=nothing, terminal=file) as there,
    ):
        assert not there
        assert file.read() == "q"


# -- a program of its own, since signals and the controlling terminal belong to a process ----------

PROGRAM = """
import asyncio, fcntl, sys, termios
from sonic_voice.cli.terminal.key_decoder import ESCAPE_S, PASTE_OFF, PASTE_ON, Key, Paste
from sonic_voice.cli.terminal.keys import keyboard

fcntl.ioctl(0, termios.TIOCSCTTY, 0)

def say(word):
    print(word, flush=True)

async def main():
    with keyboard(say, stopping=lambda: say("stopping"), continued=lambda: say("continued")):
        say("ready")
        while True:  # as the screen does: a signal just before a wait is noticed after it
            await asyncio.sleep(0.1)

asyncio.run(main())
"""


@dataclass
class Program:
    """A program on a terminal that controls it."""

    running: subprocess.Popen[bytes]

    async def changed(self) -> int:
        """The status with which it stops or ends."""
        _, status = await asyncio.to_thread(os.waitpid, self.running.pid, os.WUNTRACED)
        return status


@pytest.fixture
def program(terminal: Terminal) -> Generator[Callable[[], Program]]:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> Program:
        fd = terminal.fd
        running = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=fd, stdout=fd, stderr=fd, start_new_session=True
        )
        started.append(running)
        return Program(running)

    yield start
    for running in started:
        with suppress(ProcessLookupError):
            running.kill()
        running.wait()


async def test_ctrl_z_restores_the_terminal_and_going_on_takes_it_again(
    terminal: Terminal, program: Callable[[], Program]
) -> None:
    before = terminal.modes
    running = program()
    await terminal.until(b"ready")
    terminal.type("\x1a")
    assert os.WIFSTOPPED(await running.changed())
    assert terminal.modes == before
    await terminal.until(PASTE_OFF)
    os.kill(running.running.pid, signal.SIGCONT)
    await terminal.until(b"continued")
    assert not terminal.line_by_line
    assert terminal.seen.count(PASTE_ON) == 2
    terminal.type("m")
    await terminal.until(b"continued\r\nm")


@pytest.mark.parametrize("end", ["\x03", signal.SIGTERM])
async def test_ctrl_c_and_sigterm_restore_the_terminal(
    terminal: Terminal, program: Callable[[], Program], end: str | signal.Signals
) -> None:
    before = terminal.modes
    running = program()
    await terminal.until(b"ready")
    assert terminal.modes != before
    if isinstance(end, str):
        terminal.type(end)
    else:
        os.kill(running.running.pid, end)
    status = await running.changed()
    assert os.WIFSIGNALED(status)
    assert terminal.modes == before
    await terminal.until(PASTE_OFF)


# -- the screen ------------------------------------------------------------------------------------


class Silence:
    """Nobody speaks."""

    format = INPUT_FORMAT
    done = False

    def now(self) -> float:
        return 0.0

    async def read(self) -> bytes:
        return bytes(640)

    async def aclose(self) -> None:
        """Nothing to give back."""


async def test_the_screen_obeys_keys_writes_what_is_printed_and_leaves_quickly(
    terminal: Terminal,
) -> None:
    before = terminal.modes
    loop = asyncio.get_running_loop()
    session = Session.open(SessionConfig(), MemoryTransport(), clock=lambda: 0.0)
    source, sink = MutableSource(Silence()), HushableSink(NullSink(now=lambda: 0.0))
    metrics = Metrics(session, sink)
    stdout = sys.stdout
    with terminal.file() as keys, terminal.file("w") as file:
        console = Console(file=file, force_terminal=True, width=80, height=24)
        controls = Controls(session, source, sink)
        async with screen(
            console, metrics, controls, advice=[lambda: "It is slow."], terminal=keys
        ) as shown:
            shown(UserText(1, "Hello."), 0.0)
            print("a tool", "speaks")
            terminal.type("m")
            await terminal.until(b", muted")
            leaving_s = loop.time()
        assert loop.time() - leaving_s < 0.1
    await terminal.until(b"\x1b[?25h")
    assert source.gate is Gate.MUTED
    assert terminal.modes == before
    assert sys.stdout is stdout
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.seen.decode())
    assert "a tool speaks" in text
    assert text.count("note  It is slow.") == 1
    assert "you   Hello." in text
    assert terminal.seen.endswith(b"\x1b[?25h" + PASTE_OFF)
