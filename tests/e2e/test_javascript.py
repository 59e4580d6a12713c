"""A client that is not ours, in another language: the AWS SDK for JavaScript against the emulator.

Signing, framing, HTTP/2 and TLS of this SDK share no code with Python's, so what both hold a
conversation with is the protocol and not a habit of one of them. npm fetches the SDK once, as
`javascript/package-lock.json` pins it, into pytest's cache.
"""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest

from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.server import Emulator
from sonic_voice.emulator.service.effects import Note

HERE = Path(__file__).with_name("javascript")
DEMO = cast(Path, resources.files("sonic_voice.emulator"))
SPEED = 5
"""Times faster than life: the conversation takes five seconds."""
PATIENCE_S = 40.0
INSTALL_S = 100.0
OLDEST_NODE = 20


@pytest.fixture(scope="session")
def talk(pytestconfig: pytest.Config) -> Path:
    """`talk.mjs` beside the packages it needs."""
    npm = shutil.which("npm")
    if npm is None or _node_major() < OLDEST_NODE:
        pytest.skip(f"needs npm and Node.js {OLDEST_NODE} or newer")
    files = [HERE / name for name in ("package.json", "package-lock.json", ".npmrc", "talk.mjs")]
    version = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    ready = pytestconfig.cache.mkdir("javascript") / version[:12]
    if not ready.exists():  # appears whole: another process may be here at the same time
        with TemporaryDirectory(dir=ready.parent) as fresh:
            installed = _install(npm, files, Path(fresh) / "talk")
            with suppress(OSError):  # it was quicker
                installed.rename(ready)
    return ready / "talk.mjs"


def _install(npm: str, files: list[Path], folder: Path) -> Path:
    """`folder`, with `files` and the packages that they name."""
    folder.mkdir()
    for file in files:
        shutil.copy(file, folder)
    npm_ci = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        npm_ci, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False
    )
    assert done.returncode == 0, f"npm cannot install the SDK: {done.stderr}"
    return folder


def _node_major() -> int:
    node = shutil.which("node")
    if node is None:
        return 0
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.lstrip("v").partition(".")[0])


@dataclass(frozen=True, slots=True)
class Service:
    """A strict emulator that plays the demonstration, and what it had to note."""

    emulator: Emulator
    notes: list[Note] = field(default_factory=lambda: list[Note]())


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    notes: list[Note] = []
    async with emulator(
        DEMO / "demo.yaml", strict=True, on_note=lambda _, note: notes.append(note)
    ) as running:
        yield Service(running, notes)


async def conversation(
    talk: Path, service: Service, *, environment: dict[str, str] | None = None, **settings: Any
) -> list[dict[str, Any]]:
    """What `talk.mjs` printed, configured by nothing but the emulator's own variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    clean |= {"HOME": str(talk.parent), "NODE_EXTRA_CA_CERTS": str(service.emulator.ca_file)}
    node = await asyncio.create_subprocess_exec(
        *("node", talk, DEMO / "demo.wav", json.dumps({"speed": SPEED, **settings})),
        env=clean | service.emulator.environment() | (environment or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(node.communicate(), PATIENCE_S)
    finally:
        if node.returncode is None:
            node.kill()
            await node.communicate()
    printed = [json.loads(line) for line in out.splitlines()]
    assert printed, err.decode()
    return printed


def texts(printed: list[dict[str, Any]], role: str, stage: str) -> list[str]:
    return [
        line["text"] for line in printed if (line.get("role"), line.get("stage")) == (role, stage)
    ]


async def test_the_javascript_sdk_holds_a_conversation_with_tool_call_and_barge_in(
    talk: Path, service: Service
) -> None:
    printed = await conversation(talk, service)
    assert texts(printed, "USER", "FINAL") == [
        "hello.",
        "go forward ten meters.",
        "please try again.",
    ]
    assert [line for line in printed if "tool" in line] == [
        {"tool": "go", "arguments": {"direction": "forward", "meters": 10}}
    ]
    story = "".join(texts(printed, "ASSISTANT", "SPECULATIVE"))
    assert "Done, I went forward 10 meters. While I am on my way" in story  # by the tool's result
    (barge_in,) = (line for line in printed if line.get("interrupted"))
    assert barge_in["droppedMs"] > 5000
    heard = "".join(texts(printed, "ASSISTANT", "FINAL"))
    assert "let me tell you the story" in heard  # how far it comes is a matter of time
    assert "rowed out to ask for it" in story
    assert "rowed out to ask for it" not in heard
    assert heard.endswith("Goodbye!")
    assert printed[-1] == {"end": "END_TURN"}
    (statistics,) = service.emulator.streams
    assert (statistics.end, statistics.error) == ("finished", "")
    assert service.notes == []


async def test_an_exception_in_the_stream_reaches_javascript_as_its_class(
    talk: Path, service: Service
) -> None:
    (error,) = await conversation(talk, service, voice="tifany")
    assert error["error"] == "ValidationException"
    assert error["message"].endswith("Received invalid id: 'tifany'")


@pytest.mark.parametrize(
    ("settings", "environment", "error", "status"),
    [
        ({"model": "amazon.nova-9-sonic"}, {}, "ResourceNotFoundException", 404),
        ({}, {"AWS_SESSION_TOKEN": "EXPIRED"}, "ExpiredTokenException", 403),
        ({}, {"AWS_SECRET_ACCESS_KEY": "wrong"}, "InvalidSignatureException", 403),
    ],
)
async def test_a_refusal_before_the_stream_reaches_javascript_with_its_status(
    talk: Path,
    service: Service,
    settings: dict[str, Any],
    environment: dict[str, str],
    error: str,
    status: int,
) -> None:
    (printed,) = await conversation(talk, service, environment=environment, **settings)
    assert (printed["error"], printed["status"]) == (error, status)
    assert not service.emulator.streams
