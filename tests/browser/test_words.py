"""Words are never lost: whatever happens, they are on the page, and can be saved."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from ..e2e.test_serve import serving
from .network import network
from .visitor import PATIENCE_MS, Chromium, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORDS = 12
"""Number of words of an answer whose lighting up is watched."""

MOST_AT_ONCE = 3
"""Number of words that may light up at once: positions are reported ten times a second, and a page
on a busy machine is late."""

GROWTH = f"""(log) => new Promise((resolve) => {{
  const words = () => [...log.querySelectorAll('.turn:last-child .spoken')]
    .map((node) => node.textContent).join('').split(/\\s+/).filter(Boolean).length;
  const steps = [];
  let seen = words();
  new MutationObserver((_, observer) => {{
    const now = words();
    if (now !== seen) steps.push(now - seen);
    seen = now;
    if (now < {WORDS}) return;
    observer.disconnect();
    resolve(steps);
  }}).observe(log, {{ subtree: true, childList: true, characterData: true }});
}})"""
"""Watches the last turn, and returns by how many words it grew each time."""

SAID = ["My name is Peter.", "Nice to meet you, Peter."]


@asynccontextmanager
async def talking(chromium: Chromium, url: str) -> AsyncGenerator[Visitor]:
    """A conversation in which both have said something, and nothing is being said."""
    async with chromium.visitor() as visitor:
        await visitor.page.goto(url)
        await visitor.start()
        await _say_name(visitor)
        yield visitor


async def _say_name(visitor: Visitor) -> None:
    await visitor.says(SAID[0])
    await visitor.is_("speaking")
    await visitor.is_("listening")
    assert await _words(visitor) == SAID


async def _words(visitor: Visitor) -> list[str]:
    return [turn["spoken"] + turn["planned"] for turn in await visitor.turns()]


async def _saved(visitor: Visitor) -> list[list[str]]:
    """The texts of each conversation in the saved JSON."""
    document = json.loads(await visitor.saved("As JSON"))
    return [[turn["text"] for turn in one["turns"]] for one in document["conversations"]]


async def test_after_a_restart_of_the_server_the_words_are_there_and_known(
    chromium: Chromium,
) -> None:
    async with serving("--page-history") as (process, url), talking(chromium, url) as visitor:
        process.terminate()
        await process.wait()
        await visitor.reads("The server is stopping. A new conversation begins.")
        assert await _words(visitor) == SAID
        port = str(urlsplit(url).port)
        async with serving("--page-history", "--port", port):
            await visitor.reads("It knows the last words above.")
            await visitor.is_("listening")
            assert await _words(visitor) == SAID
            await visitor.says("What is my name?")
            await visitor.reads("Your name is Peter")
            await visitor.is_("speaking")
            await visitor.is_("listening")
            first, second = await _saved(visitor)
            assert first == SAID
            assert second[0] == "What is my name?"
            assert "Peter" in second[1]


async def test_a_server_that_takes_no_history_is_not_told_and_the_page_says_so(
    chromium: Chromium, robot: str
) -> None:
    async with serving() as (_, url), talking(chromium, url) as visitor:
        await visitor.button("End").click()
        await visitor.button("Start again").click()
        await visitor.reads("It does not know the words above.")
        await visitor.is_("listening")
        assert await _words(visitor) == SAID
        await visitor.says("What is my name?")
        await visitor.is_("speaking")
        await visitor.is_("listening")
        assert "Peter" not in (await _words(visitor))[-1]
        assert (await _saved(visitor))[0] == SAID


async def test_after_a_reload_the_words_are_there(chromium: Chromium) -> None:
    async with serving() as (_, url), talking(chromium, url) as visitor:
        await visitor.page.reload()
        await visitor.is_("ready")
        assert await _words(visitor) == SAID
        assert await _saved(visitor) == [SAID]
        other = "(element) => element.setAttribute('storage-key', 'of another user')"
        await visitor.page.locator("sonic-voice").evaluate(other)
        await expect(visitor.page.get_by_text("Say something.")).to_be_visible()
        own = "(element) => element.removeAttribute('storage-key')"
        await visitor.page.locator("sonic-voice").evaluate(own)
        assert await _words(visitor) == SAID
        await visitor.start()
        assert await _words(visitor) == SAID


async def test_a_reload_in_an_answer_leaves_what_was_heard_of_it(
    chromium: Chromium, robot: str
) -> None:
    async with chromium.visitor() as visitor:
        await visitor.page.goto(robot)
        await visitor.start()
        for said in ("hello.", "go forward ten meters."):
            await visitor.says(said)
            await visitor.reads(said)
        await visitor.reads("stay at home.")
        await expect(visitor.log.locator(".spoken").last).to_contain_text(
            "I went forward", timeout=PATIENCE_MS
        )
        await visitor.page.reload()
        await visitor.is_("ready")
        story = (await visitor.turns())[-1]
        assert story["spoken"].startswith("I went forward")
        assert story["lost"].endswith("and they had to stay at home.")
        assert "stay at home" not in await visitor.saved("As text")


async def test_after_a_network_that_does_not_come_back_the_words_are_there(
    chromium: Chromium,
) -> None:
    async with network() as between:
        own = between.url.removesuffix("/")
        async with serving("--allow-origin", own) as (_, url):
            between.port = urlsplit(url).port or 0
            async with talking(chromium, between.url) as visitor:
                between.cut()
                await visitor.is_("reconnecting")
                await visitor.button("End").click()
                await visitor.button("Start again").click()
                await visitor.complains(
                    "The server cannot be reached. Check the network and try again."
                )
                assert await _words(visitor) == SAID
                assert await _saved(visitor) == [SAID]
                between.mend()
                await visitor.button("Try again").click()
                await visitor.is_("listening")
                assert await _words(visitor) == SAID


async def test_the_user_can_delete_the_words(chromium: Chromium) -> None:
    async with serving() as (_, url), talking(chromium, url) as visitor:
        await visitor.button("End").click()
        await visitor.button("Save transcript").click()
        await visitor.button("Delete earlier words").click()
        await expect(visitor.page.get_by_text("Say something.")).to_be_visible()
        await visitor.page.reload()
        await expect(visitor.page.get_by_text("Say something.")).to_be_visible()


async def test_the_words_of_an_answer_light_up_one_by_one(chromium: Chromium, robot: str) -> None:
    async with chromium.visitor() as visitor:
        await visitor.page.goto(robot)
        await visitor.start()
        for said in ("hello.", "go forward ten meters."):
            await visitor.says(said)
            await visitor.reads(said)
        await visitor.reads("stay at home.")
        steps = await visitor.log.evaluate(GROWTH)
        planned = (await visitor.turns())[-1]
    assert len(steps) >= WORDS / 3, steps
    assert max(steps) <= MOST_AT_ONCE, steps
    assert planned["planned"], "the rest is still to come"
