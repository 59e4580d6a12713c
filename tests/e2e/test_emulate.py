"""`sonic-voice emulate` as the owner of another client uses it: start, point at it, read, stop."""

import asyncio
import json
import os
import re
import signal
import sys
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from aws_sdk_bedrock_runtime import models

from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.errors import ConfigError

from ..support.sdk_talk import Heard, once

PROGRAM = Path(sys.executable).with_name("sonic-voice")
V1 = "amazon.nova-sonic-v1:0"
V2 = "amazon.nova-2-sonic-v1:0"


@dataclass
class Running:
    """The program, and what it printed until it was ready."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list[str])

    @property
    def exports(self) -> dict[str, str]:
        lines = [line.removeprefix("export ") for line in self.lines if line.startswith("export ")]
        return dict(line.split("=", 1) for line in lines)

    @property
    def settings(self) -> str:
        """The lines for a shell."""
        return "\n".join(line for line in self.lines if line.startswith(("export ", "unset ")))

    @property
    def profile(self) -> str:
        """The lines for ~/.aws/config."""
        text = "\n".join(self.lines)
        return text[text.index("[profile") : text.index("\n\n", text.index("[services"))]

    async def stop(self, how: signal.Signals) -> tuple[int, str, str]:
        self.process.send_signal(how)
        out, err = await asyncio.wait_for(self.process.communicate(), 10)
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def emulate(home: Path, *arguments: str) -> AsyncGenerator[Running]:
    """The program, deaf unless `arguments` say otherwise: ears take a second to load."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "SSL_", "XDG_"))
    }
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "emulate", "--ears", "none", *arguments),
        cwd=home,
        env=clean | {"HOME": str(home), "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    running = Running(process)
    try:
        while "Ctrl-C" not in "".join(running.lines[-1:]):
            line = await asyncio.wait_for(process.stdout.readline(), 20)
            if not line:
                break
            running.lines.append(line.decode().rstrip())
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return monkeypatch


def point_at(use: pytest.MonkeyPatch, exports: dict[str, str]) -> None:
    for name, value in exports.items():
        use.setenv(name, value)


async def test_what_it_prints_is_all_that_a_client_needs(
    tmp_path: Path, use: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.yaml").write_text("steps: [{user: go on, say: Where to then.}]")
    arguments = ("--port", "0", "--latency", "none", "--scenario", "s.yaml")
    async with emulate(tmp_path, *arguments) as running:
        point_at(use, running.exports)
        heard = await once()
        code, _, err = await running.stop(signal.SIGINT)
    assert (code, err) == (130, "")
    assert heard.end is None
    assert heard.spoke
    text = "\n".join(running.lines)
    assert "NODE_EXTRA_CA_CERTS=" in text
    assert "127.0.0.1 bedrock-runtime.us-east-1.amazonaws.com" in text


TALK = """
import asyncio
from tests.support.sdk_talk import once

heard = asyncio.run(once())
print(heard.spoke, heard.end)
"""


async def client_in(shell: str, home: Path, **environment: str) -> str:
    """Run the bare SDK in a shell that has AWS settings of its own, and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f'{shell}\nexec "$PYTHON" -c "$TALK"'),
        cwd=Path(__file__).parents[2],
        env={
            "PATH": os.environ["PATH"],
            "PYTHON": sys.executable,
            "TALK": TALK,
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "HOME": str(home),
        }
        | environment,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    return out.decode()


async def test_the_settings_work_in_a_shell_that_has_aws_access_already(tmp_path: Path) -> None:
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "config").write_text("[profile work]\nregion = eu-west-1\n")
    own = {
        "AWS_PROFILE": "work",
        "AWS_SESSION_TOKEN": "theirs",
        "AWS_BEARER_TOKEN_BEDROCK": "theirs",
    }
    (tmp_path / "s.yaml").write_text("steps: [{user: go on, say: Where to then.}]")
    arguments = ("--port", "0", "--latency", "none", "--scenario", "s.yaml")
    async with emulate(tmp_path, *arguments) as running:
        assert await client_in(running.settings, tmp_path, **own) == "True None\n"


async def test_the_profile_works_for_clients_that_read_files(
    tmp_path: Path, use: pytest.MonkeyPatch
) -> None:
    use.delenv("AWS_CA_BUNDLE", raising=False)
    async with emulate(tmp_path, "--port", "0") as running:
        (tmp_path / "config").write_text(running.profile)
        session: Any = botocore.session.Session(profile="sonic-emulator")
        session.set_config_variable("config_file", str(tmp_path / "config"))
        client = session.create_client("bedrock-runtime")
        assert client.meta.endpoint_url == running.exports["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]
        assert client.meta.region_name == running.exports["AWS_REGION"]
        keys = session.get_credentials()
        assert keys.access_key == running.exports["AWS_ACCESS_KEY_ID"]
        assert session.get_config_variable("ca_bundle") == running.exports["SSL_CERT_FILE"]


async def test_foreign_keys_are_rejected_with_a_question_about_the_profile(
    tmp_path: Path, use: pytest.MonkeyPatch
) -> None:
    async with emulate(tmp_path, "--port", "0") as running:
        point_at(use, running.exports | {"AWS_ACCESS_KEY_ID": "AKIAFOREIGN"})
        heard = await once()
        _, _, err = await running.stop(signal.SIGTERM)
    assert heard.end is not None
    assert "AWS_PROFILE" in err


async def test_the_ca_is_the_same_the_next_time_and_for_nobody_else_to_read(
    tmp_path: Path,
) -> None:
    kept: list[bytes] = []
    for _ in range(2):
        async with emulate(tmp_path, "--port", "0", "--ca-out", "ca.pem") as running:
            kept.append((tmp_path / "ca.pem").read_bytes())
            assert running.exports["SSL_CERT_FILE"] == str(tmp_path / "ca.pem")  # from any folder
            await running.stop(signal.SIGTERM)
    assert kept[0] == kept[1]
    assert b"PRIVATE" not in kept[0]
    (key,) = tmp_path.rglob("authority.pem")
    assert key.stat().st_mode & 0o077 == 0
    assert key.parent.stat().st_mode & 0o077 == 0
    assert (tmp_path / "ca.pem").stat().st_mode & 0o777 == 0o644


async def test_sigterm_ends_streams_writes_the_report_and_exits_with_143(
    tmp_path: Path, use: pytest.MonkeyPatch
) -> None:
    async with emulate(tmp_path, "--port", "0", "--report", "r.json") as running:
        point_at(use, running.exports)
        talking = asyncio.create_task(once(pause=True))
        await asyncio.wait({talking}, timeout=1.5)
        code, _, _ = await running.stop(signal.SIGTERM)
        heard = await talking
    assert code == 143
    assert isinstance(heard.end, Exception)
    (result,) = json.loads((tmp_path / "r.json").read_text())["results"]
    assert result["end"] == "lost"
    assert result["conforms"]


async def test_the_report_and_a_line_say_what_a_client_did_wrong(
    tmp_path: Path, use: pytest.MonkeyPatch
) -> None:
    arguments = ("--port", "0", "--report", "r.json", "--idle-s", "0.5", "--latency", "none")
    async with emulate(tmp_path, *arguments) as running:
        point_at(use, running.exports)
        await once(pause=True)
        await once()
        code, out, _ = await running.stop(signal.SIGINT)
    assert code == 130
    assert re.search(r"stream [0-9a-f]{8}  audio-flow \(1\.9\): Timed out .* The real service", out)
    document = json.loads((tmp_path / "r.json").read_text())
    assert (document["streams"], document["conforming"]) == (2, 1)
    silent, good = document["results"]
    assert [found["rule"] for found in silent["broken"]] == ["audio-flow"]
    assert silent["error"].endswith("are less than 0.5 seconds.")
    assert "audio-flow" in good["kept"]


async def test_the_status_page_shows_the_conversation(
    tmp_path: Path, use: pytest.MonkeyPatch
) -> None:
    arguments = ("--port", "0", "--ui", "--latency", "none", "--ears", "default")
    async with emulate(tmp_path, *arguments) as running:
        point_at(use, running.exports)
        heard = await once()
        url = next(line for line in running.lines if "Status page" in line).split()[-1]
        document = await asyncio.to_thread(fetch, f"{url}state.json")
        await running.stop(signal.SIGINT)
    (stream,) = json.loads(document)["streams"]
    assert stream["end"] == "finished"
    assert [line["text"] for line in stream["transcript"]][:1] == heard.texts("USER", "FINAL")[:1]
    assert "secret" not in document


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--fault", "htpp"], 3, "Did you mean http?"),
        (["--fault", "http:299"], 3, "does not take '299'"),
        (["--latency", "quick"], 3, "typical"),
        (["--model", "amazon.nova-lite-v1:0"], 3, "Converse"),
        (["--report", "no/r.json"], 3, "no/r.json"),
        (["--ca-out", "no/ca.pem"], 3, "no/ca.pem"),
        (["--life-s", "0"], 2, "life-s"),
        (["--brain", "openai:localhost"], 3, "openai:URL#MODEL"),
        (["--brain", "openai:http://localhost/#m", "--scenario", "x.yaml"], 3, "a brain"),
        (["--record", "file/below"], 3, "file/below"),
        (["--ears", "best"], 2, "--ears"),
        (["--host", "192.0.2.1"], 3, "Cannot listen at 192.0.2.1"),
    ],
)
async def test_what_cannot_be_is_said_before_it_serves(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    (tmp_path / "file").touch()
    async with emulate(tmp_path, "--port", "0", *arguments) as running:
        _, err = await running.process.communicate()
    assert running.process.returncode == code
    assert words in err.decode()
    assert "Traceback" not in err.decode()


# --- what it offers


async def heard_by(use: pytest.MonkeyPatch, behaviour: Behaviour, model: str = V2) -> Heard:
    async with emulator(behaviour=behaviour) as running:
        point_at(use, running.environment())
        return await once(model=model)


async def test_v1_is_gone_unless_retired_models_are_allowed(use: pytest.MonkeyPatch) -> None:
    gone = await heard_by(use, Behaviour(allow_retired=False, ears="none"), V1)
    assert isinstance(gone.end, models.ResourceNotFoundException)
    assert "end of life" in gone.end.message
    alive = await heard_by(use, Behaviour(allow_retired=True, latency="none", ears="none"), V1)
    assert alive.end is None
    assert alive.spoke


async def test_a_model_that_is_not_offered_is_not_found(use: pytest.MonkeyPatch) -> None:
    heard = await heard_by(use, Behaviour(models=("amazon.nova-2-5-sonic",), ears="none"))
    assert isinstance(heard.end, models.ResourceNotFoundException)
    assert "amazon.nova-2-5-sonic" in heard.end.message


def test_a_model_that_there_is_not_cannot_be_offered() -> None:
    with pytest.raises(ConfigError):
        emulator(behaviour=Behaviour(models=("amazon.nova-9-sonic",)))


async def test_a_stream_over_the_limit_is_throttled_until_another_ends(
    use: pytest.MonkeyPatch,
) -> None:
    behaviour = Behaviour(max_streams=1, latency="none", ears="none")
    async with emulator(behaviour=behaviour) as running:
        point_at(use, running.environment())
        first = asyncio.create_task(once())
        while not running.streams:
            await asyncio.wait({first}, timeout=0.01)
        refused = await once()
        assert (await first).end is None
        after = await once()
    assert isinstance(refused.end, models.ThrottlingException)
    assert after.end is None
