"""The hooks of an application: what each visitor gets, what tools know, who learns how it went."""

import asyncio
import hashlib
import hmac
import json
import logging
import re
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sonic_voice import Message, SessionConfig, Toolbox, ToolContext
from sonic_voice.bridge import (
    Access,
    Bridge,
    BridgeLimits,
    BridgeRefusal,
    Close,
    ConversationReport,
    MemoryStore,
    Offer,
    TokenClaims,
    Webhook,
    issue_token,
)
from sonic_voice.bridge import hooks as hooks_module
from sonic_voice.bridge.conversation_report import SpokenLine
from sonic_voice.errors import ConfigError, ErrorKind, NetworkError, ServiceError
from sonic_voice.policies import NO_RECOVERY

from ..support.listening_service import ListeningService
from ..support.memory_socket import ORIGIN, MemorySocket
from ..support.quiet_bridge import QuietService

SECRET = b"thirty-two bytes are the least, so: more"
ACCESS = Access(origins=frozenset({ORIGIN}), secret=SECRET)
QUIET = Offer(config=SessionConfig(voice="tiffany"))


def look_up(context: ToolContext) -> str:
    """Look up the orders of the user."""
    return f"{context.subject} in {context.conversation}"


OFFERS = {
    "alice": Offer(
        config=SessionConfig(
            system="You help Alice.",
            voice="tiffany",
            history=(Message("USER", "I am Alice."), Message("ASSISTANT", "Hello Alice.")),
        ),
        tools=Toolbox([look_up]),
    ),
    "bob": Offer(config=SessionConfig(system="You help Bob.", voice="matthew")),
}


def listening() -> ListeningService:
    return ListeningService("look_up", "What did I order?")


@asynccontextmanager
async def visiting(bridge: Bridge, subject: str = "alice") -> AsyncGenerator[MemorySocket]:
    """A page of a user who is signed in, until it says goodbye."""
    socket = MemorySocket()
    token = issue_token(SECRET, subject, now_s=time.time())
    socket.say("hello", version=1, token=token)
    served = asyncio.create_task(bridge.handle(socket))
    yield socket
    socket.say("bye")
    await served


def by_subject(claims: TokenClaims) -> Offer:
    return OFFERS[claims.subject]


async def by_subject_later(claims: TokenClaims) -> Offer:
    await asyncio.sleep(0)
    return OFFERS[claims.subject]


@pytest.mark.parametrize("on_visit", [by_subject, by_subject_later])
async def test_each_visitor_gets_a_prompt_a_history_a_voice_and_tools(
    on_visit: Callable[[TokenClaims], Any],
) -> None:
    sent: dict[str, str] = {}
    for subject in ("alice", "bob"):
        service = listening()
        async with (
            Bridge(QUIET, service, access=ACCESS, on_visit=on_visit) as bridge,
            visiting(bridge, subject) as page,
        ):
            ready = await page.next()
            assert ready["voice"] == OFFERS[subject].config.voice
            assert (await page.next())["type"] == "listening"
        sent[subject] = "".join(service.received)
    assert "You help Alice." in sent["alice"]
    assert "Hello Alice." in sent["alice"]
    assert '"look_up"' in sent["alice"]
    assert "You help Bob." in sent["bob"]
    assert "Alice" not in sent["bob"]
    assert "look_up" not in sent["bob"]


async def test_a_tool_knows_the_user_and_the_conversation(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    service = listening()
    async with (
        Bridge(QUIET, service, access=ACCESS, on_visit=by_subject) as bridge,
        visiting(bridge) as page,
    ):
        await page.until("listening")
        page.say("say", text="What did I order?")
        await page.until("tool_answered")
    [result] = [text for text in service.received if '"toolResult"' in text]
    [started] = [m for m in caplog.messages if m.startswith("conversation started")]
    [conversation] = re.findall(r"conversation=(\w+)", started)
    assert f"alice in {conversation}" in result


async def test_a_plain_hook_does_not_hold_up_the_event_loop() -> None:
    release = threading.Event()

    def slow(_: TokenClaims) -> Offer:
        assert release.wait(5)
        return QUIET

    async with (
        Bridge(QUIET, QuietService(), access=ACCESS, on_visit=slow) as bridge,
        visiting(bridge) as page,
    ):
        await asyncio.sleep(0)  # the loop runs while the hook waits
        release.set()
        assert (await page.next())["type"] == "ready"


async def refuse(_: TokenClaims) -> Offer:
    raise BridgeRefusal(Close.TOO_MANY_OF_SUBJECT)


async def fail(_: TokenClaims) -> Offer:
    raise RuntimeError("no database")


async def nothing(_: TokenClaims) -> Any:
    return None


async def never(_: TokenClaims) -> Offer:
    return await asyncio.Future()


@pytest.mark.parametrize(
    ("on_visit", "close"),
    [
        (refuse, Close.TOO_MANY_OF_SUBJECT),
        (fail, Close.INTERNAL),
        (nothing, Close.INTERNAL),
        (never, Close.INTERNAL),
    ],
)
async def test_a_hook_that_refuses_or_fails_costs_its_own_visitor_only(
    on_visit: Callable[[TokenClaims], Any],
    close: Close,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(hooks_module, "VISIT_S", 0.05)
    async with Bridge(QUIET, QuietService(), access=ACCESS, on_visit=on_visit) as bridge:
        async with visiting(bridge) as page:
            await page.over.wait()
        assert page.closed == close
        assert bridge.metrics.rejected == {close: 1}
        assert bridge.metrics.conversations == 0
        assert not bridge._pending._addresses  # pyright: ignore[reportPrivateUsage]
    assert ("on_visit failed" in caplog.text) == (close is Close.INTERNAL)


@asynccontextmanager
async def reporting(
    service: QuietService | None = None, **options: Any
) -> AsyncGenerator[tuple[Bridge, list[ConversationReport]]]:
    reports: list[ConversationReport] = []
    async with Bridge(
        options.pop("offer", QUIET),
        service or QuietService(),
        access=ACCESS,
        on_end=reports.append,
        **options,
    ) as bridge:
        yield bridge, reports


async def test_the_application_learns_what_was_said() -> None:
    async with reporting() as (bridge, reports), visiting(bridge) as page:
        await page.until("listening")
        page.say("say", text="Are you there?")
        await page.until("user_text")
    [report] = reports
    assert (report.subject, report.voice, report.close) == ("alice", "tiffany", Close.BYE)
    assert report.transcript == (SpokenLine(1, "USER", "Are you there?", "Are you there?"),)
    assert abs(report.began_s - time.time()) < 60
    assert report.duration_s > 0


async def test_what_leaves_a_bridge_that_masks_has_no_personal_data() -> None:
    """The store, the report and thereby the webhook; the page has its own words."""
    values: list[bytes] = []

    class Kept(MemoryStore):
        async def save(self, key: str, value: bytes) -> None:
            values.append(value)
            await super().save(key, value)

    offer = replace(QUIET, store=Kept())
    for mask_pii in (False, True):
        values.clear()
        async with (
            reporting(offer=offer, mask_pii=mask_pii) as (bridge, reports),
            visiting(bridge) as page,
        ):
            await page.until("listening")
            page.say("say", text="Call 415-555-0123.")
            assert (await page.until("user_text"))["text"] == "Call 415-555-0123."
        [report] = reports
        kept = b"".join(values).decode() + report.to_json()
        assert ("415-555" in kept) != mask_pii
        assert ("Call [phone]." in kept) == mask_pii


async def test_the_application_and_the_operator_learn_why_it_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    service = QuietService()
    service.refusal = ServiceError(
        kind=ErrorKind.UNKNOWN, code="Strange", text="no", request_id="req-1"
    )
    offer = Offer(config=SessionConfig(recovery=NO_RECOVERY))
    async with reporting(service, offer=offer) as (bridge, reports), visiting(bridge) as page:
        await page.over.wait()
    [report] = reports
    assert (report.close, report.request_id) == (Close.SERVICE_FAILED, "req-1")
    assert "Strange" in report.error
    [ended] = [r for r in caplog.records if r.getMessage().startswith("conversation ended")]
    assert ended.levelno == logging.WARNING
    for fact in ("code=4031", "reason=service_failed", "request_id=req-1", "Strange"):
        assert fact in ended.getMessage()


@pytest.mark.parametrize(
    ("ending", "close"),
    [
        ("bye", Close.BYE),
        ("flood", Close.UNKNOWN_MESSAGE),
        ("lost", Close.FORGOTTEN),
        ("replaced", Close.BYE),
        ("stop", Close.STOPPING),
        ("idle", Close.IDLE),
    ],
)
async def test_each_conversation_appears_exactly_once(
    ending: str, close: Close, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    limits = BridgeLimits(keep_s=0.05, idle_s=0.3 if ending == "idle" else 300)
    async with reporting(limits=limits) as (bridge, reports):
        async with visiting(bridge) as page:
            ready = await page.next()
            if ending == "replaced":
                other = MemorySocket()
                other.say("hello", version=1, resume=ready["resume"])
                again = asyncio.create_task(bridge.handle(other))
                await page.over.wait()
                assert page.closed == Close.REPLACED
                other.say("bye")
                await again
            elif ending == "lost":
                page.lose()
            elif ending == "stop":
                bridge.stop()
            elif ending != "idle":
                page.say("sing" if ending == "flood" else "bye")
            if ending not in ("lost", "replaced"):
                await page.over.wait()
        async with asyncio.timeout(5):
            while bridge._sessions:  # pyright: ignore[reportPrivateUsage]  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert bridge.metrics.closed == {close: 1}
    assert [report.close for report in reports] == [close]
    lines = [m.split(" conversation=")[0] for m in caplog.messages if m.startswith("conversation")]
    assert lines == ["conversation started", "conversation ended"]


async def test_a_rejection_is_one_line_and_counted_apart(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with reporting() as (bridge, reports):
        socket = MemorySocket()
        socket.say("hello", version=1, token="no token at all")
        await bridge.handle(socket)
        assert (bridge.metrics.closed, bridge.metrics.rejected) == ({}, {Close.FORGED: 1})
    assert reports == []
    [line] = caplog.messages
    assert line.startswith("connection rejected code=4012 reason=forged address=127.0.0.1")
    assert "no token at all" not in line


async def test_a_continued_conversation_asks_the_hook_again() -> None:
    store = MemoryStore()
    asked: list[str] = []

    def on_visit(claims: TokenClaims) -> Offer:
        asked.append(claims.subject)
        return by_subject(claims)

    async with (
        Bridge(
            replace(QUIET, store=store), QuietService(), access=ACCESS, on_visit=on_visit
        ) as bridge,
        visiting(bridge, "bob") as page,
    ):
        ready = await page.next()
        assert ready["stored"]
        await page.until("listening")
        bridge.stop()
        await page.over.wait()
    service = listening()
    async with Bridge(
        replace(QUIET, store=store), service, access=ACCESS, on_visit=on_visit
    ) as bridge:
        socket = MemorySocket()
        socket.say("hello", version=1, resume=ready["resume"])
        served = asyncio.create_task(bridge.handle(socket))
        assert (await socket.next())["voice"] == "matthew"
        await socket.until("listening")
        socket.say("bye")
        await served
    assert asked == ["bob", "bob"]
    assert "You help Bob." in "".join(service.received)


async def test_a_report_that_fails_is_logged_and_costs_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def on_end(_: ConversationReport) -> None:
        raise RuntimeError("no database")

    async with Bridge(QUIET, QuietService(), access=ACCESS, on_end=on_end) as bridge:
        async with visiting(bridge) as page:
            await page.until("listening")
        assert page.closed == Close.BYE
    assert "was lost" in caplog.text
    assert "no database" in caplog.text


class Receiver:
    """An application that takes reports, with these statuses in turn."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.bodies: list[bytes] = []
        self.signatures: list[str] = []

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.signatures.append(request.headers.get("Sonic-Voice-Signature", ""))
        return web.Response(status=self.statuses.pop(0))


@asynccontextmanager
async def receiver(*statuses: int) -> AsyncGenerator[tuple[Receiver, str]]:
    taking = Receiver(*statuses)
    app = web.Application()
    app.router.add_post("/reports", taking.take)
    async with TestServer(app) as server:
        yield taking, str(server.make_url("/reports"))


async def test_a_webhook_receives_the_report_with_a_signature() -> None:
    async with receiver(204) as (taking, url):
        webhook = Webhook(url, secret=SECRET)
        async with (
            Bridge(QUIET, QuietService(), access=ACCESS, on_end=webhook) as bridge,
            visiting(bridge) as page,
        ):
            await page.until("listening")
            page.say("say", text="Are you there?")
            await page.until("user_text")
        [body], [signature] = taking.bodies, taking.signatures
    assert signature == f"sha256={hmac.new(SECRET, body, hashlib.sha256).hexdigest()}"
    document = json.loads(body)
    assert document["subject"] == "alice"
    assert document["transcript"][0]["text"] == "Are you there?"


@pytest.mark.parametrize(
    ("statuses", "delivered"),
    [
        ((503, 200), True),
        ((429, 500, 202), True),
        ((500, 500, 500), False),
        ((400,), False),
        ((301,), False),
    ],
)
async def test_a_webhook_tries_again_where_that_can_help(
    statuses: tuple[int, ...], delivered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sonic_voice.bridge.webhook.PAUSES_S", (0.0, 0.0))
    report = ConversationReport(
        conversation="c", subject="", voice="v", began_s=0, duration_s=1, close=Close.BYE
    )
    async with receiver(*statuses) as (taking, url):
        if delivered:
            await Webhook(url)(report)
        else:
            with pytest.raises(NetworkError):
                await Webhook(url)(report)
        assert (len(taking.bodies), taking.statuses) == (len(statuses), [])
        assert set(taking.signatures) == {""}


@pytest.mark.parametrize("url", ["http://shop.example/x", "ftp://localhost", "https://", "shop"])
def test_reports_are_not_sent_in_the_clear(url: str) -> None:
    with pytest.raises(ConfigError):
        Webhook(url)
