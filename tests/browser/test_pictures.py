"""A picture that a tool shows, and what is reported while a tool runs, as a visitor meets them."""

import asyncio
import functools
import random
import struct
import zlib
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Locator, expect

from sonic_voice import LocalService, SessionConfig, Toolbox, ToolContext, tool
from sonic_voice.bridge import Access, Bridge, Offer, load_pages, served, web_client
from sonic_voice.delegates.images import image_tool

from ..support.bedrock_stand_in import bedrock_stand_in
from .conftest import HERE
from .sounds import script
from .test_embedding import page, site
from .visitor import PATIENCE_MS, Chromium, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

WIDTH, HEIGHT = 512, 384
WORDS = "A red boat on a lake"

LOADED = """(source) => new Promise((resolve) => {
  const image = new Image();
  image.onload = () => resolve('there');
  image.onerror = () => resolve('revoked');
  image.src = source;
})"""
"""An expression that is true if the URL of a picture can still be loaded."""


@functools.cache
def drawing() -> bytes:
    """A picture as PNG, of 0.6 MB: a red boat on a lake, with noise that cannot be compressed."""
    noise = random.Random(1)
    rows: list[bytes] = []
    for y in range(HEIGHT):
        row = bytearray()
        for x in range(WIDTH):
            hull = 240 < y < 290 and 150 + (y - 240) < x < 360 - (y - 240)
            sail = 110 < y <= 235 and 250 < x < 250 + (y - 110) * 0.6
            base = (190, 30, 40) if hull else (250, 250, 245) if sail else (120, 170, 220)
            base = (40, 90, 150) if y >= 275 and not hull else base
            row += bytes(max(0, min(255, value + noise.randrange(-12, 13))) for value in base)
        rows.append(b"\0" + row)

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(rows))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


class Orders:
    """A tool that reports, and goes on when the test says so."""

    def __init__(self) -> None:
        self.steps = [asyncio.Event() for _ in range(2)]

    def tool(self) -> object:
        @tool(result="when_idle")
        async def find_order(context: ToolContext) -> str:
            """Find an order of the user."""
            for count, step in enumerate(self.steps, 1):
                context.progress(f"I have asked {count} of 2 shops.")
                await step.wait()
            return "found"

        return find_order


@asynccontextmanager
async def painter(folder: Path, *origins: str) -> AsyncGenerator[tuple[str, Orders]]:
    """URL of a server that draws, and keeps the data of tools from its pages; and its orders."""
    orders = Orders()
    answer = {"images": [b64encode(drawing()).decode()]}
    async with bedrock_stand_in(invoke=lambda _: answer) as bedrock, bedrock.operations() as client:
        tools = Toolbox([image_tool(folder, operations=client), orders.tool()])  # type: ignore[list-item]
        offer = Offer(config=SessionConfig(tools=tools.specs), tools=tools)
        access = Access(origins=frozenset(origins)) if origins else None
        async with (
            LocalService(scenario=HERE / "pictures.yaml") as transport,
            Bridge(offer, transport, access=access) as bridge,
            served(bridge, pages=load_pages(web_client())) as url,
        ):
            yield url, orders


def picture(visitor: Visitor) -> Locator:
    return visitor.log.get_by_role("img", name=WORDS)


async def is_seen(visitor: Visitor) -> None:
    """Wait until the picture is on the page, with its pixels."""
    await expect(picture(visitor)).to_be_visible(timeout=PATIENCE_MS)
    size = (
        "async (node) => { await node.decode(); return [node.naturalWidth, node.naturalHeight]; }"
    )
    assert await picture(visitor).evaluate(size) == [WIDTH, HEIGHT]


async def test_a_picture_is_seen_after_it_was_asked_for_aloud(
    chromium: Chromium, tmp_path: Path
) -> None:
    async with (
        painter(tmp_path / "pictures") as (url, _),
        chromium.visitor(hears=script(1.0, "goforward"), reduced_motion="reduce") as visitor,
    ):
        await visitor.page.goto(url)
        await visitor.start()
        await visitor.reads("go forward ten meters.")
        await is_seen(visitor)
        await visitor.reads("It is on the page.")
        await visitor.is_("listening")
        source = await picture(visitor).get_attribute("src") or ""
        assert source.startswith(f"blob:{url.rstrip('/')}")
        assert await visitor.page.evaluate(LOADED, source) == "revoked"
        assert "arguments_json" not in visitor.of("tool_call")[0]
        assert f"Picture: {WORDS}" in await visitor.saved("As text")
        await visitor.page.reload()
        await visitor.reads(f"Picture: {WORDS}")
        await expect(picture(visitor)).to_have_count(0)


@pytest.mark.parametrize("sources", ["blob:", "'self'"])
async def test_a_site_shows_pictures_if_its_policy_lets_it_and_their_words_if_not(
    chromium: Chromium, tmp_path: Path, sources: str
) -> None:
    with site(tmp_path) as origin:
        async with (
            painter(tmp_path / "pictures", origin) as (url, _),
            chromium.visitor() as visitor,
        ):
            socket = url.replace("http", "ws", 1)
            policy = (
                f"default-src 'none'; script-src {url}; style-src {url}; "
                f"connect-src {url} {socket}; img-src {sources}"
            )
            head = f'<html lang="en"><meta http-equiv="Content-Security-Policy" content="{policy}">'
            (tmp_path / "shop.html").write_text(page(url).replace('<html lang="en">', head))
            await visitor.page.goto(f"{origin}/shop.html")
            await visitor.start()
            await visitor.says("go forward ten meters.")
            if sources == "blob:":
                await is_seen(visitor)
            else:
                await visitor.reads(f"Picture: {WORDS}", "It is on the page.")
                await expect(picture(visitor)).to_have_count(0)


async def test_what_a_running_tool_reports_is_a_status_of_its_turn(
    chromium: Chromium, tmp_path: Path
) -> None:
    async with painter(tmp_path / "pictures") as (url, orders), chromium.visitor() as visitor:
        await visitor.page.goto(url)
        await visitor.start()
        await visitor.says("go forward ten meters.")
        await visitor.reads("It is on the page.")
        await visitor.says("Find my order.")
        status = visitor.log.get_by_role("status").last
        await expect(status).to_have_text("I have asked 1 of 2 shops.", timeout=PATIENCE_MS)
        orders.steps[0].set()
        await expect(status).to_have_text("I have asked 2 of 2 shops.", timeout=PATIENCE_MS)
        orders.steps[1].set()
        await visitor.reads("It is on its way.")
        await expect(status).to_have_text("")
