"""The program as its settings make it: `config`, `--version`, presets in a conversation."""

import json
import os
import subprocess
import sys
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import cast

import pytest

from sonic_voice import __version__

DEMO = cast(Path, resources.files("sonic_voice.emulator"))
SETTINGS = f"""
[default]
voice = "matthew"
local = true
scenario = "{DEMO / "demo.yaml"}"

[preset.german]
language = "de"

[preset.proxied]
proxy = "http://user:secret@proxy.example:8080"

[preset.german-voice]
language = "de"
voice = "lennart"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(SETTINGS)
    return path


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SONIC_VOICE_"))}
    return subprocess.run(
        [sys.executable, "-m", "sonic_voice", *arguments],
        env=kept | {"COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_versions_are_printed() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == f"sonic-voice {__version__}"
    assert f"aws-sdk-bedrock-runtime {version('aws-sdk-bedrock-runtime')}" in done.stdout
    assert f"sounddevice {version('sounddevice')}" in done.stdout


def row(out: str, option: str) -> list[str]:
    """Return the cells of an option's row."""
    [line] = [line for line in out.splitlines() if line.startswith(f"│ {option} ")]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_config_shows_what_holds_and_where_it_comes_from(file: Path) -> None:
    done = run(
        *("config", "--preset", "german"),
        SONIC_VOICE_CONFIG=str(file),
        SONIC_VOICE_REGION="us-west-2",
        PYTHONIOENCODING="utf-8",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"File     {file}" in done.stdout
    assert "german, proxied, german-voice" in done.stdout
    assert row(done.stdout, "scenario")[2] == f"{file}:5 [default]"
    assert row(done.stdout, "region") == ["region", "us-west-2", "SONIC_VOICE_REGION"]
    assert row(done.stdout, "language")[2] == f"{file}:8 [preset.german]"
    assert "│ voice" not in done.stdout, "the language of the preset takes its place"


def test_config_shows_no_password(file: Path) -> None:
    done = run(
        "config", "--preset", "proxied", SONIC_VOICE_CONFIG=str(file), PYTHONIOENCODING="utf-8"
    )
    assert row(done.stdout, "proxy")[1] == "http://***@proxy.example:8080"


def test_config_without_a_file(tmp_path: Path) -> None:
    done = run("config", XDG_CONFIG_HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{tmp_path}/sonic-voice/config.toml (does not exist)" in done.stdout
    assert "No option is set." in done.stdout
    every = run("config", "--all", XDG_CONFIG_HOME=str(tmp_path), PYTHONIOENCODING="utf-8")
    assert row(every.stdout, "latency") == ["latency", "low", "default"]


@pytest.mark.parametrize(
    ("arguments", "environment", "voice"),
    [
        ((), {}, "matthew"),
        (("--preset", "german-voice"), {}, "lennart"),
        ((), {"SONIC_VOICE_VOICE": "amy"}, "amy"),
        (("--voice", "tina"), {"SONIC_VOICE_VOICE": "amy"}, "tina"),
        (("--language", "fr", "--voice", "florian"), {}, "florian"),
        (("--language", "it"), {}, "beatrice"),
        (("--preset", "german"), {}, "tina"),
    ],
)
def test_a_conversation_has_the_voice_of_the_settings(
    arguments: tuple[str, ...], environment: dict[str, str], voice: str, file: Path
) -> None:
    done = run(
        *("talk", "--input", str(DEMO / "demo.wav"), "--speed", "50", "--json", "--no-save"),
        *arguments,
        SONIC_VOICE_CONFIG=str(file),
        **environment,
    )
    assert done.returncode == 0, done.stderr
    [summary] = [line for line in done.stdout.splitlines() if '"event": "Summary"' in line]
    assert json.loads(summary)["voice"] == voice


def test_talk_without_any_option_asks_for_devices_or_credentials(tmp_path: Path) -> None:
    done = run("talk", HOME=str(tmp_path), AWS_EC2_METADATA_DISABLED="true")
    assert "Traceback" not in done.stderr
    assert done.returncode in (3, 6)
