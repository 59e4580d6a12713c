"""Completion in a real bash, with the script that the program prints."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("sonic-voice")


def bash(script: str, **environment: str) -> list[str]:
    """Run a script in a bash without settings of this user, and return the lines of its output."""
    found = shutil.which("bash")
    assert found is not None
    done = subprocess.run(
        [found, "--norc", "--noprofile", "-c", script],
        env={**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def script() -> str:
    """Return the script for bash."""
    done = subprocess.run(
        [PROGRAM, "--show-completion", "bash"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def completed(script: str, line: str, **environment: str) -> list[str]:
    """Return what bash offers for the last word of a line."""
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    function = next(word for word in script.split() if word.startswith("_sonic_voice_completion"))
    return bash(
        f"{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        f'{function.removesuffix("()")} sonic-voice\nprintf "%s\\n" "${{COMPREPLY[@]}}"',
        **environment,
    )


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sonic-voice do", ["doctor"]),
        ("sonic-voice talk --micro", ["--microphone"]),
        ("sonic-voice talk --no-l", ["--no-local"]),
        ("sonic-voice talk --voice am", ["amy", "ambre"]),
        ("sonic-voice talk --model amazon.nova-sonic-v1:0 --voice gr", ["greta"]),
        ("sonic-voice serve --offer-voice car", ["carlos", "carolina"]),
        ("sonic-voice talk --model amazon.nova-s", ["amazon.nova-sonic-v1:0"]),
        ("sonic-voice talk --region us-w", ["us-west-2"]),
        ("sonic-voice talk --language hi", ["hi", "hi-IN"]),
    ],
)
def test_bash_completes(script: str, line: str, offered: list[str]) -> None:
    assert completed(script, line) == offered


def test_presets_of_the_file_are_completed(script: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[preset.kiosk]\nplain = true\n[preset.kitchen]\n[preset.office]\n")
    offered = completed(script, "sonic-voice talk --preset ki", SONIC_VOICE_CONFIG=str(file))
    assert offered == ["kiosk", "kitchen"]


def test_a_broken_file_does_not_disturb_completion(script: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[preset")
    assert completed(script, "sonic-voice talk --voice gr", SONIC_VOICE_CONFIG=str(file)) == [""]
    assert completed(script, "sonic-voice talk -p k", SONIC_VOICE_CONFIG=str(file)) == [""]
