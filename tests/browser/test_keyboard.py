"""The whole page by the keyboard alone."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import expect

from .sounds import script
from .visitor import PATIENCE_MS, Chromium, Shown, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

ARGUMENTS = '{"direction":"forward","meters":10}'
RESULT = '{"direction": "forward", "meters": 10}'
MOST_TABS = 12
HALF_A_SECOND = 25
"""Of frames."""


async def _tab_to(visitor: Visitor, name: str) -> None:
    """Press Tab until what has that accessible name has the focus."""
    named = visitor.page.locator("sonic-voice").locator(":focus")
    for _ in range(MOST_TABS):
        await visitor.page.keyboard.press("Tab")
        if await named.count() and name in await named.aria_snapshot():
            return
    raise AssertionError(f"Tab does not lead to {name}")


async def test_a_conversation_needs_no_pointer(chromium: Chromium, robot: str) -> None:
    async with chromium.visitor() as visitor:
        keyboard = visitor.page.keyboard
        await visitor.page.goto(robot)
        await _tab_to(visitor, "Start talking")
        await keyboard.press("Enter")
        await visitor.is_("listening")

        await _tab_to(visitor, "Type a message")
        await keyboard.type("hello.")
        await keyboard.press("Enter")
        await visitor.is_("speaking")
        await keyboard.type("go forward ten meters.")
        await keyboard.press("Enter")
        await visitor.reads("farmer")
        await visitor.is_("speaking")
        await keyboard.press("Escape")
        await expect(visitor.log.locator("s")).to_have_count(2, timeout=PATIENCE_MS)
        await visitor.is_("listening")

        await _tab_to(visitor, "Mute")
        await keyboard.press("Space")
        await visitor.is_("muted")
        await expect(visitor.button("Mute")).to_have_attribute("aria-pressed", "true")
        await keyboard.press("Space")
        await visitor.is_("listening")

        await _tab_to(visitor, "Save transcript")
        await keyboard.press("Enter")
        await _tab_to(visitor, "As text")
        async with visitor.page.expect_download() as saving:
            await keyboard.press("Enter")
        download = await saving.value
        _, greeting, _, story = await visitor.turns()
        assert download.suggested_filename.startswith("conversation 20")
        heading, _, *lines = Path(await download.path()).read_text().splitlines()
        assert heading.startswith("Conversation of 20")
        times, words = zip(*(line.split(" ", 1) for line in lines), strict=True)
        assert list(times) == sorted(times)
        assert list(words) == [
            "You, typed: hello.",
            *_written(greeting),
            "You, typed: go forward ten meters.",
            f"Tool go {ARGUMENTS} answered: {RESULT}",
            *_written(story),
        ]

        await _tab_to(visitor, "End")
        await keyboard.press("Enter")
        await visitor.is_("ended")
        await expect(visitor.button("Start again")).to_be_focused()


async def test_the_space_bar_talks_while_it_is_held_and_no_longer(
    chromium: Chromium, robot: str
) -> None:
    async with chromium.visitor(hears=script(*["goforward"] * 20)) as visitor:
        keyboard = visitor.page.keyboard
        await visitor.page.goto(robot)
        await _tab_to(visitor, "Sound")
        await keyboard.press("Enter")
        await _tab_to(visitor, "Push to talk")
        await keyboard.press("Space")
        await keyboard.press("Escape")
        await expect(visitor.button("Sound")).to_be_focused()
        await _tab_to(visitor, "Start talking")
        await keyboard.press("Enter")
        await visitor.is_("waiting for you")
        hold = visitor.button("Hold to talk")
        await expect(hold).to_be_focused()
        await _until_sent(visitor, loud=False)
        await keyboard.down("Space")
        await expect(hold).to_have_attribute("aria-pressed", "true")
        await _until_sent(visitor, loud=True)
        await visitor.is_("hearing you")
        await keyboard.up("Space")
        await expect(hold).to_have_attribute("aria-pressed", "false")
        await _until_sent(visitor, loud=False)


def _written(turn: Shown) -> list[str]:
    """The line of a cut answer in the saved text; none if nothing of it was heard."""
    spoken = turn["spoken"].strip()
    return [f"Assistant: {spoken} [cut off]"] if spoken else []


async def _until_sent(visitor: Visitor, *, loud: bool) -> None:
    """Wait until sound is sent, or half a second of perfect silence."""
    begin = len(visitor.voice)
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while True:
            sent = visitor.voice[begin:]
            if loud and any(any(pcm) for pcm in sent):
                return
            silent = not any(any(pcm) for pcm in sent[-HALF_A_SECOND:])
            if not loud and silent and len(sent) >= HALF_A_SECOND:
                return
            await visitor.page.wait_for_timeout(20)
