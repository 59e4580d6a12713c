"""A spoken conversation in Debian's Firefox, which Playwright cannot drive: Puppeteer does."""

import asyncio
import json
import shutil
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ..e2e.test_serve import serving
from ..support.virtual import SoundServer, missing
from .conftest import HERE
from .sounds import MICROPHONE_HZ, SPEECH

pytestmark = pytest.mark.asyncio(loop_scope="session")

DRIVER = Path(__file__).parents[1] / "web" / "firefox.mjs"
PUPPETEER = DRIVER.parent / "node_modules" / "puppeteer-core"

CONVERSATION_S = 110.0
"""Maximum duration of the whole test, in seconds."""


async def _steps(driver: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert driver.stdout is not None
    while line := await driver.stdout.readline():
        yield json.loads(line)


def _speech() -> bytes:
    with wave.open(str(SPEECH / "hello.wav")) as file:
        return file.readframes(file.getnframes())


async def test_a_conversation_in_firefox() -> None:
    """It is spoken to, answers, is interrupted, and keeps the words over a reload."""
    firefox, node = shutil.which("firefox-esr"), shutil.which("node")
    absent = missing() or ("" if firefox else "without Firefox: apt-get install firefox-esr")
    absent = absent or ("" if node and PUPPETEER.exists() else "without npm ci in tests/web")
    if absent or not firefox or not node:
        pytest.skip(absent)
    robot = ("--scenario", str(HERE / "robot.yaml"), "--tools", str(HERE / "robot.py"))
    done: dict[str, Any] = {}
    sound = SoundServer()
    try:
        async with asyncio.timeout(CONVERSATION_S), serving(*robot) as (_, url):
            pipe = asyncio.subprocess.PIPE
            driver = await asyncio.create_subprocess_exec(
                node, str(DRIVER), firefox, url, stdout=pipe, stderr=pipe
            )
            try:
                async for step in _steps(driver):
                    done = step
                    if step["step"] == "listening":
                        speaking = sound.say(_speech(), MICROPHONE_HZ)
                        await asyncio.to_thread(speaking.wait)
            finally:
                if driver.returncode is None and not done:
                    driver.kill()
                _, errors = await driver.communicate()
    finally:
        sound.close()
    assert done.get("step") == "done", errors.decode()
    assert done["errors"] == []
    who, half = done["half"][0], done["half"][1]
    assert (who["who"], who["spoken"]) == ("You", "hello.")
    assert half["spoken"], "some words were heard"
    assert half["planned"], "and some are to come"
    cut = done["cut"][1]
    assert cut["spoken"].startswith(half["spoken"].strip()[:10])
    assert cut["lost"]
    assert not cut["planned"]
    assert done["kept"] == done["cut"]
