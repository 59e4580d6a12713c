"""The worker behind the page is killed, and the next one is asked to stop: the page goes on."""

from pathlib import Path

import pytest

from ..support.worker_service import Place, place
from .visitor import Chromium

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCENARIO = Path(__file__).parents[1] / "e2e" / "workers.yaml"
LOST = "The connection was lost. Trying again."
MOVED = "The server is restarting. The conversation goes on in a moment."
BACK = "Connected again. The conversation goes on."


def holder(here: Place) -> int:
    """Return the process that holds the one conversation."""
    started = ("conversation started", "conversation continued")
    return [line for line in here.server.lines if line["message"] in started][-1]["process"]


async def test_a_page_goes_on_at_another_worker_after_a_kill_and_after_a_drain(
    tmp_path: Path, chromium: Chromium
) -> None:
    options = ("--scenario", str(SCENARIO), "--drain-s", "20")
    async with place(tmp_path, *options) as here, chromium.visitor() as visitor:
        await visitor.page.goto(here.url)
        await visitor.start()
        await visitor.says("My name is Peter.")
        await visitor.is_("speaking")
        here.server.kill_worker(holder(here))
        await visitor.reads(LOST, BACK)
        await visitor.says("Are you still there?")
        await visitor.is_("speaking")

        await here.server.until_listening(3)
        here.server.stop_worker(holder(here))
        await visitor.reads(MOVED)
        await here.server.until(lambda: len(here.server.of("conversation continued")) == 2)
        await visitor.is_("listening")
        await visitor.says("And now?")
        await visitor.is_("speaking")
        await visitor.is_("listening")
        assert await visitor.notices() == [LOST, BACK, MOVED, BACK]
        await visitor.reads("My name is Peter.", "Are you still there?", "And now?")
        await visitor.button("End").click()
        await visitor.is_("ended")
