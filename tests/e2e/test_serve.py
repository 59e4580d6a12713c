"""The command `serve` as one uses it: a process, what it prints, and how it ends."""

import asyncio
import json
import re
import signal
import socket as sockets
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.main import get_command

from sonic_voice.bridge.tokens import read_token
from sonic_voice.cli.commands import app

from ..support.page import Page, close_of, socket

PROGRAM = Path(sys.executable).with_name("sonic-voice")
SECRET = "0123456789abcdef0123456789abcdef"
SCENARIO = resources.files("sonic_voice.emulator") / "demo.yaml"
LOCAL = ("--local", "--scenario", str(SCENARIO), "--port", "0")
"""With words it knows the emulator needs no ears, which take a second to load."""


async def started(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *(PROGRAM, "serve", *arguments), stdout=pipe, stderr=pipe
    )


@asynccontextmanager
async def serving(*arguments: str) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    """The process and its URL, once it listens. Gone at the end, whatever happens."""
    process = await started("--local", "--port", "0", *arguments)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            said = (await process.stdout.readline()).decode().split()
        assert said[:1] == ["Open"], (await process.communicate())[1].decode()
        yield process, said[1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def fetched(url: str, secret: str = "") -> str:
    def fetch() -> str:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {secret}"})
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read().decode()

    return await asyncio.to_thread(fetch)


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, bytes, bytes]:
    """The exit code, and what was said after the URL."""
    async with asyncio.timeout(15):
        out, err = await process.communicate()
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("told", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
async def test_it_prints_one_url_and_ends_a_conversation_well(told: int, code: int) -> None:
    async with serving() as (process, url):
        assert await fetched(f"{url}healthz") == "ok\n"
        assert "<sonic-voice" in await fetched(url)
        assert await fetched(f"{url}sonic-voice.js")
        async with socket(url) as connection:
            async with Page(connection) as page:
                await page.until("listening")
                assert "sonic_voice_conversations 1.0\n" in await fetched(f"{url}metrics")
                process.send_signal(told)
                async with asyncio.timeout(10):
                    await connection.wait_closed()
            assert connection.close_code == 1001
        exit_code, out, err = await ended(process)
    assert (exit_code, out) == (code, b"")
    started_line, ended_line = err.decode().splitlines()
    assert " INFO conversation started conversation=" in started_line
    assert " INFO conversation ended conversation=" in ended_line
    assert "code=1001 reason=stopping" in ended_line


async def test_the_log_as_json_names_why_a_conversation_ended_or_was_rejected() -> None:
    broken = ("--fault", "exception:validationException@event=opening", "--no-reconnect")
    async with serving("--log-format", "json", *broken) as (process, url):
        async with socket(url) as connection:
            await connection.send('{"type": "hello", "version": 1}')
            code, _ = await close_of(connection)
        async with socket(url, origin="https://evil.example") as connection:
            assert (await close_of(connection))[0] == 4013
        metrics = await fetched(f"{url}metrics")
        process.terminate()
        _, _, err = await ended(process)
    assert code >= 4030
    assert f'sonic_voice_closed_total{{code="{code}"}} 1.0' in metrics
    assert 'sonic_voice_rejected_total{code="4013"} 1.0' in metrics
    lines = [json.loads(line) for line in err.decode().splitlines()]
    began, over, rejected = (line for line in lines if ".bridge." in line["logger"])
    assert (began["message"], began["level"]) == ("conversation started", "info")
    assert (over["message"], over["level"]) == ("conversation ended", "warning")
    assert over["conversation"] == began["conversation"]
    assert (over["code"], over["reason"][:8]) == (code, "service_")
    assert "ServiceError" in over["error"]
    assert (rejected["message"], rejected["code"]) == ("connection rejected", 4013)
    assert rejected["origin"] == "https://evil.example"


async def test_the_log_can_be_quieter() -> None:
    async with serving("--log-level", "warning") as (process, url):
        async with socket(url) as connection, Page(connection) as page:
            await page.until("listening")
            await page.say("bye")
        process.terminate()
        assert (await ended(process))[2] == b""


async def test_each_report_is_posted_to_the_webhook(tmp_path: Path) -> None:
    taken: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert "sonic-voice-signature: sha256=" in head
        size = int(head.partition("content-length: ")[2].split()[0])
        taken.put_nowait(await reader.readexactly(size))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    receiver = await asyncio.start_server(take, "127.0.0.1", 0)
    hook = f"http://127.0.0.1:{receiver.sockets[0].getsockname()[1]}/"
    async with (
        receiver,
        serving(
            *("--webhook", hook, "--token-secret-file", str(secret)),
            *("--mask-pii", "--store", str(tmp_path / "store")),
        ) as (_, url),
    ):
        token = json.loads(await fetched(f"{url}token?subject=me", SECRET))["token"]
        async with socket(url) as connection, Page(connection, {"token": token}) as page:
            await page.until("listening")
            await page.say("say", text="Call 415-555-0123.")
            await page.until("user_text")
            await page.say("bye")
        report = json.loads(await asyncio.wait_for(taken.get(), 10))
    assert (report["subject"], report["reason"]) == ("me", "bye")
    assert report["transcript"][0]["text"] == "Call [phone]."
    [stored] = (tmp_path / "store").iterdir()
    assert b"Call [phone]." in stored.read_bytes()
    assert b"415-555" not in stored.read_bytes()


async def test_the_limit_of_one_address_is_an_option() -> None:
    async with (
        serving("--max-per-address", "1") as (_, url),
        socket(url) as one,
        socket(url) as two,
        Page(one),
    ):
        await two.send('{"type": "hello", "version": 1}')
        assert (await close_of(two))[0] == 4022


async def test_it_serves_the_page_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    async with serving("--pages", str(tmp_path)) as (_, url):
        assert await fetched(url) == "<!doctype html>"


async def test_with_a_secret_it_asks_for_tokens_and_tells_how_to_get_one(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    async with serving("--token-secret-file", str(secret)) as (process, url):
        token = json.loads(await fetched(f"{url}token?subject=me", SECRET))["token"]
        async with socket(url) as connection, Page(connection, {"token": token}) as page:
            await page.until("listening")
            await page.say("bye")
        process.terminate()
        code, out, err = await ended(process)
    assert code == 143
    assert token not in err.decode()
    assert SECRET not in err.decode()
    assert f"{url}token?subject=me" in out.decode()
    assert SECRET not in out.decode()


async def test_it_takes_tokens_of_an_issuer_whose_keys_it_is_given(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "key.pem"
    file.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    claims = {"sub": "me", "exp": time.time() + 60, "iss": "https://a.example", "aud": "voice"}
    token = jwt.encode(claims, key, algorithm="ES256")
    issuer = ("--token-jwks", str(file), "--token-issuer", "https://a.example")
    async with serving(*issuer, "--token-audience", "voice") as (process, url):
        async with socket(url) as connection, Page(connection, {"token": token}) as page:
            await page.until("listening")
            await page.say("bye")
        async with socket(url) as connection:
            await connection.send('{"type": "hello", "version": 1, "token": ""}')
            assert (await close_of(connection))[0] == 4010
        process.terminate()
        code, out, err = await ended(process)
    assert code == 143
    assert "connection rejected code=4010 reason=no_token" in err.decode()
    assert str(file) in out.decode()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--token-jwks", "http://a.example/jwks"), "https"),
        (("--token-jwks", "https://127.0.0.1:1/jwks"), "--token-audience"),
        (("--token-jwks", "https://127.0.0.1:1/jwks", "--token-audience", "a"), "Cannot fetch"),
        (("--host", "0.0.0.0"), "--allow-origin"),
        (("--host", "0.0.0.0", "--allow-origin", "https://a.example"), "--token-secret-file"),
        (("--allow-origin", "https://a.example"), "--token-secret-file"),
        (("--trusted-proxy", "127.0.0.1"), "--token-secret-file"),
        (("--trusted-proxy", "proxy.example"), "--trusted-proxy 10.0.0.0/8"),
        (("--webhook", "http://a.example/"), "https"),
        (("--allow-origin", "*"), "no origin"),
        (("--agentcore", "--trusted-proxy", "127.0.0.1"), "AgentCore Runtime authenticates"),
        (("--host", "192.0.2.1", "--allow-origin", "https://a.example"), "--token-secret-file"),
    ],
)
def test_what_is_not_safe_is_refused_in_words(
    arguments: tuple[str, ...], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        get_command(app)(("serve", *LOCAL, *arguments), prog_name="sonic-voice")
    out, err = capfd.readouterr()
    assert (exit.value.code, out) == (3, "")
    assert says in err
    assert len(err.splitlines()) == 2, "a sentence and the next step"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "needs tokens"),
        (("--workers", "2", "--token-jwks", "https://issuer.example"), "needs --redis"),
    ],
)
def test_a_token_that_would_open_more_than_one_conversation_is_not_called_one_time(
    arguments: tuple[str, ...], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        get_command(app)(
            ("serve", *LOCAL, "--one-time-tokens", *arguments), prog_name="sonic-voice"
        )
    assert exit.value.code == 2
    assert says in capfd.readouterr().err


async def test_a_port_that_is_taken_is_named_with_the_next_step() -> None:
    with sockets.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        code, out, err = await ended(await started(*LOCAL, "--port", port))
    assert (code, out) == (3, b"")
    what, next_step = err.decode().splitlines()
    assert port in what
    assert "--port" in next_step


async def test_options_of_the_emulator_and_of_the_service_are_not_mixed() -> None:
    for arguments in (
        ("--scenario", "a.yaml"),
        ("--local", "--profile", "me"),
        ("--local", "--token-audience", "a"),
    ):
        code, _, err = await ended(await started(*arguments))
        assert (code, b"Traceback" in err) == (2, False)


async def test_a_conversation_may_last_an_hour_unless_told_otherwise() -> None:
    process = await started("--help")
    out, _ = await process.communicate()
    said = " ".join(out.decode().replace("\u2502", " ").split())
    assert "Maximum duration of a conversation, in minutes." in said
    assert "[default: 60.0]" in said
    assert "8 minutes" not in said
    process = await started(*LOCAL, "--max-minutes", "90")
    assert process.stdout is not None
    async with asyncio.timeout(30):
        await process.stdout.readline()
    process.terminate()
    _, _, err = await ended(process)
    assert err == b""


def test_the_token_that_the_readme_makes_in_javascript_is_taken() -> None:
    text = (Path(__file__).parents[2] / "web_client" / "README.md").read_text(encoding="utf-8")
    found = re.search(r"```js\n(const \{ createHmac.*?)```", text, re.DOTALL)
    assert found is not None
    script = f"const user = 'alice', secret = '{SECRET}';\n{found[1]}\nconsole.log(token);"
    done = subprocess.run(["node", "-e", script], check=True, capture_output=True, text=True)
    claims = read_token(SECRET.encode(), done.stdout.strip(), now_s=time.time())
    assert claims.subject == "alice"
