"""Conversations that are typed: `--text`, with the commands of README exactly as a user has them.

This machine's sound devices are not used: there need not be any.
"""

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from ..support.pty_program import pty_program
from .test_cli import clean_environment, sonic_voice

SCENARIO = """
steps:
  - {user: "hello", say: "Good morning."}
  - {user: "tell me a story", say: "Once upon a time there was a lighthouse keeper who counted the
     ships each night and wrote their names into a book until one evening a ship came that had no
     name at all."}
  - {user: "one two three", say: "Four."}
"""
TEXT = ("talk", "--local", "--scenario", "s.yaml", "--text", "--no-save")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    """Return an environment without a sound server."""
    return clean_environment(folder) | {"PULSE_SERVER": "unix:/nowhere"}


async def shell(command: str, folder: Path) -> tuple[int, str, str]:
    """Run a line of the shell in which `sonic-voice` is our program."""
    program = f'sonic-voice() {{ {sys.executable} -m sonic_voice "$@"; }}'
    process = await asyncio.create_subprocess_exec(
        *("/bin/bash", "-c", f"{program}; {command}"),
        cwd=folder,
        env=environment(folder) | {"PYTHONPATH": os.fspath(Path(__file__).parents[2])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_lines_of_a_pipe_are_answered_in_turn_and_its_end_is_the_end(
    folder: Path,
) -> None:
    code, out, err = await shell(
        r"printf 'hello\ntell me a story\n\n/moot\n' | sonic-voice " + " ".join(TEXT) + " --plain",
        folder,
    )
    assert code == 0, err
    assert "1  you  hello (typed)" in out
    assert "2  you  tell me a story (typed)" in out
    assert "Good morning.  [" in out
    assert "that had no name at all.  [" in out
    assert "Interrupted   0" in out
    assert "There is no command /moot." in out
    assert out.index("/moot") < out.index("name at all.  [")


async def test_a_line_of_a_pipe_does_not_interrupt_the_end_of_the_answer(folder: Path) -> None:
    # Without a scenario, whose sentences are shorter than what the service sends at once.
    typed = r"printf 'hello\nwhat time is it?\nthanks\n'"
    code, out, err = await shell(
        f"{typed} | sonic-voice talk --local --text --no-save --plain", folder
    )
    assert code == 0, err
    assert "Turns         3" in out
    assert "Interrupted   0" in out


async def test_quit_in_a_pipe_waits_for_the_answer_and_lines_after_it_are_not_sent(
    folder: Path,
) -> None:
    code, out, err = await shell(
        r"printf 'hello\n/quit\nhello\n' | sonic-voice " + " ".join(TEXT), folder
    )
    assert code == 0, err
    assert "Good morning.  [" in out
    assert "Turns         1" in out
    assert "goodbye" not in out


async def test_an_answer_that_was_read_is_not_cut_off_by_the_next_turn(folder: Path) -> None:
    """Its voice would have gone on for seconds."""
    async with pty_program(
        *TEXT, "--plain", "--no-speaker", environment=environment(folder), cwd=folder
    ) as program:
        await program.until("/help lists the commands.")
        program.type("hello\n")
        await program.until("Good morning.  [")
        program.type("tell me a story\n")
        await program.until("name at all.  [")
        program.type("one two three\n")
        await program.until("Four.  [")
        program.type("/quit\n")
        assert await program.ended() == 0
    assert "heard:" not in program.text


@pytest.mark.parametrize("input", ["</dev/null", "<&-"])
async def test_without_a_line_the_conversation_ends_at_once(input: str, folder: Path) -> None:
    code, out, err = await shell(f"sonic-voice {' '.join(TEXT)} {input}", folder)
    assert code == 0, err
    assert "Standard input has ended, and nothing was typed." in out


async def test_json_lines_take_typed_turns_too(folder: Path) -> None:
    code, out, err = await shell(
        r"printf 'hello\n' | sonic-voice " + " ".join(TEXT) + " --no-speaker --json", folder
    )
    assert code == 0, err
    assert '"event": "UserText"' in out
    assert '"text": "Good morning."' in out
    assert all(line.startswith("{") for line in out.splitlines())
    times = [json.loads(line).get("at_s", 0) for line in out.splitlines()]
    assert 0 <= min(times) <= max(times) < 60, "seconds since the beginning of the conversation"


async def test_lines_at_a_terminal_interrupt_command_and_end(folder: Path) -> None:
    async with pty_program(
        *TEXT, "--plain", environment=environment(folder), cwd=folder
    ) as program:
        await program.until("/help lists the commands.")
        program.type("hello\n")
        await program.until("Good morning.")
        program.type("/help\n")
        await program.until("Any other line is sent as your turn.")
        program.type("/mute\n")
        await program.until("There is no microphone in this conversation")
        program.type("\x04")
        assert await program.ended() == 0
        assert "Traceback" not in program.text


async def test_several_pasted_lines_are_one_turn_with_and_without_the_screen(folder: Path) -> None:
    pasted = "one\ntwo\nthree"
    for option, typed in (
        ("--plain", pasted + "\n"),
        ("--no-speaker", f"\x1b[200~{pasted}\x1b[201~\r"),
    ):
        async with pty_program(
            *TEXT, option, environment=environment(folder), cwd=folder
        ) as program:
            await program.until("Ctrl-C ends it.")
            program.type(typed)
            await program.until("(typed)")
            program.type("\x04")
            assert await program.ended() == 0
            assert program.text.count("(typed)") >= 1
            assert "Turns         1" in program.text


async def test_the_screen_takes_lines_one_after_the_other_without_a_key(folder: Path) -> None:
    async with pty_program(*TEXT, environment=environment(folder), cwd=folder) as program:
        await program.until("ready")
        program.type("hello\r")
        await program.until("Good morning.")
        program.type("\x1b")  # discards nothing, and keys are commands
        await program.until("q quit")
        program.type("\r\x1b[A you\r")  # a line again, and the one before with a word more
        await program.until("hello you (typed)")
        await program.until("nova", times=2)
        program.type("\x04")
        assert await program.ended() == 0
        assert program.raw.endswith(b"\x1b[?2004l") or b"\x1b[?2004l" in program.raw
        assert "Turns         2" in program.text
        assert "Traceback" not in program.text


async def test_garbage_collection_passes_over_what_the_imports_have_made(folder: Path) -> None:
    (folder / "count.py").write_text(
        "import gc\nfrom sonic_voice import tool\n"
        "@tool\ndef count() -> int:\n    'Count.'\n    return len(gc.get_objects())\n"
    )
    (folder / "s.yaml").write_text(
        "steps:\n  - {user: how many, call: {tool: count, then: 'They are {result}.'}}\n"
    )
    code, out, err = await shell(
        rf"printf 'how many\n' | sonic-voice {' '.join(TEXT)} --tools count.py --plain", folder
    )
    assert code == 0, err
    [count] = re.findall(r"They are .*?(\d+)", out)
    assert int(count) < 40_000


async def test_options_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    done = await sonic_voice("talk", "--local", "--text", "--mute", cwd=tmp_path)
    assert done.code == 2
    assert "--text and --mute exclude each other" in done.err


async def test_a_model_that_takes_no_text_is_refused_before_it_is_connected(
    tmp_path: Path,
) -> None:
    done = await sonic_voice(
        *("talk", "--local", "--text", "--model", "amazon.nova-sonic-v1:0"), cwd=tmp_path
    )
    assert done.code == 3
    assert "takes no text" in done.err


async def test_a_loudspeaker_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    done = await sonic_voice(
        *("talk", "--local", "--text", "--speaker", "not there"),
        cwd=tmp_path,
        PULSE_SERVER="unix:/nowhere",
    )
    assert done.code == 6
