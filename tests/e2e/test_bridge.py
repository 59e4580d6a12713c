"""The bridge over a real WebSocket, the production transport, the emulator and recorded people."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from websockets.asyncio.client import ClientConnection

from sonic_voice import (
    NO_RECOVERY,
    NO_RENEWAL,
    AudioFormat,
    LocalService,
    SessionConfig,
    Toolbox,
    tool,
)
from sonic_voice.bridge import Bridge, BridgeLimits, Offer, served
from sonic_voice.bridge.browser_audio import BrowserSource
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts

from ..support.page import Page, close_of, socket, until

DEMO = cast(Path, resources.files("sonic_voice.emulator"))
SPEECH = Path(__file__).parent.parent / "speech"


@tool
def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
    """Move the robot."""
    return {"direction": direction, "meters": meters}


TOOLS = Toolbox([go])
OFFER = Offer(config=SessionConfig(tools=TOOLS.specs), tools=TOOLS, show_tools=True)


@asynccontextmanager
async def running(limits: BridgeLimits | None = None) -> AsyncGenerator[tuple[str, Bridge]]:
    """A bridge to the emulator, and its URL."""
    async with (
        LocalService(DEMO / "demo.yaml") as transport,
        Bridge(OFFER, transport, limits=limits) as bridge,
        served(bridge, pages={}) as url,
    ):
        yield url, bridge


async def test_a_page_holds_three_turns_with_a_tool_and_a_barge_in() -> None:
    async with running() as (url, bridge), socket(url) as connection:
        async with Page(connection) as page:
            await page.speak(DEMO / "demo.wav")
            await page.until("turn_ended", turn=3)
            await page.say("bye")
            assert (await _closed(page))[0] == 1000
        metrics = bridge.metrics_page()
    assert [(said["turn"], said["text"]) for said in page.of("user_text")] == [
        (1, "hello."),
        (2, "go forward ten meters."),
        (3, "please try again."),
    ]
    [call], [result] = page.of("tool_call"), page.of("tool_answered")
    assert (call["name"], call["tool_use"]) == ("go", result["tool_use"])
    assert result["result_json"] == '{"direction": "forward", "meters": 10}'
    _check_barge_in(page)
    assert [said["seq"] for said in page.told] == list(range(1, len(page.told) + 1))
    latencies = [said["response_ms"] for said in page.of("latency")]
    assert len(latencies) == 3
    assert all(0 < latency < 5000 for latency in latencies)
    assert "sonic_voice_conversations_started_total 1.0" in metrics
    assert "sonic_voice_answer_dropped_seconds_total 0.0" in metrics


def _check_barge_in(page: Page) -> None:
    [interrupted], flush = page.of("interrupted"), page.of("flush")[0]
    assert (interrupted["turn"], flush["epoch"]) == (2, 1)
    assert {answer.turn for answer in page.answers if answer.epoch == 1} == {3}
    # Told twice at most: a guess at once, and what the page says it has played.
    heard = [message for message in page.of("heard") if message["turn"] == 2][-1]
    assert heard["planned"].startswith(heard["heard"])
    assert "lighthouse" in heard["heard"]
    assert "rowed" not in heard["heard"]
    for turn in (1, 2, 3):
        frames = [answer for answer in page.answers if answer.turn == turn]
        assert frames[0].start == 0
        assert all(a.end == b.start for a, b in pairwise(frames))


async def _closed(page: Page) -> tuple[int, str]:
    async with asyncio.timeout(10):
        await page.connection.wait_closed()
    return page.connection.close_code or 0, page.connection.close_reason or ""


async def test_a_lost_connection_resumes_with_every_message_and_sample() -> None:
    async with running() as (url, bridge):
        async with socket(url) as connection, Page(connection) as first:
            await first.speak(SPEECH / "hello.wav")
            await first.until("assistant_text")
            await until(lambda: len(first.answers) > 5)
            connection.transport.abort()
        # What was under way is lost: as if the page had not got the last of both.
        del first.answers[-3:], first.told[-2:]
        first.seen = first.told[-1]["seq"]
        back = {"resume": first.ready["resume"], "seen": first.seen, "received": first.position}
        async with socket(url) as connection, Page(connection, hello=back) as second:
            assert second.ready["resumed"]
            await second.until("turn_ended", turn=1)
            await second.speak(SPEECH / "goforward.wav")
            await second.until("tool_answered")
            await second.say("bye")
        assert bridge.metrics.resumed == bridge.metrics.conversations == 1
    told = [*first.told, *second.told]
    assert [message["seq"] for message in told] == list(range(1, len(told) + 1))
    [ended] = [m for m in told if m["type"] == "turn_ended" and m["turn"] == 1]
    sound = [answer for answer in (*first.answers, *second.answers) if answer.turn == 1]
    assert sound[0].start == 0
    assert all(a.end == b.start for a, b in pairwise(sound))
    assert sound[-1].end == ended["samples"]


async def test_a_conversation_that_nobody_resumes_is_forgotten() -> None:
    async with running(BridgeLimits(keep_s=0.2)) as (url, bridge):
        async with socket(url) as connection, Page(connection) as page:
            connection.transport.abort()
        await until(lambda: "conversations 0" in bridge.metrics_page())
        async with socket(url) as connection:
            await connection.send(_hello(resume=page.ready["resume"]))
            assert (await close_of(connection))[0] == 4014


@pytest.mark.parametrize("leave", ["bye", "stop", "time"])
async def test_a_conversation_that_ends_in_an_answer_tells_what_was_heard(leave: str) -> None:
    limits = BridgeLimits(session_s=6) if leave == "time" else None
    async with (
        running(limits) as (url, bridge),
        socket(url) as connection,
        Page(connection) as page,
    ):
        await page.until("listening")
        await page.say("say", text="hello.")
        await page.until("turn_ended", turn=1)
        await page.say("say", text="go forward ten meters.")
        texts = [await page.until("assistant_text", turn=2, block=block) for block in (0, 1)]
        await until(lambda: page.played_samples(2) > 12_000)
        if leave == "bye":
            await page.say("bye")
        elif leave == "stop":
            bridge.stop()
        code, _ = await _closed(page)
        assert code == {"bye": 1000, "stop": 1001, "time": 4026}[leave]
    heard = page.of("heard")[-1]
    assert heard["turn"] == 2
    assert heard["planned"].startswith(heard["heard"])
    assert 0 < len(heard["heard"]) < len(heard["planned"])
    starts = [text["starts_at"] for text in texts]
    assert starts[0] == 0 < starts[1]


async def test_a_newer_connection_replaces_an_older_one() -> None:
    async with running() as (url, _), socket(url) as connection, Page(connection) as old:
        back = {"resume": old.ready["resume"]}
        async with socket(url) as again, Page(again, hello=back) as new:
            assert (await _closed(old))[0] == 4027
            await new.until("listening")
            await new.say("say", text="hello.")
            await new.until("user_text", typed=True)
            await new.say("bye")
            assert (await _closed(new))[0] == 1000


async def test_typing_and_interrupting_by_hand() -> None:
    async with running() as (url, _), socket(url) as connection, Page(connection) as page:
        await page.until("listening")
        await page.say("say", text="hello.")
        said = await page.until("user_text")
        assert (said["text"], said["typed"]) == ("hello.", True)
        await page.until("turn_ended", turn=1)
        await page.say("interrupt")
        flush = await page.until("flush")
        assert flush["epoch"] == 1
        heard = await page.until("heard")
        assert heard["heard_ms"] < 2000
        await page.say("bye")
        assert (await _closed(page))[0] == 1000


async def test_a_page_that_sends_nothing_delivers_nothing_until_it_sends_or_closes() -> None:
    """Silence is the service stream's task: `tests/asyncio/test_uplink_silence.py`."""
    source = BrowserSource(AudioFormat(16_000))
    reading = asyncio.ensure_future(source.read())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not reading.done()
    source.feed(b"\1\0")
    assert await reading == b"\1\0"
    reading = asyncio.ensure_future(source.read())
    await asyncio.sleep(0)
    source.close()
    assert await reading == b""


async def test_of_a_page_that_sends_too_fast_the_oldest_sound_is_dropped() -> None:
    source = BrowserSource(AudioFormat(16_000))
    for second in range(3):
        source.feed(bytes([second]) * 32_000)
    assert source.dropped_s == 1.0
    assert [(await source.read())[0] for _ in range(2)] == [1, 2]


async def test_stopping_says_goodbye_to_page_and_service() -> None:
    async with running() as (url, bridge):
        async with socket(url) as connection, Page(connection) as page:
            bridge.stop()
            assert await _closed(page) == (1001, "The server is stopping. Try again in a minute.")
        async with socket(url) as connection:
            assert (await close_of(connection))[0] == 1001
    assert "sonic_voice_conversations 0.0" in bridge.metrics_page()


@pytest.mark.parametrize(
    ("limits", "code"), [(BridgeLimits(session_s=0.5), 4026), (BridgeLimits(idle_s=0.5), 4025)]
)
async def test_time_runs_out(limits: BridgeLimits, code: int) -> None:
    async with running(limits) as (url, _), socket(url) as connection, Page(connection) as page:
        assert (await _closed(page))[0] == code


@asynccontextmanager
async def behaving(
    behaviour: Behaviour, **config: Any
) -> AsyncGenerator[tuple[ClientConnection, Bridge]]:
    """A connection of a page to a bridge, whose emulator behaves like this."""
    local = LocalService(DEMO / "demo.yaml")
    local.emulator = emulator(DEMO / "demo.yaml", behaviour=behaviour)
    offer = replace(OFFER, config=replace(OFFER.config, **config))
    async with (
        local as transport,
        Bridge(offer, transport) as bridge,
        served(bridge, pages={}) as url,
        socket(url) as connection,
    ):
        yield connection, bridge


def short_lived(life_s: float) -> Behaviour:
    return Behaviour(timeouts=StreamTimeouts(life_s=life_s), latency="none")


async def test_without_renewal_the_end_of_the_stream_is_announced_and_has_its_own_code() -> None:
    once = {"stream_s": 4.0, "renewal": NO_RENEWAL, "recovery": NO_RECOVERY}
    async with behaving(short_lived(4.0), **once) as (connection, _), Page(connection) as page:
        code, reason = await _closed(page)
    assert code == 4032
    assert reason == "The voice service ended the conversation at its time limit. Start a new one."
    [notice] = page.of("notice")
    assert notice["text"].startswith("The service ends every conversation after 4 seconds")


async def test_a_conversation_outlives_its_streams_and_the_page_is_not_told() -> None:
    async with (
        behaving(short_lived(4.0), stream_s=4.0) as (connection, bridge),
        Page(connection) as page,
    ):
        await page.until("listening")
        await page.say("say", text="hello.")
        await page.until("turn_ended", turn=1)
        await until(lambda: bridge.metrics.renewals["age"] >= 2)
        await page.say("say", text="go forward ten meters.")
        await page.until("turn_ended", turn=2)
        counted = bridge.metrics_page()
        await page.say("bye")
    told = {message["type"] for message in page.told}
    assert not told & {"reconnecting", "renewed", "notice"}
    assert len(page.of("listening")) == 1
    assert 'sonic_voice_renewals_total{reason="age"} ' in counted
    assert "sonic_voice_reconnects_total{" not in counted


async def test_a_cut_is_survived_and_the_page_and_the_counters_are_told() -> None:
    cut = Behaviour(faults=("cut@1",), latency="none")
    async with behaving(cut) as (connection, bridge), Page(connection) as page:
        await page.until("listening")
        await page.say("say", text="hello.")
        reconnecting = await page.until("reconnecting")
        renewed = await page.until("renewed")
        await page.until("turn_ended", turn=1)
        await page.say("say", text="go forward ten meters.")
        await page.until("turn_ended", turn=2)
        counted = bridge.metrics_page()
        await page.say("bye")
    assert (reconnecting["attempt"], reconnecting["retry_in_s"]) == (1, 0)
    assert set(reconnecting) == {"type", "seq", "at_s", "attempt", "retry_in_s"}
    assert renewed["gap_ms"] >= 0
    assert 'sonic_voice_reconnects_total{reason="cut"} 1.0' in counted
    assert 'sonic_voice_reconnect_attempts_total{reason="cut"} 1.0' in counted


async def test_what_is_said_while_the_service_is_busy_is_kept_and_answered() -> None:
    """The first streams are refused; the page speaks from the beginning."""
    busy = Behaviour(faults=("http:429@1",), latency="none")
    async with behaving(busy) as (connection, bridge), Page(connection) as page:
        await page.say("say", text="hello.")
        await page.speak(SPEECH / "goforward.wav")
        await page.until("listening")
        await page.until("user_text", text="go forward ten meters.")
        await page.say("bye")
    assert page.of("reconnecting")[0]["attempt"] == 1
    assert page.of("user_text")[0]["text"] == "hello."
    assert bridge.metrics.reconnects == {"throttled": 1}


async def test_the_limit_of_a_conversation_is_announced() -> None:
    async with (
        running(BridgeLimits(session_s=2.0)) as (url, _),
        socket(url) as connection,
        Page(connection) as page,
    ):
        assert (await _closed(page))[0] == 4026
    [notice] = page.of("notice")
    assert notice["text"].endswith("the limit of this server is 2 seconds.")


async def test_a_page_is_not_sent_more_than_five_seconds_ahead() -> None:
    async with running() as (url, _), socket(url) as connection, Page(connection) as page:
        await page.until("listening")
        for text in ("hello.", "go forward ten meters."):
            await page.say("say", text=text)
            await page.until("user_text", text=text)
        await page.until("turn_ended", turn=2)
        assert 2 < page.ahead_s < 5.5
        await page.say("bye")


def _hello(**fields: Any) -> str:
    return json.dumps({"type": "hello", "version": 1, **fields})
