"""`talk --continue`: a conversation goes on in another process, from a private file."""

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any, cast

import pytest

from sonic_voice.cli.saved import continuing_line
from sonic_voice.snapshot import SessionSnapshot

DEMO = cast(Path, resources.files("sonic_voice.emulator"))
TALK = (
    *("talk", "--local", "--scenario", str(DEMO / "demo.yaml"), "--input", str(DEMO / "demo.wav")),
    *("--speed", "50"),
)
FIRST_TURN = "hello."


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sonic_voice", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def talk(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = run(*TALK, *arguments, XDG_STATE_HOME=str(state))
    assert (done.returncode, done.stderr) == (0, "")
    return done


def saved(file: Path) -> SessionSnapshot:
    return SessionSnapshot.from_json(file.read_bytes())


def test_the_last_conversation_goes_on_with_its_turns_tokens_and_voice(tmp_path: Path) -> None:
    file = tmp_path / "sonic-voice" / "conversation.json"
    first = talk(tmp_path, "--voice", "matthew", "--system", "You are a clock.")
    assert "Continuing" not in first.stdout
    before = saved(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert list(file.parent.iterdir()) == [file], "nothing is left of the writing"

    second = talk(tmp_path, "--continue")
    assert f"Continuing after {before.turn} turns, less than a minute ago.\n" in second.stdout
    assert "voice matthew" in second.stdout
    after = saved(file)
    assert after.turn > before.turn
    assert after.lines[: len(before.lines)] == before.lines
    assert after.tokens.speech_in > before.tokens.speech_in
    assert after.config.system == "You are a clock."


def test_a_named_file_is_continued_and_written_and_no_save_writes_nothing(tmp_path: Path) -> None:
    talk(tmp_path / "state", "--no-save")
    assert not (tmp_path / "state").exists()
    talk(tmp_path)
    named = tmp_path / "mine.json"
    (tmp_path / "sonic-voice" / "conversation.json").rename(named)
    before = named.read_bytes()
    lines = talk(tmp_path, "--continue", str(named), "--no-save", "--json").stdout.splitlines()
    turns = [json.loads(line)["turn"] for line in lines if '"event": "UserText"' in line]
    assert turns[0] == saved(named).turn + 1
    assert named.read_bytes() == before
    talk(tmp_path, "--continue", str(named))
    assert saved(named).turn == 2 * (turns[0] - 1)
    assert not (tmp_path / "sonic-voice" / "conversation.json").exists()


def changed(**changes: Any) -> bytes:
    config: dict[str, Any] = {
        "model": "amazon.nova-2-sonic-v1:0",
        "voice": "tiffany",
        "system": "Be brief.",
        "script": None,
        "max_tokens": 1,
        "top_p": 1,
        "temperature": 1,
        "endpointing": "LOW",
        "input_hz": 16_000,
        "output_hz": 24_000,
        "tools": [],
        "tool_choice": {"mode": "auto", "name": ""},
    }
    document: dict[str, Any] = {
        "version": 1,
        "config": config,
        "history": [],
        "lines": [],
        "turn": 0,
        "calls": [],
        "results": [],
        "owed": False,
        "audio": "",
        "tokens": {"speech_in": 0, "text_in": 0, "speech_out": 0, "text_out": 0},
    }
    return json.dumps(document | changes).encode()


BROKEN = [
    (None, "does not exist", "Leave --continue out"),
    (b"", "cannot be read: it is not JSON", "Start a new conversation"),
    (b'{"version": 1', "cannot be read: it is not JSON", "Start a new conversation"),
    (changed(version=2), "has version 2; this program reads 1", "Start a new conversation"),
    (changed(turn="?"), "'turn' has no valid value", "Start a new conversation"),
]


@pytest.mark.parametrize(("content", "why", "step"), BROKEN)
def test_a_missing_or_broken_file_is_an_error_with_the_next_step(
    tmp_path: Path, content: bytes | None, why: str, step: str
) -> None:
    file = tmp_path / "conversation.json"
    if content is not None:
        file.write_bytes(content)
    done = run(*TALK, "--continue", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert str(file) in done.stderr
    assert step in done.stderr.splitlines()[1]
    assert not content or file.read_bytes() == content


def test_a_folder_that_cannot_be_written_costs_the_file_and_not_the_conversation(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    done = run(*TALK, XDG_STATE_HOME=str(tmp_path / "file"))
    assert done.returncode == 0
    assert FIRST_TURN in done.stdout
    assert "could not be saved" in done.stderr
    assert "--no-save" in done.stderr


AGES = [
    (1, 59, "Continuing after 1 turn, less than a minute ago."),
    (12, 300, "Continuing after 12 turns, 5 minutes ago."),
    (12, -5, "Continuing after 12 turns, less than a minute ago."),
    (2, 60, "Continuing after 2 turns, 1 minute ago."),
    (2, 3600, "Continuing after 2 turns, 1 hour ago."),
    (2, 47 * 3600, "Continuing after 2 turns, 47 hours ago."),
    (2, 49 * 3600, "Continuing after 2 turns, 2 days ago."),
]


@pytest.mark.parametrize(("turns", "ago_s", "line"), AGES)
def test_the_line_says_what_is_continued(turns: int, ago_s: float, line: str) -> None:
    assert continuing_line(turns, ago_s) == line
