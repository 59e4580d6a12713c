"""Credentials from each source that the AWS CLI supports: fetched, cached, refreshed, refused.

Local stand-ins issue access keys that the emulator accepts until newer ones are issued. A
conversation that succeeds has therefore used the newest ones.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import cast

import pytest

from sonic_voice import (
    AudioFormat,
    NullSink,
    Session,
    SessionConfig,
    Transport,
    WavSource,
    converse,
)
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.emulator.server import Emulator
from sonic_voice.errors import ConfigError, CredentialsError
from sonic_voice.events import Event, TurnEnded, UserText

from ..support.aws_profiles import (
    FETCHED,
    REWRITTEN,
    Environment,
    Home,
    Source,
    aws_login,
    instance_metadata,
    role_of_a_profile,
    role_of_the_environment,
)
from ..support.aws_stand_ins import AwsStandIns, access_key_of

DEMO = cast(Path, resources.files("sonic_voice.emulator"))
MODEL = "amazon.nova-2-sonic-v1:0"


@pytest.fixture
def stand_ins() -> Iterator[AwsStandIns]:
    with AwsStandIns() as stand_ins:
        yield stand_ins


@pytest.fixture
def home(stand_ins: AwsStandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty home directory, and nothing of this machine's AWS settings."""
    for name in [n for n in os.environ if n.startswith(("AWS_", "SSL_CERT"))]:
        monkeypatch.delenv(name)
    for name, value in stand_ins.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return Home(tmp_path, stand_ins)


@pytest.fixture
async def service(stand_ins: AwsStandIns) -> AsyncIterator[Emulator]:
    """An emulator that accepts what the stand-ins issued last."""
    running = emulator(DEMO / "demo.yaml", behaviour=Behaviour(latency="none"), keys=stand_ins.keys)
    async with running:
        yield running


async def conversation(transport: Transport) -> list[str]:
    """Hold a conversation of one turn, and return what the service understood."""
    told: list[Event] = []
    source = WavSource(DEMO / "demo.wav", speed=20)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(source.aclose)
        opening = Session.open(SessionConfig(), transport, clock=source.now)
        session = await stack.enter_async_context(opening)

        def observe(event: Event, _: float) -> None:
            told.append(event)
            if isinstance(event, TurnEnded):
                session.finish()

        sink = NullSink(AudioFormat(24_000), now=source.now)
        await converse(session, source, sink, observers=[observe])
    return [event.text for event in told if isinstance(event, UserText)][:1]


def applied(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def transport(home: Home, service: Emulator) -> AsyncIterator[BedrockTransport]:
    transport = BedrockTransport(endpoint=service.endpoint, ca_file=service.ca_file)
    yield transport
    await transport.aclose()


@pytest.mark.parametrize("source", FETCHED, ids=lambda source: source.__name__)
async def test_credentials_that_expire_are_replaced_at_the_next_stream(
    source: Source, home: Home, transport: BedrockTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(source(home), monkeypatch)
    if source is instance_metadata:
        # botocore extends short lives that come from there, so long ones are made to look short.
        home.stand_ins.life = timedelta(hours=1)
        for window in ("_advisory_refresh_timeout", "_mandatory_refresh_timeout"):
            monkeypatch.setattr(f"botocore.credentials.RefreshableCredentials.{window}", 7200)
    assert await conversation(transport) == ["hello."]
    first = home.stand_ins.keys[0]
    home.stand_ins.keys.clear()  # they expire
    assert await conversation(transport) == ["hello."]
    assert home.stand_ins.keys[0] != first


@pytest.mark.parametrize("source", REWRITTEN, ids=lambda source: source.__name__)
async def test_keys_that_were_written_anew_are_used_at_the_next_stream(
    source: Source, home: Home, transport: BedrockTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(source(home), monkeypatch)
    assert await conversation(transport) == ["hello."]
    applied(source(home), monkeypatch)  # the first ones are no longer accepted
    assert await conversation(transport) == ["hello."]


async def test_a_role_takes_keys_of_the_environment(
    home: Home, service: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(role_of_the_environment(home), monkeypatch)
    transport = BedrockTransport(
        profile="voice", endpoint=service.endpoint, ca_file=service.ca_file
    )
    assert await conversation(transport) == ["hello."]
    home.stand_ins.keys.clear()
    assert await conversation(transport) == ["hello."]
    await transport.aclose()


@pytest.mark.parametrize("source", FETCHED, ids=lambda source: source.__name__)
async def test_credentials_that_live_long_are_fetched_once(
    source: Source, home: Home, service: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.stand_ins.life = timedelta(hours=1)
    applied(source(home), monkeypatch)
    if source is aws_login:
        home.login_token(timedelta(hours=1))
    transport = BedrockTransport(endpoint=service.endpoint, ca_file=service.ca_file)
    await transport.authenticate()
    asked = len(home.stand_ins.requests)
    await asyncio.gather(*(transport.authenticate() for _ in range(3)))
    await transport.authenticate()
    assert len(home.stand_ins.requests) == asked
    await transport.aclose()


async def test_callers_at_the_same_time_share_one_look_up(
    home: Home, transport: BedrockTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(role_of_a_profile(home), monkeypatch)
    await asyncio.gather(*(transport.authenticate() for _ in range(10)))
    assert home.stand_ins.issued == 1


async def test_a_role_is_asked_for_with_its_source_and_external_id(
    home: Home, transport: BedrockTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(role_of_a_profile(home), monkeypatch)
    await transport.authenticate()
    [(_, headers, body)] = home.stand_ins.requests
    assert access_key_of(headers) == "AKIABASE"
    assert "ExternalId=ours" in body


# --- a source that does not give any


async def refusal(profile: str | None = None, timeout_s: float = 10) -> ConfigError:
    transport = BedrockTransport(profile=profile, credentials_timeout_s=timeout_s)
    with pytest.raises(ConfigError) as refused:
        await transport.authenticate()
    await transport.aclose()
    return refused.value


async def test_a_process_that_hangs_is_terminated_with_all_that_it_started(home: Home) -> None:
    fifo = home.path / "alive"
    os.mkfifo(fifo)
    script = home.file("process.sh", f"#!/bin/sh\nsleep 600 > {fifo} &\nsleep 600\n")
    home.config(f"[profile voice]\ncredential_process = sh {script}\n")
    loop = asyncio.get_running_loop()
    # Opened for reading it gives an end of file once nobody has it open for writing.
    ended = loop.run_in_executor(None, fifo.read_bytes)
    error = await refusal("voice", timeout_s=1)
    assert isinstance(error, CredentialsError)
    assert "credential_process of profile 'voice'" in error.message
    assert "terminated" in error.message
    assert await asyncio.wait_for(ended, 5) == b""


async def test_closing_the_transport_terminates_a_process_that_hangs(home: Home) -> None:
    fifo = home.path / "alive"
    os.mkfifo(fifo)
    home.config(f"[profile voice]\ncredential_process = sh -c 'sleep 600 > {fifo}'\n")
    transport = BedrockTransport(profile="voice")
    opening = asyncio.create_task(transport.open(MODEL))
    reader = await asyncio.get_running_loop().run_in_executor(None, fifo.open, "rb")
    opening.cancel()
    await asyncio.wait({opening})
    await transport.aclose()
    read = asyncio.get_running_loop().run_in_executor(None, reader.read)
    assert await asyncio.wait_for(read, 5) == b""
    reader.close()


async def test_a_look_up_that_hangs_blocks_neither_the_loop_nor_the_end_of_the_program(
    home: Home,
) -> None:
    """The container's endpoint accepts, and never answers."""
    script = (
        "import asyncio, os, socket\n"
        "from sonic_voice import BedrockTransport, CredentialsError\n"
        "async def main():\n"
        "    never = socket.create_server(('127.0.0.1', 0))\n"
        "    port = never.getsockname()[1]\n"
        "    os.environ['AWS_CONTAINER_CREDENTIALS_FULL_URI'] = f'http://127.0.0.1:{port}/'\n"
        "    transport = BedrockTransport(credentials_timeout_s=4)\n"
        "    turns = asyncio.create_task(turning())\n"
        "    try:\n"
        "        await transport.authenticate()\n"
        "    except CredentialsError as error:\n"
        "        print(error, flush=True)\n"
        "    turns.cancel()\n"
        "    await transport.aclose()\n"
        "async def turning():\n"
        "    while True:\n"
        "        await asyncio.sleep(0.1)\n"
        "        print('.', end='')\n"
        "asyncio.run(main())\n"
    )
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(running.communicate(), 30)
    assert (running.returncode, err.decode()) == (0, "")
    turns, _, told = out.decode().rpartition(".No")
    assert turns.count(".") > 10
    assert "the container's credentials endpoint within 4 s" in told


@pytest.mark.parametrize(
    "variable",
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_PROFILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_ENDPOINT_URL_STS",
    ],
)
@pytest.mark.parametrize("value", ["{}\n", "{}\r\n", " {}", "{}\x00", "{}\u200b"])
async def test_a_variable_with_white_space_around_it_is_rejected_by_name(
    variable: str, value: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret"}
    applied(keys, monkeypatch)
    if "\x00" in value:
        value = "{}\x07"  # no variable can hold a zero byte
    monkeypatch.setenv(variable, value.format(os.environ.get(variable, "us-east-1")))
    error = await refusal()
    assert variable in error.message
    assert "secret" not in str(error)


@pytest.mark.parametrize("name", ["config", "credentials"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xef\xbb\xbf[default]\nregion = us-east-1\n", "byte order mark"),
        ("[default]\n".encode("utf-16"), "byte order mark"),
        (b"[default]\nregion = caf\xe9\n", "(line 2)"),
        (b"region = us-east-1\n", "ine 1"),
        (b"[default]\na-secret-without-a-name\n", "ine 2"),
        (b"[default]\nregion = a\n[default]\nregion = b\n", "(line 3)"),
    ],
    ids=["UTF-8 BOM", "UTF-16 BOM", "Latin-1", "no section", "no value", "section twice"],
)
async def test_a_file_that_cannot_be_read_is_named(
    name: str, content: bytes, words: str, home: Home
) -> None:
    (home.path / ".aws").mkdir()
    path = home.path / ".aws" / name
    path.write_bytes(content)
    error = await refusal()
    assert str(path) in error.message
    assert words in error.message
    assert "a-secret" not in str(error)


async def test_keys_of_a_file_with_a_character_that_no_key_has_are_rejected(home: Home) -> None:
    home.file(
        ".aws/credentials",
        "[default]\naws_access_key_id = AKIA\u200b\naws_secret_access_key = a-secret\n",
    )
    error = await refusal()
    assert "The access key from profile 'default' of the AWS files" in error.message
    assert "a-secret" not in str(error)


async def test_static_keys_are_used_as_they_are(home: Home, service: Emulator) -> None:
    service_keys = home.stand_ins.issue()
    transport = BedrockTransport(
        endpoint=service.endpoint,
        ca_file=service.ca_file,
        access_key=service_keys.access_key,
        secret_key=service_keys.secret_key,
    )
    assert await conversation(transport) == ["hello."]
    await transport.aclose()
    assert home.stand_ins.requests == []
