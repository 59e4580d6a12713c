"""How a conversation of the command line ends: signals, faults, full disks; what is then reported.

Each test runs the real program against the real emulator and looks at its exit code, its standard
error, the files it leaves and the last record of `--json` and `--events`.
"""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import wave
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.emulator.observers import StreamStatistics
from sonic_voice.emulator.service.effects import Effect, StreamRefusal

from .test_cli import KEYS, PROGRAM, QUESTION, SCENARIO, Done, sonic_voice, start

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
ONE_TURN = """
steps:
  - user: go forward ten meters
    say: [I will go forward now., Please wait until I am there.]
"""
GO_FORWARD = str(Path(__file__).parent.parent / "speech" / "goforward.wav")
TALK = ("talk", "--local", *SCENARIO, "--input", QUESTION, "-o", "a.wav", "--events", "e.jsonl")


def records(text: str) -> list[dict[str, Any]]:
    """The JSON lines of `text`; fails for anything else among them."""
    return [json.loads(line) for line in text.splitlines()]


def frames(path: Path) -> int:
    with wave.open(str(path)) as sound:
        return sound.getnframes()


@dataclass
class Running:
    """The program, and what it has printed so far."""

    process: asyncio.subprocess.Process
    printed: list[dict[str, Any]]

    async def until(self, event: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while not any(record["event"] == event for record in self.printed):
                line = await self.process.stdout.readline()
                assert line, "it ended"
                self.printed.append(json.loads(line))

    async def end(self) -> Done:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            out, err = await self.process.stdout.read(), await self.process.stderr.read()
            code = await self.process.wait()
        self.printed += records(out.decode())
        return Done(code, "", err.decode())


@asynccontextmanager
async def running(*arguments: str, cwd: Path, **environment: str) -> AsyncGenerator[Running]:
    process = await start(*arguments, cwd=cwd, **environment)
    try:
        yield Running(process, [])
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


# -- signals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), SIGNALS, ids=[s.name for s, _ in SIGNALS])
@pytest.mark.parametrize("phase", ["UserSpeechStarted", "Audio"])
async def test_a_signal_ends_a_conversation_gracefully(
    tmp_path: Path, number: signal.Signals, code: int, phase: str
) -> None:
    async with running(*TALK, "--json", cwd=tmp_path) as talk:
        await talk.until(phase)
        talk.process.send_signal(number)
        done = await talk.end()
    assert (done.code, done.err) == (code, "")
    last = talk.printed[-1]
    assert last["event"] == "Ended"
    assert (last["reason"], last["signal"], last["exit_code"]) == ("interrupted", number.name, code)
    assert 5 < last["unspoken_s"] < 18
    assert records((tmp_path / "e.jsonl").read_text())[-1] == last
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "e.jsonl"]
    assert frames(tmp_path / "a.wav") > 0


@pytest.mark.parametrize(("number", "code"), SIGNALS, ids=[s.name for s, _ in SIGNALS])
async def test_a_signal_during_the_opening_leaves_no_recording(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    connected = asyncio.Event()

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(accept, "localhost", 0) as server:
        port = server.sockets[0].getsockname()[1]
        arguments = ("talk", "--input", QUESTION, "-o", "a.wav", "--json", "--region", "us-east-1")
        there = ("--endpoint", f"https://localhost:{port}")
        async with running(*arguments, *there, cwd=tmp_path, **KEYS) as talk:
            await asyncio.wait_for(connected.wait(), 60)
            talk.process.send_signal(number)
            done = await talk.end()
        for writer in writers:
            writer.close()
    assert (done.code, done.err) == (code, "")
    (last,) = talk.printed
    assert (last["reason"], last["at_s"], last["exit_code"]) == ("interrupted", None, code)
    assert list(tmp_path.iterdir()) == []


async def test_a_signal_while_connecting_again_ends_it_at_once(tmp_path: Path) -> None:
    """The first stream is not there yet, and no goodbye can be said."""
    async with talking_to(tmp_path, fault="http:429") as talk:
        await talk.until("Reconnecting")
        began_s = asyncio.get_running_loop().time()
        talk.process.send_signal(signal.SIGINT)
        done = await talk.end()
        took_s = asyncio.get_running_loop().time() - began_s
    assert took_s < 2
    assert (done.code, done.err) == (130, "")
    last = talk.printed[-1]
    assert (last["reason"], last["at_s"], last["exit_code"]) == ("interrupted", None, 130)
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


class Goodbyes:
    """A watch of the emulator that tells when a client has said goodbye."""

    def __init__(self) -> None:
        self.said = asyncio.Event()

    def opened(self, statistics: StreamStatistics) -> "Goodbyes":
        return self

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None: ...

    def received(self, payload: bytes) -> None:
        if b'"sessionEnd"' in payload:
            self.said.set()

    def input_ended(self) -> None: ...

    def answered(self, effect: Effect) -> None: ...

    def over(self) -> None: ...


@asynccontextmanager
async def talking_to(
    tmp_path: Path, *more: str, fault: str, watch: Goodbyes | None = None
) -> AsyncGenerator[Running]:
    """`talk --json` asks one question of an emulator with `fault`."""
    scenario = tmp_path / "s.yaml"
    scenario.write_text(ONE_TURN)
    behaviour = Behaviour(faults=(fault,), latency="none")
    observers = [watch] if watch else []
    async with emulator(scenario, behaviour=behaviour, observers=observers) as service:
        environment: dict[str, Any] = service.environment()
        at = ("--input", GO_FORWARD, "-o", "a.wav", "--endpoint", service.endpoint)
        arguments = (*at, "--ca", str(service.ca_file), "--json", "--speed", "4", *more)
        async with running("talk", *arguments, cwd=tmp_path, **environment) as talk:
            yield talk


async def test_a_second_signal_ends_the_process_at_once_and_keeps_the_recording(
    tmp_path: Path,
) -> None:
    """The goodbye is not answered, so the first signal would take 10 s."""
    goodbyes = Goodbyes()
    async with talking_to(tmp_path, fault="goodbye:mute", watch=goodbyes) as talk:
        await asyncio.wait_for(goodbyes.said.wait(), 60)
        talk.process.send_signal(signal.SIGTERM)
        talk.process.send_signal(signal.SIGINT)
        began_s = asyncio.get_running_loop().time()
        done = await talk.end()
        took_s = asyncio.get_running_loop().time() - began_s
    assert took_s < 5
    assert (done.code, done.err) in [(143, ""), (130, "")]  # signals are not delivered in order
    assert talk.printed[-1]["reason"] == "interrupted"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "s.yaml"]
    assert frames(tmp_path / "a.wav") > 24_000


BLOCKING = """
import time
from sonic_voice import tool

@tool
async def go(direction: str, meters: int) -> None:
    "Move."
    print("blocked", flush=True)
    time.sleep(60)
"""


async def test_a_second_signal_ends_a_process_that_a_tool_blocks(tmp_path: Path) -> None:
    (tmp_path / "tool.py").write_text(BLOCKING)
    async with running(*TALK, "--json", "--tools", "tool.py", cwd=tmp_path) as talk:
        assert talk.process.stderr is not None
        while b"blocked" not in await asyncio.wait_for(talk.process.stderr.readline(), 60):
            pass
        for _ in range(2):
            talk.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.2)  # the kernel merges two that are pending
        done = await talk.end()
    assert (done.code, done.err) == (130, "")
    assert talk.printed[-1]["reason"] == "interrupted"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "e.jsonl", "tool.py"]


@pytest.mark.parametrize("module", ["typer", "asyncio", "numpy", "sonic_voice.cli.recorded"])
async def test_ctrl_c_while_the_program_is_imported_prints_nothing(
    tmp_path: Path, module: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", "-m", "sonic_voice", "demo"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while (await process.stderr.readline()).decode().rpartition("|")[2].strip() != module:
            pass
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == 130
    assert out == b""
    assert [line for line in err.splitlines() if not line.startswith(b"import time:")] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(("number", "code"), SIGNALS, ids=[s.name for s, _ in SIGNALS])
def test_the_terminal_is_restored_and_its_cursor_shown(
    number: signal.Signals, code: int, times: int
) -> None:
    controller, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    process = subprocess.Popen(
        [sys.executable, "-c", RAW, str(times)], stdin=terminal, stdout=terminal, stderr=terminal,
        env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    seen = b""
    while b"ready" not in seen:
        seen += os.read(controller, 1024)
    assert termios.tcgetattr(terminal) != before
    process.send_signal(number)
    if times == 2:
        while b"goodbye" not in seen:
            seen += os.read(controller, 1024)
        process.send_signal(number)
    assert process.wait(30) == code
    assert termios.tcgetattr(terminal) == before
    os.close(terminal)
    while chunk := read_on(controller):
        seen += chunk
    os.close(controller)
    assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l")
    assert seen.rindex(b"\x1b[?2004l") > seen.rindex(b"\x1b[?2004h")  # pasted texts are not marked
    assert b"Traceback" not in seen


def read_on(controller: int) -> bytes:
    try:
        return os.read(controller, 1024)
    except OSError:  # the other side is closed
        return b""


RAW = """
import asyncio, sys
from sonic_voice.cli.signals import ending_signals
ending_signals.install()
from sonic_voice.cli.base import run_until_done
from sonic_voice.cli.terminal import restorer
from sonic_voice.cli.terminal.keys import keyboard
ending_signals.importing = False

async def work():
    write = lambda text: print(text, end="", flush=True)
    show = lambda: write("\\x1b[?25h")
    with ending_signals.on_forced_exit(restorer()):
        with keyboard(lambda key: None, stopping=show, continued=show):
            try:
                write("\\x1b[?25lready")
                await asyncio.sleep(60)
            finally:
                write("goodbye")
                if TIMES == 2:
                    await asyncio.sleep(60)
                show()

TIMES = int(sys.argv[1]) if len(sys.argv) > 1 else 1
try:
    run_until_done(work())
except BaseException as error:
    sys.exit(error.exit_code)
"""


# -- faults of the service -------------------------------------------------------------------------

FAULTS: list[tuple[str, int, str, str, list[str]]] = [
    ("no-events", 5, "unanswered", "NotAnswered", ["did not react", "goforward.wav"]),
    ("no-answer", 5, "unanswered", "NotAnswered", ["answer to turn 1", "30 s"]),
    ("goodbye:cut", 0, "goodbye", "", []),
    ("goodbye:reset", 0, "goodbye", "", []),
    ("goodbye:goaway", 0, "goodbye", "", []),
    ("goodbye:mute", 0, "goodbye", "", ["Note: ", "10 s of the goodbye"]),
    ("cut", 5, "network", "ConnectionLost", ["connection"]),
    ("http:429", 4, "service", "ServiceError", ["no more streams"]),
    ("exception:modelStreamErrorException", 4, "service", "ServiceError", ["unable to answer"]),
]


@pytest.mark.parametrize(
    ("fault", "code", "reason", "kind", "words"), FAULTS, ids=[case[0] for case in FAULTS]
)
async def test_the_last_record_says_why_a_conversation_ended(
    tmp_path: Path, fault: str, code: int, reason: str, kind: str, words: list[str]
) -> None:
    once = ("--no-reconnect", "--events", "e.jsonl")
    async with talking_to(tmp_path, *once, fault=fault) as talk:
        done = await talk.end()
    assert done.code == code, done.err
    assert bool(done.err) == bool(words)
    for word in words:
        assert word in done.err
    last = talk.printed[-1]
    assert (last["event"], last["reason"], last["exit_code"]) == ("Ended", reason, code)
    error = last["error"]
    assert (error["type"] if error else "") == kind
    if error:
        assert error["message"] in done.err
    if fault == "http:429":
        assert (error["kind"], len(error["request_id"])) == ("throttled", 36)
    assert records((tmp_path / "e.jsonl").read_text())[-1] == last


async def test_an_error_before_the_conversation_has_a_record_too(tmp_path: Path) -> None:
    done = await sonic_voice(*TALK, "--json", "--voice", "tifany", cwd=tmp_path)
    (last,) = records(done.out)
    assert (done.code, last["exit_code"], last["reason"]) == (3, 3, "config")
    assert last["error"]["message"] in done.err


async def test_what_was_not_spoken_is_told_to_people(tmp_path: Path) -> None:
    error = "{code: modelStreamErrorException, message: It failed.}"
    scenario = f"steps: [{{user: hello, error: {error}}}]"
    (tmp_path / "s.yaml").write_text(scenario)
    done = await sonic_voice(*ONE_CUT, cwd=tmp_path)
    assert done.code == 4
    told = [line for line in done.out.splitlines() if "not spoken" in line]
    assert len(told) == 1
    assert told[0].startswith("The last ")
    assert told[0].endswith(" s of demo.wav were not spoken.")


ONE_CUT = ("talk", "--local", "--no-reconnect", "--scenario", "s.yaml", "--input", QUESTION)


# -- outputs that fail -----------------------------------------------------------------------------

PRINTING = """
import ctypes, os, subprocess
from sonic_voice import tool

print("printed at import")

@tool
def go(direction: str, meters: int) -> dict[str, object]:
    "Move."
    print("printed by Python")
    subprocess.run(["echo", "printed by a process"])
    os.write(1, b"written to descriptor 1\\n")
    libc = ctypes.CDLL(None)
    libc.puts(b"printed by C")
    libc.fflush(None)
    return {"direction": direction, "meters": meters}
"""


async def test_what_tools_print_is_never_among_the_json_lines(tmp_path: Path) -> None:
    (tmp_path / "tool.py").write_text(PRINTING)
    done = await sonic_voice(
        *TALK, "--json", "--speed", "10", "--tools", "tool.py", cwd=tmp_path, PYTHONUNBUFFERED="1"
    )
    assert done.code == 0
    assert records(done.out)[-1]["event"] == "Ended"
    # A thread writes what Python prints, beside what the others write, also between its line and
    # the end of that line.
    texts = (
        "printed at import", "printed by Python", "printed by a process",
        "written to descriptor 1", "printed by C",
    )  # fmt: skip
    assert [done.err.count(text) for text in texts] == [1] * len(texts)
    assert len(done.err) == sum(len(text) + 1 for text in texts)


async def test_a_full_disk_for_events_is_one_sentence_and_the_conversation_goes_on(
    tmp_path: Path,
) -> None:
    done = await sonic_voice(
        *TALK, "--json", "--speed", "10", "--events", "/dev/full", cwd=tmp_path
    )
    assert done.code == 0
    assert done.err == (
        "Note: Writing events to /dev/full failed: No space left on device. "
        "The conversation goes on without them.\n"
    )
    printed = records(done.out)
    assert [record["turn"] for record in printed if record["event"] == "TurnEnded"][-1] == 3
    assert printed[-1]["reason"] == "goodbye"
    assert frames(tmp_path / "a.wav") > 24_000 * 15


async def test_a_full_disk_for_the_recording_keeps_what_was_recorded(tmp_path: Path) -> None:
    """The limit for events is the same one, so that they are left out here."""
    process = await asyncio.create_subprocess_exec(
        *("prlimit", "--fsize=200044", PROGRAM, *TALK[:-2], "--json", "--speed", "10"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert b"Writing a.wav failed: File too large. The first 4.2 s are kept." in err
    assert records(out.decode())[-1]["reason"] == "audio"
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    assert frames(tmp_path / "a.wav") == 100_000


@pytest.mark.parametrize("more", [(), ("--json",)])
async def test_a_reader_that_goes_ends_the_conversation_quietly(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    process = await start(*TALK, *more, cwd=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60)
    process.stdout._transport.close()  # pyright: ignore
    assert await asyncio.wait_for(process.wait(), 60) == 141
    assert await process.stderr.read() == b""
    last = records((tmp_path / "e.jsonl").read_text())[-1]
    assert (last["reason"], last["exit_code"]) == ("stdout-closed", 141)
    assert frames(tmp_path / "a.wav") >= 0


IN_A_SESSION = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


async def test_a_terminal_that_is_closed_ends_the_conversation_as_sighup_does(
    tmp_path: Path,
) -> None:
    """Nothing can be printed any more, and the recording and the events are kept."""
    controller, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", IN_A_SESSION, str(PROGRAM), *TALK),
        cwd=tmp_path,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    seen = b""
    while b"hello" not in seen:
        seen += await asyncio.to_thread(os.read, controller, 1024)
    os.close(controller)
    assert await asyncio.wait_for(process.wait(), 60) == 129
    last = records((tmp_path / "e.jsonl").read_text())[-1]
    assert (last["reason"], last["signal"]) == ("interrupted", "SIGHUP")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "e.jsonl"]


async def test_a_recording_without_words_is_a_good_end_that_says_so(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "quiet.wav"), "wb") as quiet:
        quiet.setparams((1, 2, 16_000, 0, "NONE", ""))
        quiet.writeframes(bytes(32_000))
    done = await sonic_voice(
        *("talk", "--local", *SCENARIO, "--speed", "20", "--input", "quiet.wav"), cwd=tmp_path
    )
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "The service heard nothing to answer in quiet.wav."
