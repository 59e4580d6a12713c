"""The voice service behind the bridge is lost, or its stream is renewed: the page goes on."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from sonic_voice import SessionConfig, Toolbox
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.bridge import Bridge, Close, Offer, load_pages, served, web_client
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts
from sonic_voice.emulator.server import LOCAL_KEYS, LOCAL_REGION

from ..support.page import until
from .network import Network, network
from .visitor import Chromium

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIFE_S = 12.0
LOST = "The voice service cannot be reached just now. What you say is kept."
BACK = "The voice service is back. The conversation goes on."


@dataclass
class Place:
    """A bridge, and the network between it and the voice service."""

    url: str
    bridge: Bridge
    between: Network


@asynccontextmanager
async def place() -> AsyncGenerator[Place]:
    """A page of a bridge, whose emulator's streams live for `LIFE_S`."""
    timeouts = StreamTimeouts(life_s=LIFE_S)
    behaviour = Behaviour(timeouts=timeouts, latency="none")
    async with network() as between, emulator(behaviour=behaviour) as service:
        between.port = urlsplit(service.endpoint).port or 0
        transport = BedrockTransport(
            region=LOCAL_REGION,
            endpoint=f"https://localhost:{urlsplit(between.url).port}",
            ca_file=service.ca_file,
            access_key=LOCAL_KEYS.access_key,
            secret_key=LOCAL_KEYS.secret_key,
        )
        offer = Offer(config=SessionConfig(stream_s=LIFE_S), tools=Toolbox())
        async with (
            Bridge(offer, transport) as bridge,
            served(bridge, pages=load_pages(web_client())) as url,
        ):
            yield Place(url, bridge, between)
        await transport.aclose()


async def test_a_conversation_goes_on_after_a_renewal_and_a_cut(chromium: Chromium) -> None:
    async with place() as here, chromium.visitor() as visitor:
        await visitor.page.goto(here.url)
        await visitor.start()
        await visitor.says("My name is Peter.")
        await visitor.reads("Nice to meet you, Peter.")
        counters = here.bridge.metrics
        await until(lambda: counters.renewals["age"] >= 1, limit_s=30)
        await visitor.says("What is my name?")
        await visitor.reads("Your name is Peter")
        await visitor.is_("listening")
        assert await visitor.notices() == [], "the renewal was silent"

        answered = len(visitor.of("turn_ended"))
        here.between.cut()
        await visitor.is_("reconnecting")
        await visitor.reads(LOST)
        await visitor.says("Are you still there?")  # it is kept
        here.between.mend()
        await visitor.reads(BACK, "Are you still there?")
        await until(lambda: len(visitor.of("turn_ended")) == answered + 1, limit_s=30)
        await visitor.is_("listening")
        await visitor.says("What is my name?")
        await until(lambda: len(visitor.of("turn_ended")) == answered + 2, limit_s=30)
        answers = [turn["spoken"] + turn["planned"] for turn in await visitor.turns()]
        assert "Your name is Peter" in answers[-1]
        assert await visitor.notices() == [LOST, BACK]
        await visitor.button("End").click()
        await visitor.is_("ended")
    assert counters.reconnects.total() == 1
    assert counters.closed == {Close.BYE: 1}
