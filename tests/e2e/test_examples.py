"""The examples do what they say: each runs in a process, and a page talks with it."""

import asyncio
import json
import socket as sockets
import sys
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ..support.page import Page, socket

EXAMPLES = Path(__file__).parents[2] / "scripts" / "examples"
SPEECH = Path(__file__).parent.parent / "speech"


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.name)
def test_it_is_short(file: Path) -> None:
    code = file.read_text().split('"""', 2)[2].splitlines()
    own = [line for line in code if line and not line.startswith(("import ", "from "))]
    assert 0 < len(own) < 15


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


async def fetched(url: str) -> str:
    def fetch() -> str:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.read().decode()

    return await asyncio.to_thread(fetch)


async def test_a_websockets_server_holds_a_conversation(tmp_path: Path) -> None:
    async with running("websockets_server.py", tmp_path) as port:
        await hold(f"http://localhost:{port}/", "http://localhost:8000")


async def test_a_starlette_application_holds_a_conversation(tmp_path: Path) -> None:
    async with running("starlette_app.py", tmp_path) as port:
        url = f"http://localhost:{port}/voice/"
        assert await fetched(f"{url}healthz") == "ok\n"
        await hold(url, f"http://localhost:{port}")


async def test_a_fastapi_application_gives_its_users_tokens(tmp_path: Path) -> None:
    async with running("fastapi_app.py", tmp_path) as port:
        token = json.loads(await fetched(f"http://localhost:{port}/token"))
        origin = f"http://localhost:{port}"
        await hold(f"{origin}/voice/", origin, token=token)
