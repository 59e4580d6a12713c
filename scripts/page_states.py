"""Make pictures of the page in each of its states, to be looked at.

    scripts/page-states FOLDER             # all states
    scripts/page-states FOLDER speaking    # one of them

A sheet for each state shows the page on each screen (wide, phone, phone in landscape, zoom of
400 %) in each colour scheme (light, dark, forced colours). Controls that are outside the window are
reported, and the exit code is then 1. Behind the page is `sonic-voice serve --local` with the robot
of the browser tests.
"""

import argparse
import asyncio
import base64
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Page, ViewportSize, async_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, HERE
from tests.browser.network import Network, network
from tests.browser.visitor import OUTSIDE, Chromium, Visitor
from tests.e2e.test_serve import serving

SCREENS = {
    "wide": ViewportSize(width=1280, height=800),
    "phone": ViewportSize(width=390, height=780),
    "landscape": ViewportSize(width=780, height=360),
    "zoom": ViewportSize(width=320, height=200),
}
"""Sizes of the window by screen, in CSS pixels. 320 by 200 is 1280 by 800 at 400 %."""

SCHEMES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "forced_colors": "none"},
    "dark": {"color_scheme": "dark", "forced_colors": "none"},
    "forced": {"color_scheme": "dark", "forced_colors": "active"},
}
"""Settings of the browser by colour scheme."""


FAILURE = ("--fault", "content-filter@event=answer,n=2,after=1,streams=1")
"""Options of a server whose voice service fails in the second answer of the first conversation."""


@asynccontextmanager
async def page_and_network(
    chromium: Chromium, *, microphone: bool = True, options: tuple[str, ...] = ()
) -> AsyncGenerator[tuple[Visitor, Network]]:
    """Serve the page, and yield a visitor of it and the network between."""
    permissions = ["microphone"] if microphone else []
    async with network() as between:
        robot = ("--scenario", str(HERE / "robot.yaml"), "--tools", str(HERE / "robot.py"))
        origin = between.url.removesuffix("/")
        async with serving("--allow-origin", origin, "--page-history", *robot, *options) as (
            _,
            url,
        ):
            between.port = urlsplit(url).port or 0
            async with chromium.visitor(permissions=permissions) as visitor:
                await visitor.page.goto(between.url)
                await visitor.is_("ready")
                yield visitor, between


async def tell_story(visitor: Visitor) -> None:
    """Begin a conversation, and have the robot tell its story until half a sentence was heard."""
    await visitor.button("Start talking").click()
    for said in ("hello.", "go forward ten meters."):
        await visitor.says(said)
        await visitor.reads(said)
    await visitor.reads("stay at home.")
    await visitor.page.wait_for_function(
        """() => document.querySelector('sonic-voice').client.turns.at(-1).heardLength > 40"""
    )


async def idle(visitor: Visitor, _: Network) -> None:
    """Do nothing."""


async def listening(visitor: Visitor, _: Network) -> None:
    """Wait until an answer is over."""
    await visitor.start()
    await visitor.says("hello.")
    await visitor.is_("speaking")
    await visitor.is_("listening")


async def speaking(visitor: Visitor, _: Network) -> None:
    """Stop in the middle of the story."""
    await tell_story(visitor)


async def interrupted(visitor: Visitor, _: Network) -> None:
    """Interrupt the story."""
    await tell_story(visitor)
    await visitor.button("Interrupt").click()
    await visitor.reads("(not heard:)")


async def reconnecting(visitor: Visitor, between: Network) -> None:
    """Cut the network."""
    await interrupted(visitor, between)
    between.cut()
    await visitor.is_("reconnecting")


async def ended(visitor: Visitor, between: Network) -> None:
    """End a conversation, begin another, and have the server be away."""
    await interrupted(visitor, between)
    await visitor.button("End").click()
    await visitor.button("Start again").click()
    await visitor.is_("listening")
    await visitor.says("hello.")
    await visitor.is_("speaking")
    await visitor.button("End").click()
    between.cut()
    await visitor.button("Start again").click()
    await visitor.complains("The server cannot be reached. Check the network and try again.")


async def failed(visitor: Visitor, _: Network) -> None:
    """Have the voice service fail in its story."""
    await visitor.start()
    await visitor.says("hello.")
    await visitor.is_("speaking")
    await visitor.is_("listening")
    await visitor.says("go forward ten meters.")
    await visitor.is_("ended")
    await visitor.trouble.wait_for()


async def failed_and_again(visitor: Visitor, between: Network) -> None:
    """Start again after a failure."""
    await failed(visitor, between)
    await visitor.button("Start again").click()
    await visitor.is_("listening")
    await visitor.says("hello.")
    await visitor.is_("speaking")
    await visitor.is_("listening")


async def text_only(visitor: Visitor, _: Network) -> None:
    """Type without a microphone, and have it looked for in vain."""
    await visitor.button("Start talking").click()
    await visitor.is_("no microphone")
    await visitor.says("hello.")
    await visitor.is_("speaking")
    await visitor.is_("no microphone")
    await visitor.button("Use the microphone").click()
    await visitor.trouble.wait_for()


async def floating(visitor: Visitor, between: Network) -> None:
    """Talk in the floating form."""
    await visitor.page.evaluate(
        "() => document.querySelector('sonic-voice').setAttribute('floating', '')"
    )
    await visitor.button("Sonic Voice").click()
    await listening(visitor, between)


async def settings(visitor: Visitor, between: Network) -> None:
    """Open the settings of the sound, and the choice of the format."""
    await listening(visitor, between)
    await visitor.button("Save transcript").click()
    await visitor.button("Sound").click()


STATES: dict[str, Callable[[Visitor, Network], Awaitable[None]]] = {
    "idle": idle,
    "listening": listening,
    "speaking": speaking,
    "interrupted": interrupted,
    "reconnecting": reconnecting,
    "ended": ended,
    "failed": failed,
    "failed-and-again": failed_and_again,
    "text-only": text_only,
    "floating": floating,
    "settings": settings,
}
"""The function that brings a page into each state."""


async def picture_state(name: str, chromium: Chromium, folder: Path) -> list[str]:
    """Bring the page into a state, and write its sheet.

    Args:
        name: The state.
        chromium: The browser.
        folder: The folder for the sheet.

    Returns:
        What is wrong: the controls that are outside the window.
    """
    pictures: list[tuple[str, bytes]] = []
    wrong: list[str] = []
    options = FAILURE if name.startswith("failed") else ()
    has_microphone = name != "text-only"
    async with page_and_network(chromium, microphone=has_microphone, options=options) as (
        visitor,
        between,
    ):
        await STATES[name](visitor, between)
        for (screen, size), (scheme, media) in product(SCREENS.items(), SCHEMES.items()):
            await visitor.page.set_viewport_size(size)
            await visitor.page.emulate_media(**media)
            await visitor.page.wait_for_timeout(50)
            pictures.append((f"{screen}, {scheme}", await visitor.page.screenshot()))
            outside = await visitor.page.evaluate(OUTSIDE)
            if outside and scheme == "light":
                wrong.append(f"{name}, {screen}: outside the window: {', '.join(outside)}")
        sheet = await visitor.page.context.new_page()
        await _write_sheet(sheet, pictures, folder / f"{name}.png")
    return wrong


async def _write_sheet(page: Page, pictures: list[tuple[str, bytes]], path: Path) -> None:
    figures = [
        f'<figure><figcaption>{title}</figcaption><img src="data:image/png;base64,'
        f'{base64.b64encode(png).decode()}"></figure>'
        for title, png in pictures
    ]
    style = (
        "body{display:flex;flex-wrap:wrap;gap:12px;background:#888;font:14px sans-serif}"
        "figure{margin:0}img{display:block;max-width:620px}"
    )
    await page.set_viewport_size(ViewportSize(width=1920, height=1000))
    await page.set_content(f"<style>{style}</style>{''.join(figures)}")
    await page.screenshot(path=path, full_page=True)


async def picture_states(names: list[str], folder: Path) -> list[str]:
    """Write the sheets of several states, and return what is wrong.

    Args:
        names: The states.
        folder: The folder for the sheets.
    """
    wrong: list[str] = []
    with TemporaryDirectory() as files:
        microphone = Path(files) / "microphone.wav"
        async with async_playwright() as playwright:
            flags = [flag.format(microphone=microphone) for flag in FLAGS]
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
            for name in names:
                wrong += await picture_state(name, Chromium(browser, microphone), folder)
                print(folder / f"{name}.png", flush=True)
            await browser.close()
    return wrong


def main() -> int:
    """Make the sheets that are asked for; return 1 if a control is outside the window."""
    parser = argparse.ArgumentParser(
        prog="scripts/page-states", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", type=Path, help="folder for the sheets")
    parser.add_argument("state", nargs="*", choices=[[], *STATES], help="all without it")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    wrong = asyncio.run(picture_states(arguments.state or list(STATES), arguments.folder))
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
