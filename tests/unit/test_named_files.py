"""Files that are named on the command line: one that is missing or wrong is exit code 2."""

from pathlib import Path

import pytest
from typer.main import get_command

from sonic_voice.cli.commands import app

TALK = ("talk", "--local", "--text")
SERVE = ("serve", "--local")
IMPOSSIBLE_TOOL = """
from sonic_voice import tool

@tool
def send(size: bytes) -> None:
    "Send it."
"""


def ended(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    """Return the exit code of a command, and what it wrote to standard error."""
    with pytest.raises(SystemExit) as exit:
        get_command(app)(arguments, prog_name="sonic-voice")
    return exit.value.code, capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay", "none.tape"),
        ("tape", "info", "none.tape"),
        ("report", "none.tape"),
        ("scenario", "none.yaml"),
        ("test", "none.yaml"),
        ("emulate", "--scenario", "none.yaml"),
        ("lint", "--tools", "none.json"),
        ("lint", "--tools", "none.py"),
        ("lint", "--system", "@none.txt"),
        (*TALK, "--scenario", "none.yaml"),
        (*TALK, "--tools", "none.py"),
        (*TALK, "--system", "@none.txt"),
        (*TALK, "--mcp-config", "none.json"),
        (*TALK, "--continue", "none.json"),
        ("talk", "--local", "--input", "none.wav"),
        (*SERVE, "--token-secret-file", "none.txt"),
        (*SERVE, "--token-jwks", "none.json"),
        (*SERVE, "--tls-cert", "none.pem"),
        (*SERVE, "--pages", "none"),
    ],
)
def test_a_missing_file_is_named_with_the_next_step(
    tmp_path: Path,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, err = ended(capfd, *arguments)
    assert code == 2, err
    assert arguments[-1].removeprefix("@") in err
    assert any(step in err for step in ("Name ", "Check ", "Leave ")), "no next step"


@pytest.mark.parametrize(
    ("arguments", "content", "says"),
    [
        ((*TALK, "--scenario"), "steps: [{user: a, sey: b}]", "wrong:1:19: a step has no key"),
        ((*TALK, "--tools"), "1 / 0", "ZeroDivisionError"),
        ((*TALK, "--tools"), "def answer(): ...", "has no tools"),
        ((*TALK, "--tools"), IMPOSSIBLE_TOOL, "bytes"),
        ((*TALK, "--mcp-config"), "{", "is not JSON"),
        ((*TALK, "--continue"), "{}", "wrong: "),
        (("talk", "--local", "--input"), "no sound", "wrong"),
        (("replay",), "no tape", "is no tape"),
        (("lint", "--tools"), "", "has no tools"),
        ((*SERVE, "--token-secret-file"), "", "is empty"),
        ((*SERVE, "--token-jwks"), "", "neither"),
        ((*SERVE, "--tls-cert"), "", "TLS"),
        ((*SERVE, "--pages"), "", "is no folder"),
    ],
)
def test_a_file_with_the_wrong_content_is_named_with_what_is_wrong(
    tmp_path: Path,
    arguments: tuple[str, ...],
    content: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong").write_text(content)
    code, err = ended(capfd, *arguments, "wrong")
    assert code == 2, err
    assert says in err


def test_a_url_of_keys_that_cannot_be_used_is_configuration(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code, err = ended(capfd, *SERVE, "--token-jwks", "http://a.example/jwks")
    assert code == 3
    assert "https" in err
