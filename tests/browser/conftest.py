"""One Chromium for all tests of this folder, and a microphone for it that is a file.

Tests and fixtures share the loop of the session, since the browser lives in it.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from sonic_voice.bridge import web_client

from ..e2e.test_serve import serving
from .visitor import Chromium

HERE = Path(__file__).parent
CHROMIUM = shutil.which("chromium")

FLAGS = [
    "--no-sandbox",  # tests run as root, too, and open nobody else's pages
    "--disable-gpu",
    "--use-fake-device-for-media-stream",
    # %noloop: once, then silence.
    "--use-file-for-fake-audio-capture={microphone}%noloop",
]


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chromium]:
    if CHROMIUM is None:
        pytest.skip("without Chromium: apt-get install chromium")
    microphone = tmp_path_factory.mktemp("microphone") / "hears.wav"
    flags = [flag.format(microphone=microphone) for flag in FLAGS]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield Chromium(browser, microphone)
        await browser.close()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def robot(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """URL of a server whose model is the robot of `robot.yaml`, and whose page can be tapped."""
    pages = tmp_path_factory.mktemp("page") / "web_client"
    shutil.copytree(web_client(), pages)
    shutil.copy(HERE / "tap-worklet.js", pages)  # a page may have worklets from its own site alone
    options = {"--scenario": HERE / "robot.yaml", "--tools": HERE / "robot.py", "--pages": pages}
    async with serving(*(str(word) for option in options.items() for word in option)) as (_, url):
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def no_task_is_left() -> AsyncIterator[None]:
    """As everywhere, in the loop of these tests."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks without an owner: {left}"
