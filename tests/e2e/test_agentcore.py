"""`serve --agentcore` behind a platform that behaves as the documentation of AgentCore Runtime."""

import asyncio
import base64
import inspect
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from sonic_voice import SessionConfig, Toolbox
from sonic_voice.bridge import Access, Bridge, Offer, agentcore, page_tool, served
from sonic_voice.cli.serve import serve

from ..support.agentcore_platform import SENTINEL, Platform, bearer_protocols, get, platform
from ..support.page import Page, close_of
from ..support.quiet_bridge import QuietService
from ..support.served_process import PROGRAM, SCENARIO, log_of


@asynccontextmanager
async def deployed(*options: str) -> AsyncGenerator[tuple[Platform, asyncio.subprocess.Process]]:
    """The command in its container, and the platform in front of it."""
    pipe = asyncio.subprocess.PIPE
    command = ("serve", "--local", "--scenario", str(SCENARIO), "--agentcore", "--port", "0")
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *command, "--log-format", "json", *options, stdout=pipe, stderr=pipe
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            said = (await process.stdout.readline()).decode()
        assert said.startswith("Serving http://0.0.0.0:"), (await process.communicate())[1].decode()
        async with platform(int(said.split()[1].rstrip("/").rpartition(":")[2])) as here:
            yield here, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def quiet(offer: Offer | None = None) -> AsyncGenerator[tuple[Platform, Bridge]]:
    """A bridge to a service that says nothing, with the rules of the platform in front of it."""
    access = Access(agentcore=True)
    async with (
        Bridge(offer or Offer(), QuietService(), access=access) as bridge,
        served(bridge, pages={}) as url,
        platform(int(url.rstrip("/").rpartition(":")[2])) as here,
    ):
        yield here, bridge


async def test_a_page_with_a_presigned_address_talks_and_returns_to_its_session() -> None:
    session = str(uuid.uuid4())
    async with deployed() as (here, process):
        idle = await here.until_ping("Healthy")
        assert isinstance(idle["time_of_last_update"], int)
        async with (
            here.opened(here.presigned(session)) as connection,
            Page(connection, {"token": "is not looked at"}) as page,
        ):
            assert connection.subprotocol is None
            await page.until("listening")
            busy = await here.until_ping("HealthyBusy")
            assert busy["time_of_last_update"] >= idle["time_of_last_update"]
            for _ in range(100):  # two seconds of sound
                await connection.send(b"\x01\x00" + bytes(640))
            await page.say("say", text="go forward ten meters.")
            await page.until("turn_ended")
            resume, seen, received = page.ready["resume"], page.seen, page.position
            connection.transport.abort()
        again = {"resume": resume, "seen": seen, "received": received}
        async with (
            here.opened(here.presigned(session)) as connection,
            Page(connection, again) as page,
        ):
            assert page.ready["resumed"]
            await page.say("say", text="hello.")
            assert (await page.until("user_text"))["turn"] == 2
            await page.say("bye")
            assert (await close_of_page(page))[0] == 1000
        await here.until_ping("Healthy")
        for path in ("/", "/index.html", "/talk", "/token"):
            assert (await get(here.container, path))[0] == 404, path
        lines = await log_of(process)
    assert 640 < here.largest["up"] <= 32_000
    assert 0 < here.largest["down"] <= 32_000
    [started] = [line for line in lines if "started" in line["message"]]
    assert started["address"] == session
    assert "subject" not in started


async def test_a_browser_with_oauth_is_known_by_the_subject_that_was_verified(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    claims = base64.urlsafe_b64encode(b'{"sub": "alice", "exp": 1}').decode().rstrip("=")
    token = f"e30.{claims}.signature"
    async with (
        quiet() as (here, _),
        here.opened(subprotocols=bearer_protocols(token)) as connection,
        Page(connection) as page,
    ):
        assert connection.subprotocol == SENTINEL
        await page.say("bye")
        await close_of_page(page)
    assert "conversation started conversation=" in caplog.text
    assert "subject=alice" in caplog.text
    assert token not in caplog.text


async def test_the_platform_alone_decides_who_talks() -> None:
    async with quiet() as (here, _):
        with pytest.raises(InvalidStatus, match="403"):
            async with here.opened():
                pass
        async with here.opened(headers=here.signed()) as connection, Page(connection) as page:
            await page.say("bye")
            await close_of_page(page)
        # A page of any site in a browser on the container's own machine names its origin.
        foreign = connect(
            f"ws://127.0.0.1:{here.container}/ws",
            origin=Origin("https://evil.example"),
            proxy=None,
        )
        async with foreign as connection:
            assert (await close_of(connection))[0] == 4013
        assert (await get(here.container, "/metrics"))[0] == 401
        assert (await get(here.container, "/ws"))[0] == 426
        assert (await get(here.container, "/invocations", "POST"))[0] == 405


async def test_a_message_of_any_size_passes_in_frames_that_the_platform_allows() -> None:
    tools = Toolbox([_page_tool(f"show_{number}") for number in range(12)])
    config = SessionConfig(tools=tools.specs)
    async with (
        quiet(Offer(config=config, tools=tools)) as (here, bridge),
        here.opened(here.presigned(str(uuid.uuid4()))) as connection,
        Page(connection) as page,
    ):
        assert len(page.ready["page_tools"]) == 12
        assert 20_000 < here.largest["down"] <= 32_000
        bridge.stop()
        assert (await close_of_page(page))[0] == 1001
        status, _ = await get(here.container, "/ping")
        assert status == 503


def test_the_command_listens_at_the_port_of_the_contract() -> None:
    assert inspect.signature(serve).parameters["port"].default == agentcore.PORT == 8080


def _page_tool(name: str) -> Any:
    async def show(text: str) -> bool:
        raise AssertionError(text)

    show.__name__, show.__doc__ = name, "x" * 9_000
    return page_tool(show)


async def close_of_page(page: Page) -> tuple[int, str]:
    async with asyncio.timeout(10):
        await page.connection.wait_closed()
    return page.connection.close_code or 0, page.connection.close_reason or ""
