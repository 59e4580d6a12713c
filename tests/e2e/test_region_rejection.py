"""A region without the model is rejected before anything is asked of the network.

Wherever the region comes from, `talk`, `serve`, `doctor` and the library say the same sentence,
connect to nobody and start no credential process.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sonic_voice import BedrockTransport, ConfigError
from sonic_voice.catalog import DEFAULT_MODEL

PROGRAM = Path(sys.executable).with_name("sonic-voice")
SENTENCE = "Nova 2 Sonic is not available in region 'eu-central-1'."
NEXT_STEP = "Use eu-north-1 (Stockholm)"


@dataclass(frozen=True)
class Machine:
    """A machine whose AWS endpoint and credential process leave a trace when they are used."""

    home: Path
    environment: dict[str, str]
    visitors: list[object]

    @property
    def is_untouched(self) -> bool:
        return not self.visitors and not (self.home / "credentials-asked").exists()

    async def run(self, *arguments: str) -> tuple[int | None, str]:
        """Run the command; return its exit code and all it printed."""
        running = await asyncio.create_subprocess_exec(
            PROGRAM,
            *arguments,
            cwd=self.home,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(running.communicate(), 60)
        return running.returncode, out.decode()


@pytest.fixture
async def visitors() -> AsyncIterator[tuple[int, list[object]]]:
    came: list[object] = []

    def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer.get_extra_info("peername"))
        writer.close()

    async with await asyncio.start_server(note, "localhost") as server:
        yield server.sockets[0].getsockname()[1], came


@pytest.fixture(params=["--region", "AWS_REGION", "AWS_DEFAULT_REGION", "profile"])
def source(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def machine(source: str, visitors: tuple[int, list[object]], tmp_path: Path) -> Machine:
    port, came = visitors
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    asked = f"touch {tmp_path / 'credentials-asked'}"
    region = "region = eu-central-1\n" if source == "profile" else ""
    (tmp_path / "config").write_text(f"[default]\n{region}credential_process = {asked}\n")
    clean |= {
        "HOME": str(tmp_path),
        "COLUMNS": "200",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": f"https://localhost:{port}",
    }
    if source.startswith("AWS"):
        clean[source] = "eu-central-1"
    return Machine(tmp_path, clean, came)


async def test_talk_and_serve_reject_it_at_their_start(machine: Machine, source: str) -> None:
    more = ("--region", "eu-central-1") if source == "--region" else ()
    (machine.home / "q.wav").write_bytes(
        b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\2\0\0\0\0\0"
    )
    for command in (("talk", "--input", "q.wav"), ("serve", "--port", "0")):
        code, said = await machine.run(*command, *more)
        assert code == 3, said
        assert SENTENCE in said
        assert NEXT_STEP in said
    assert machine.is_untouched


async def test_doctor_says_the_same_sentence(machine: Machine, source: str) -> None:
    more = ("--region", "eu-central-1") if source == "--region" else ()
    code, said = await machine.run("doctor", "--no-audio", *more)
    assert code == 1
    assert SENTENCE in said
    assert NEXT_STEP in said
    assert not machine.visitors


async def test_the_transport_rejects_it_when_a_stream_is_opened(
    machine: Machine, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)
    transport = BedrockTransport(region="eu-central-1" if source == "--region" else None)
    for attempt in (transport.open, transport.check_region):
        with pytest.raises(ConfigError) as caught:
            await attempt(DEFAULT_MODEL)
        assert caught.value.message == SENTENCE
        assert caught.value.hint.startswith(NEXT_STEP)
    await transport.aclose()
    assert machine.is_untouched
