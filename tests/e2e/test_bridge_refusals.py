"""What the bridge refuses: each client is told why it has to go."""

import asyncio
import json
import logging
import ssl
import time
from typing import Any, cast

import pytest
import trustme

from sonic_voice.bridge import Access, Bridge, BridgeLimits, issue_token, served
from sonic_voice.bridge.frames import VOICE, voice_frame
from sonic_voice.errors import ErrorKind, ServiceError
from sonic_voice.policies import NO_RECOVERY

from ..support.page import Page, close_of, socket, until
from ..support.quiet_bridge import OFFER, QuietService, hello, opened, running

SECRET = b"a secret of this test, of 32 bytes and more"


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (voice_frame(b"\0\0"), 4003),
        (json.dumps({"type": "bye"}), 4003),
        ("no JSON", 4000),
        ("[" * 5000, 4000),
        (json.dumps({"type": "hullo"}), 4001),
        (json.dumps({"type": "hello", "version": 2}), 4005),
        (hello(voice="matthew"), 4006),
        (hello(language="xx"), 4006),
        (hello(resume="never given"), 4014),
        (hello(token="x" * 9000), 1009),
        (b"x" * 40_000, 1009),
    ],
)
async def test_a_wrong_first_message_is_refused(first: str | bytes, code: int) -> None:
    async with running() as (url, bridge), socket(url) as connection:
        await connection.send(first)
        assert (await close_of(connection))[0] == code
        assert bridge.metrics.conversations == 0


@pytest.mark.parametrize(
    ("second", "code"),
    [
        ("AAAA", 4000),
        (json.dumps({"type": "say", "text": 3}), 4000),
        (json.dumps({"type": "sing"}), 4001),
        (hello(), 4003),
        (b"", 4002),
        (bytes([VOICE, 0, 1]), 4002),
        (b"\x07\x00\x00\x00", 4002),
        (b"x" * 40_000, 1009),
        (json.dumps({"type": "say", "text": "x" * 9000}), 1009),
    ],
)
async def test_a_wrong_message_ends_the_conversation(second: str | bytes, code: int) -> None:
    async with running() as (url, bridge), socket(url) as connection:
        await opened(connection)
        await connection.send(second)
        assert (await close_of(connection))[0] == code
        await until(lambda: "sonic_voice_conversations 0.0\n" in bridge.metrics_page())
        assert f'closed_total{{code="{code}"}} 1.0' in bridge.metrics_page()


async def test_text_that_is_no_utf8_is_refused() -> None:
    async with running() as (url, _), socket(url) as connection:
        await opened(connection)
        await connection.send(b"\xff\xfe", text=True)
        assert (await close_of(connection))[0] == 1007


async def test_another_origin_none_and_another_subprotocol_are_refused() -> None:
    async with running() as (url, _):
        for origin in ("https://evil.example", url.replace("localhost", "evil.example"), None):
            async with socket(url, origin=origin) as connection:
                assert (await close_of(connection))[0] == 4013
        for subprotocol in ("", "sonic-voice.v2"):
            async with socket(url, subprotocol=subprotocol) as connection:
                assert (await close_of(connection))[0] == 4005


async def test_an_allowed_origin_is_taken() -> None:
    async with (
        running(access=Access(origins=frozenset({"https://shop.example"}), anonymous=True)) as (
            url,
            _,
        ),
        socket(url, origin="https://shop.example") as connection,
    ):
        await opened(connection)


async def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = issue_token(SECRET, "alice", now_s=time.time())
    async with running(access=Access(secret=SECRET)) as (url, bridge), socket(url) as connection:
        logging.getLogger("websockets.client").setLevel(logging.WARNING)  # the page's own
        caplog.clear()
        await connection.send(hello(token=token))
        resume = json.loads(await connection.recv())["resume"]
        await connection.send("no JSON")
        await close_of(connection)
        await until(lambda: "sonic_voice_conversations 0.0\n" in bridge.metrics_page())
    for secret in (token, token.rpartition(".")[2], resume, SECRET.decode(), OFFER.config.system):
        assert secret not in caplog.text


async def test_over_tls_the_page_is_another_origin_and_the_headers_say_so() -> None:
    authority = cast(Any, trustme.CA())
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    async with (
        Bridge(OFFER, QuietService()) as bridge,
        served(bridge, pages={}, tls=server) as url,
    ):
        assert url.startswith("https://localhost:")
        async with socket(url, tls=client) as connection:
            await opened(connection)
        async with socket(url, tls=client, origin=url.replace("https", "http")) as connection:
            assert (await close_of(connection))[0] == 4013


async def test_a_task_that_is_cancelled_by_its_server_leaves_no_conversation_behind() -> None:
    async with running(BridgeLimits(keep_s=0.2)) as (url, bridge):
        async with socket(url) as connection:
            await opened(connection)
            [task] = [task for task in asyncio.all_tasks() if "protocol_handler" in repr(task)]
            task.cancel()
            await close_of(connection)
        await until(lambda: "sonic_voice_conversations 0.0\n" in bridge.metrics_page())


async def test_tokens_are_asked_for_and_checked() -> None:
    now_s = time.time()
    good = issue_token(SECRET, "alice", now_s=now_s, voices=["ambre"])
    expired = issue_token(SECRET, "alice", now_s=now_s - 100)
    forged = issue_token(SECRET[::-1], "alice", now_s=now_s)
    async with running(access=Access(secret=SECRET)) as (url, _):
        for token, code in (("", 4010), (expired, 4011), (forged, 4012), (good[:-1], 4012)):
            async with socket(url) as connection:
                await connection.send(hello(token=token))
                assert (await close_of(connection))[0] == code
        async with socket(url) as connection:
            await connection.send(hello(token=good, voice="tiffany"))
            assert (await close_of(connection))[0] == 4006
        async with socket(url) as connection, Page(connection, {"token": good}) as page:
            assert page.ready["voice"] == "ambre"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (BridgeLimits(sessions=2, of_subject=9), 4020),
        (BridgeLimits(of_subject=2), 4021),
        (BridgeLimits(of_address=2, of_subject=9), 4022),
    ],
)
async def test_the_third_conversation_is_one_too_many(limits: BridgeLimits, code: int) -> None:
    token = issue_token(SECRET, "alice", now_s=time.time())
    async with (
        running(limits, Access(secret=SECRET)) as (url, bridge),
        socket(url) as one,
        socket(url) as two,
    ):
        await opened(one, token=token)
        await opened(two, token=token)
        async with socket(url) as three:
            await three.send(hello(token=token))
            assert (await close_of(three))[0] == code
        await one.send(json.dumps({"type": "bye"}))
        assert (await close_of(one))[0] == 1000
        await until(lambda: "sonic_voice_conversations 1.0\n" in bridge.metrics_page())
        async with socket(url) as three:
            await opened(three, token=token)


async def test_who_says_nothing_is_sent_away_and_few_may() -> None:
    async with (
        running(BridgeLimits(unauthenticated=1, hello_s=0.3)) as (url, _),
        socket(url) as one,
    ):
        async with socket(url) as two:
            assert (await close_of(two))[0] == 4020
        assert (await close_of(one))[0] == 4004


@pytest.mark.parametrize(("kind", "code"), [(ErrorKind.THROTTLED, 4030), (ErrorKind.ACCESS, 4033)])
async def test_the_refusal_of_the_service_is_told_without_its_words(
    kind: ErrorKind, code: int
) -> None:
    service = QuietService()
    service.refusal = ServiceError(kind=kind, code="Secret", text="arn:aws:iam::1:role/x")
    async with (
        running(transport=service, recovery=NO_RECOVERY) as (url, _),
        socket(url) as connection,
    ):
        await opened(connection)
        closed, reason = await close_of(connection)
    assert closed == code
    assert "arn" not in reason
