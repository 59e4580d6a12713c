"""Every output works under every encoding of standard output, and no text ends a conversation."""

import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import cast

import pytest

DEMO = cast(Path, resources.files("sonic_voice.emulator"))

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""What a service manager or a minimal container starts programs with: Python then takes ASCII."""

ENVIRONMENTS = {
    "C locale": ("ascii", C_LOCALE),
    "ascii": ("ascii", {"PYTHONIOENCODING": "ascii"}),
    "strict ascii": ("ascii", {"PYTHONIOENCODING": "ascii:strict"}),
    "cp1252": ("cp1252", {"PYTHONIOENCODING": "cp1252"}),
    "latin-1": ("latin-1", {"PYTHONIOENCODING": "latin-1"}),
    "utf-8": ("utf-8", {"PYTHONIOENCODING": "utf-8"}),
}
"""The encoding of the outputs, and the variables that cause it."""

EVERY_HELP = """
import sys
from typer.main import get_command
from sonic_voice.cli.commands import app
from sonic_voice.cli.printing import configure_streams

configure_streams()
for command in get_command(app).commands:
    print("HELP OF", command)
    try:
        app([command, "--help"], prog_name="sonic-voice")
    except SystemExit as ended:
        assert not ended.code, command
"""
"""A program that prints the help of each command; one process instead of one for each."""


def run(encoding: str, program: list[str], **environment: str) -> tuple[int, str, str]:
    """Run a program, and return its exit code and its two outputs, decoded strictly."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIO"))}
    done = subprocess.run(
        [sys.executable, *program],
        env=kept | {"COLUMNS": "150"} | environment,
        capture_output=True,
        timeout=60,
    )
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


@pytest.mark.parametrize(("encoding", "environment"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_the_help_of_every_command_is_printed(encoding: str, environment: dict[str, str]) -> None:
    code, out, err = run(encoding, ["-c", EVERY_HELP], **environment)
    assert (code, err) == (0, "")
    assert out.count("Usage: sonic-voice") == out.count("HELP OF") > 6
    assert "SECONDS:end:TEXT" in out  # and not the emoji of that name


@pytest.mark.parametrize("arguments", [("--help",), ("models", "--all"), ("talk", "--help")])
@pytest.mark.parametrize("name", ["C locale", "strict ascii", "cp1252"])
def test_the_program_itself_prints(name: str, arguments: tuple[str, ...]) -> None:
    encoding, environment = ENVIRONMENTS[name]
    code, out, err = run(encoding, ["-m", "sonic_voice", *arguments], **environment)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) > 10


BAD = "\x1b]0;title\x07\x1b[31mनमस्ते"
"""A name that would set the title of a terminal and its colour."""


@pytest.mark.parametrize("name", ["C locale", "cp1252", "utf-8"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("scenario", f"{BAD}.yaml"),
        ("talk", "--local", "--voice", BAD, "--input", "x.wav"),
        ("talk", "--chaos", BAD, "--local", "--input", "x.wav"),
        ("talk", f"--{BAD}"),
        (BAD,),
    ],
    ids=["file", "voice", "number", "option", "command"],
)
def test_an_error_with_a_foreign_name_has_no_control_characters(
    arguments: tuple[str, ...], name: str
) -> None:
    encoding, environment = ENVIRONMENTS[name]
    code, out, err = run(encoding, ["-m", "sonic_voice", *arguments], **environment)
    assert code in (2, 3), err
    assert "Traceback" not in err
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", out + err)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("C locale", "?????? Gr??e"),
        ("cp1252", "?????? Grüße"),
        ("utf-8", "नमस्ते Grüße"),
    ],
)
def test_a_hindi_answer_is_printed_in_any_encoding(name: str, shown: str, tmp_path: Path) -> None:
    encoding, environment = ENVIRONMENTS[name]
    scenario = tmp_path / "hindi.yaml"
    scenario.write_text(
        'steps:\n  - {user: hello, say: ["\\e[31mनमस्ते Grüße\\e]0;title\\a."]}\n', encoding="utf-8"
    )
    arguments = ("--scenario", str(scenario), "--input", str(DEMO / "demo.wav"), "--speed", "50")
    talk = ["-m", "sonic_voice", "talk", "--local", "--no-save", *arguments]
    code, out, err = run(encoding, talk, **environment)
    assert code == 0, err
    assert f"nova  {shown}" in out
    assert "\x1b" not in out
