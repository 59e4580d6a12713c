"""The examples do what they say: each runs in a process, and a page talks with it."""

import asyncio
import importlib.util
import re
import socket as sockets
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from ..support.listening_service import ListeningService
from ..support.page import Page, socket

EXAMPLES = Path(__file__).parents[2] / "scripts" / "examples"
SPEECH = Path(__file__).parent.parent / "speech"


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.name)
def test_it_is_short(file: Path) -> None:
    own = [
        line
        for line in file.read_text().split('"""', 2)[2].splitlines()
        if line and not line.startswith(("import ", "from "))
    ]
    assert 0 < len(own) < 60


def test_the_page_that_embeds_the_element_has_ten_lines() -> None:
    page = (EXAMPLES / "embed.html").read_text()
    assert "<sonic-voice>" in page
    assert len(page.splitlines()) == 10


@asynccontextmanager
async def running(name: str, folder: Path) -> AsyncGenerator[int]:
    """The example `name`, at a free port in the place of 8080."""
    with sockets.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    program = (EXAMPLES / name).read_text()
    assert "8080" in program
    (folder / name).write_text(program.replace("8080", str(port)))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, name), cwd=folder, stderr=asyncio.subprocess.PIPE
    )

    def listens() -> bool:
        with sockets.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        async with asyncio.timeout(30):
            while process.returncode is None and not listens():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        _, err = await asyncio.wait_for(process.communicate(), 15)
    assert "Traceback" not in err.decode()
    assert "Warning" not in err.decode()


async def hold(url: str, origin: str, **hello: str) -> None:
    """A turn, spoken and answered."""
    async with socket(url, origin=origin) as connection, Page(connection, dict(hello)) as page:
        await page.until("listening")
        await page.speak(SPEECH / "hello.wav")
        await page.until("turn_ended")
        await page.say("bye")
        async with asyncio.timeout(10):
            await connection.wait_closed()
    assert page.of("user_text")
    assert page.of("assistant_text")
    assert page.answers
    assert connection.close_code == 1000


async def test_a_websockets_server_holds_a_conversation(tmp_path: Path) -> None:
    async with running("websockets_server.py", tmp_path) as port:
        await hold(f"http://localhost:{port}/", "http://localhost:8000")


class Browser:
    """The cookies of a browser, and how a user comes to a token with them."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://localhost:{port}"
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    async def fetch(self, path: str, **form: str) -> str:
        data = urllib.parse.urlencode(form).encode() if form else None

        def fetch() -> str:
            with self._opener.open(f"{self.origin}{path}", data, timeout=10) as response:
                return response.read().decode()

        return await asyncio.to_thread(fetch)

    async def token(self) -> str:
        """The token that the page fetches, once the user has signed in."""
        return (await self.fetch("/token", page="x")).strip('"')


async def sign_in(browser: Browser, user: str) -> str:
    """Sign in as the form does, and return the token that the page fetches."""
    assert "Password" in await browser.fetch("/")
    with pytest.raises(urllib.error.HTTPError) as refused:
        await browser.token()
    assert refused.value.code == 401
    refused.value.close()
    assert "Password" in await browser.fetch("/sign-in", user=user, password="wrong")
    page = await browser.fetch("/sign-in", user=user, password=user)
    [module] = re.findall(r"import '(/voice/[^']+)'", page)
    assert "fetchToken" in page
    assert "sonic-voice" in await browser.fetch(module)
    return await browser.token()


@pytest.mark.parametrize("name", ["starlette_app.py", "fastapi_app.py"])
async def test_an_application_lets_its_users_sign_in_and_talk(name: str, tmp_path: Path) -> None:
    async with running(name, tmp_path) as port:
        browser = Browser(port)
        token = await sign_in(browser, "alice")
        await hold(f"{browser.origin}/voice/", browser.origin, token=token)
        assert await browser.fetch("/voice/healthz") == "ok\n"
        with pytest.raises(urllib.error.HTTPError) as missing:
            await browser.fetch("/voice/")  # the page of `serve`, which has no token here
        assert missing.value.code == 404
        missing.value.close()


def loaded(name: str) -> Any:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_two_users_of_an_application_have_conversations_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Prompt, history, voice and tools differ; tools know the user; the application learns all."""
    example = loaded("fastapi_app")
    service = ListeningService("my_orders", "What did I order?")
    example.LocalService = lambda: nullcontext(service)
    server = uvicorn.Server(uvicorn.Config(example.app, port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    port = int(server.servers[0].sockets[0].getsockname()[1])
    sent: dict[tuple[str, int], str] = {}
    voices: dict[str, str] = {}
    for visit in (1, 2):
        for user in ("alice", "bob"):
            token = await sign_in(Browser(port), user)
            service.received.clear()
            url = f"http://localhost:{port}/voice/"
            async with (
                socket(url, origin="http://localhost:8080") as connection,
                Page(connection, {"token": token}) as page,
            ):
                voices[user] = page.ready["voice"]
                await page.until("listening")
                await page.say("say", text=f"What did I order? I am {user} on visit {visit}.")
                answered = await page.until("tool_answered")
                assert "result_json" not in answered, "it belongs to the application"
                await page.say("bye")
                await connection.wait_closed()
            while len(example.SAID[user]) < visit:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            sent[user, visit] = "".join(service.received)
    server.should_exit = True
    await serving
    assert voices == {"alice": "tiffany", "bob": "matthew"}
    for user, orders in (("alice", "tea"), ("bob", "coffee")):
        other = "bob" if user == "alice" else "alice"
        for visit in (1, 2):
            text = sent[user, visit]
            assert f"The guest is {user}." in text
            assert orders in text, "the tool has answered for its user"
            assert other not in text
            assert ("cancel_order" in text) == (user == "bob")
        assert f"I am {user} on visit 1." in sent[user, 2], "the history"
        assert [said.text for said in example.SAID[user]] == [
            f"What did I order? I am {user} on visit {visit}." for visit in (1, 2)
        ]
    assert capsys.readouterr().out.count("talked for") == 4
