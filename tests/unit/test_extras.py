"""A hint to install something names a command that works where the package is installed."""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from sonic_voice.extras import install_command, pip_install, requirements, source_arguments

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def file_url(path: Path) -> str:
    return path.as_uri()


def test_from_a_checkout_it_names_the_checkout(tmp_path: Path) -> None:
    url: dict[str, Any] = {"url": file_url(tmp_path), "dir_info": {}}
    assert source_arguments(url, ("devices", "echo")) == [f"{tmp_path}[devices,echo]"]
    url["dir_info"] = {"editable": True}
    assert source_arguments(url, ("echo",)) == ["--editable", f"{tmp_path}[echo]"]


def test_from_a_wheel_it_names_the_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "with a space" / "sonic_voice-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    url: dict[str, Any] = {"url": file_url(wheel), "archive_info": {"hashes": {}}}
    assert source_arguments(url, ("emulator",)) == [f"{wheel}[emulator]"]


def test_a_place_that_is_gone_is_not_named(tmp_path: Path) -> None:
    url: dict[str, Any] = {"url": file_url(tmp_path / "gone.whl"), "archive_info": {}}
    assert source_arguments(url, ("emulator",)) is None


@pytest.mark.parametrize(
    ("url", "argument"),
    [
        (None, "sonic-voice[echo]"),
        (
            {
                "url": "https://git.example/voice.git",
                "vcs_info": {"vcs": "git", "commit_id": COMMIT},
            },
            f"sonic-voice[echo] @ git+https://git.example/voice.git@{COMMIT}",
        ),
        (
            {"url": "https://files.example/sonic_voice.whl", "archive_info": {}},
            "sonic-voice[echo] @ https://files.example/sonic_voice.whl",
        ),
    ],
    ids=["index", "repository", "download"],
)
def test_from_elsewhere_it_names_that_place(url: dict[str, Any] | None, argument: str) -> None:
    assert source_arguments(url, ("echo",)) == [argument]


LINES = [
    "h2<5,>=4.1",
    "websockets>=14; extra == 'bridge'",
    "aws-sdk-bedrock-runtime[awscrt]<0.13,>=0.12; extra == 'crt'",
    "py-nanotts>=0.1.1; (sys_platform != 'darwin') and extra == 'emulator'",
    'pyyaml>=6; extra == "emulator"',
]


@pytest.mark.parametrize(
    ("extras", "wanted"),
    [
        (("bridge",), ["websockets>=14"]),
        (("crt",), ["aws-sdk-bedrock-runtime[awscrt]<0.13,>=0.12"]),
        (("emulator",), ['py-nanotts>=0.1.1; (sys_platform != "darwin")', "pyyaml>=6"]),
        (("none",), []),
    ],
)
def test_the_requirements_of_an_extra_stand_for_it(
    extras: tuple[str, ...], wanted: list[str]
) -> None:
    assert requirements(LINES, extras) == wanted


def test_the_command_is_for_the_running_interpreter() -> None:
    command = shlex.split(install_command("emulator"))
    assert "install" in command
    assert command[-1].endswith("[emulator]")
    assert pip_install() == "pip install" or sys.executable in pip_install()


def test_no_hint_or_document_names_this_package_as_if_it_were_on_an_index() -> None:
    named = re.compile(r"pip install\b[^\n]*?[ '\"](--\S+ )*['\"]?sonic[-_]voice(\[|['\"\s]|$)")
    places = [
        *ROOT.glob("sonic_voice/**/*.py"),
        *ROOT.glob("scripts/**/*.py"),
        *ROOT.glob("*.md"),
        *ROOT.glob("web_client/*.md"),
    ]
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in places
        if path.name != "extras.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if named.search(line)
    ]
    assert found == []


def test_a_note_of_an_installer_has_the_form_that_is_read() -> None:
    from importlib import metadata

    note = metadata.distribution("sonic-voice").read_text("direct_url.json")
    assert note is not None
    assert source_arguments(json.loads(note), ("echo",)) is not None
