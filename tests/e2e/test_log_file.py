"""`--log-file`: the course of a conversation in a private file, without words and secrets."""

import logging
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import cast

import pytest

from sonic_voice.cli import log_file
from sonic_voice.cli.log_file import log_to_file
from sonic_voice.cli.server_log import server_log
from sonic_voice.emulator.server import LOCAL_KEYS
from sonic_voice.errors import ConfigError

DEMO = cast(Path, resources.files("sonic_voice.emulator"))
TALK = (
    *("talk", "--local", "--no-save", "--scenario", str(DEMO / "demo.yaml")),
    *("--input", str(DEMO / "demo.wav"), "--speed", "50"),
)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-m", "sonic_voice", *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_conversation_is_logged_without_its_words(tmp_path: Path) -> None:
    path = tmp_path / "talk.log"
    path.touch(mode=0o644)
    done = run(*TALK, "--log-file", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    text = path.read_text()
    for words in ("sonic-voice 0.", "Opened waited_ms=", "UserText turn=1", "TurnEnded turn=3"):
        assert words in text
    assert "please try again" in done.stdout
    assert "try again" not in text
    assert "goodbye" not in text.lower()
    assert mode(path) == 0o600
    before = len(text)
    assert run(*TALK, "--log-file", str(path)).returncode == 0
    assert len(path.read_text()) > before + 500


def test_neither_log_has_a_secret_of_the_credentials(tmp_path: Path) -> None:
    path = tmp_path / "talk.log"
    done = run("--debug", *TALK, "--log-file", str(path))
    assert done.returncode == 0
    assert "sonic_voice" in done.stderr
    for log in (done.stderr, path.read_text()):
        assert LOCAL_KEYS.secret_key not in log
        assert "AWS4-HMAC" not in log
        assert "Signature=" not in log


def test_the_error_that_ended_it_is_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "talk.log"
    done = run(
        *("talk", "--endpoint", "https://localhost:1", "--input", str(DEMO / "demo.wav")),
        *("--log-file", str(path), "--no-save", "--region", "us-east-1"),
        AWS_ACCESS_KEY_ID="AKIASECRET",
        AWS_SECRET_ACCESS_KEY="very-secret",
        AWS_SESSION_TOKEN="token-secret",
    )
    assert done.returncode == 5
    text = path.read_text()
    assert "ConnectError" in text
    assert "sonic-voice ends" in text
    assert "very-secret" not in text
    assert "token-secret" not in text


def test_an_option_of_the_file_and_the_variable_ask_for_a_log(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[default]\nlog-file = "beside.log"\n')
    done = run(*TALK, SONIC_VOICE_CONFIG=str(tmp_path / "config.toml"))
    assert done.returncode == 0
    assert "TurnEnded" in (tmp_path / "beside.log").read_text()


def test_a_log_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    done = run(*TALK, "--log-file", str(tmp_path / "none" / "talk.log"))
    assert done.returncode == 3
    assert "Cannot write the log" in done.stderr


def test_a_full_disk_is_reported_once_and_ends_nothing() -> None:
    done = run(*TALK, "--log-file", "/dev/full")
    assert done.returncode == 0
    assert done.stderr.count("Writing the log failed: No space left on device") == 1


def test_the_size_is_bounded_and_old_records_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "LOG_BYTES", 2_000)
    path = tmp_path / "talk.log"
    with log_to_file(path):
        for number in range(200):
            logging.getLogger("sonic_voice.events").info("record %d", number)
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["talk.log", "talk.log.1"]
    for name in files:
        assert (tmp_path / name).stat().st_size <= 2_000
        assert mode(tmp_path / name) == 0o600


def test_foreign_text_in_a_record_is_printable(tmp_path: Path) -> None:
    path = tmp_path / "talk.log"
    with log_to_file(path):
        logging.getLogger("sonic_voice.tools").warning("tool \x1b[31mred\x1b[0m \x9b2J")
        logging.getLogger("hpack").debug("authorization")
    text = path.read_text()
    assert "tool red" in text
    assert not set(text) & {"\x1b", "\x9b"}
    assert "authorization" not in text


def test_the_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"), log_to_file(tmp_path / "a" / "b"):
        pass


def test_the_log_of_a_server_leaves_the_log_file_in_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, package = logging.getLogger(), logging.getLogger("sonic_voice")
    handlers, levels = list(root.handlers), (root.level, package.level)
    try:
        with log_to_file(tmp_path / "serve.log"), server_log("warning", "text", debug=False):
            logging.getLogger("sonic_voice.bridge").info("conversation started")
            logging.getLogger("sonic_voice.bridge").warning("connection rejected")
    finally:
        for handler in set(root.handlers) - set(handlers):
            root.removeHandler(handler)
        root.setLevel(levels[0])
        package.setLevel(levels[1])
    text = (tmp_path / "serve.log").read_text()
    assert "conversation started" in text
    assert "connection rejected" in text
    printed = capsys.readouterr().err
    assert "conversation started" not in printed
    assert "connection rejected" in printed
