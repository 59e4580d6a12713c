"""What goes wrong is told in words, with the next step on a button."""

import json
from pathlib import Path

import pytest
from playwright.async_api import expect

from ..e2e.test_serve import SECRET, fetched, serving
from .visitor import Chromium

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOT_ALLOWED = (
    "The microphone is not allowed for this page. Allow it at the address bar, and for the browser "
    "in the system settings. Then try again."
)
GONE = "The server cannot be reached. Check the network and try again."


async def test_without_a_microphone_one_types_and_listens(chromium: Chromium) -> None:
    async with serving() as (_, url), chromium.visitor(permissions=[]) as visitor:
        await visitor.page.goto(url)
        await visitor.button("Start talking").click()
        await visitor.is_("no microphone")
        await visitor.reads(f"{NOT_ALLOWED} Until then you can type, and hear the answers.")
        await visitor.says("My name is Peter.")
        await visitor.is_("speaking")
        await visitor.reads("Nice to meet you, Peter.")
        await visitor.is_("no microphone")
        await visitor.button("Use the microphone").click()
        await visitor.complains(NOT_ALLOWED)
        await visitor.page.context.grant_permissions(["microphone"])
        await visitor.button("Use the microphone").click()
        await visitor.is_("listening")
        await expect(visitor.trouble).to_be_hidden()
        await visitor.reads("The microphone is there now.")


async def test_no_token_where_one_is_needed(chromium: Chromium, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    async with (
        serving("--token-secret-file", str(secret)) as (_, url),
        chromium.visitor() as visitor,
    ):
        await visitor.page.goto(url)
        await visitor.button("Start talking").click()
        await visitor.complains("A token is needed. Sign in again.")
        token = json.loads(await fetched(f"{url}token?subject=me", SECRET))["token"]
        await visitor.page.goto(f"{url}#token={token}")
        await visitor.start()
        assert visitor.page.url == url


async def test_a_server_that_stops_and_is_gone(chromium: Chromium) -> None:
    async with serving() as (process, url), chromium.visitor() as visitor:
        await visitor.page.goto(url)
        await visitor.start()
        process.terminate()
        await process.wait()
        await visitor.reads("The server is stopping. A new conversation begins.")
        await visitor.is_("connecting")  # for half a minute: it may only start anew
        await visitor.button("Cancel").click()
        await visitor.button("Start again").click()
        await visitor.complains(GONE)
        await visitor.is_("ended")
        await expect(visitor.button("Try again")).to_be_visible()
