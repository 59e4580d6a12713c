"""`<sonic-voice>` in a page of ten lines on another site: where that is allowed, and where not.

Another port of this machine is another origin.
"""

import functools
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import expect

from sonic_voice.bridge import web_client

from ..e2e.test_serve import SECRET, fetched, serving
from .visitor import Chromium

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLE = Path(__file__).parents[2] / "scripts" / "examples" / "embed.html"
SERVER_OF_EXAMPLE = "http://localhost:8080/"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def site(folder: Path) -> Generator[str]:
    """The origin of a site that has the files of `folder`."""
    handler = functools.partial(_Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def page(server: str, token: str = "") -> str:
    """The example, with words for who gets no element: a child of a slot that the element lacks."""
    instead = '<p slot="instead">Call us: 555 0100.</p>'
    text = EXAMPLE.read_text().replace(SERVER_OF_EXAMPLE, server)
    return text.replace("<sonic-voice>", f'<sonic-voice token="{token}">{instead}')


async def test_a_page_of_ten_lines_on_an_allowed_site_talks_with_its_token(
    chromium: Chromium, tmp_path: Path
) -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 10
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    with site(tmp_path) as origin:
        options = ("--allow-origin", origin, "--token-secret-file", str(secret))
        async with serving(*options) as (_, url), chromium.visitor() as visitor:
            token = json.loads(await fetched(f"{url}token?subject=ann", SECRET))["token"]
            (tmp_path / "shop.html").write_text(page(url, token))
            await visitor.page.goto(f"{origin}/shop.html")
            await visitor.start()
            await expect(visitor.page.get_by_text("Sonic Voice")).to_be_visible()
            await expect(visitor.page.get_by_text("Call us")).to_be_hidden()
            await visitor.says("Who are you?")
            await visitor.reads("Who are you?", "local emulator")


async def test_a_site_that_is_not_allowed_is_told_so_in_words(
    chromium: Chromium,
) -> None:
    """It has the modules from elsewhere: its own."""
    with site(web_client()) as origin:
        async with serving() as (_, url), chromium.visitor() as visitor:
            await visitor.page.goto(f"{origin}/index.html")
            element = visitor.page.locator("sonic-voice")
            await element.evaluate(
                "(element, src) => element.setAttribute('src', src)", f"{url}talk"
            )
            await visitor.button("Start talking").click()
            await visitor.complains("This site may not use this server. Its owner can allow it.")
            await expect(visitor.button("Try again")).to_be_visible()
            assert 'rejected_total{code="4013"} 1.0\n' in await fetched(f"{url}metrics")


async def test_a_site_that_is_not_allowed_gets_no_modules_and_shows_its_own_words_instead(
    chromium: Chromium, robot: str, tmp_path: Path
) -> None:
    (tmp_path / "shop.html").write_text(page(robot))
    with site(tmp_path) as origin:
        async with chromium.visitor() as visitor:
            console: list[str] = []
            visitor.page.on("console", lambda message: console.append(message.text))
            await visitor.page.goto(f"{origin}/shop.html")
            await expect(visitor.page.get_by_text("Call us")).to_be_visible()
            await expect(visitor.page.get_by_role("button")).to_have_count(0)
            assert any("CORS" in line for line in console)
