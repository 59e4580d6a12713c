"""axe finds nothing: in each state, light and dark, on a wide screen and on a narrow one."""

from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.async_api import ViewportSize

from .visitor import Chromium, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = Path(__file__).parents[1] / "web" / "node_modules" / "axe-core" / "axe.min.js"

SCREENS = (ViewportSize(width=1280, height=800), ViewportSize(width=320, height=640))

FINDINGS = """async () => (await axe.run()).violations.map(({ id, help, nodes }) =>
  `${id}: ${help}: ${nodes.map(({ html }) => html).join(', ')}`)"""


async def test_axe_finds_nothing_before_during_and_after_a_conversation(
    chromium: Chromium, robot: str
) -> None:
    if not AXE.exists():
        pytest.skip("without axe-core: npm ci in tests/web")
    async with chromium.visitor(reduced_motion="reduce") as visitor:
        await visitor.page.goto(robot)
        await visitor.page.evaluate(AXE.read_text())  # the page's policy lets no script in
        await visitor.is_("ready")
        found = {"ready": await _findings(visitor)}

        await visitor.start()
        await visitor.says("hello.")
        await visitor.is_("speaking")
        await visitor.says("go forward ten meters.")
        await visitor.reads("farmer")
        await visitor.is_("speaking")
        found["speaking"] = await _findings(visitor)

        await visitor.button("Sound").click()
        await visitor.button("Interrupt").click()
        await visitor.reads("(not heard:)")
        found["listening"] = await _findings(visitor)

        await visitor.button("End").click()
        await visitor.is_("ended")
        found["ended"] = await _findings(visitor)
    assert not any(found.values()), found


async def _findings(visitor: Visitor) -> list[str]:
    found: list[str] = []
    for scheme, screen in product(("light", "dark"), SCREENS):
        await visitor.page.emulate_media(color_scheme=cast(Any, scheme))
        await visitor.page.set_viewport_size(screen)
        findings = cast(list[str], await visitor.page.evaluate(FINDINGS))
        found += [f"{scheme}, {screen['width']} px: {finding}" for finding in findings]
        sideways = "document.documentElement.scrollWidth - innerWidth"
        assert await visitor.page.evaluate(sideways) <= 0, "it scrolls sideways"
    return found
