"""`talk --transcript` as a person uses it: what is in the file, also after a crash."""

import asyncio
import os
import resource
import signal
import sys
from importlib import resources
from pathlib import Path
from typing import cast

import pytest

from .test_cli import Done, clean_environment, sonic_voice

DEMO = cast(Path, resources.files("sonic_voice.emulator"))
QUESTION = str(DEMO / "demo.wav")
TALK = ("talk", "--local", "--scenario", str(DEMO / "demo.yaml"), "--input", QUESTION)
TOOLS = """
from sonic_voice import tool

@tool
def go(direction: str, meters: int) -> dict[str, object]:
    return {"direction": direction, "meters": meters}
"""


async def talk(folder: Path, *arguments: str, speed: str = "8") -> Done:
    (folder / "tools.py").write_text(TOOLS)
    return await sonic_voice(*TALK, "--speed", speed, "--tools", "tools.py", *arguments, cwd=folder)


async def test_the_conversation_is_written_as_it_was_heard(tmp_path: Path) -> None:
    done = await talk(tmp_path, "--transcript", "talk.txt", speed="3")
    assert (done.code, done.err) == (0, "")
    lines = (tmp_path / "talk.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("Conversation of 20")
    assert "amazon.nova-2-sonic-v1:0" in lines[1]
    entries = [line.partition("] ")[2] for line in lines[3:-2]]
    assert entries[0] == "you: hello."
    assert entries[1] == "nova: Hello! What shall I do?"
    assert entries[2] == "you: go forward ten meters."
    assert entries[3].startswith('tool: go({"direction":"forward","meters":10}) -> {"direction":')
    assert entries[4].startswith("nova: Done, I went forward 10 meters.")
    [interrupted] = [line for line in done.out.splitlines() if "interrupted after" in line]
    heard = interrupted.partition("heard: ")[2]
    assert heard.split()[-1] == entries[4].partition(" [interrupted after ")[0].split()[-1]
    assert entries[5:] == ["you: please try again.", entries[6]]
    assert entries[6] == "nova: All right, I will tell it another time. Goodbye!"
    assert lines[-1].startswith("End after 0:2")


async def test_a_transcript_is_continued_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "talk.md"
    path.write_text("My notes, without an end of line")
    for more in ((), ("--continue",)):
        done = await talk(tmp_path, "--transcript", "talk.md", *more, speed="12")
        assert done.code == 0, done.err
    text = path.read_text(encoding="utf-8")
    assert text.startswith("My notes, without an end of line\n")
    assert text.count("\n# Conversation of") == 2
    assert text.count("): hello.\n") == 1  # the first part is not told again
    assert text.count("Continuing after 3 turns") == 1
    assert text.count("*End after") == 2


async def test_a_killed_process_loses_the_turn_in_progress_at_most(tmp_path: Path) -> None:
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sonic_voice", *TALK, "--speed", "2", "--transcript", "talk.txt"),
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert running.stdout is not None
    async for line in running.stdout:
        if line.split()[:2] == [b"2", b"you"]:
            break
    running.kill()
    await running.communicate()
    text = (tmp_path / "talk.txt").read_text(encoding="utf-8")
    assert "you: hello.\n" in text
    assert "nova: Hello! What shall I do?\n" in text
    assert "End after" not in text


async def test_a_conversation_that_does_not_begin_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("kept\n")
    for name in ("new.txt", "old.txt"):
        done = await sonic_voice(
            *("talk", "--endpoint", "https://127.0.0.1:9", "--input", QUESTION),
            *("--transcript", name),
            cwd=tmp_path,
            AWS_ACCESS_KEY_ID="a",
            AWS_SECRET_ACCESS_KEY="b",
            AWS_REGION="us-east-1",
        )
        assert done.code == 5
    assert not (tmp_path / "new.txt").exists()
    assert (tmp_path / "old.txt").read_text() == "kept\n"


@pytest.mark.parametrize("name", ["missing/talk.txt", ".", "pipe"])
async def test_what_cannot_be_written_is_an_error_before_anything_is_sent(
    tmp_path: Path, name: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = await talk(tmp_path, "--transcript", name)
    assert done.code == 2
    assert done.out == ""
    assert "Name a file" in done.err


async def test_a_full_disk_is_one_sentence_and_the_conversation_goes_on(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text("x" * 1_000_000 + "\n")

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_200, 1_000_200))

    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sonic_voice", *TALK, "--speed", "8", "--no-save"),
        *("--transcript", "talk.txt"),
        cwd=tmp_path,
        env=clean_environment(tmp_path) | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=limit,
    )
    out, err = await running.communicate()
    assert running.returncode == 0, err
    assert b"All right, I will tell it another time" in out
    assert err.decode().count("Writing the transcript to talk.txt failed") == 1
    lines = (tmp_path / "talk.txt").read_text().splitlines(keepends=True)
    assert lines[-1].endswith("\n")  # no half line


async def test_a_forced_exit_keeps_what_was_heard(tmp_path: Path) -> None:
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sonic_voice", *TALK, "--transcript", "talk.txt"),
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert running.stdout is not None
    async for line in running.stdout:
        if line.split()[:2] == [b"1", b"you"]:
            break
    running.send_signal(signal.SIGINT)
    running.send_signal(signal.SIGTERM)
    await running.communicate()
    text = (tmp_path / "talk.txt").read_text(encoding="utf-8")
    assert "you: hello.\n" in text
    assert "End after" in text
