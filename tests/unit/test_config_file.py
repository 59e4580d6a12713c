"""The configuration file, the environment variables, and which of them holds."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from sonic_voice.cli.commands import app
from sonic_voice.cli.config_file import config_path, line_of, parse_config
from sonic_voice.cli.configured import NOT_CONFIGURABLE, configured_commands, long_names
from sonic_voice.errors import ConfigError

FILE = """
[default]
voice = "matthew"
plain = true
tools = "robot.py"
system = "@prompt.txt"
microphone = 3
idle-prompt = [
    "20:Ask whether the user is there.",
    "20:end",
]

[preset.kiosk]
voice = "amy"
no-aec = true
reconnect = false
block-ms = 30
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a user with the settings above."""
    path = tmp_path / "settings" / "config.toml"
    path.parent.mkdir()
    path.write_text(FILE)
    monkeypatch.setenv("SONIC_VOICE_CONFIG", str(path))
    return path


def parsed(command: str, *arguments: str) -> dict[str, Any]:
    """Return the values that a command gets, as the program would parse them."""
    group: Any = get_command(app)
    with group.make_context("sonic-voice", [command, *arguments]) as root:
        found = group.commands[command]
        with found.make_context(command, list(arguments), parent=root) as context:
            return dict(context.params)


def test_settings_are_the_defaults_of_options(file: Path) -> None:
    values = parsed("talk")
    assert values["voice"] == "matthew"
    assert values["plain"] is True
    assert values["microphone"] == "3"
    assert values["idle_prompt"] == ["20:Ask whether the user is there.", "20:end"]
    assert values["block_ms"] is None


def test_a_preset_goes_over_the_settings_for_all(file: Path) -> None:
    values = parsed("talk", "--preset", "kiosk")
    assert values["voice"] == "amy"
    assert values["plain"] is True
    assert values["aec"] is False
    assert values["no_reconnect"] is True
    assert values["block_ms"] == 30.0


def test_paths_are_relative_to_the_file(file: Path) -> None:
    values = parsed("talk")
    assert values["tools"] == file.parent / "robot.py"
    assert values["system"] == f"@{file.parent / 'prompt.txt'}"
    assert parsed("talk", "--tools", "other.py")["tools"] == Path("other.py")


def test_command_line_environment_preset_and_default_hold_in_this_order(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parsed("talk", "-p", "kiosk")["voice"] == "amy"
    monkeypatch.setenv("SONIC_VOICE_PRESET", "kiosk")
    assert parsed("talk")["voice"] == "amy"
    monkeypatch.setenv("SONIC_VOICE_VOICE", "olivia")
    assert parsed("talk")["voice"] == "olivia"
    assert parsed("talk", "--voice", "tina")["voice"] == "tina"


def test_a_flag_of_the_file_is_taken_back_on_the_command_line(file: Path) -> None:
    assert parsed("talk", "--no-plain")["plain"] is False
    assert parsed("talk", "-p", "kiosk", "--reconnect", "--aec")["no_reconnect"] is False


def test_each_command_takes_the_settings_that_it_has(file: Path) -> None:
    assert parsed("serve")["voice"] == "matthew"
    assert "microphone" not in parsed("serve")
    assert parsed("doctor")["microphone"] == "3"


def test_an_option_that_is_repeated_has_a_line_for_each_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SONIC_VOICE_CONFIG", "")
    monkeypatch.setenv("SONIC_VOICE_IDLE_PROMPT", "20:Ask again.\n30:end:Say goodbye.")
    assert parsed("talk")["idle_prompt"] == ["20:Ask again.", "30:end:Say goodbye."]


def test_every_option_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    group: Any = get_command(app)
    commands = configured_commands(group)
    assert {"talk", "serve", "doctor", "devices"} <= commands.keys()
    for command in commands.values():
        for name, option in long_names(command):
            if name not in NOT_CONFIGURABLE:
                assert option.envvar == f"SONIC_VOICE_{name.upper().replace('-', '_')}"
    monkeypatch.setenv("SONIC_VOICE_CONFIG", "")
    for name, text, value in [
        ("LOCAL", "1", True),
        ("HALF_DUPLEX", "true", True),
        ("AEC", "no", False),
        ("SPEED", "2", 2.0),
        ("EVENTS", "e.jsonl", Path("e.jsonl")),
        ("REGION", "us-west-2", "us-west-2"),
        ("LATENCY", "high", "high"),
    ]:
        monkeypatch.setenv(f"SONIC_VOICE_{name}", text)
        assert parsed("talk")[name.lower()] == value


def test_options_that_exclude_each_other_yield_to_the_command_line(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('[default]\nprofile = "work"\nproxy = "http://proxy:8080"\n')
    values = parsed("talk", "--local")
    assert (values["local"], values["profile"], values["proxy"]) == (True, None, None)
    file.write_text('[default]\nlocal = true\nscenario = "s.yaml"\n')
    values = parsed("talk", "--endpoint", "https://x.example")
    assert (values["local"], values["scenario"]) == (False, None)
    assert parsed("talk", "--profile", "work", "--local")["profile"] == "work"
    monkeypatch.setenv("SONIC_VOICE_PROFILE", "work")
    assert parsed("talk")["local"] is False


def test_a_language_and_a_voice_hold_by_what_is_closer(file: Path) -> None:
    file.write_text('[default]\nvoice = "amy"\n[preset.german]\nlanguage = "de"\n')
    values = parsed("talk", "--preset", "german")
    assert (values["language"], values["voice"]) == ("de", None)
    values = parsed("talk", "--preset", "german", "--voice", "matthew")
    assert (values["language"], values["voice"]) == (None, "matthew")
    values = parsed("talk", "--language", "de", "--voice", "tina")
    assert (values["language"], values["voice"]) == ("de", "tina")


def test_what_a_continued_conversation_had_goes_over_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = parsed("talk", "--continue")
    assert (values["voice"], values["system"], values["plain"]) == (None, None, True)
    assert parsed("talk", "--continue", "--voice", "amy")["voice"] == "amy"


def problem(file: Path, text: str, capfd: pytest.CaptureFixture[str]) -> str:
    """Return the error message for a file, whose exit code is that of configuration."""
    file.write_text(text)
    with pytest.raises(typer.Exit) as ended:
        parsed("talk")
    assert ended.value.exit_code == 3
    return capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[default]\nvioce = "amy"\n', 2, "no option 'vioce'.\n  Did you mean 'voice'?"),
        (
            '[default]\n\n[preset.a]\nx = 1\nmicrofone = "a"\n',
            4,
            "no option 'x'.\n  The keys are:",
        ),
        ('[default]\nvoice = """\namy"""\nspeed = "fast"\n', 4, "valid number"),
        ("[default]\nplain = 1\n", 2, "plain is 1.\n  It is true or false."),
        ("[default]\nvoice = true\n", 2, "voice is True.\n  It is a text or a number."),
        ('[default]\nvoice = ["amy"]\n', 2, "voice is ['amy']"),
        ('[default]\nlatency = "none"\n', 2, "low"),
        ('voice = "amy"\n[default]\n', 1, "'voice' is not in a table of options"),
        ('[kiosk]\nvoice = "amy"\n', 1, "Options stand below [default] or [preset.NAME]"),
        ('[preset]\nvoice = "amy"\n', 2, "A preset has a name"),
        ("[default]\ncontinue = true\n", 2, "no option 'continue'"),
    ],
)
def test_a_mistake_is_reported_with_its_place(
    text: str, line: int, words: str, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    err = problem(file, text, capfd)
    assert f"{file}:{line}: " in err
    assert words in err


def test_a_file_that_is_not_toml_is_reported(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    err = problem(file, "[default]\nvoice = matthew\n", capfd)
    assert f"{file} is not TOML" in err
    assert "line 2" in err


def test_an_unknown_preset_is_reported(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        parsed("talk", "--preset", "kiosc")
    assert "There is no preset 'kiosc'" in (err := capfd.readouterr().err)
    assert "Did you mean 'kiosk'?" in err


def test_a_wrong_value_in_a_variable_is_reported_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SONIC_VOICE_CONFIG", "")
    monkeypatch.setenv("SONIC_VOICE_BLOCK_MS", "long")
    with pytest.raises(typer.BadParameter.__base__ or Exception) as caught:
        parsed("talk")
    assert "in the variable SONIC_VOICE_BLOCK_MS" in str(caught.value)


def test_a_missing_file_is_an_error_only_if_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SONIC_VOICE_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert parsed("talk")["voice"] is None
    monkeypatch.setenv("SONIC_VOICE_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(typer.Exit):
        parsed("talk")
    assert "none.toml: No such file" in capfd.readouterr().err


def test_the_place_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SONIC_VOICE_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_path() == tmp_path / "sonic-voice" / "config.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config_path() == tmp_path / ".config" / "sonic-voice" / "config.toml"
    monkeypatch.setenv("SONIC_VOICE_CONFIG", "~/mine.toml")
    assert config_path() == tmp_path / "mine.toml"
    monkeypatch.setenv("SONIC_VOICE_CONFIG", "")
    assert config_path() is None


def test_the_line_of_each_key_is_found() -> None:
    lines = FILE.splitlines()
    content = parse_config(FILE, Path("config.toml"))
    for settings in (content.default or {}, (content.presets or {})["kiosk"]):
        for key, setting in settings.items():
            number = int(setting.place.rpartition(":")[2])
            assert lines[number - 1].startswith(f"{key} =")


def test_lines_of_any_spelling_of_toml_are_found() -> None:
    text = "preset = { a = { voice = \"x\" } }\n\n[default]\n\"voice\" = '''\n\n'''\nregion=\"y\"\n"
    assert line_of(text, ("preset", "a", "voice")) == 1
    assert line_of(text, ("default", "voice")) == 4
    assert line_of(text, ("default", "region")) == 7


def test_an_empty_file_has_no_presets() -> None:
    with pytest.raises(ConfigError, match="no preset 'a'") as caught:
        parse_config("", Path("config.toml")).settings("a")
    assert "[preset.a]" in caught.value.hint
