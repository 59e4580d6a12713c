"""A network that fails under a conversation: the page tells it in a line, and it goes on."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from ..e2e.test_serve import fetched, serving
from .network import Network, network
from .visitor import Chromium

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOST = "The connection was lost. Trying again."
BACK = "Connected again. The conversation goes on."
OUTAGE_MS = 5000


@pytest.mark.parametrize("fail", [Network.cut, Network.die])
async def test_a_conversation_goes_on_after_five_seconds_without_network(
    chromium: Chromium, fail: Callable[[Network], None]
) -> None:
    async with network() as between:
        own = between.url.removesuffix("/")
        async with serving("--allow-origin", own) as (_, url), chromium.visitor() as visitor:
            between.port = urlsplit(url).port or 0
            await visitor.page.goto(between.url)
            await visitor.start()
            await visitor.says("My name is Peter.")
            await visitor.reads("Nice to meet you, Peter.")
            fail(between)
            await visitor.page.wait_for_timeout(OUTAGE_MS)
            between.mend()
            await visitor.reads(LOST, BACK)
            await visitor.says("What is my name?")
            await visitor.reads("Your name is Peter")
            assert await visitor.notices() == [LOST, BACK]
            shown = await visitor.turns()
            said = [turn["spoken"] + turn["planned"] + turn["lost"] for turn in shown]
            assert said[:2] == ["My name is Peter.", "Nice to meet you, Peter."]
            metrics = await fetched(f"{url}metrics")
    assert "sonic_voice_conversations_started_total 1.0\n" in metrics
    assert "sonic_voice_resumed_total 1.0\n" in metrics
