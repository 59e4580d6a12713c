"""A conversation in the background that commands drive turn by turn."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from typer.main import get_command

from sonic_voice.callers.session_address import MAX_SOCKET_PATH_BYTES, SessionFiles, ask
from sonic_voice.cli.commands import app

ROOT = Path(__file__).parents[2]
PIZZA = ROOT / "tests" / "callers" / "pizza.scenario.yaml"
TOOLS = ROOT / "tests" / "callers" / "pizza_tools.py"


class Commands:
    """The command `say`, with a state folder of its own.

    `--start` runs in a process, because the process that it starts must outlive it; the others run
    in this one, which saves their start.
    """

    def __init__(
        self, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(state))
        self.folder = state / "sonic-voice" / "say"
        self._capsys = capsys

    def run(self, *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
        """Return the exit code of a command, and the objects that it printed."""
        words = ["say", *map(str, arguments)]
        if "--start" in words:
            ran = subprocess.run(
                [sys.executable, "-m", "sonic_voice", *words],
                capture_output=True,
                text=True,
                check=False,
                cwd=ROOT,
                timeout=100,
            )
            code, out, err = ran.returncode, ran.stdout, ran.stderr
        else:
            root: Any = get_command(app)
            code = root.main(words, "sonic-voice", standalone_mode=False) or 0
            out, err = self._capsys.readouterr()
        assert err == ""
        return code, [json.loads(line) for line in out.splitlines()]

    def one(self, *arguments: str | Path) -> dict[str, Any]:
        """Return the one object that a command printed, which was successful."""
        code, printed = self.run(*arguments)
        assert (code, len(printed)) == (0, 1), printed
        return printed[0]


@pytest.fixture
def commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Commands]:
    state = TemporaryDirectory()  # its path is short enough for a Unix socket, unlike `tmp_path`
    made = Commands(Path(state.name), monkeypatch, capsys)
    yield made
    for address in made.folder.glob("*.json"):  # a test that failed before it stopped it
        os.kill(json.loads(address.read_text())["pid"], signal.SIGTERM)
    state.cleanup()


def test_a_conversation_is_started_driven_and_stopped(commands: Commands) -> None:
    began = commands.one("--start", "--session", "x", "--scenario", PIZZA, "--tools", TOOLS)
    assert (began["session"], began["greeting"]) == ("x", None)
    assert stat.S_IMODE((commands.folder / "x.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE(commands.folder.stat().st_mode) == 0o700
    order = commands.one("A large pizza, please.", "--session", "x")
    assert order["heard"].startswith("It costs 12 euros.")
    assert order["calls"] == [
        {"tool": "order", "arguments": {"size": "large", "count": 1}, "result": {"price": 12}}
    ]
    assert order["response_latency_ms"] < 2000
    second = commands.one(ROOT / "tests" / "speech" / "goodbye.wav", "--session", "x")
    assert (second["turn"], second["heard"]) == (2, "You are welcome. Goodbye!")
    for nothing, exit_code in (("nowhere.wav", 2), (" ", 3)):
        code, [error] = commands.run(nothing, "--session", "x")
        assert (code, error["hint"]) == (exit_code, "Give words, or a sound file.")
    code, events = commands.run("--events", "--after", "10", "--session", "x")
    assert code == 0
    assert events[0]["number"] == 11
    assert {"UserText", "AssistantText", "TurnEnded"} <= {event["event"] for event in events}
    code, [error] = commands.run("--start", "--session", "x")
    assert (code, error["error"]) == (3, "The conversation x runs already.")
    assert commands.one("--stop", "--session", "x") == {"session": "x", "stopped": True}
    code, [error] = commands.run("Hello?", "--session", "x")
    assert (code, error["error"]) == (3, "There is no conversation x.")
    assert [path.name for path in commands.folder.iterdir()] == ["x.log"]


def test_an_idle_conversation_ends_by_itself(commands: Commands) -> None:
    began = commands.one("--start", "--idle-min", "0.01", "--greeting", "Say hello.")
    assert began["greeting"]["heard"]
    _wait_for_the_end(began["pid"])
    assert list(commands.folder.glob("*.json")) == []


def test_a_terminated_process_leaves_nothing_and_a_killed_one_is_noticed(
    commands: Commands,
) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        began = commands.one("--start", "--scenario", PIZZA)
        os.kill(began["pid"], number)
        _wait_for_the_end(began["pid"])
        assert (commands.folder / "default.json").exists() == (number == signal.SIGKILL)
    code, [error] = commands.run("Hello?")
    assert (code, error["error"]) == (3, "There is no conversation default.")
    assert [path.name for path in commands.folder.iterdir()] == ["default.log"]


def test_a_folder_whose_path_is_too_long_for_a_socket_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ("long" * (MAX_SOCKET_PATH_BYTES // 4))
    commands = Commands(folder, monkeypatch, capsys)
    commands.one("--start", "--scenario", PIZZA, "--tools", TOOLS)
    files = SessionFiles(commands.folder, "default")
    address = files.read()
    assert address is not None
    assert address.port
    assert commands.one("A large pizza, please.")["calls"]
    address = json.loads(files.address.read_text())
    files.address.write_text(json.dumps(address | {"token": "guessed"}))
    assert ask(files, {"do": "stop"}, 10) == {"error": "The token is wrong."}
    files.address.write_text(json.dumps(address))
    assert commands.one("--stop")["stopped"]


def test_a_conversation_that_cannot_start_says_why(commands: Commands, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("steps: [{user: a, sey: b}]")
    code, [error] = commands.run("--start", "--scenario", wrong)
    assert code == 2
    assert "wrong.yaml:1:19: a step has no key `sey`" in error["error"]
    code, [error] = commands.run("--stop", "--session", "../x")
    assert (code, error["error"]) == (3, "'../x' is no name for a session.")


def _wait_for_the_end(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    subprocess.run(["tail", "--pid", str(pid), "-f", "/dev/null"], check=True, timeout=60)
