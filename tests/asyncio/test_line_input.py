"""Lines of terminals, pipes and files, as the event loop reads them."""

import asyncio
import os
import pty
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sonic_voice.cli.line_input import MAX_LINE, PASTE_GAP_S, LineInput


@contextmanager
def pipe() -> Generator[tuple[int, int]]:
    """Both ends of a pipe: the one to read from, and the one to write to."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            with suppress(OSError):  # the test may have closed it
                os.close(end)


async def all_of(lines: LineInput) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(5):
        while (line := await lines.read()) is not None:
            found.append(line)
    return found


@pytest.mark.parametrize("in_thread", [False, True])
async def test_the_lines_of_a_pipe_come_one_by_one_to_its_end(in_thread: bool) -> None:
    with pipe() as (read, write):
        lines = LineInput(read, in_thread=in_thread)
        os.write(write, "\N{BYTE ORDER MARK}one\r\ntwo\n\ngrüße".encode())
        os.close(write)
        assert await all_of(lines) == ["one", "two", "", "grüße"]
        assert await lines.read() is None


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_character_may_be_split_and_cancelling_loses_nothing(in_thread: bool) -> None:
    with pipe() as (read, write):
        lines = LineInput(read, in_thread=in_thread)
        os.write(write, b"gr\xc3")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await lines.read()
        os.write(write, b"\xbc\xc3\x9fe\n")
        async with asyncio.timeout(5):
            assert await lines.read() == "grüße"


async def test_the_loop_runs_on_while_nothing_is_typed() -> None:
    with pipe() as (read, write):
        waiting = asyncio.create_task(LineInput(read).read())
        await asyncio.sleep(0)
        assert not waiting.done()
        os.write(write, b"now\n")
        async with asyncio.timeout(5):
            assert await waiting == "now"


async def test_a_file_and_the_null_device_are_read(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\n\xff\n")
    for name, found in ((path, ["one", "\N{REPLACEMENT CHARACTER}"]), (os.devnull, [])):
        fd = os.open(name, os.O_RDONLY)
        try:
            assert await all_of(LineInput(fd)) == found
        finally:
            os.close(fd)


async def test_a_line_without_an_end_is_cut() -> None:
    with pipe() as (read, write):
        lines = LineInput(read)

        def fill() -> None:
            os.write(write, b"a" * (MAX_LINE + 5000) + b"\n")
            os.close(write)

        writing = asyncio.create_task(asyncio.to_thread(fill))
        found = await all_of(lines)
        await writing
        assert "".join(found) == "a" * (MAX_LINE + 5000)
        assert max(map(len, found)) < MAX_LINE + 5000


async def test_pasted_lines_of_a_terminal_are_one_text_and_typed_ones_are_not() -> None:
    person, terminal = pty.openpty()
    try:
        lines = LineInput(terminal)
        assert lines.is_terminal
        os.write(person, b"one\ntwo\nthree\n")
        async with asyncio.timeout(5):
            assert await lines.read() == "one\ntwo\nthree"
            os.write(person, b"four\n")
            assert await lines.read() == "four"
            await asyncio.sleep(2 * PASTE_GAP_S)
            os.write(person, b"five\n\x04")
            assert await lines.read() == "five"
            assert await lines.read() is None
    finally:
        os.close(person)
        os.close(terminal)


async def test_a_terminal_that_is_closed_is_an_end() -> None:
    person, terminal = pty.openpty()
    try:
        reading = asyncio.create_task(LineInput(terminal).read())
        await asyncio.sleep(0)
        os.close(person)
        async with asyncio.timeout(5):
            assert await reading is None
    finally:
        os.close(terminal)


JOBS = """
import asyncio, fcntl, os, sys, termios
from sonic_voice.cli import line_input

fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # this process is the shell, in the foreground
line_input.BACKGROUND_RETRY_S = 0.05
job = os.fork()
if not job:
    os.setpgid(0, 0)
    print("line", asyncio.run(line_input.LineInput(0).read()), flush=True)
    os._exit(0)
sys.stdin.readline()  # what is typed for the shell
signal = __import__("signal")
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
os.tcsetpgrp(0, job)
print("foreground", flush=True)
_, status = os.waitpid(job, os.WUNTRACED)
print("stopped" if os.WIFSTOPPED(status) else "ended", flush=True)
if os.WIFSTOPPED(status):
    os.kill(job, signal.SIGKILL)
"""


async def test_input_for_another_job_of_the_terminal_is_left_to_it() -> None:
    """Reading it would stop the process."""
    person, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", JOBS),
        stdin=terminal,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    os.close(terminal)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            os.write(person, b"for the shell\n")
            assert await process.stdout.readline() == b"foreground\n"
            os.write(person, b"for the job\n")
            assert await process.stdout.readline() == b"line for the job\n"
            assert await process.stdout.readline() == b"ended\n"
            await process.wait()
    finally:
        os.close(person)
        if process.returncode is None:
            process.kill()
            await process.wait()
