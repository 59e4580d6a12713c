"""A tool that the page carries out, from the model's call to its answer."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypedDict

import pytest

from sonic_voice import LocalService, SessionConfig, Toolbox
from sonic_voice.bridge import Bridge, Offer, load_pages, page_tool, served, web_client

from .conftest import HERE
from .visitor import Chromium

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Way(TypedDict):
    """The result that the page returns."""

    direction: str
    meters: int


@page_tool
async def go(direction: str, meters: int) -> Way:
    """Move the robot that is drawn on the page."""
    raise AssertionError("the page does it")


@asynccontextmanager
async def robot_page() -> AsyncGenerator[str]:
    """A bridge whose tool is one of the page."""
    tools = Toolbox([go])
    offer = Offer(config=SessionConfig(tools=tools.specs), tools=tools, show_tools=True)
    async with (
        LocalService(scenario=HERE / "robot.yaml") as transport,
        Bridge(offer, transport) as bridge,
        served(bridge, pages=load_pages(web_client())) as url,
    ):
        yield url


async def test_the_page_carries_out_the_call_of_the_model(chromium: Chromium) -> None:
    async with robot_page() as url, chromium.visitor() as visitor:
        await visitor.page.goto(url)
        await visitor.page.evaluate(
            """() => {
              const { client } = document.querySelector('sonic-voice');
              client.tools = { go: async (way) => { window.went = way; return way; } };
            }"""
        )
        await visitor.start()
        for said in ("hello.", "go forward ten meters."):
            await visitor.says(said)
            await visitor.reads(said)
        await visitor.reads("I went forward 10 meters.")
        assert await visitor.page.evaluate("window.went") == {"direction": "forward", "meters": 10}
        [answered] = visitor.of("tool_answered")
        assert '"meters": 10' in answered["result_json"]
